//! Signing keys of secure boot: RSA-3072, ECDSA P-192, P-256 and P-384.
//!
//! The private operations of RSA, P-256 and P-384 are aws-lc's, in constant time; the `rsa` crate leaks
//! timing (RUSTSEC-2023-0071). No maintained library signs with P-192 but RustCrypto's `p192`: see
//! [`ecdsa`]. The block around a signature is `espseal_crypto::secure_boot`'s.

use std::path::Path;

use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256};
use espseal_crypto::secure_boot::{PublicKey, RsaPublicKey};
use espseal_format::secure_boot_v1::AppSignature;
use espseal_format::signature_block::{BLOCK_LEN, ImageDigests, RSA_LEN, SignatureScheme};
use espseal_format::units::Digest;
use zeroize::Zeroizing;

use crate::files::{self, Draft, Secrecy};
use crate::keys::{KeyError, LARGEST_KEY};

mod ecdsa;
mod pem;

pub(crate) use pem::ecdsa_from_token;
pub use pem::{encode_public_key, load_public_key, read_public_key};

/// Whoever signs images for secure boot v2: a key in a file, or in an HSM.
pub trait ImageSigner {
    /// Returns the public half.
    fn public_key(&self) -> PublicKey;

    /// Signs a padded image: RSASSA-PSS with SHA-256, MGF1-SHA256 and a 32-byte random salt, or ECDSA
    /// as `r || s`; big-endian.
    ///
    /// # Errors
    /// When the key cannot be reached or refuses.
    fn sign(&self, image: &ImageDigests) -> Result<Vec<u8>, KeyError>;

    /// Signs a padded image with the digests given, or, if the key is in an HSM that hashes by itself,
    /// with its content.
    ///
    /// # Errors
    /// As [`ImageSigner::sign`], and when the content cannot be read again.
    fn sign_content(&self, image: &ImageDigests, _: &mut dyn Content) -> Result<Vec<u8>, KeyError> {
        self.sign(image)
    }

    /// Signs a padded image and builds its signature block.
    ///
    /// # Errors
    /// As [`ImageSigner::sign`]; [`KeyError::Signing`] also when the signature does not verify.
    fn sign_block(&self, image: &ImageDigests) -> Result<[u8; BLOCK_LEN], KeyError> {
        block(self.public_key(), image, &self.sign(image)?)
    }

    /// As [`ImageSigner::sign_block`], for every HSM.
    ///
    /// # Errors
    /// As [`ImageSigner::sign_content`]; [`KeyError::Signing`] also when the signature does not verify.
    fn sign_block_over(
        &self,
        image: &ImageDigests,
        content: &mut dyn Content,
    ) -> Result<[u8; BLOCK_LEN], KeyError> {
        let signature = self.sign_content(image, content)?;
        block(self.public_key(), image, &signature)
    }
}

/// Builds a block, which verifies the signature.
fn block(
    key: PublicKey,
    image: &ImageDigests,
    signature: &[u8],
) -> Result<[u8; BLOCK_LEN], KeyError> {
    key.build_block(image, signature)
        .map_err(|_| KeyError::Signing)
}

/// What is signed, as often as it is asked for: an HSM that hashes by itself needs all of it.
pub trait Content {
    /// Hands it on from its start, piece by piece.
    ///
    /// # Errors
    /// What `take` fails with; [`KeyError::File`] when the content cannot be read.
    fn each(&mut self, take: &mut dyn FnMut(&[u8]) -> Result<(), KeyError>)
    -> Result<(), KeyError>;
}

impl Content for &[u8] {
    fn each(
        &mut self,
        take: &mut dyn FnMut(&[u8]) -> Result<(), KeyError>,
    ) -> Result<(), KeyError> {
        take(self)
    }
}

impl Content for Draft {
    fn each(
        &mut self,
        take: &mut dyn FnMut(&[u8]) -> Result<(), KeyError>,
    ) -> Result<(), KeyError> {
        self.read_again(take)
    }
}

/// A signing key in a file.
pub struct SecureBootKey {
    private: Private,
    public: PublicKey,
}

/// The private half, by scheme.
enum Private {
    Rsa(RsaKeyPair),
    Ecdsa(ecdsa::EcdsaKey),
}

impl Private {
    /// Returns the public half, which has the shape that secure boot asks for.
    fn public_key(&self, path: &Path) -> Result<PublicKey, KeyError> {
        match self {
            Self::Rsa(pair) => rsa_public_key(pair.public_key())
                .map(PublicKey::Rsa)
                .ok_or_else(|| KeyError::WrongKind {
                    path: path.into(),
                    expected: pem::EXPECTED,
                }),
            Self::Ecdsa(key) => key.public_key(path),
        }
    }
}

