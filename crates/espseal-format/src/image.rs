//! App and bootloader images.
//!
//! ```text
//! 0..24            header (magic 0xE9)
//! 24..             up to 16 segments: 8-byte header, then data (a multiple of 4 bytes)
//! ..               zeros up to the last byte of a 16-byte block, which is the XOR checksum
//!                  (seed 0xEF) of all segment data; the headers are not part of it
//! +32              SHA-256 of everything before it, if the header says so
//! ```
//!
//! Signing (secure boot v2) pads this with 0xFF to 4 KB and appends a sector of signature blocks,
//! see [`crate::signature_block`].
//!
//! Source: ESP-IDF `esp_app_format.h`, `esp_image_format.c`.

use core::mem::offset_of;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::chip::{ChipId, Mapping};
use crate::units::Digest;

mod error;
mod flash_mode;
mod memory;
mod padding;
mod walk;

pub use error::{ImageError, MappingError, PaddingError};
pub use flash_mode::{FlashFrequency, FlashMode};
pub use memory::{Memory, memories};
pub use padding::{app_padding, pad_to_sector, secure_pad_v2, set_flash_size};
pub use walk::measure;

/// First byte of every image.
pub const MAGIC: u8 = 0xE9;
/// Most segments that an image may have.
pub const MAX_SEGMENTS: usize = 16;
/// Bytes of the header.
pub const HEADER_LEN: usize = 24;
/// Bytes of a segment header.
pub const SEGMENT_HEADER_LEN: usize = 8;
/// Bytes of the appended SHA-256.
pub const HASH_LEN: usize = 32;
/// The flash cache reaches 16 MB: a segment is shorter than that.
pub const MAX_SEGMENT_LEN: u32 = 0x100_0000;
/// What the XOR checksum starts from.
const CHECKSUM_SEED: u8 = 0xEF;

/// A walked image: where its parts lie, and that checksum and appended hash agree with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLayout {
    /// The header as stored.
    pub header: ImageHeader,
    /// The segments in file order.
    pub segments: heapless::Vec<Segment, MAX_SEGMENTS>,
    /// Offset of the checksum byte.
    pub checksum_offset: u32,
    /// Offset of the appended SHA-256, if there is one.
    pub hash_offset: Option<u32>,
    /// Length including checksum and appended SHA-256, without padding and signature.
    pub image_len: u32,
    /// `image_len` rounded up to 4 KB: the bytes that a v2 signature covers, and the offset of its
    /// sector.
    pub signed_len: u32,
    /// SHA-256 of everything up to and including the checksum block: what `hash_offset` holds.
    pub content_digest: Digest,
}

impl ImageLayout {
    /// Checks what the bootloader checks before it maps segments: flash and address lie at the
    /// same place within an MMU page, whose size [`Mapping::page_size_of`] tells.
    ///
    /// # Errors
    /// [`MappingError`] for the first segment that does not.
    pub fn check_mapping(&self, mapping: &Mapping, page_size: u32) -> Result<(), MappingError> {
        let within_page = |value: u32| value.checked_rem(page_size).unwrap_or(0);
        let misplaced = |segment: &&Segment| {
            mapping.is_mapped(segment.load_addr)
                && within_page(segment.data_offset) != within_page(segment.load_addr)
        };
        match self.segments.iter().find(misplaced) {
            None => Ok(()),
            Some(segment) => Err(MappingError {
                load_addr: segment.load_addr,
                data_offset: segment.data_offset,
                page_size,
            }),
        }
    }
}

/// An image whose structure holds, with what was found where checksum and hash belong.
///
/// For showing an image that a device would refuse; whoever acts on an image takes
/// [`ImageLayout::walk`], which refuses it too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Where the parts lie.
    pub layout: ImageLayout,
    /// The XOR checksum.
    pub checksum: Compared<u8>,
    /// The appended SHA-256, if the header announces one.
    pub hash: Option<Compared<Digest>>,
}

impl Survey {
    /// Whether checksum and appended hash are what they should be.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.checksum.holds() && self.hash.is_none_or(|hash| hash.holds())
    }
}

/// A stored value and what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared<T> {
    /// Where it is stored.
    pub offset: u32,
    /// What is stored.
    pub stored: T,
    /// What the image gives.
    pub computed: T,
}

impl<T: PartialEq> Compared<T> {
    /// Whether the two are equal.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.stored == self.computed
    }
}

/// A segment of a walked image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Address the data is copied or mapped to; 0 for padding.
    pub load_addr: u32,
    /// Offset of the data from the start of the image.
    pub data_offset: u32,
    /// Bytes of data.
    pub data_len: u32,
}

