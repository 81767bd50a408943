//! Keys of unmodified ESP-IDF devices with the ECIES scheme of `esp_encrypted_img`.
//!
//! The device derives its key pair from an eFuse key of purpose `HMAC_UP`; provisioning hands over the
//! public key as the PEM file that `esp_enc_img_gen.py --generate_ecc_key` and `espseal device key`
//! write. A device can tell it too: `esp_encrypted_img_export_public_key` returns the DER.
//!
//! Device id: SHA-256 of the DER `SubjectPublicKeyInfo`, as for the RSA scheme.

use std::path::{Path, PathBuf};

use espseal_crypto::ecies::{DeviceKey, HmacKey, is_public_key};
use espseal_format::chip::{self, ChipId, HmacPeripheral};
use espseal_format::units::{DeviceId, Digest, PublicKeyBytes};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;

use crate::authority::random;
use crate::blame::Blame;
use crate::files::{self, FileError};

/// DER before the point: `SEQUENCE { SEQUENCE { ecPublicKey, prime256v1 }, BIT STRING }` (RFC 5480).
const DER_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A,
    0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// Largest PEM file that is read.
const LARGEST_PEM: u64 = 16 << 10;
/// Bytes of an eFuse key.
const HMAC_KEY_LEN: usize = 32;

/// Reads a PEM file with the P-256 public key of an ESP-IDF device.
///
/// # Errors
/// [`EciesKeyError`] saying what is wrong with the key.
pub fn read_public_key(path: &Path) -> Result<PublicKeyBytes, EciesKeyError> {
    let bytes = files::read(path, "a P-256 public key in PEM", LARGEST_PEM)?;
    let text = str::from_utf8(&bytes).map_err(|_| EciesKeyError::NoPem { path: path.into() })?;
    public_key(path, text)
}

/// Reads a P-256 public key in PEM: an uncompressed point on the curve, not the identity.
pub(super) fn public_key(path: &Path, text: &str) -> Result<PublicKeyBytes, EciesKeyError> {
    let no_pem = || EciesKeyError::NoPem { path: path.into() };
    let der = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map_err(|_| no_pem())?;
    let other = || EciesKeyError::OtherKey { path: path.into() };
    let point = der.strip_prefix(&DER_PREFIX).ok_or_else(other)?;
    let point = PublicKeyBytes(point.try_into().map_err(|_| other())?);
    match is_public_key(&point) {
        true => Ok(point),
        false => Err(EciesKeyError::NoPoint { path: path.into() }),
    }
}

/// Writes a public key as PEM, byte for byte what Espressif's generator writes.
#[must_use]
pub fn to_pem(public_key: &PublicKeyBytes) -> String {
    super::to_pem(&der(public_key))
}

/// The id of the device that has this key.
#[must_use]
pub fn device_id(public_key: &PublicKeyBytes) -> DeviceId {
    DeviceId(Digest::of(&der(public_key)).0)
}

/// The HMAC peripheral is where the device's private key comes from.
///
/// # Errors
/// [`EciesKeyError::NoHmac`] for a chip without one.
pub fn check_chip(path: &Path, chip: ChipId) -> Result<(), EciesKeyError> {
    let has = chip::chip(chip).is_some_and(|model| model.hmac == HmacPeripheral::Present);
    match has {
        true => Ok(()),
        false => Err(EciesKeyError::NoHmac {
            path: path.into(),
            chip,
        }),
    }
}

/// Draws an HMAC key from the system's random number generator.
#[must_use]
pub fn draw_hmac_key() -> HmacKey {
    HmacKey::generate(&mut random())
}

/// Reads the 32-byte file that `espefuse burn-key BLOCK FILE HMAC_UP` takes, and derives the device's
/// private key from it.
///
/// # Errors
/// [`EciesKeyError`]; [`EciesKeyError::Scalar`] when the device would have no private key.
pub fn read_device_key(path: &Path) -> Result<DeviceKey, EciesKeyError> {
    let bytes = files::read_private(path, "an HMAC key", HMAC_KEY_LEN as u64)?;
    let key = bytes
        .as_slice()
        .try_into()
        .map_err(|_| EciesKeyError::Length {
            path: path.into(),
            found: bytes.len(),
        })?;
    HmacKey::from_bytes(key)
        .device_key()
        .map_err(|_| EciesKeyError::Scalar { path: path.into() })
}

fn der(public_key: &PublicKeyBytes) -> Vec<u8> {
    [DER_PREFIX.as_slice(), &public_key.0].concat()
}

/// Why a key of the ECIES scheme is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EciesKeyError {
    /// The text holds no public key.
    #[error(
        "{}: no ECIES public key; expected PEM that starts with -----BEGIN PUBLIC KEY-----, as \
         `espseal device key` writes it",
        path.display()
    )]
    NoPem {
        /// The file.
        path: PathBuf,
    },
    /// The key is of another kind.
    #[error(
        "{}: the ECIES public key is no uncompressed key on P-256 (prime256v1); expected one, as \
         `espseal device key` writes it",
        path.display()
    )]
    OtherKey {
        /// The file.
        path: PathBuf,
    },
    /// The point is not on the curve.
    #[error(
        "{}: the point of the ECIES public key is not on P-256; expected the public key of the \
         device: make it again from its HMAC key with `espseal device key`",
        path.display()
    )]
    NoPoint {
        /// The file.
        path: PathBuf,
    },
    /// The chip cannot derive the private key.
    #[error(
        "{}: {chip} has no HMAC peripheral, from which the ECIES scheme takes the device's key; \
         expected kind esp-idf-rsa or agent",
        path.display()
    )]
    NoHmac {
        /// The file.
        path: PathBuf,
        /// The chip.
        chip: ChipId,
    },
    /// The file of an HMAC key has another length.
    #[error(
        "{} has {found} bytes; expected the {HMAC_KEY_LEN} of an HMAC key",
        path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        found: usize,
    },
    /// The HMAC key gives no private key.
    #[error(
        "{}: what a device derives from this HMAC key is outside [1, n-1] and no private key of \
         P-256 (one key in 2^32 is like that); expected another: do not burn it, draw a new one",
        path.display()
    )]
    Scalar {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl EciesKeyError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::NoPoint { .. } | Self::NoHmac { .. } | Self::Scalar { .. } => Blame::Refused,
            Self::NoPem { .. } | Self::OtherKey { .. } | Self::Length { .. } => Blame::Usage,
            Self::File(FileError::Empty { .. } | FileError::TooLarge { .. }) => Blame::Usage,
            Self::File(_) => Blame::Io,
        }
    }
}