impl SecureBootKey {
    /// Makes a new key and writes it under a free name: PKCS#1 PEM for RSA, SEC1 PEM for ECDSA, as
    /// espsecure does.
    ///
    /// # Errors
    /// [`KeyError::File`] when the name is taken or cannot be written, [`KeyError::Generation`].
    pub fn create(path: &Path, scheme: SignatureScheme) -> Result<Self, KeyError> {
        let text = match scheme {
            SignatureScheme::Rsa3072 => {
                let made =
                    RsaKeyPair::generate(KeySize::Rsa3072).map_err(|_| KeyError::Generation)?;
                pem::encode_rsa(&made)?
            }
            SignatureScheme::Ecdsa(curve) => pem::encode_ecdsa(&ecdsa::EcdsaKey::generate(curve)?)?,
        };
        files::create(path, text.as_bytes(), Secrecy::Private)?;
        Self::load(path)
    }

    /// Reads a private key that only its owner may read from PEM: PKCS#1, SEC1 or PKCS#8.
    ///
    /// # Errors
    /// [`KeyError`] when the file is missing, readable by others, no PEM or another kind of key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = files::read_private(path, pem::EXPECTED, LARGEST_KEY)?;
        Self::from_pem(path, &text)
    }

    /// Takes a private key from the text of the file `path`, whoever may read that.
    ///
    /// # Errors
    /// [`KeyError`] when there is no PEM or another kind of key.
    pub fn from_pem(path: &Path, text: &[u8]) -> Result<Self, KeyError> {
        let private = pem::read_private_key(path, text)?;
        let public = private.public_key(path)?;
        Ok(Self { private, public })
    }

    /// Digest of the public key as burnt in eFuse.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.public.digest()
    }

    /// Signs an app or a partition table for secure boot v1: deterministic (RFC 6979), so that a
    /// build can be reproduced.
    ///
    /// # Errors
    /// [`KeyError::NotP256`] for another key.
    pub fn sign_v1(&self, image: &Digest) -> Result<AppSignature, KeyError> {
        let Private::Ecdsa(ecdsa::EcdsaKey::P256(key)) = &self.private else {
            return Err(KeyError::NotP256);
        };
        key.sign_prehash(image)
            .map(AppSignature::new)
            .map_err(|_| KeyError::Signing)
    }

    /// SHA-256 of the private scalar: the secure boot v1 key of reflashable bootloaders.
    ///
    /// # Errors
    /// [`KeyError::NotP256`] for another key.
    ///
    /// Source: ESP-IDF `docs/en/security/secure-boot-v1.rst`, "Reflashable".
    pub fn private_digest(&self) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        let Private::Ecdsa(ecdsa::EcdsaKey::P256(key)) = &self.private else {
            return Err(KeyError::NotP256);
        };
        Ok(Zeroizing::new(Digest::of(&*key.expose_secret()).0))
    }
}

impl ImageSigner for SecureBootKey {
    fn public_key(&self) -> PublicKey {
        self.public.clone()
    }

    fn sign(&self, image: &ImageDigests) -> Result<Vec<u8>, KeyError> {
        match &self.private {
            Private::Rsa(pair) => {
                let mut signature = vec![0; RSA_LEN];
                let digest = digest::Digest::import_less_safe(&image.sha256.0, &SHA256)
                    .map_err(|_| KeyError::Signing)?;
                pair.sign_digest(&RSA_PSS_SHA256, &digest, &mut signature)
                    .map_err(|_| KeyError::Signing)?;
                Ok(signature)
            }
            Private::Ecdsa(key) => key.sign(image),
        }
    }
}

impl std::fmt::Debug for SecureBootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecureBootKey({}, private)", self.public.scheme())
    }
}

/// Takes a public key of the shape that secure boot asks for.
fn rsa_public_key(public: &aws_lc_rs::rsa::PublicKey) -> Option<RsaPublicKey> {
    let modulus = public.modulus().big_endian_without_leading_zero();
    rsa_from_numbers(modulus, public.exponent().big_endian_without_leading_zero())
}

/// Takes modulus and public exponent, big-endian without leading zeros.
pub(crate) fn rsa_from_numbers(modulus: &[u8], public_exponent: &[u8]) -> Option<RsaPublicKey> {
    let exponent = exponent(public_exponent)?;
    RsaPublicKey::new(modulus.try_into().ok()?, exponent).ok()
}

/// Reads a public exponent of at most 32 bits.
fn exponent(bytes: &[u8]) -> Option<u32> {
    let mut word = [0; 4];
    word.get_mut(4usize.checked_sub(bytes.len())?..)?
        .copy_from_slice(bytes);
    Some(u32::from_be_bytes(word))
}

#[cfg(test)]
mod tests;
