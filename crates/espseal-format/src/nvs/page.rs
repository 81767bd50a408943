//! A page of NVS: header, states of its entries, entries.
//!
//! Source: ESP-IDF `nvs_page.hpp`.

use super::{ENTRY_LEN, FIRST_ENTRY, HEADER_LEN, PAGE_ENTRIES, PAGE_LEN, PageError, PageHeader};

/// A page whose header holds.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Its header.
    pub header: PageHeader,
    states: &'a [u8; HEADER_LEN],
    entries: &'a [[u8; ENTRY_LEN]],
}

impl<'a> Page<'a> {
    /// Parses a page.
    ///
    /// # Errors
    /// [`PageError`] of its header.
    pub fn parse(bytes: &'a [u8; PAGE_LEN]) -> Result<Self, PageError> {
        let (parts, _) = bytes.as_chunks::<ENTRY_LEN>();
        let [header, states, entries @ ..] = parts else {
            return Err(PageError::Uninitialized);
        };
        Ok(Self {
            header: PageHeader::parse(header)?,
            states,
            entries,
        })
    }

    /// Returns the entries with their states, in order.
    pub fn entries(&self) -> impl Iterator<Item = (EntryState, &'a [u8; ENTRY_LEN])> {
        let states = self.states.iter().flat_map(|byte| {
            let pairs = [0, 2, 4, 6].map(|shift| byte >> shift & 3);
            pairs.map(EntryState::from_bits)
        });
        states.zip(self.entries)
    }
}

/// State of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// 0b11: never written.
    Empty,
    /// 0b10: written.
    Written,
    /// 0b00: erased after it was written.
    Erased,
    /// 0b01: no state of a sound page.
    Illegal,
}

impl EntryState {
    const fn from_bits(bits: u8) -> Self {
        match bits {
            3 => Self::Empty,
            2 => Self::Written,
            0 => Self::Erased,
            _ => Self::Illegal,
        }
    }
}

/// Marks entries of a page as written.
///
/// Entries past the last of the page are left out.
pub fn mark_written(page: &mut [u8; PAGE_LEN], entries: core::ops::Range<usize>) {
    for entry in entries.start..entries.end.min(PAGE_ENTRIES) {
        let byte = HEADER_LEN.saturating_add(entry >> 2);
        if let Some(states) = page.get_mut(byte..FIRST_ENTRY).and_then(<[u8]>::first_mut) {
            *states &= !(1 << ((entry & 3) << 1));
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;
    use crate::nvs::{PageState, VERSION_2};

    #[test]
    fn entries_come_with_the_states_that_were_marked() {
        let mut bytes = [0xFF; PAGE_LEN];
        assert_eq!(Page::parse(&bytes).unwrap_err(), PageError::Uninitialized);
        let header = PageHeader {
            state: PageState::Full,
            seq: 7,
            version: VERSION_2,
        };
        bytes[..HEADER_LEN].copy_from_slice(&header.encode());
        mark_written(&mut bytes, 0..5);
        mark_written(&mut bytes, 125..200);
        bytes[HEADER_LEN + 2] = 0b1111_0001;
        let page = Page::parse(&bytes).unwrap();
        assert_eq!(page.header, header);
        let states: Vec<_> = page.entries().map(|(state, _)| state).collect();
        assert_eq!(states.len(), PAGE_ENTRIES);
        for (index, state) in states.into_iter().enumerate() {
            let expected = match index {
                0..5 | 125 => EntryState::Written,
                8 => EntryState::Illegal,
                9 => EntryState::Erased,
                _ => EntryState::Empty,
            };
            assert_eq!(state, expected, "entry {index}");
        }
        // Bits past the last entry stay as they were.
        assert_eq!(bytes[63] >> 4, 0xF);
    }
}
