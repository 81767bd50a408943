//! Certificates for the Secure Debug Controller: see [`espseal_format::sdc`].

use std::path::{Path, PathBuf};

use espseal_crypto::secure_boot::PublicKey;
use espseal_format::sdc::{ChipInfo, NONCE_LEN, SdcCertificate, Unlock, key_digest};
use espseal_format::signature_block::ImageDigests;
use espseal_format::units::{Digest, Digest384};

use crate::blame::Blame;
use crate::keys::KeyError;
use crate::secure_boot_key::ImageSigner;

mod usc;

pub use usc::{UscError, apply_usc};

/// Signs a certificate.
///
/// # Errors
/// [`KeyError::NotP256`] for another key, [`KeyError::Signing`].
pub fn sign(
    unlock: Unlock,
    chip: &ChipInfo,
    key: &dyn ImageSigner,
) -> Result<SdcCertificate, KeyError> {
    let public = key.public_key();
    let point = p256_point(&public)?;
    let PublicKey::P256(verifying) = &public else {
        return Err(KeyError::NotP256);
    };
    // A P-256 key signs the SHA-256 alone.
    let digests = ImageDigests {
        sha256: SdcCertificate::to_be_signed(unlock, chip),
        sha384: Digest384([0; 48]),
    };
    let signature = key.sign(&digests)?;
    let ([r, s], []) = signature.as_chunks::<32>() else {
        return Err(KeyError::Signing);
    };
    let pair = [*r, *s];
    verifying
        .verify(&digests.sha256.0, &pair)
        .map_err(|_| KeyError::Signing)?;
    let mut signature = [0; 64];
    signature.copy_from_slice(pair.as_flattened());
    Ok(SdcCertificate::new(unlock, chip, point, signature))
}

/// Digest of the key, as burnt in eFuse with purpose `SDC_KEY_DIGEST`.
///
/// # Errors
/// [`KeyError::NotP256`] for another key.
pub fn efuse_digest(key: &PublicKey) -> Result<Digest, KeyError> {
    Ok(key_digest(&p256_point(key)?))
}

/// Draws a nonce.
///
/// # Errors
/// [`DeviceError::Random`].
pub fn random_nonce() -> Result<[u8; NONCE_LEN], DeviceError> {
    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce).map_err(|_| DeviceError::Random)?;
    Ok(nonce)
}

/// Reads a MAC address: 12 hexadecimal digits, with `:`, `-` or blanks between them.
///
/// # Errors
/// [`DeviceError::Mac`].
pub fn parse_mac(text: &str) -> Result<[u8; 6], DeviceError> {
    let wrong = || DeviceError::Mac { found: text.into() };
    let digits = text
        .chars()
        .filter(|c| !matches!(c, ':' | '-') && !c.is_whitespace());
    let digits: Vec<u8> = digits
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    let (pairs, []) = digits.as_chunks::<2>() else {
        return Err(wrong());
    };
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| (high << 4) | low).collect();
    bytes.try_into().map_err(|_| wrong())
}

/// Computes what names a device and a session.
///
/// # Errors
/// [`DeviceError::SessionCounter`].
pub fn chip_info(
    mac: [u8; 6],
    counter: i64,
    nonce: [u8; NONCE_LEN],
) -> Result<ChipInfo, DeviceError> {
    u8::try_from(counter)
        .ok()
        .and_then(|counter| ChipInfo::new(mac, counter, nonce))
        .ok_or(DeviceError::SessionCounter { found: counter })
}

/// Reads what the device or another tool computed.
///
/// # Errors
/// [`DeviceError::ChipInfo`].
pub fn chip_info_from_file(path: &Path, file: &[u8]) -> Result<ChipInfo, DeviceError> {
    let bytes = file.try_into().map_err(|_| DeviceError::ChipInfo {
        path: path.into(),
        found: file.len(),
    })?;
    Ok(ChipInfo::parse(bytes))
}

fn p256_point(key: &PublicKey) -> Result<[u8; 64], KeyError> {
    let PublicKey::P256(key) = key else {
        return Err(KeyError::NotP256);
    };
    let mut point = [0; 64];
    point.copy_from_slice(key.coordinates().as_flattened());
    Ok(point)
}

/// Why a device cannot be named.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The MAC address makes no sense.
    #[error("{found:?} is no MAC address; expected 6 bytes such as 00:11:22:33:44:55")]
    Mac {
        /// The text.
        found: String,
    },
    /// The counter is none that burnt bits can show.
    #[error("session counter {found}; expected what stands in the device's eFuse: 0, 1, 3 or 7")]
    SessionCounter {
        /// The number.
        found: i64,
    },
    /// The chip info has another length.
    #[error("{} has {found} bytes; expected chip info and nonce, 64 bytes", path.display())]
    ChipInfo {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: usize,
    },
    /// There are no random numbers.
    #[error("no nonce could be made; the system's random number generator does not work")]
    Random,
}

impl DeviceError {
    /// Who has to act.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Random => Blame::Io,
            _ => Blame::Usage,
        }
    }
}
