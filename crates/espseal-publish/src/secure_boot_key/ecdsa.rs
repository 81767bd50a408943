//! ECDSA private keys.
//!
//! P-256 and P-384 sign through aws-lc with a random nonce. P-256 for secure boot v1 and P-192 sign
//! with RustCrypto: their scalar arithmetic is constant-time by construction, but nobody has
//! measured `p192`, a release candidate. Its nonces are those of RFC 6979 section 3.6: derived from
//! key, digest and 32 fresh random bytes, so that neither a weak generator nor a fault in a repeated
//! signature gives the key away. P-192 itself offers 96 bits of security and is no longer approved for
//! signing (SP 800-186 section 3.2.1.1, SP 800-131A): the ROM still takes it.

use std::path::Path;

use ::ecdsa::hazmat::sign_prehashed_rfc6979;
use aws_lc_rs::digest::{self, SHA256, SHA384};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
};
use espseal_crypto::es256;
use espseal_crypto::secure_boot::PublicKey;
use espseal_format::signature_block::{Curve, ImageDigests};
use p192::NistP192;
use p192::elliptic_curve::sec1::ToSec1Point as _;
use p192::elliptic_curve::{Generate as _, SecretKey};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::authority::random;
use crate::keys::KeyError;

/// A private key, by curve.
pub(super) enum EcdsaKey {
    P192(SecretKey<NistP192>),
    P256(es256::SigningKey),
    P384(p384::SecretKey),
}

impl EcdsaKey {
    /// Draws a key.
    pub(super) fn generate(curve: Curve) -> Result<Self, KeyError> {
        let mut seed = [0; 1];
        // The generators below cannot report a failure; this can.
        getrandom::fill(&mut seed).map_err(|_| KeyError::Generation)?;
        Ok(match curve {
            Curve::P192 => Self::P192(SecretKey::<NistP192>::generate_from_rng(&mut random())),
            Curve::P256 => Self::P256(es256::SigningKey::generate(&mut random())),
            Curve::P384 => Self::P384(p384::SecretKey::generate_from_rng(&mut random())),
        })
    }

    /// Takes a private scalar, big-endian, of the curve's length; `None` outside `[1, n-1]`.
    pub(super) fn from_scalar(curve: Curve, scalar: &[u8]) -> Option<Self> {
        // RFC 5915 section 3 has no shorter ones.
        if scalar.len() != curve.number_len() {
            return None;
        }
        Some(match curve {
            Curve::P192 => Self::P192(SecretKey::<NistP192>::from_slice(scalar).ok()?),
            Curve::P256 => Self::P256(es256::SigningKey::from_bytes(scalar.try_into().ok()?).ok()?),
            Curve::P384 => Self::P384(p384::SecretKey::from_slice(scalar).ok()?),
        })
    }

    /// Returns the private scalar, for a key file.
    pub(super) fn expose_secret(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::P192(key) => Zeroizing::new(key.to_bytes()).to_vec(),
            Self::P256(key) => key.expose_secret().to_vec(),
            Self::P384(key) => Zeroizing::new(key.to_bytes()).to_vec(),
        })
    }

    pub(super) const fn curve(&self) -> Curve {
        match self {
            Self::P192(_) => Curve::P192,
            Self::P256(_) => Curve::P256,
            Self::P384(_) => Curve::P384,
        }
    }

    /// Returns the public half as a SEC1 point, `04 || X || Y`.
    pub(super) fn point(&self) -> Vec<u8> {
        match self {
            Self::P192(key) => key.public_key().to_sec1_point(false).as_bytes().to_vec(),
            Self::P256(key) => key.public_key().0.to_vec(),
            Self::P384(key) => key.public_key().to_sec1_point(false).as_bytes().to_vec(),
        }
    }

    /// Returns the public half.
    pub(super) fn public_key(&self, path: &Path) -> Result<PublicKey, KeyError> {
        let point = self.point();
        PublicKey::from_point(self.curve(), point.get(1..).unwrap_or_default())
            .map_err(|_| KeyError::Damaged { path: path.into() })
    }

    /// Signs an image; returns `r || s`.
    pub(super) fn sign(&self, image: &ImageDigests) -> Result<Vec<u8>, KeyError> {
        match self {
            Self::P192(key) => sign_p192(key, image),
            Self::P256(_) => self.sign_aws_lc(&image.sha256.0),
            Self::P384(_) => self.sign_aws_lc(&image.sha384.0),
        }
    }

    fn sign_aws_lc(&self, image: &[u8]) -> Result<Vec<u8>, KeyError> {
        let (signing, hash) = match self.curve() {
            Curve::P384 => (&ECDSA_P384_SHA384_FIXED_SIGNING, &SHA384),
            _ => (&ECDSA_P256_SHA256_FIXED_SIGNING, &SHA256),
        };
        let scalar = self.expose_secret();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(signing, &scalar, &self.point())
            .map_err(|_| KeyError::Signing)?;
        let digest =
            digest::Digest::import_less_safe(image, hash).map_err(|_| KeyError::Signing)?;
        let signature = pair.sign_digest(&digest).map_err(|_| KeyError::Signing)?;
        Ok(signature.as_ref().to_vec())
    }
}

/// Signs with P-192 (FIPS 186-5 section 6.4.1, nonce of RFC 6979 section 3.6).
fn sign_p192(key: &SecretKey<NistP192>, image: &ImageDigests) -> Result<Vec<u8>, KeyError> {
    let mut fresh = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *fresh).map_err(|_| KeyError::Signing)?;
    let scalar = Zeroizing::new(key.to_nonzero_scalar());
    let (signature, _) =
        sign_prehashed_rfc6979::<NistP192, Sha256>(&scalar, &image.sha256.0, &*fresh);
    Ok(signature.to_bytes().to_vec())
}
