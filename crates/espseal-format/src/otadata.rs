//! The otadata partition: which app slot boots.
//!
//! Two sectors, one 32-byte entry at the start of each. The entry with the higher sequence number
//! wins; slot = (sequence - 1) modulo the number of slots.
//!
//! What the bootloader does with the states (rollback) is the bootloader's business and lives in
//! the twin; which entry and slot are selected, and what to write next, live here.
//!
//! Source: ESP-IDF `esp_flash_partitions.h`, `bootloader_common_loader.c`, `esp_ota_ops.c`.

use core::fmt;
use core::mem::offset_of;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::crc32;

/// Bytes of an entry.
pub const ENTRY_LEN: usize = 32;
/// Bytes of an otadata partition: two sectors.
pub const PARTITION_LEN: u32 = 0x2000;

/// Both entries; `None` for one that is erased, torn or noise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Otadata {
    /// The entries in the order of their sectors.
    pub entries: [Option<OtadataEntry>; 2],
}

impl Otadata {
    /// Reads the entries at the start of both sectors.
    ///
    /// An entry that does not parse is an absent one, as it is for the bootloader: a torn write
    /// selects the other slot.
    #[must_use]
    pub fn parse(first: &[u8; ENTRY_LEN], second: &[u8; ENTRY_LEN]) -> Self {
        Self {
            entries: [first, second].map(|bytes| OtadataEntry::parse(bytes).ok()),
        }
    }

    /// Returns the entry that the bootloader acts on and its sector: of those that are not INVALID
    /// or ABORTED, the one with the highest sequence number; the first when they are equal.
    #[must_use]
    pub fn selected(&self) -> Option<(usize, &OtadataEntry)> {
        let mut bootable = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(sector, entry)| Some((sector, entry.as_ref()?)))
            .filter(|(_, entry)| entry.is_valid());
        match (bootable.next(), bootable.next()) {
            (Some(first), Some(second)) if second.1.seq > first.1.seq => Some(second),
            (first, _) => first,
        }
    }

    /// Returns the sector to write next: the one that is not selected; 0 when neither is.
    #[must_use]
    pub fn next_sector(&self) -> usize {
        match self.selected() {
            Some((0, _)) => 1,
            _ => 0,
        }
    }

    /// Returns the smallest sequence number above the selected one that selects `slot` of `slots`.
    ///
    /// `None` when `slot` is not one of `slots`, or when the numbers have run out.
    #[must_use]
    pub fn next_seq_for(&self, slot: u8, slots: u8) -> Option<u32> {
        if slot >= slots {
            return None;
        }
        let wanted = u32::from(slot).checked_add(1)?;
        let count = u32::from(slots);
        let seq = match self.selected() {
            None => wanted,
            // `wanted` plus as many rounds as it takes to pass `seq`.
            Some((_, OtadataEntry { seq, .. })) if *seq >= wanted => {
                let rounds = seq
                    .checked_sub(wanted)?
                    .checked_div(count)?
                    .checked_add(1)?;
                wanted.checked_add(rounds.checked_mul(count)?)?
            }
            Some(_) => wanted,
        };
        (seq != SEQ_ERASED).then_some(seq)
    }
}

/// Returns the slot that a sequence number selects among `slots`; `None` when there are no slots.
///
/// Number 0, which nothing writes, wraps as it does in the bootloader.
#[must_use]
pub fn slot_of(seq: u32, slots: u8) -> Option<u8> {
    let slot = seq.wrapping_sub(1).checked_rem(u32::from(slots))?;
    u8::try_from(slot).ok()
}

/// One entry.
#[doc(alias = "esp_ota_select_entry_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtadataEntry {
    /// Sequence number, from 1.
    pub seq: u32,
    /// Not used by ESP-IDF; kept as found.
    pub label: [u8; 20],
    /// What is known about the app.
    pub state: OtaState,
    /// CRC of the sequence number *only*.
    pub crc: u32,
}

impl OtadataEntry {
    /// Makes an entry with the label that ESP-IDF writes (0xFF) and the right CRC.
    #[must_use]
    pub fn new(seq: u32, state: OtaState) -> Self {
        Self {
            seq,
            label: [0xFF; 20],
            state,
            crc: seq_crc(seq),
        }
    }

    /// Parses one entry.
    ///
    /// Layout (32 bytes, little-endian): `0..4` sequence, `4..24` label, `24..28` state, `28..32`
    /// CRC-32 of bytes `0..4`.
    ///
    /// # Errors
    /// [`OtadataError::Erased`] when the sequence number is that of erased flash,
    /// [`OtadataError::Crc`] when stored and computed CRC differ.
    pub fn parse(bytes: &[u8; ENTRY_LEN]) -> Result<Self, OtadataError> {
        let entry = Self::from_bytes(bytes);
        if entry.seq == SEQ_ERASED {
            return Err(OtadataError::Erased);
        }
        let computed = seq_crc(entry.seq);
        if entry.crc != computed {
            return Err(OtadataError::Crc {
                computed,
                stored: entry.crc,
            });
        }
        Ok(entry)
    }

