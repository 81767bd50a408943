//! The bootloader descriptor: version and origin of a second-stage bootloader.
//!
//! ESP-IDF puts it at the start of the first segment's data, at offset 32 of the image, since 5.1;
//! older bootloaders have none.
//!
//! Source: ESP-IDF `esp_bootloader_desc.h`.

use core::fmt;
use core::mem::offset_of;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// First byte of a descriptor.
pub const MAGIC: u8 = 80;
/// Offset of the descriptor from the start of a bootloader image.
pub const OFFSET: u32 = 32;
/// Bytes of a descriptor.
pub const LEN: usize = 80;

/// A descriptor whose magic and texts are in order.
#[doc(alias = "esp_bootloader_desc_t")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BootloaderDescriptor(Wire);

impl BootloaderDescriptor {
    /// Parses a descriptor.
    ///
    /// Layout (80 bytes, little-endian): `0` magic, `3` secure version, `4..8` version, `8..40`
    /// ESP-IDF version, `40..64` compile date and time; the rest is kept as found.
    ///
    /// # Errors
    /// [`BootloaderDescError::Magic`] when there is no descriptor, [`BootloaderDescError::Text`]
    /// when a text is not UTF-8.
    pub fn parse(bytes: &[u8; LEN]) -> Result<Self, BootloaderDescError> {
        let wire: Wire = zerocopy::transmute!(*bytes);
        if wire.magic_byte != MAGIC {
            return Err(BootloaderDescError::Magic {
                found: wire.magic_byte,
            });
        }
        for (field, text, offset) in [
            ("idf_ver", &wire.idf_ver[..], offset_of!(Wire, idf_ver)),
            (
                "date_time",
                &wire.date_time[..],
                offset_of!(Wire, date_time),
            ),
        ] {
            if let Err(error) = core::str::from_utf8(until_nul(text)) {
                return Err(BootloaderDescError::Text {
                    field,
                    offset: offset.saturating_add(error.valid_up_to()),
                });
            }
        }
        Ok(Self(wire))
    }

    /// Returns the descriptor as stored.
    #[must_use]
    pub fn encode(&self) -> [u8; LEN] {
        zerocopy::transmute!(self.0)
    }

    /// Returns the version of the bootloader, `CONFIG_BOOTLOADER_PROJECT_VER`.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.0.version.get()
    }

    /// Returns the anti-rollback version of the bootloader.
    #[must_use]
    pub const fn secure_version(&self) -> u8 {
        self.0.secure_version
    }

    /// Returns the version of ESP-IDF.
    #[must_use]
    pub fn idf_version(&self) -> &str {
        core::str::from_utf8(until_nul(&self.0.idf_ver)).unwrap_or_default()
    }

    /// Returns compile date and time; empty in a reproducible build.
    #[must_use]
    pub fn date_time(&self) -> &str {
        core::str::from_utf8(until_nul(&self.0.date_time)).unwrap_or_default()
    }
}

impl fmt::Debug for BootloaderDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BootloaderDescriptor")
            .field("version", &self.version())
            .field("idf_version", &self.idf_version())
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Wire {
    magic_byte: u8,
    reserved: [u8; 2],
    secure_version: u8,
    version: U32,
    idf_ver: [u8; 32],
    date_time: [u8; 24],
    reserved2: [u8; 16],
}

const _: () = {
    assert!(size_of::<Wire>() == LEN);
    assert!(offset_of!(Wire, secure_version) == 3);
    assert!(offset_of!(Wire, version) == 4);
    assert!(offset_of!(Wire, idf_ver) == 8);
    assert!(offset_of!(Wire, date_time) == 40);
};

/// Why 80 bytes are no bootloader descriptor. Offsets count from the start of the descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BootloaderDescError {
    /// The first byte is another.
    Magic {
        /// The byte.
        found: u8,
    },
    /// A text is not UTF-8.
    Text {
        /// The field.
        field: &'static str,
        /// Offset of the offending byte.
        offset: usize,
    },
}

impl fmt::Display for BootloaderDescError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic { found } => write!(
                f,
                "no bootloader descriptor: magic_byte at offset 0x0 is {found:#04x}, expected {MAGIC:#04x}"
            ),
            Self::Text { field, offset } => write!(
                f,
                "{field} of the bootloader descriptor is not UTF-8 at offset {offset:#x}"
            ),
        }
    }
}

impl core::error::Error for BootloaderDescError {}

/// Bytes before the first NUL, or all of them.
fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_kept_or_refused() {
        let mut good = [0; LEN];
        good[0] = MAGIC;
        good[4] = 1;
        good[8..14].copy_from_slice(b"v5.3.5");
        good[40..51].copy_from_slice(b"Aug 28 2026");
        for bit in 0..LEN * 8 {
            let mut bytes = good;
            bytes[bit / 8] ^= 1 << (bit % 8);
            match BootloaderDescriptor::parse(&bytes) {
                Ok(parsed) => assert_eq!(parsed.encode(), bytes, "bit {bit}"),
                Err(BootloaderDescError::Magic { .. }) => assert!(bit < 8, "bit {bit}"),
                Err(BootloaderDescError::Text { offset, .. }) => assert_eq!(offset, bit / 8),
            }
        }
    }
}
