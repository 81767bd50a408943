//! The public key of any scheme, for the side that signs.

use espseal_format::signature_block::{BLOCK_LEN, Curve, ImageDigests, SignatureScheme};
use espseal_format::units::Digest;

use super::{
    EcdsaP192PublicKey, EcdsaP256PublicKey, EcdsaP384PublicKey, NotOnCurve, RsaPublicKey,
    build_block,
};
use crate::es256::BadSignature;

/// A public key of secure boot v2.
#[expect(
    clippy::large_enum_variant,
    reason = "there is no heap to put the modulus on, and a signer has one to three keys"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA-3072.
    Rsa(RsaPublicKey),
    /// ECDSA P-192.
    P192(EcdsaP192PublicKey),
    /// ECDSA P-256.
    P256(EcdsaP256PublicKey),
    /// ECDSA P-384.
    P384(EcdsaP384PublicKey),
}

impl PublicKey {
    /// Takes an uncompressed point, `X || Y` big-endian.
    ///
    /// # Errors
    /// [`NotOnCurve`] for another length, or a point that is not on the curve.
    pub fn from_point(curve: Curve, point: &[u8]) -> Result<Self, NotOnCurve> {
        Ok(match curve {
            Curve::P192 => {
                let [x, y] = halves(point).ok_or(NotOnCurve)?;
                Self::P192(EcdsaP192PublicKey::new(x, y)?)
            }
            Curve::P256 => {
                let [x, y] = halves(point).ok_or(NotOnCurve)?;
                Self::P256(EcdsaP256PublicKey::new(x, y)?)
            }
            Curve::P384 => {
                let [x, y] = halves(point).ok_or(NotOnCurve)?;
                Self::P384(EcdsaP384PublicKey::new(x, y)?)
            }
        })
    }

    /// Returns the scheme.
    #[must_use]
    pub const fn scheme(&self) -> SignatureScheme {
        match self {
            Self::Rsa(_) => SignatureScheme::Rsa3072,
            Self::P192(_) => SignatureScheme::Ecdsa(Curve::P192),
            Self::P256(_) => SignatureScheme::Ecdsa(Curve::P256),
            Self::P384(_) => SignatureScheme::Ecdsa(Curve::P384),
        }
    }

    /// Digest of the key as burnt in eFuse.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Rsa(key) => key.digest(),
            Self::P192(key) => key.digest(),
            Self::P256(key) => key.digest(),
            Self::P384(key) => key.digest(),
        }
    }

    /// Builds the signature block of an image from a signature: big-endian, for ECDSA `r || s`.
    ///
    /// # Errors
    /// [`BadSignature`] when the signature has another length, or is not by this key over this
    /// image: a signer that returns nonsense is noticed here, not by a chip that no longer boots.
    pub fn build_block(
        &self,
        image: &ImageDigests,
        signature: &[u8],
    ) -> Result<[u8; BLOCK_LEN], BadSignature> {
        match self {
            Self::Rsa(key) => {
                let signature = signature.try_into().map_err(|_| BadSignature)?;
                build_block(key, &image.sha256, signature).map(|block| block.encode())
            }
            Self::P192(key) => key
                .build_block(&image.sha256.0, &halves(signature).ok_or(BadSignature)?)
                .map(|block| block.encode()),
            Self::P256(key) => key
                .build_block(&image.sha256.0, &halves(signature).ok_or(BadSignature)?)
                .map(|block| block.encode()),
            Self::P384(key) => key
                .build_block(&image.sha384.0, &halves(signature).ok_or(BadSignature)?)
                .map(|block| block.encode()),
        }
    }
}

/// Splits `X || Y` or `r || s`; `None` for another length.
fn halves<const N: usize>(pair: &[u8]) -> Option<[[u8; N]; 2]> {
    match pair.as_chunks::<N>() {
        ([first, second], []) => Some([*first, *second]),
        _ => None,
    }
}