    /// Reads the fields without judging them, for whoever has to act like the bootloader on noise.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; ENTRY_LEN]) -> Self {
        let wire: Wire = zerocopy::transmute!(*bytes);
        Self {
            seq: wire.seq.get(),
            label: wire.label,
            state: OtaState::from_u32(wire.state.get()),
            crc: wire.crc.get(),
        }
    }

    /// Returns the entry as stored.
    #[must_use]
    pub fn encode(&self) -> [u8; ENTRY_LEN] {
        zerocopy::transmute!(Wire {
            seq: U32::new(self.seq),
            label: self.label,
            state: U32::new(self.state.to_u32()),
            crc: U32::new(self.crc),
        })
    }

    /// Returns the same entry in another state.
    #[must_use]
    pub const fn with_state(self, state: OtaState) -> Self {
        Self { state, ..self }
    }

    /// Whether the bootloader counts the entry as out of use *without looking at its CRC*.
    #[doc(alias = "bootloader_common_ota_select_invalid")]
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.seq == SEQ_ERASED || matches!(self.state, OtaState::Invalid | OtaState::Aborted)
    }

    /// Whether the bootloader may select the entry.
    #[doc(alias = "bootloader_common_ota_select_valid")]
    #[must_use]
    pub fn is_valid(&self) -> bool {
        !self.is_invalid() && self.has_good_crc()
    }

    /// Whether stored and computed CRC agree.
    #[must_use]
    pub fn has_good_crc(&self) -> bool {
        self.crc == seq_crc(self.seq)
    }
}

/// State of the app that an entry selects.
#[doc(alias = "esp_ota_img_states_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OtaState {
    /// 0: written, never booted.
    New,
    /// 1: booted once, not confirmed yet.
    PendingVerify,
    /// 2: confirmed.
    Valid,
    /// 3: declared bad by the app.
    Invalid,
    /// 4: did not confirm in time.
    Aborted,
    /// 0xFFFFFFFF: written by something that knows no states.
    Undefined,
    /// A value that ESP-IDF has not assigned.
    Unknown(u32),
}

impl OtaState {
    /// Reads the stored value.
    #[must_use]
    pub const fn from_u32(value: u32) -> Self {
        match value {
            0 => Self::New,
            1 => Self::PendingVerify,
            2 => Self::Valid,
            3 => Self::Invalid,
            4 => Self::Aborted,
            u32::MAX => Self::Undefined,
            other => Self::Unknown(other),
        }
    }

    /// Returns the stored value.
    #[must_use]
    pub const fn to_u32(self) -> u32 {
        match self {
            Self::New => 0,
            Self::PendingVerify => 1,
            Self::Valid => 2,
            Self::Invalid => 3,
            Self::Aborted => 4,
            Self::Undefined => u32::MAX,
            Self::Unknown(other) => other,
        }
    }
}

impl fmt::Display for OtaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.pad("NEW"),
            Self::PendingVerify => f.pad("PENDING_VERIFY"),
            Self::Valid => f.pad("VALID"),
            Self::Invalid => f.pad("INVALID"),
            Self::Aborted => f.pad("ABORTED"),
            Self::Undefined => f.pad("UNDEFINED"),
            Self::Unknown(other) => write!(f, "{other:#x}"),
        }
    }
}

/// Sequence number of erased flash.
const SEQ_ERASED: u32 = u32::MAX;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Wire {
    seq: U32,
    label: [u8; 20],
    state: U32,
    crc: U32,
}

const _: () = {
    assert!(size_of::<Wire>() == ENTRY_LEN);
    assert!(offset_of!(Wire, label) == 4);
    assert!(offset_of!(Wire, state) == 24);
    assert!(offset_of!(Wire, crc) == 28);
};

/// CRC of a sequence number.
fn seq_crc(seq: u32) -> u32 {
    crc32::from_all_ones(&seq.to_le_bytes())
}

/// Why 32 bytes are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OtadataError {
    /// The sector is erased.
    Erased,
    /// The CRC does not match the sequence number: a torn write, or noise.
    Crc {
        /// Over the sequence number.
        computed: u32,
        /// In the entry.
        stored: u32,
    },
}

impl fmt::Display for OtadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Erased => {
                f.write_str("otadata entry is erased: ota_seq at offset 0x0 is 0xffffffff")
            }
            Self::Crc { computed, stored } => write!(
                f,
                "crc of the otadata entry at offset 0x1c is {stored:#010x}, ota_seq gives {computed:#010x}; a torn write, or plaintext read through flash encryption, looks like this"
            ),
        }
    }
}

impl core::error::Error for OtadataError {}

#[cfg(test)]
mod tests;
