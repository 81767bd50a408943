//! The bootloader's own reading of `otadata`: two entries, taken as they come.
//!
//! It differs from a strict parser on purpose: a state counts even where the CRC is wrong, as it
//! does in the bootloader, and noise from erased, encrypted flash is neither blank nor valid.
//!
//! Source: ESP-IDF `bootloader_common_loader.c`, `esp_flash_partitions.h`.

use espseal_format::units::FlashOffset;

use crate::bus::Bus;
use crate::nor::NorError;

/// Bytes in an entry.
pub(crate) const ENTRY_SIZE: usize = 32;

/// State NEW: set by the running app, never booted yet.
pub(crate) const NEW: u32 = 0;
/// State PENDING_VERIFY: booted once, not confirmed.
pub(crate) const PENDING_VERIFY: u32 = 1;
/// State VALID: confirmed.
pub(crate) const VALID: u32 = 2;
/// State INVALID: rejected by the app.
pub(crate) const INVALID: u32 = 3;
/// State ABORTED: not confirmed in time.
pub(crate) const ABORTED: u32 = 4;

/// One entry, as its 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawEntry(pub [u8; ENTRY_SIZE]);

impl RawEntry {
    /// An entry with everything else blank.
    pub(crate) fn with(seq: u32, state: u32) -> Self {
        let mut entry = Self([0xFF; ENTRY_SIZE]);
        entry.set_seq(seq);
        entry.set_state(state);
        entry
    }

    pub(crate) fn seq(&self) -> u32 {
        self.word(0)
    }

    pub(crate) fn state(&self) -> u32 {
        self.word(24)
    }

    /// Sets the sequence number and its CRC.
    pub(crate) fn set_seq(&mut self, seq: u32) {
        self.put(0, seq);
        self.put(28, seq_crc(seq));
    }

    pub(crate) fn set_state(&mut self, state: u32) {
        self.put(24, state);
    }

    /// Whether the bootloader skips the entry before it looks at the CRC.
    pub(crate) fn is_invalid(&self) -> bool {
        self.seq() == u32::MAX || matches!(self.state(), INVALID | ABORTED)
    }

    /// Whether the sequence number is blank or its CRC is wrong, whatever the state.
    pub(crate) fn is_initial(&self) -> bool {
        self.seq() == u32::MAX || !self.has_good_crc()
    }

    pub(crate) fn is_valid(&self) -> bool {
        !self.is_invalid() && self.has_good_crc()
    }

    pub(crate) fn has_good_crc(&self) -> bool {
        self.word(28) == seq_crc(self.seq())
    }

    fn word(&self, at: usize) -> u32 {
        let bytes = self.0.get(at..).and_then(<[u8]>::first_chunk).copied();
        u32::from_le_bytes(bytes.unwrap_or_default())
    }

    fn put(&mut self, at: usize, value: u32) {
        if let Some(bytes) = self.0.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *bytes = value.to_le_bytes();
        }
    }
}

/// Reads both entries through flash encryption.
pub(crate) fn read(bus: &mut Bus<'_>, otadata: FlashOffset) -> Result<[RawEntry; 2], NorError> {
    let mut entries = [RawEntry([0; ENTRY_SIZE]); 2];
    for (index, entry) in entries.iter_mut().enumerate() {
        bus.read(sector(otadata, index), &mut entry.0)?;
    }
    Ok(entries)
}

/// Erases the entry's sector, then writes the entry: two operations, each of which can be cut.
pub(crate) fn write(
    bus: &mut Bus<'_>,
    otadata: FlashOffset,
    index: usize,
    entry: &RawEntry,
) -> Result<(), NorError> {
    bus.erase_sector(sector(otadata, index))?;
    bus.write(sector(otadata, index), &entry.0)
}

/// The entry that counts: among usable ones the highest sequence number, the first on a tie.
pub(crate) fn active(entries: &[RawEntry; 2], usable: [bool; 2]) -> Option<usize> {
    let [first, second] = entries;
    match usable {
        [true, true] => Some(usize::from(second.seq() > first.seq())),
        [true, false] => Some(0),
        [false, true] => Some(1),
        [false, false] => None,
    }
}

/// CRC-32 of the sequence number, as `esp_rom_crc32_le(UINT32_MAX, seq, 4)` computes it.
pub(crate) fn seq_crc(seq: u32) -> u32 {
    // The ROM inverts the start value it is given and the result.
    let crc = seq.to_le_bytes().iter().fold(0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 }
        })
    });
    !crc
}

fn sector(otadata: FlashOffset, index: usize) -> FlashOffset {
    let skip = if index == 0 { 0 } else { 0x1000 };
    otadata.checked_add(skip).unwrap_or(otadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values seen in otadata partitions written by ESP-IDF.
    #[test]
    fn crc_covers_the_sequence_number_as_esp_idf_computes_it() {
        assert_eq!(seq_crc(1), 0x4743_989A);
        assert_eq!(seq_crc(2), 0x55F6_3774);
    }

    #[test]
    fn the_first_entry_wins_a_tie() {
        let entries = [RawEntry::with(3, VALID), RawEntry::with(3, VALID)];
        assert_eq!(active(&entries, [true, true]), Some(0));
    }
}
