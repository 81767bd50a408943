//! Public keys of secure boot v2 in PEM: what `verify` compares a signature with.

use std::path::{Path, PathBuf};

use espseal_crypto::secure_boot::{NotOnCurve, PublicKey, RsaPublicKey};
use espseal_format::signature_block::Curve;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;

use crate::blame::Blame;
use crate::files::{self, FileError};

/// Largest key file.
const LARGEST_KEY: u64 = 16 << 10;
/// What belongs in the file.
const EXPECTED: &str = "a public key in PEM";

/// DER `SubjectPublicKeyInfo` of each curve up to the point, which is uncompressed (RFC 5480).
const CURVES: [(Curve, &[u8]); 3] = [
    (
        Curve::P192,
        &[
            0x30, 0x49, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06,
            0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x01, 0x03, 0x32, 0x00, 0x04,
        ],
    ),
    (
        Curve::P256,
        &[
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06,
            0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
        ],
    ),
    (
        Curve::P384,
        &[
            0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06,
            0x05, 0x2B, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04,
        ],
    ),
];

/// Reads an RSA-3072 or ECDSA P-192, P-256 or P-384 public key from PEM (`PUBLIC KEY`).
///
/// # Errors
/// [`PublicKeyError`] when the file is missing, no PEM or another kind of key.
pub fn read_public_key(path: &Path) -> Result<PublicKey, PublicKeyError> {
    let wrong = || PublicKeyError::WrongKind { path: path.into() };
    let text = files::read(path, EXPECTED, LARGEST_KEY)?;
    let der = SubjectPublicKeyInfoDer::from_pem_slice(&text)
        .map_err(|_| PublicKeyError::Pem { path: path.into() })?;
    for (curve, prefix) in CURVES {
        if let Some(point) = der.strip_prefix(prefix) {
            return PublicKey::from_point(curve, point).map_err(|NotOnCurve| wrong());
        }
    }
    let key = aws_lc_rs::rsa::PublicKey::from_der(&der).map_err(|_| wrong())?;
    let modulus = key
        .modulus()
        .big_endian_without_leading_zero()
        .try_into()
        .map_err(|_| wrong())?;
    let exponent = crate::rsa_signer::exponent(key.exponent().big_endian_without_leading_zero())
        .ok_or_else(wrong)?;
    let key = RsaPublicKey::new(modulus, exponent).map_err(|_| wrong())?;
    Ok(PublicKey::Rsa(key))
}

/// Failure of reading a public key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// The file is no PEM public key.
    #[error(
        "{} holds no PUBLIC KEY in PEM; `espsecure extract-public-key` or `openssl pkey -pubout` writes one",
        path.display()
    )]
    Pem {
        /// The file.
        path: PathBuf,
    },
    /// The key is no key of secure boot v2.
    #[error(
        "{} holds another key; expected RSA-3072 or ECDSA P-192, P-256 or P-384",
        path.display()
    )]
    WrongKind {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl PublicKeyError {
    /// Who has to act.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::File(_) => Blame::Io,
            _ => Blame::Usage,
        }
    }
}
