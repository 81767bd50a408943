//! What secure boot v1 (ESP32) adds to images.
//!
//! ```text
//! app or partition table:  image ... | u32 0 | r, s: 32 bytes each, big-endian     (68 bytes at the end)
//! bootloader, flash 0x0:   IV 128 | digest 64 | FF .. up to 0x1000 | bootloader
//! verification key:        X, Y: 32 bytes each, big-endian
//! ```
//!
//! Source: ESP-IDF `docs/en/security/secure-boot-v1.rst`,
//! `bootloader_support/include/esp_secure_boot.h` (`esp_secure_boot_sig_block_t`,
//! `esp_secure_boot_iv_digest_t`).

use core::fmt;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of an app's signature.
pub const APP_SIGNATURE_LEN: usize = 68;
/// Bytes of the file at flash offset 0x0: IV and digest of the bootloader.
pub const BOOTLOADER_DIGEST_LEN: usize = 192;
/// Bytes of the IV.
pub const IV_LEN: usize = 128;
/// A tail of up to this many bytes after the last 128 is the image's SHA-256.
const HASH_LEN: usize = 32;
/// Where the ESP32's bootloader starts in flash, and in a file that starts with its digest.
pub const BOOTLOADER_OFFSET: usize = 0x1000;

/// Signature after an app or a partition table: ECDSA P-256 with SHA-256.
#[doc(alias = "esp_secure_boot_sig_block_t")]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct AppSignature {
    version: U32,
    /// r, then s, big-endian.
    pub signature: [u8; 64],
}

impl AppSignature {
    /// Wraps `r || s`, big-endian.
    #[must_use]
    pub const fn new(signature: [u8; 64]) -> Self {
        Self {
            version: U32::ZERO,
            signature,
        }
    }

    /// Splits a file into the signed bytes and the signature at its end.
    ///
    /// # Errors
    /// [`AppSignatureError`] when it is too short, or the version is not zero.
    pub fn split(file: &[u8]) -> Result<(&[u8], &Self), AppSignatureError> {
        let (image, bytes) = file
            .split_last_chunk::<APP_SIGNATURE_LEN>()
            .ok_or(AppSignatureError::TooShort { found: file.len() })?;
        let signature: &Self = zerocopy::transmute_ref!(bytes);
        match signature.version.get() {
            0 => Ok((image, signature)),
            found => Err(AppSignatureError::Version {
                offset: image.len(),
                found,
            }),
        }
    }

    /// Returns the 68 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; APP_SIGNATURE_LEN] {
        zerocopy::transmute!(*self)
    }
}

/// What stands at flash offset 0x0.
#[doc(alias = "esp_secure_boot_iv_digest_t")]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct BootloaderDigest {
    /// Random bytes in front of the bootloader.
    pub iv: [u8; IV_LEN],
    /// Digest of both under the key in eFuse.
    pub digest: [u8; 64],
}

impl BootloaderDigest {
    /// Reads the first 192 bytes of a flash dump or a file.
    #[must_use]
    pub const fn parse(bytes: &[u8; BOOTLOADER_DIGEST_LEN]) -> &Self {
        zerocopy::transmute_ref!(bytes)
    }

    /// Returns the 192 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; BOOTLOADER_DIGEST_LEN] {
        zerocopy::transmute!(*self)
    }
}

/// Returns how many bytes of a bootloader are digested, in whole blocks of 128.
///
/// ESP-IDF takes the SHA-256 at the image's end off the length, then rounds up: a tail of up to 32
/// bytes is left out, a longer one is filled with 0xFF. espsecure flashes exactly these bytes.
///
/// Source: ESP-IDF `bootloader_support/src/secure_boot_v1/secure_boot.c`; observed with espsecure
/// 5.6.0.
#[must_use]
pub const fn digested_len(bootloader_len: usize) -> usize {
    bootloader_len
        .saturating_sub(HASH_LEN)
        .next_multiple_of(IV_LEN)
}

const _: () = {
    assert!(size_of::<AppSignature>() == APP_SIGNATURE_LEN);
    assert!(size_of::<BootloaderDigest>() == BOOTLOADER_DIGEST_LEN);
};

/// Why a file does not end with a signature of secure boot v1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppSignatureError {
    /// There is not even room for one.
    TooShort {
        /// Bytes in the file.
        found: usize,
    },
    /// The version is not zero.
    Version {
        /// Where it stands in the file.
        offset: usize,
        /// The number.
        found: u32,
    },
}

impl fmt::Display for AppSignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { found } => write!(
                f,
                "{found} bytes are too few for a secure boot v1 signature of {APP_SIGNATURE_LEN}"
            ),
            Self::Version { offset, found } => write!(
                f,
                "version at offset {offset:#x} is {found:#010x}, expected 0: no secure boot v1 signature, was the image signed?"
            ),
        }
    }
}

impl core::error::Error for AppSignatureError {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;

    use super::*;

    #[test]
    fn signature_at_the_end_is_split_off() {
        let signature = AppSignature::new([7; 64]);
        let mut file = vec![1; 100];
        file.extend_from_slice(&signature.encode());
        assert_eq!(AppSignature::split(&file), Ok((&[1; 100][..], &signature)));
    }

    #[test]
    fn another_version_and_short_files_are_refused() {
        let mut file = [0; 70];
        file[3] = 0x10;
        assert_eq!(
            AppSignature::split(&file),
            Err(AppSignatureError::Version {
                offset: 2,
                found: 0x1000
            })
        );
        assert_eq!(
            AppSignature::split(&file[..67]),
            Err(AppSignatureError::TooShort { found: 67 })
        );
    }

    #[test]
    fn digest_file_round_trips() {
        let bytes: [u8; BOOTLOADER_DIGEST_LEN] = core::array::from_fn(|i| i.to_le_bytes()[0]);
        let digest = BootloaderDigest::parse(&bytes);
        assert_eq!((digest.iv[127], digest.digest[0]), (127, 128));
        assert_eq!(digest.encode(), bytes);
    }
}
