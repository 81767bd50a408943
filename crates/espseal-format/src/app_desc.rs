//! The app descriptor: name, version and secure version of an app.
//!
//! It starts the data of an app's first segment, at offset 32 of the image. An app that is not
//! made with ESP-IDF may have none.
//!
//! Source: ESP-IDF `esp_app_desc.h`.

use core::fmt;
use core::mem::offset_of;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::units::SecurityVersion;

/// First word of a descriptor.
pub const MAGIC: u32 = 0xABCD_5432;
/// Offset of the descriptor from the start of an app image.
pub const OFFSET: u32 = 32;
/// Bytes of a descriptor.
pub const LEN: usize = 256;
/// Offset of the first byte behind the descriptor.
pub const END: u32 = OFFSET + 256;

/// A descriptor whose magic and texts are in order.
#[doc(alias = "esp_app_desc_t")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AppDescriptor(Wire);

impl AppDescriptor {
    /// Describes an app; texts longer than 31 bytes give `None`.
    #[must_use]
    pub fn new(project: &str, version: &str, secure_version: SecurityVersion) -> Option<Self> {
        let mut wire = Wire {
            magic: U32::new(MAGIC),
            secure_version: U32::new(secure_version.get()),
            ..<Wire as zerocopy::FromZeros>::new_zeroed()
        };
        for (text, field) in [
            (project, &mut wire.project_name),
            (version, &mut wire.version),
        ] {
            // The last byte stays NUL: ESP-IDF prints the fields as C strings.
            let (_, room) = field.split_last_mut()?;
            room.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        }
        Some(Self(wire))
    }

