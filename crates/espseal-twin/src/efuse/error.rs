//! Why eFuses could not be read or burnt.

use espseal_format::chip::{ChipId, SecureBootScheme};
use espseal_format::efuse::KeyPurpose;

use crate::power::PowerLost;

/// Why eFuses could not be read or burnt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EfuseError {
    /// espseal does not know the chip.
    #[error("no eFuse table for {0}: espseal does not know this chip well enough")]
    UnknownChip(ChipId),
    /// The chip was never made with this revision, or espseal has no table for it.
    #[error("espseal does not know revision {}.{} of {chip}", revision / 100, revision % 100)]
    NoSuchRevision {
        /// The chip.
        chip: ChipId,
        /// What was asked for, major * 100 + minor.
        revision: u16,
    },
    /// The chip has no field of this name.
    #[error("no eFuse field {0} on this chip: see `espefuse summary` for the names")]
    NoSuchField(Box<str>),
    /// The chip has no block of this number.
    #[error("no eFuse block {block} on this chip")]
    NoSuchBlock {
        /// Number of the block.
        block: usize,
    },
    /// The data goes past the end of the block.
    #[error("eFuse block {block} has {size} bytes, the data ends at byte {end}")]
    PastBlock {
        /// Number of the block.
        block: usize,
        /// Bytes of data that it takes.
        size: usize,
        /// Where the data ends.
        end: usize,
    },
    /// The block holds no keys.
    #[error("eFuse block {block} holds no keys: choose a key block")]
    NoKeyBlock {
        /// Number of the block.
        block: usize,
    },
    /// The chip has no keys of this purpose.
    #[error("{chip} has no eFuse keys for {purpose}")]
    NoSuchPurpose {
        /// The chip.
        chip: ChipId,
        /// The purpose.
        purpose: KeyPurpose,
    },
    /// The block cannot hold a key of this purpose.
    #[error("eFuse block {block} cannot hold a key for {purpose}: choose another block")]
    PurposeRefused {
        /// Number of the block.
        block: usize,
        /// The purpose.
        purpose: KeyPurpose,
    },
    /// The block was marked for something else.
    #[error("{field} is burnt for {found}: choose another block")]
    PurposeTaken {
        /// Name of the purpose field.
        field: &'static str,
        /// What it says.
        found: KeyPurpose,
    },
    /// The key is too long or too short.
    #[error("a key for {purpose} has {expected} bytes on this chip, this one {found}")]
    KeyLength {
        /// The purpose.
        purpose: KeyPurpose,
        /// Bytes that the chip takes.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The second half of a key finds no free block.
    #[error("no free eFuse block for the second half of the key")]
    NoSecondBlock,
    /// The block was burnt before; it can be burnt only once.
    #[error("eFuse block {block} is already burnt: choose an unused block")]
    BlockUsed {
        /// Number of the block.
        block: usize,
    },
    /// The value does not fit the field.
    #[error("{value:#x} does not fit the {width} bits of {field}")]
    TooWide {
        /// Name of the field.
        field: &'static str,
        /// Bits in the field.
        width: u16,
        /// What should have been burnt.
        value: u64,
    },
    /// A write-protect bit guards the field or block.
    #[error("{field} is write-protected and can never be burnt again")]
    WriteProtected {
        /// Name of the field or block.
        field: &'static str,
    },
    /// Nothing protects the field from this.
    #[error("no eFuse protects {field} in this way")]
    NoProtection {
        /// Name of the field.
        field: &'static str,
    },
    /// The chip's ROM has no such secure boot.
    #[error("{chip} of revision {}.{} has no secure boot {scheme:?}", revision / 100, revision % 100)]
    NoSecureBoot {
        /// The chip.
        chip: ChipId,
        /// Its revision, major * 100 + minor.
        revision: u16,
        /// The scheme asked for.
        scheme: SecureBootScheme,
    },
    /// Power went.
    #[error(transparent)]
    PowerLost(#[from] PowerLost),
}
