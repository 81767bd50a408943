//! The signature of secure boot v1 after an app or a partition table.
//!
//! Source: ESP-IDF `docs/en/security/secure-boot-v1.rst`, "Image Signing Algorithm".

use std::path::{Path, PathBuf};

use espseal_crypto::secure_boot::{PublicKey, v1};
use espseal_format::secure_boot_v1::{APP_SIGNATURE_LEN, AppSignature, AppSignatureError};
use espseal_format::sha256::Sha256;
use espseal_format::signature_block::Curve;
use espseal_format::units::Digest;

use crate::blame::Blame;
use crate::files::{FileError, Input};
use crate::keys::KeyError;
use crate::secure_boot_key::read_public_key;

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
    pub fn verify(&self, path: &Path, mut input: Input) -> Result<u64, AppSignatureRefused> {
        let (mut hasher, mut length) = (Sha256::new(), 0_u64);
        let tail = input.read_but_last(APP_SIGNATURE_LEN, |piece| {
            hasher.update(piece);
            length = length.saturating_add(piece.len() as u64);
            Ok::<_, FileError>(())
        })?;
        let (_, signature) =
            AppSignature::split(&tail).map_err(|cause| AppSignatureRefused::Unsigned {
                path: path.into(),
                cause: match cause {
                    AppSignatureError::Version { found, .. } => AppSignatureError::Version {
                        offset: usize::try_from(length).unwrap_or(usize::MAX),
                        found,
                    },
                    too_short => too_short,
                },
            })?;
        v1::verify_app(&self.0, &hasher.finish(), signature)
            .map_err(|_| AppSignatureRefused::Signature { path: path.into() })?;
        Ok(length)
    }

    /// Takes a signature that was made elsewhere, `r || s` big-endian, for the file with this digest.
    ///
    /// # Errors
    /// [`AppSignatureRefused::Signature`] when it is not by this key over this file.
    pub fn attach(
        &self,
        path: &Path,
        image: &Digest,
        signature: &[u8],
    ) -> Result<AppSignature, AppSignatureRefused> {
        let refused = || AppSignatureRefused::Signature { path: path.into() };
        let signature = AppSignature::new(signature.try_into().map_err(|_| refused())?);
        v1::verify_app(&self.0, image, &signature).map_err(|_| refused())?;
        Ok(signature)
    }
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
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl AppSignatureRefused {
    /// Who has to act.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::File(_) => Blame::Io,
            _ => Blame::Refused,
        }
    }
}