    /// Parses a descriptor.
    ///
    /// Layout (256 bytes, little-endian): `0..4` magic, `4..8` secure version, `16..48` version,
    /// `48..80` project, `80..96` time, `96..112` date, `112..144` ESP-IDF version, `144..176`
    /// SHA-256 of the ELF file, `176..180` eFuse block revisions, `180` MMU page size.
    ///
    /// # Errors
    /// [`AppDescError::Magic`] when there is no descriptor, [`AppDescError::Text`] when a text is
    /// not UTF-8.
    pub fn parse(bytes: &[u8; LEN]) -> Result<Self, AppDescError> {
        let wire: Wire = zerocopy::transmute!(*bytes);
        if wire.magic.get() != MAGIC {
            return Err(AppDescError::Magic {
                found: wire.magic.get(),
            });
        }
        for (field, text, offset) in [
            ("version", &wire.version[..], offset_of!(Wire, version)),
            (
                "project_name",
                &wire.project_name[..],
                offset_of!(Wire, project_name),
            ),
            ("time", &wire.time[..], offset_of!(Wire, time)),
            ("date", &wire.date[..], offset_of!(Wire, date)),
            ("idf_ver", &wire.idf_ver[..], offset_of!(Wire, idf_ver)),
        ] {
            if let Err(error) = core::str::from_utf8(until_nul(text)) {
                return Err(AppDescError::Text {
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

    /// Returns the project name.
    #[must_use]
    pub fn project(&self) -> &str {
        text(&self.0.project_name)
    }

    /// Returns the version of the app.
    #[must_use]
    pub fn version(&self) -> &str {
        text(&self.0.version)
    }

    /// Returns the compile time, such as `12:30:00`.
    #[must_use]
    pub fn time(&self) -> &str {
        text(&self.0.time)
    }

    /// Returns the compile date, such as `Jan  1 2026`.
    #[must_use]
    pub fn date(&self) -> &str {
        text(&self.0.date)
    }

    /// Returns the version of ESP-IDF.
    #[must_use]
    pub fn idf_version(&self) -> &str {
        text(&self.0.idf_ver)
    }

    /// Returns the anti-rollback version.
    #[must_use]
    pub fn secure_version(&self) -> SecurityVersion {
        SecurityVersion::new(self.0.secure_version.get())
    }

    /// Returns the SHA-256 of the ELF file that the app was made from.
    #[must_use]
    pub const fn elf_sha256(&self) -> &[u8; 32] {
        &self.0.app_elf_sha256
    }

    /// Returns lowest and highest eFuse block revision, major * 100 + minor; 0 and 0xFFFF mean any.
    #[must_use]
    pub fn efuse_block_revisions(&self) -> (u16, u16) {
        (
            self.0.min_efuse_blk_rev_full.get(),
            self.0.max_efuse_blk_rev_full.get(),
        )
    }

    /// Returns the MMU page size the app was linked for; `None` when it does not say.
    #[must_use]
    pub fn mmu_page_size(&self) -> Option<u32> {
        match self.0.mmu_page_size {
            0 => None,
            log2 => 1_u32.checked_shl(u32::from(log2)),
        }
    }
}

impl fmt::Debug for AppDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppDescriptor")
            .field("project", &self.project())
            .field("version", &self.version())
            .field("secure_version", &self.secure_version())
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Wire {
    magic: U32,
    secure_version: U32,
    reserv1: [u8; 8],
    version: [u8; 32],
    project_name: [u8; 32],
    time: [u8; 16],
    date: [u8; 16],
    idf_ver: [u8; 32],
    app_elf_sha256: [u8; 32],
    min_efuse_blk_rev_full: U16,
    max_efuse_blk_rev_full: U16,
    mmu_page_size: u8,
    spi_flash_mode: u8,
    reserv3: [u8; 2],
    reserv2: [u8; 72],
}

const _: () = {
    assert!(size_of::<Wire>() == LEN);
    assert!(offset_of!(Wire, secure_version) == 4);
    assert!(offset_of!(Wire, version) == 16);
    assert!(offset_of!(Wire, project_name) == 48);
    assert!(offset_of!(Wire, time) == 80);
    assert!(offset_of!(Wire, date) == 96);
    assert!(offset_of!(Wire, idf_ver) == 112);
    assert!(offset_of!(Wire, app_elf_sha256) == 144);
    assert!(offset_of!(Wire, min_efuse_blk_rev_full) == 176);
    assert!(offset_of!(Wire, mmu_page_size) == 180);
    assert!(offset_of!(Wire, reserv2) == 184);
};

/// Why 256 bytes are no app descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppDescError {
    /// The first word is another.
    Magic {
        /// The word.
        found: u32,
    },
    /// A text is not UTF-8.
    Text {
        /// The field.
        field: &'static str,
        /// Offset of the offending byte from the start of the descriptor.
        offset: usize,
    },
}

impl fmt::Display for AppDescError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic { found } => write!(
                f,
                "no app descriptor: magic_word at offset 0x0 is {found:#010x}, expected {MAGIC:#010x}"
            ),
            Self::Text { field, offset } => write!(
                f,
                "{field} of the app descriptor is not UTF-8 at offset {offset:#x}"
            ),
        }
    }
}

impl core::error::Error for AppDescError {}

/// Bytes before the first NUL, or all of them.
fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The text of a field that [`AppDescriptor::parse`] has found to be UTF-8.
fn text(field: &[u8]) -> &str {
    core::str::from_utf8(until_nul(field)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptor_round_trips() {
        let descriptor = AppDescriptor::new("sensor", "1.2.3", SecurityVersion::new(7)).unwrap();
        let parsed = AppDescriptor::parse(&descriptor.encode()).unwrap();
        assert_eq!(parsed, descriptor);
        assert_eq!((parsed.project(), parsed.version()), ("sensor", "1.2.3"));
        assert_eq!(parsed.secure_version(), SecurityVersion::new(7));
        assert_eq!(parsed.mmu_page_size(), None);
    }

    #[test]
    fn texts_end_at_the_last_byte_and_longer_ones_are_refused() {
        let fits = "0123456789012345678901234567890";
        let descriptor = AppDescriptor::new(fits, fits, SecurityVersion::default()).unwrap();
        assert_eq!(descriptor.project(), fits);
        let long = "01234567890123456789012345678901";
        assert_eq!(
            AppDescriptor::new(long, "", SecurityVersion::default()),
            None
        );
        // A field without a NUL is read to its end and not beyond.
        let mut bytes = descriptor.encode();
        bytes[16..48].copy_from_slice(long.as_bytes());
        assert_eq!(AppDescriptor::parse(&bytes).unwrap().version(), long);
    }

    #[test]
    fn every_flipped_bit_is_kept_or_refused() {
        let good = AppDescriptor::new("sensor", "1.2.3", SecurityVersion::new(7)).unwrap();
        for bit in 0..LEN * 8 {
            let mut bytes = good.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            match AppDescriptor::parse(&bytes) {
                Ok(parsed) => assert_eq!(parsed.encode(), bytes, "bit {bit}"),
                Err(AppDescError::Magic { .. }) => assert!(bit < 32, "bit {bit}"),
                Err(AppDescError::Text { offset, .. }) => assert_eq!(offset, bit / 8),
            }
        }
    }

    #[test]
    fn other_magic_and_broken_text_are_named_with_their_offset() {
        let mut bytes = AppDescriptor::new("a", "b", SecurityVersion::default())
            .unwrap()
            .encode();
        bytes[50] = 0xC3;
        assert!(AppDescriptor::parse(&bytes).is_ok(), "after the NUL");
        bytes[49] = 0xFF;
        assert_eq!(
            AppDescriptor::parse(&bytes),
            Err(AppDescError::Text {
                field: "project_name",
                offset: 49
            })
        );
        assert_eq!(
            AppDescriptor::parse(&[0xFF; LEN]),
            Err(AppDescError::Magic { found: 0xFFFF_FFFF })
        );
    }
}
