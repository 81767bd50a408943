//! Why a factory plan cannot be carried out.

use espseal_format::chip::ChipId;
use espseal_format::units::FlashOffset;

use super::locking::StepFailed;
use crate::efuse::{EfuseError, KeyUse};

/// Why a factory plan cannot be carried out. Nothing was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FactoryError {
    /// The bootloader runs into the partition table.
    #[error(
        "the bootloader ends at {end:#x}, behind the partition table at {table}: a signed bootloader needs \
         CONFIG_PARTITION_TABLE_OFFSET of at least {end:#x}, rounded up to a sector (was it signed as an app, \
         padded to 64 KB? `espseal sign --bootloader` pads to 4 KB)"
    )]
    BootloaderOverlapsTable {
        /// First byte after the bootloader.
        end: u64,
        /// Where the table is.
        table: FlashOffset,
    },
    /// A partition starts before the end of the partition table's sector.
    #[error(
        "partition {label} at {offset} overlaps the partition table at {table}: move it to {table} + 0x1000 or later"
    )]
    PartitionOverlapsTable {
        /// The partition.
        label: Box<str>,
        /// Where it starts.
        offset: FlashOffset,
        /// Where the table is.
        table: FlashOffset,
    },
    /// Two partitions share flash.
    #[error("partitions {first} and {second} overlap")]
    PartitionsOverlap {
        /// The one that starts first.
        first: Box<str>,
        /// The one that starts within it.
        second: Box<str>,
    },
    /// Something reaches past the end of the flash chip.
    #[error("{name} ends at {end:#x}, past the flash chip of {size:#x} bytes")]
    BeyondFlash {
        /// What reaches past the end.
        name: Box<str>,
        /// Its end.
        end: u64,
        /// Size of the chip.
        size: usize,
    },
    /// The bootloader would refuse the partition table.
    #[error(
        "the bootloader's header says {stated:#x} bytes of flash and the partitions need {needed:#x}: set its \
         flash size before signing it"
    )]
    BootloaderFlashSize {
        /// Flash size in the header.
        stated: u64,
        /// End of the last partition.
        needed: u64,
    },
    /// The image is longer than its partition.
    #[error("{label} takes {length:#x} bytes and its partition has {size:#x}")]
    DoesNotFit {
        /// The partition.
        label: Box<str>,
        /// Bytes to write.
        length: usize,
        /// Bytes in the partition.
        size: u32,
    },
    /// No partition has this label.
    #[error("no partition is called {label}")]
    NoSuchPartition {
        /// The label asked for.
        label: Box<str>,
    },
    /// The table offset or a partition is not on a sector boundary.
    #[error("{offset} is not a multiple of 4096")]
    Misaligned {
        /// The offset.
        offset: FlashOffset,
    },
    /// The table has more entries than fit.
    #[error("the partition table does not fit its 3072 bytes")]
    TableFull,
    /// The image is not one, or is for another chip.
    #[error("{name} is no image for {expected}: its chip number is {found:#06x}")]
    WrongChip {
        /// Which image.
        name: Box<str>,
        /// The plan's chip.
        expected: ChipId,
        /// Number in the image; 0xffff when it has no image header.
        found: u16,
    },
    /// The flash key is of another scheme than the chip's.
    #[error("the flash encryption key does not fit {chip}")]
    FlashKeyScheme {
        /// The plan's chip.
        chip: ChipId,
    },
    /// Release mode without a digest would lock everybody out.
    #[error("secure boot needs 1 to {slots} key digests on this chip, the plan has {found}")]
    Digests {
        /// Digest slots of the chip.
        slots: u8,
        /// Digests in the plan.
        found: usize,
    },
    /// A digest is all zeros: it would be burnt as nothing, and no image would ever boot.
    #[error("secure-boot digest {slot} is all zeros and would brick the device")]
    BlankDigest {
        /// The slot.
        slot: usize,
    },
    /// No key block is left.
    #[error("no eFuse key block is free for {usage:?}")]
    NoKeyBlock {
        /// What it would hold.
        usage: KeyUse,
    },
    /// A key of secure boot v1 has 32 bytes, or 24 with coding scheme 3/4.
    #[error("the key of secure boot v1 needs 32 bytes, or 24 with eFuse coding scheme 3/4")]
    BootloaderKey,
    /// The host has no random numbers.
    #[error("this system gives no random numbers")]
    NoRandomness,
    /// The silicon does not have this secure boot.
    #[error("{chip} of revision v{}.{} has no secure boot {version}", revision / 100, revision % 100)]
    NoSecureBoot {
        /// The plan's chip.
        chip: ChipId,
        /// Revision of the silicon.
        revision: u16,
        /// The version asked for.
        version: Box<str>,
    },
    /// A burn fails.
    #[error(transparent)]
    Step(#[from] StepFailed),
    /// The eFuses refuse.
    #[error(transparent)]
    Efuse(#[from] EfuseError),
}