/// The header, 24 bytes, as stored.
#[doc(alias = "esp_image_header_t")]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct ImageHeader {
    /// [`MAGIC`].
    pub magic: u8,
    /// Number of segments.
    pub segment_count: u8,
    /// Flash read mode.
    pub spi_mode: u8,
    /// Low nibble: flash frequency; high nibble: flash size.
    pub spi_speed_size: u8,
    /// Address that the bootloader jumps to.
    pub entry_addr: U32,
    /// WP pin, 0xEE for none.
    pub wp_pin: u8,
    /// Drive strengths of the flash pins.
    pub spi_pin_drv: [u8; 3],
    /// Chip number.
    pub chip_id: U16,
    /// Superseded by `min_chip_rev_full`.
    pub min_chip_rev: u8,
    /// Lowest chip revision that may run the image, major * 100 + minor.
    pub min_chip_rev_full: U16,
    /// Highest chip revision that may run the image; 0 and 0xFFFF mean any.
    pub max_chip_rev_full: U16,
    /// Not used.
    pub reserved: [u8; 4],
    /// Whether a SHA-256 follows the checksum (any value but 0).
    pub hash_appended: u8,
}

const _: () = {
    assert!(size_of::<ImageHeader>() == HEADER_LEN);
    assert!(offset_of!(ImageHeader, spi_speed_size) == 3);
    assert!(offset_of!(ImageHeader, entry_addr) == 4);
    assert!(offset_of!(ImageHeader, wp_pin) == 8);
    assert!(offset_of!(ImageHeader, chip_id) == 12);
    assert!(offset_of!(ImageHeader, min_chip_rev_full) == 15);
    assert!(offset_of!(ImageHeader, max_chip_rev_full) == 17);
    assert!(offset_of!(ImageHeader, hash_appended) == 23);
    assert!(size_of::<SegmentHeader>() == SEGMENT_HEADER_LEN);
};

impl ImageHeader {
    /// Reads a header without judging it; the walk does that.
    #[must_use]
    pub fn from_bytes(bytes: [u8; HEADER_LEN]) -> Self {
        zerocopy::transmute!(bytes)
    }

    /// Returns the header as stored.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        zerocopy::transmute!(*self)
    }

    /// Returns the chip that the image is for.
    #[must_use]
    pub fn chip(&self) -> ChipId {
        ChipId::from_u16(self.chip_id.get())
    }

    /// Returns the flash size that the image was built for.
    #[must_use]
    pub const fn flash_size(&self) -> FlashSize {
        FlashSize::from_nibble(self.spi_speed_size >> 4)
    }

    /// Returns how the flash is read.
    #[must_use]
    pub const fn flash_mode(&self) -> FlashMode {
        FlashMode::from_u8(self.spi_mode)
    }

    /// Returns how fast the flash is read; what that means depends on the chip.
    #[must_use]
    pub const fn flash_frequency(&self) -> FlashFrequency {
        FlashFrequency::from_nibble(self.spi_speed_size & 0x0F)
    }

    /// Whether a SHA-256 follows the checksum.
    #[must_use]
    pub const fn has_hash(&self) -> bool {
        self.hash_appended != 0
    }
}

/// The header of a segment, 8 bytes, as stored.
#[doc(alias = "esp_image_segment_header_t")]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct SegmentHeader {
    /// Address the data is copied or mapped to.
    pub load_addr: U32,
    /// Bytes of data that follow, a multiple of 4.
    pub data_len: U32,
}

/// Flash size in the header; `1 MB << nibble`.
#[doc(alias = "esp_image_flash_size_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FlashSize {
    /// 0: 1 MB.
    Mb1,
    /// 1: 2 MB.
    Mb2,
    /// 2: 4 MB.
    Mb4,
    /// 3: 8 MB.
    Mb8,
    /// 4: 16 MB.
    Mb16,
    /// 5: 32 MB.
    Mb32,
    /// 6: 64 MB.
    Mb64,
    /// 7: 128 MB.
    Mb128,
    /// A value (of four bits) that ESP-IDF has not assigned.
    Unknown(u8),
}

impl FlashSize {
    /// Reads the high nibble of header byte 3.
    #[must_use]
    pub const fn from_nibble(nibble: u8) -> Self {
        match nibble & 0x0F {
            0 => Self::Mb1,
            1 => Self::Mb2,
            2 => Self::Mb4,
            3 => Self::Mb8,
            4 => Self::Mb16,
            5 => Self::Mb32,
            6 => Self::Mb64,
            7 => Self::Mb128,
            other => Self::Unknown(other),
        }
    }

    /// Returns the nibble as stored.
    #[must_use]
    pub const fn to_nibble(self) -> u8 {
        match self {
            Self::Mb1 => 0,
            Self::Mb2 => 1,
            Self::Mb4 => 2,
            Self::Mb8 => 3,
            Self::Mb16 => 4,
            Self::Mb32 => 5,
            Self::Mb64 => 6,
            Self::Mb128 => 7,
            Self::Unknown(other) => other & 0x0F,
        }
    }

    /// Returns the size in bytes; `None` for an unassigned value.
    #[must_use]
    pub const fn bytes(self) -> Option<u32> {
        match self {
            Self::Unknown(_) => None,
            known => 0x10_0000_u32.checked_shl(known.to_nibble() as u32),
        }
    }
}

#[cfg(test)]
mod tests;
