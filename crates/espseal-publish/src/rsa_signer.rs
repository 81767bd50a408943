//! The secure boot signing key: RSA-3072-PSS over aws-lc-rs.
//!
//! The private operation runs in constant time there; the `rsa` crate leaks timing
//! (RUSTSEC-2023-0071). The block around the signature is `espseal_crypto::secure_boot`'s.

use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256, RsaKeyPair};
use espseal_crypto::secure_boot::{RsaPssSigner, RsaPublicKey};
use espseal_format::signature_block::{RSA_LEN, RsaParts, RsaSignatureBlock};
use espseal_format::units::Digest;
use rustls::pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use crate::files::{self, Secrecy};
use crate::keys::{KeyError, read_private_key};

/// What belongs in the key file.
const EXPECTED: &str = "an RSA-3072 private key in PEM (PKCS#1 or PKCS#8)";

/// A secure boot v2 signing key in a file.
pub struct SecureBootKey {
    pair: RsaKeyPair,
    public: RsaPublicKey,
}

impl SecureBootKey {
    /// Makes a new key and writes it as PKCS#8 PEM under a free name.
    ///
    /// # Errors
    /// [`KeyError::File`] when the name is taken or cannot be written, [`KeyError::Generation`].
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let made =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_3072)
                .map_err(|_| KeyError::Generation)?;
        let text = Zeroizing::new(made.serialize_pem());
        files::create(path, text.as_bytes(), Secrecy::Private)?;
        Self::load(path)
    }

    /// Reads an RSA-3072 private key from PEM.
    ///
    /// # Errors
    /// [`KeyError`] when the file is missing, readable by others, no PEM or another kind of key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let wrong = || KeyError::WrongKind {
            path: path.into(),
            expected: EXPECTED,
        };
        let pair = match &read_private_key(path, EXPECTED)? {
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Err(wrong()),
        }
        .map_err(|_| wrong())?;
        let public = pair.public_key();
        let modulus = public
            .modulus()
            .big_endian_without_leading_zero()
            .try_into()
            .map_err(|_| wrong())?;
        let exponent =
            exponent(public.exponent().big_endian_without_leading_zero()).ok_or_else(wrong)?;
        let public = RsaPublicKey::new(modulus, exponent).map_err(|_| wrong())?;
        Ok(Self { pair, public })
    }

    /// Digest of the public key as burnt in eFuse: SHA-256 over `n`, `e`, `R` and `M'` as the
    /// signature block stores them.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let little_endian = |mut bytes: [u8; RSA_LEN]| {
            bytes.reverse();
            bytes
        };
        RsaSignatureBlock::new(&RsaParts {
            image_digest: Digest([0; 32]),
            n: little_endian(self.public.modulus()),
            e: self.public.exponent(),
            r: little_endian(self.public.montgomery_r()),
            m_prime: self.public.m_prime(),
            signature: [0; RSA_LEN],
        })
        .key_digest()
    }
}

impl RsaPssSigner for SecureBootKey {
    type Error = KeyError;

    fn public_key(&self) -> RsaPublicKey {
        self.public.clone()
    }

    fn sign(&self, image: &[u8]) -> Result<[u8; RSA_LEN], KeyError> {
        let mut signature = [0; RSA_LEN];
        self.pair
            .sign(&RSA_PSS_SHA256, &SystemRandom::new(), image, &mut signature)
            .map_err(|_| KeyError::Signing)?;
        Ok(signature)
    }
}

impl std::fmt::Debug for SecureBootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecureBootKey(RSA-3072, private)")
    }
}

/// Reads a public exponent of at most 32 bits.
pub(crate) fn exponent(bytes: &[u8]) -> Option<u32> {
    let mut word = [0; 4];
    word.get_mut(4usize.checked_sub(bytes.len())?..)?
        .copy_from_slice(bytes);
    Some(u32::from_be_bytes(word))
}
