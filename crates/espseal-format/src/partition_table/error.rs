//! What can be wrong with a partition table.

use core::fmt;

use super::{Label, MAX_ENTRIES};
use crate::units::FlashOffset;

/// Why bytes are no partition table. Offsets count from the start of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableError {
    /// The first record is the end marker.
    Empty,
    /// A record is neither entry, MD5 nor end marker.
    Magic {
        /// Offset of the record.
        offset: usize,
        /// Its first two bytes.
        found: [u8; 2],
    },
    /// A name is not UTF-8.
    Label {
        /// Offset of the name.
        offset: usize,
    },
    /// A byte that has to be 0xFF is not.
    Fill {
        /// Offset of the byte.
        offset: usize,
        /// The byte.
        found: u8,
    },
    /// The MD5 does not match the entries.
    Md5 {
        /// Offset of the MD5.
        offset: usize,
        /// Over the entries.
        computed: [u8; 16],
        /// In the table.
        stored: [u8; 16],
    },
    /// Something other than the end marker follows the MD5.
    AfterChecksum {
        /// Offset of the record.
        offset: usize,
    },
    /// The data ends without an end marker.
    NoEnd {
        /// Where the data ends.
        offset: usize,
    },
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str(
                "partition table is empty: offset 0x0 holds 0xff; erased flash looks like this",
            ),
            Self::Magic { offset, found } => write!(
                f,
                "no partition table entry at offset {offset:#x}: magic is {found:02x?}, expected [aa, 50]; encrypted flash looks like this"
            ),
            Self::Label { offset } => {
                write!(f, "partition name at offset {offset:#x} is not UTF-8")
            }
            Self::Fill { offset, found } => write!(
                f,
                "byte at offset {offset:#x} of the partition table is {found:#04x}, expected 0xff"
            ),
            Self::Md5 {
                offset,
                computed,
                stored,
            } => write!(
                f,
                "MD5 at offset {offset:#x} of the partition table is {stored:02x?}, the entries give {computed:02x?}"
            ),
            Self::AfterChecksum { offset } => write!(
                f,
                "partition table goes on at offset {offset:#x}, behind its MD5; expected the end marker"
            ),
            Self::NoEnd { offset } => write!(
                f,
                "partition table has no end marker: expected a record of 0xff at or before offset {offset:#x}"
            ),
        }
    }
}

impl core::error::Error for TableError {}

/// A table has too many entries to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFull;

impl fmt::Display for TableFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "too many partitions: at most {MAX_ENTRIES} fit, one less with an MD5"
        )
    }
}

impl core::error::Error for TableFull {}

/// Why a well-formed table is no usable one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// A partition does not start where its kind has to.
    OffsetAlignment {
        /// The partition.
        label: Label,
        /// Where it starts.
        offset: FlashOffset,
        /// What that has to be a multiple of.
        alignment: u32,
    },
    /// The size of an app partition is no multiple of a sector.
    SizeAlignment {
        /// The partition.
        label: Label,
        /// Its size.
        size: u32,
        /// What that has to be a multiple of.
        alignment: u32,
    },
    /// otadata and core dumps have to be writable.
    ReadOnly {
        /// The partition.
        label: Label,
    },
    /// NVS is too small to be written.
    NvsTooSmall {
        /// The partition.
        label: Label,
        /// Its size.
        size: u32,
    },
    /// Two partitions have the same name.
    DuplicateName {
        /// The name.
        label: Label,
    },
    /// A partition lies before the end of the table.
    BelowTable {
        /// The partition.
        label: Label,
        /// Where it starts.
        offset: FlashOffset,
        /// First free offset.
        free_from: FlashOffset,
    },
    /// Two partitions share bytes.
    Overlap {
        /// The one that starts first.
        first: Label,
        /// The other.
        second: Label,
        /// Where the other starts.
        offset: FlashOffset,
    },
    /// More than one otadata partition.
    DuplicateOtadata {
        /// The second.
        label: Label,
    },
    /// An otadata partition is not 0x2000 bytes long.
    OtadataSize {
        /// The partition.
        label: Label,
        /// Its size.
        size: u32,
    },
    /// A partition ends past the 32-bit address space.
    TooLong {
        /// The partition.
        label: Label,
    },
    /// The last partition ends behind the flash chip.
    FlashTooSmall {
        /// The partition.
        label: Label,
        /// Bytes of the flash chip.
        size: u32,
    },
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OffsetAlignment {
                label,
                offset,
                alignment,
            } => write!(
                f,
                "partition {label}: offset {offset} is not aligned to {alignment:#x}"
            ),
            Self::SizeAlignment {
                label,
                size,
                alignment,
            } => write!(
                f,
                "partition {label}: size {size:#x} is not a multiple of {alignment:#x}"
            ),
            Self::ReadOnly { label } => write!(
                f,
                "partition {label}: otadata and core dumps are always written, remove the flag `readonly`"
            ),
            Self::NvsTooSmall { label, size } => write!(
                f,
                "partition {label}: NVS of {size:#x} bytes has to be flagged `readonly` or grow to 0x3000"
            ),
            Self::DuplicateName { label } => write!(f, "two partitions are named {label}"),
            Self::BelowTable {
                label,
                offset,
                free_from,
            } => write!(
                f,
                "partition {label}: offset {offset} is below {free_from}, where the partition table ends"
            ),
            Self::Overlap {
                first,
                second,
                offset,
            } => write!(
                f,
                "partition {second} at {offset} overlaps partition {first}"
            ),
            Self::DuplicateOtadata { label } => write!(
                f,
                "partition {label}: there is an otadata partition already, only one is possible"
            ),
            Self::OtadataSize { label, size } => write!(
                f,
                "partition {label}: otadata is {size:#x} bytes, expected 0x2000"
            ),
            Self::TooLong { label } => {
                write!(f, "partition {label} ends past the 32-bit address space")
            }
            Self::FlashTooSmall { label, size } => write!(
                f,
                "partition {label} ends behind the flash chip of {size:#x} bytes: make partitions smaller or choose a larger chip"
            ),
        }
    }
}

impl core::error::Error for VerifyError {}
