//! ESP-IDF's key-value storage (NVS): pages of a sector, each with 126 entries.
//!
//! ```text
//! page   0..32     header, below
//!        32..64    states of the entries, two bits each ([`page`])
//!        64..4096  entries of 32 bytes: items, and the data of long ones ([`item`])
//!
//! header 0..4      state: all ones when erased, a bit cleared at each step of a page's life
//!        4..8      sequence number
//!        8         version of the format
//!        28..32    CRC-32 of bytes 4..28
//! ```
//!
//! Encrypted NVS encrypts the entries, not the header, and flash encryption leaves NVS alone: the
//! header is plain on every device, which is what tells NVS from noise.
//!
//! Source: ESP-IDF `nvs_page.hpp`, `nvs_constants.h`.

use core::fmt;

use crate::crc32;

pub mod item;
pub mod page;

/// Bytes of a page.
pub const PAGE_LEN: usize = 4096;
/// Bytes of an entry.
pub const ENTRY_LEN: usize = 32;
/// Entries of a page.
pub const PAGE_ENTRIES: usize = 126;
/// Where a page's first entry starts.
pub const FIRST_ENTRY: usize = 64;

const _: () = assert!(FIRST_ENTRY + PAGE_ENTRIES * ENTRY_LEN == PAGE_LEN);

/// CRC-32 as NVS uses it, over item data and over encryption keys: the register starts at 0.
#[must_use]
pub fn crc(bytes: &[u8]) -> u32 {
    crc32::from_all_ones(bytes)
}

/// Bytes of a page header.
pub const HEADER_LEN: usize = 32;

/// The header of a page whose CRC holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageHeader {
    /// Where the page is in its life.
    pub state: PageState,
    /// Number of the page, from 0, in the order in which pages were begun.
    pub seq: u32,
    /// Version of the format: 0xFE is 2, 0xFF is 1.
    pub version: u8,
}

/// Version byte of pages whose blobs stay on one page.
pub const VERSION_1: u8 = 0xFF;
/// Version byte of pages whose blobs may go over several.
pub const VERSION_2: u8 = 0xFE;

impl PageHeader {
    /// Parses the first bytes of a page.
    ///
    /// # Errors
    /// [`PageError::Uninitialized`] for an erased page, else the field that is wrong.
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, PageError> {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |index: usize| words.get(index).map_or(0, |word| u32::from_le_bytes(*word));
        let found = word(0);
        if bytes.iter().all(|byte| *byte == 0xFF) {
            return Err(PageError::Uninitialized);
        }
        let state = PageState::from_u32(found).ok_or(PageError::State { found })?;
        let computed = crc32::from_all_ones(bytes.get(4..28).unwrap_or_default());
        let stored = word(7);
        if computed != stored {
            return Err(PageError::Crc { computed, stored });
        }
        let [version, ..] = word(2).to_le_bytes();
        Ok(Self {
            state,
            seq: word(1),
            version,
        })
    }

    /// Writes the first bytes of a page.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0xFF; HEADER_LEN];
        let (words, _) = bytes.as_chunks_mut::<4>();
        let [state, seq, version, ..] = words else {
            return bytes;
        };
        *state = self.state.to_u32().to_le_bytes();
        *seq = self.seq.to_le_bytes();
        *version = [self.version, 0xFF, 0xFF, 0xFF];
        let crc = crc32::from_all_ones(bytes.get(4..28).unwrap_or_default());
        if let Some(last) = bytes.last_chunk_mut() {
            *last = crc.to_le_bytes();
        }
        bytes
    }
}

/// State of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageState {
    /// 0xFFFFFFFE: takes writes.
    Active,
    /// 0xFFFFFFFC: takes no more writes.
    Full,
    /// 0xFFFFFFF8: being moved to another page.
    Freeing,
    /// 0xFFFFFFF0: found damaged, kept for diagnosis.
    Corrupt,
}

impl PageState {
    /// The word that stands in the header.
    #[must_use]
    pub const fn to_u32(self) -> u32 {
        match self {
            Self::Active => 0xFFFF_FFFE,
            Self::Full => 0xFFFF_FFFC,
            Self::Freeing => 0xFFFF_FFF8,
            Self::Corrupt => 0xFFFF_FFF0,
        }
    }

    const fn from_u32(value: u32) -> Option<Self> {
        match value {
            0xFFFF_FFFE => Some(Self::Active),
            0xFFFF_FFFC => Some(Self::Full),
            0xFFFF_FFF8 => Some(Self::Freeing),
            0xFFFF_FFF0 => Some(Self::Corrupt),
            _ => None,
        }
    }
}

/// Why 32 bytes are no page header. Offsets count from the start of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PageError {
    /// The page is erased.
    Uninitialized,
    /// The state is none of those that a page can have.
    State {
        /// The state.
        found: u32,
    },
    /// The CRC does not match.
    Crc {
        /// Over bytes 4..28.
        computed: u32,
        /// In the header.
        stored: u32,
    },
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uninitialized => f.write_str("NVS page is erased"),
            Self::State { found } => write!(
                f,
                "no NVS page: state at offset 0x0 is {found:#010x}, expected 0xfffffff0 to 0xfffffffe"
            ),
            Self::Crc { computed, stored } => write!(
                f,
                "CRC at offset 0x1c of the NVS page header is {stored:#010x}, the header gives {computed:#010x}"
            ),
        }
    }
}

impl core::error::Error for PageError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// First page header of what `esp-idf-nvs-partition-gen` 0.3.0 `generate` writes.
    fn header() -> [u8; HEADER_LEN] {
        let mut bytes = [0xFF; HEADER_LEN];
        bytes[..9].copy_from_slice(&[0xFE, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0xFE]);
        bytes[28..].copy_from_slice(&[0x84, 0x2D, 0xBA, 0xB9]);
        bytes
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = header();
        let parsed = PageHeader::parse(&good).unwrap();
        assert_eq!((parsed.state, parsed.seq), (PageState::Active, 0));
        assert_eq!(parsed.version, VERSION_2);
        assert_eq!(parsed.encode(), good);
        for bit in 0..HEADER_LEN * 8 {
            let mut bytes = good;
            bytes[bit / 8] ^= 1 << (bit % 8);
            match PageHeader::parse(&bytes) {
                // Another state of the same page.
                Ok(other) => assert!(bit < 4 && other.state != parsed.state, "bit {bit}"),
                Err(PageError::Uninitialized) => panic!("bit {bit}"),
                Err(PageError::State { .. }) => assert!(bit < 32, "bit {bit}"),
                Err(PageError::Crc { .. }) => assert!(bit >= 32, "bit {bit}"),
            }
        }
        assert_eq!(
            PageHeader::parse(&[0xFF; HEADER_LEN]),
            Err(PageError::Uninitialized)
        );
    }
}
