//! Private key files of the metadata roles, and how PEM keys are read.
//!
//! A key is a PEM file with mode 0600. The operation behind [`RoleSigner`] is all that the rest
//! of the crate asks for, so that a key in an HSM can take the place of a file.

use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use espseal_format::units::{KeyId, PublicKeyBytes};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{self, PemObject as _};
use zeroize::Zeroizing;

use crate::blame::Blame;
use crate::files::{self, FileError, Secrecy};

/// Largest key file: an RSA-4096 key in PEM has 3.3 KB.
pub(crate) const LARGEST_KEY: u64 = 16 << 10;

/// Signs metadata with ES256 (RFC 9053: ECDSA, P-256, SHA-256, `r || s`).
pub trait RoleSigner {
    /// The public half.
    fn public_key(&self) -> PublicKeyBytes;

    /// Signs the `Sig_structure` of a COSE document.
    ///
    /// # Errors
    /// [`KeyError::Signing`] when the key does not sign.
    fn sign(&self, to_be_signed: &[u8]) -> Result<[u8; 64], KeyError>;
}

/// A role key in a file.
pub struct RoleKey {
    pair: EcdsaKeyPair,
    public: PublicKeyBytes,
}

impl RoleKey {
    /// Makes a new key and writes it as PKCS#8 PEM under a free name.
    ///
    /// # Errors
    /// [`KeyError::File`] when the name is taken or cannot be written, [`KeyError::Generation`].
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let made = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
            .map_err(|_| KeyError::Generation)?;
        let text = Zeroizing::new(made.serialize_pem());
        files::create(path, text.as_bytes(), Secrecy::Private)?;
        Self::load(path)
    }

    /// Reads a P-256 private key from PEM (`PRIVATE KEY` or `EC PRIVATE KEY`).
    ///
    /// # Errors
    /// [`KeyError`] when the file is missing, readable by others, no PEM or another kind of key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let wrong = || KeyError::WrongKind {
            path: path.into(),
            expected: "a P-256 private key",
        };
        let pair = match &read_private_key(path, "a P-256 private key in PEM")? {
            PrivateKeyDer::Pkcs8(der) => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der())
            }
            PrivateKeyDer::Sec1(der) => EcdsaKeyPair::from_private_key_der(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                der.secret_sec1_der(),
            ),
            _ => return Err(wrong()),
        }
        .map_err(|_| wrong())?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| wrong())?;
        Ok(Self {
            pair,
            public: PublicKeyBytes(public),
        })
    }
}

impl RoleSigner for RoleKey {
    fn public_key(&self) -> PublicKeyBytes {
        self.public
    }

    fn sign(&self, to_be_signed: &[u8]) -> Result<[u8; 64], KeyError> {
        self.pair
            .sign(&SystemRandom::new(), to_be_signed)
            .ok()
            .and_then(|signature| signature.as_ref().try_into().ok())
            .ok_or(KeyError::Signing)
    }
}

impl std::fmt::Debug for RoleKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RoleKey({}, private)", KeyId::of(&self.public))
    }
}

/// Reads the first private key of a PEM file that only its owner may read.
///
/// # Errors
/// [`KeyError::File`] or [`KeyError::Pem`].
pub(crate) fn read_private_key(
    path: &Path,
    expected: &'static str,
) -> Result<PrivateKeyDer<'static>, KeyError> {
    let text = files::read_private(path, expected, LARGEST_KEY)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|cause| KeyError::Pem {
        path: path.into(),
        expected,
        cause,
    })
}

/// Failure of reading, making or using a private key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file is no PEM private key.
    #[error(
        "{} holds no usable PEM private key ({}); expected {expected}, not encrypted with a \
         password",
        path.display(), in_words(cause)
    )]
    Pem {
        /// The file.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
        /// What the PEM reader says.
        cause: pem::Error,
    },
    /// The key is of another kind.
    #[error("{} holds another kind of key; expected {expected}", path.display())]
    WrongKind {
        /// The file.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
    },
    /// There is no key in the file.
    #[error(
        "{} has no key between BEGIN and END lines; expected {expected}",
        path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
    },
    /// The key is encrypted with a password.
    #[error(
        "{} is encrypted with a password; expected a plain key: `openssl pkey -in {} -out plain.pem`",
        path.display(), path.display()
    )]
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// The numbers of the key do not fit each other.
    #[error(
        "{} holds a damaged key, or one whose curve has no name; restore it from its backup",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Secure boot v1 knows one kind of key.
    #[error("secure boot v1 signs with ECDSA P-256 only; choose such a key")]
    NotP256,
    /// The random number generator or the key generation failed.
    #[error("no key could be made; the system's random number generator does not work")]
    Generation,
    /// The key refused to sign.
    #[error("the private key did not sign; check the key file or the HSM")]
    Signing,
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What the PEM reader says; its own words hold lists of bytes.
fn in_words(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "it is cut short: the END line is missing",
        pem::Error::IllegalSectionStart { .. } => "its BEGIN line is malformed",
        pem::Error::Base64Decode(_) => "what is between BEGIN and END is not base64",
        _ => "it has no private key between BEGIN and END lines",
    }
}

impl KeyError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Pem { .. }
            | Self::WrongKind { .. }
            | Self::NoKey { .. }
            | Self::Encrypted { .. }
            | Self::Damaged { .. }
            | Self::NotP256 => Blame::Usage,
            Self::File(FileError::Exposed { .. } | FileError::Empty { .. }) => Blame::Usage,
            Self::Generation | Self::Signing | Self::File(_) => Blame::Io,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn signature_of_a_key_file_verifies_with_another_implementation() {
        use p256::ecdsa::signature::Verifier as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("now.pem");
        let key = RoleKey::create(&path).unwrap();
        let signature = key.sign(b"to be signed").unwrap();
        let public = p256::ecdsa::VerifyingKey::from_sec1_bytes(&key.public_key().0).unwrap();
        let signature = p256::ecdsa::Signature::from_slice(&signature).unwrap();
        public.verify(b"to be signed", &signature).unwrap();
        public.verify(b"to be changed", &signature).unwrap_err();
        let again = RoleKey::load(&path).unwrap();
        assert_eq!(again.public_key(), key.public_key());
    }

    #[test]
    fn other_kinds_of_key_and_files_without_a_key_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            files::create(&path, text.as_bytes(), Secrecy::Private).unwrap();
            path
        };
        let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        for (name, text) in [
            ("p384.pem", p384.serialize_pem()),
            ("ed25519.pem", ed25519.serialize_pem()),
        ] {
            let refused = RoleKey::load(&write(name, &text));
            assert!(matches!(refused, Err(KeyError::WrongKind { .. })), "{name}");
        }
        let garbage = write("garbage.pem", "no key");
        assert!(matches!(RoleKey::load(&garbage), Err(KeyError::Pem { .. })));
        let public = write("public.pem", &p384.public_key_pem());
        assert!(matches!(RoleKey::load(&public), Err(KeyError::Pem { .. })));
        let missing = RoleKey::load(&folder.path().join("missing.pem"));
        assert!(matches!(
            missing,
            Err(KeyError::File(FileError::Read { .. }))
        ));
        let good = folder.path().join("good.pem");
        RoleKey::create(&good).unwrap();
        let taken = RoleKey::create(&good);
        assert!(matches!(
            taken,
            Err(KeyError::File(FileError::Exists { .. }))
        ));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&good, fs::Permissions::from_mode(0o644)).unwrap();
            let exposed = RoleKey::load(&good);
            assert!(matches!(
                exposed,
                Err(KeyError::File(FileError::Exposed { .. }))
            ));
        }
    }
}
