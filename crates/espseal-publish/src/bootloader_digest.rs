//! The bootloader digest of secure boot v1, as it is flashed to an ESP32.
//!
//! ```text
//! 0x0000  IV 128 | digest 64 | FF ...
//! 0x1000  bootloader
//! ```
//!
//! Source: ESP-IDF `docs/en/security/secure-boot-v1.rst`; espsecure 5.6.0 `digest-secure-bootloader`,
//! observed.

use std::path::{Path, PathBuf};

use espseal_crypto::secure_boot::v1::BootloaderKey;
use espseal_format::image::{ImageError, ImageLayout};
use espseal_format::read::PastEnd;
use espseal_format::secure_boot_v1::{BOOTLOADER_OFFSET, IV_LEN, digested_len};

use crate::blame::Blame;

/// Reads the key from the bytes of its file.
///
/// # Errors
/// [`BootloaderDigestError::KeyLength`].
pub fn key(path: &Path, file: &[u8]) -> Result<BootloaderKey, BootloaderDigestError> {
    BootloaderKey::from_file(file).map_err(|_| BootloaderDigestError::KeyLength {
        path: path.into(),
        found: file.len(),
    })
}

/// Reads an IV from the bytes of its file.
///
/// # Errors
/// [`BootloaderDigestError::IvLength`].
pub fn iv(path: &Path, file: &[u8]) -> Result<[u8; IV_LEN], BootloaderDigestError> {
    file.try_into()
        .map_err(|_| BootloaderDigestError::IvLength {
            path: path.into(),
            found: file.len(),
        })
}

/// Draws an IV.
///
/// # Errors
/// [`BootloaderDigestError::Random`].
pub fn random_iv() -> Result<[u8; IV_LEN], BootloaderDigestError> {
    let mut iv = [0; IV_LEN];
    getrandom::fill(&mut iv).map_err(|_| BootloaderDigestError::Random)?;
    Ok(iv)
}

/// Puts IV and digest in front of a bootloader: the file that is flashed to 0x0.
///
/// The image's structure is checked, its checksum and SHA-256 are not: espsecure accepts the same.
///
/// # Errors
/// [`BootloaderDigestError::Image`].
pub fn prefix(
    path: &Path,
    bootloader: &[u8],
    key: &BootloaderKey,
    iv: &[u8; IV_LEN],
) -> Result<Vec<u8>, BootloaderDigestError> {
    match ImageLayout::parse(bootloader) {
        Ok(_) | Err(ImageError::Checksum { .. } | ImageError::Hash { .. }) => {}
        Err(cause) => {
            return Err(BootloaderDigestError::Image {
                path: path.into(),
                cause,
            });
        }
    }
    let digest = key.digest(iv, bootloader).encode();
    let mut file = Vec::with_capacity(BOOTLOADER_OFFSET.saturating_add(bootloader.len()));
    file.extend_from_slice(&digest);
    file.resize(BOOTLOADER_OFFSET, 0xFF);
    file.extend_from_slice(bootloader);
    let length = BOOTLOADER_OFFSET.saturating_add(digested_len(bootloader.len()));
    file.resize(length, 0xFF);
    Ok(file)
}

/// Failure of making a bootloader digest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootloaderDigestError {
    /// The key has another length.
    #[error(
        "{} has {found} bytes; expected a secure boot v1 key of 32 bytes, or of 24 for coding scheme \
         3/4",
        path.display()
    )]
    KeyLength {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: usize,
    },
    /// The IV has another length.
    #[error("{} has {found} bytes; expected an IV of 128", path.display())]
    IvLength {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: usize,
    },
    /// The bootloader is no image.
    #[error("{}: {cause}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        cause: ImageError<PastEnd>,
    },
    /// There are no random numbers.
    #[error("no IV could be made; the system's random number generator does not work")]
    Random,
}

impl BootloaderDigestError {
    /// Who has to act.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::KeyLength { .. } | Self::IvLength { .. } => Blame::Usage,
            Self::Image { .. } => Blame::Refused,
            Self::Random => Blame::Io,
        }
    }
}
