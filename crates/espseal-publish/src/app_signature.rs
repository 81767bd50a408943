//! The signature of secure boot v1 after an app or a partition table.
//!
//! Source: ESP-IDF `docs/en/security/secure-boot-v1.rst`, "Image Signing Algorithm".

use std::path::{Path, PathBuf};

use espseal_crypto::secure_boot::{PublicKey, v1};
use espseal_format::secure_boot_v1::{AppSignature, AppSignatureError};
use espseal_format::signature_block::Curve;
use espseal_format::units::Digest;

use crate::blame::Blame;
use crate::keys::KeyError;
use crate::secure_boot_key::{SecureBootKey, read_public_key};

/// The key that a bootloader verifies apps with: X and Y, big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerificationKey([u8; 64]);

impl VerificationKey {
    /// Takes a key from the bytes of the file `path`: PEM, private or public, or 64 raw bytes.
    ///
    /// # Errors
    /// [`KeyError`] when it is not a P-256 key.
    pub fn from_file(path: &Path, file: &[u8]) -> Result<Self, KeyError> {
        if let Ok(raw) = file.try_into() {
            PublicKey::from_point(Curve::P256, file)
                .map_err(|_| KeyError::Damaged { path: path.into() })?;
            return Ok(Self(raw));
        }
        match read_public_key(path, file)? {
            PublicKey::P256(key) => {
                let mut raw = [0; 64];
                raw.copy_from_slice(key.coordinates().as_flattened());
                Ok(Self(raw))
            }
            _ => Err(KeyError::NotP256),
        }
    }

    /// Checks the signature at the end of a file; returns the length of what is signed.
    ///
    /// # Errors
    /// [`AppSignatureRefused`].
    pub fn verify(&self, path: &Path, file: &[u8]) -> Result<usize, AppSignatureRefused> {
        let (image, signature) =
            AppSignature::split(file).map_err(|cause| AppSignatureRefused::Unsigned {
                path: path.into(),
                cause,
            })?;
        v1::verify_app(&self.0, &Digest::of(image), signature)
            .map_err(|_| AppSignatureRefused::Signature { path: path.into() })?;
        Ok(image.len())
    }

    /// Puts a signature that was made elsewhere, `r || s` big-endian, after a file.
    ///
    /// # Errors
    /// [`AppSignatureRefused::Signature`] when it is not by this key over this file.
    pub fn attach(
        &self,
        path: &Path,
        image: &[u8],
        signature: &[u8],
    ) -> Result<Vec<u8>, AppSignatureRefused> {
        let refused = || AppSignatureRefused::Signature { path: path.into() };
        let signature = AppSignature::new(signature.try_into().map_err(|_| refused())?);
        v1::verify_app(&self.0, &Digest::of(image), &signature).map_err(|_| refused())?;
        Ok([image, &signature.encode()].concat())
    }
}

/// Signs a file; the same key and file give the same signature.
///
/// # Errors
/// [`KeyError::NotP256`] for another key.
pub fn sign(image: &[u8], key: &SecureBootKey) -> Result<Vec<u8>, KeyError> {
    let signature = key.sign_v1(&Digest::of(image))?;
    Ok([image, &signature.encode()].concat())
}

/// Why a file does not verify.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppSignatureRefused {
    /// There is no signature at its end.
    #[error("{}: {cause}", path.display())]
    Unsigned {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        cause: AppSignatureError,
    },
    /// The signature is not by the key.
    #[error(
        "{}: the signature is not by this key over this file; expected ECDSA P-256 with SHA-256, r \
         and s of 32 bytes each: sign it again, or check the key",
        path.display()
    )]
    Signature {
        /// The file.
        path: PathBuf,
    },
}

impl AppSignatureRefused {
    /// Who has to act.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        Blame::Refused
    }
}
