//! What can be wrong with an image.

use core::fmt;

use super::{MAGIC, MAX_SEGMENT_LEN, MAX_SEGMENTS};
use crate::units::Digest;

/// Why an image was not accepted; `E` is the reader's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageError<E> {
    /// The medium failed.
    Read(E),
    /// The data ends before a field does.
    Truncated {
        /// The field.
        field: &'static str,
        /// Where it starts.
        offset: u32,
        /// Its length in bytes.
        wanted: u32,
        /// Bytes there are from its start.
        available: u32,
    },
    /// The first byte is not that of an image.
    Magic {
        /// The byte.
        found: u8,
    },
    /// The header counts more segments than there may be.
    SegmentCount {
        /// The count.
        found: u8,
    },
    /// A segment's length is no multiple of 4, or is beyond the reach of the flash cache.
    SegmentLength {
        /// Number of the segment, from 0.
        index: u8,
        /// Offset of the length field.
        offset: u32,
        /// The length.
        found: u32,
    },
    /// The XOR checksum does not match the segments.
    Checksum {
        /// Offset of the checksum byte.
        offset: u32,
        /// Over the segments.
        computed: u8,
        /// In the image.
        stored: u8,
    },
    /// The appended SHA-256 does not match what is before it.
    Hash {
        /// Offset of the hash.
        offset: u32,
        /// Over the image.
        computed: Digest,
        /// In the image.
        stored: Digest,
    },
}

impl<E: fmt::Display> fmt::Display for ImageError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "reading the image failed: {error}"),
            Self::Truncated {
                field,
                offset,
                wanted,
                available,
            } => write!(
                f,
                "image cut short: the {field} at offset {offset:#x} takes {wanted} bytes, but only {available} are left"
            ),
            Self::Magic { found } => write!(
                f,
                "no ESP image: byte 0 is {found:#04x}, expected {MAGIC:#04x}; encrypted or erased flash looks like this"
            ),
            Self::SegmentCount { found } => write!(
                f,
                "segment count at offset 0x1 is {found}, at most {MAX_SEGMENTS} are possible"
            ),
            Self::SegmentLength {
                index,
                offset,
                found,
            } => write!(
                f,
                "length of segment {index} at offset {offset:#x} is {found:#x}, expected a multiple of 4 below {MAX_SEGMENT_LEN:#x}"
            ),
            Self::Checksum {
                offset,
                computed,
                stored,
            } => write!(
                f,
                "checksum at offset {offset:#x} is {stored:#04x}, the segments give {computed:#04x}; rebuild or fetch the image again"
            ),
            Self::Hash {
                offset,
                computed,
                stored,
            } => write!(
                f,
                "SHA-256 at offset {offset:#x} is {stored}, the image gives {computed}; rebuild or fetch the image again"
            ),
        }
    }
}

impl<E: core::error::Error> core::error::Error for ImageError<E> {}

/// A segment cannot be mapped from where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappingError {
    /// Address to map to.
    pub load_addr: u32,
    /// Offset of the data within the image.
    pub data_offset: u32,
    /// MMU page size of the chip.
    pub page_size: u32,
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "segment data at offset {:#x} cannot be mapped to {:#010x}: the two differ within a page of {:#x} bytes; rebuild the image for this chip",
            self.data_offset, self.load_addr, self.page_size
        )
    }
}

impl core::error::Error for MappingError {}

/// Why an image cannot be padded or changed as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PaddingError {
    /// An app does not end on an MMU page.
    NotOnPage {
        /// Length of the image with its SHA-256.
        image_len: u32,
        /// MMU page size.
        page_size: u32,
    },
    /// The app has no appended SHA-256.
    NoHash,
    /// The app has no room for one more segment.
    TooManySegments,
    /// The buffer cannot hold the result.
    BufferTooSmall {
        /// Bytes needed.
        needed: usize,
        /// Bytes there are.
        available: usize,
    },
    /// The layout does not belong to the bytes.
    LayoutMismatch,
}

impl fmt::Display for PaddingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOnPage {
                image_len,
                page_size,
            } => write!(
                f,
                "the app is {image_len:#x} bytes long, but a signed app has to end on a page of {page_size:#x} bytes: build it with secure boot enabled, or use `esptool elf2image --secure-pad-v2`"
            ),
            Self::NoHash => f.write_str(
                "the app has no appended SHA-256: build it without `--dont-append-digest`",
            ),
            Self::TooManySegments => write!(
                f,
                "the app has {MAX_SEGMENTS} segments already, no room for padding: use `esptool elf2image --secure-pad-v2`"
            ),
            Self::BufferTooSmall { needed, available } => {
                write!(f, "{needed} bytes needed, the buffer has {available}")
            }
            Self::LayoutMismatch => f.write_str("the layout was made from other bytes"),
        }
    }
}

impl core::error::Error for PaddingError {}
