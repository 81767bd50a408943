//! ECDSA of secure boot v2: P-192 and P-256 with SHA-256, P-384 with SHA-384.
//!
//! One verifying function a curve, so that a device that knows one scheme links one. P-192 takes
//! the leftmost 192 bits of the SHA-256 digest (FIPS 186-5 section 6.4.2, step 2). Keys that are no
//! point on the curve and `r` or `s` outside `[1, n-1]` are refused; a high `s` is accepted.
//!
//! Source: ESP-IDF `bootloader_support/src/secure_boot_v2/secure_boot_ecdsa_signature.c`.

use espseal_format::signature_block::{
    EcdsaBlock, EcdsaP192Block, EcdsaP256Block, EcdsaP384Block, EcdsaParts,
};
use espseal_format::units::{Digest, Digest384, PublicKeyBytes};

use super::VerifyError;
use crate::es256::{self, BadSignature};

/// Bytes of the largest SEC1 point: `04 || X || Y` of P-384.
const LARGEST_POINT: usize = 97;

/// Checks a P-192 block against the digest of the image in front of it, and returns the digest of
/// its public key, to be looked up in eFuse.
///
/// # Errors
/// [`VerifyError`]: the first check that fails.
pub fn verify_ecdsa_p192(block: &EcdsaP192Block, image: &Digest) -> Result<Digest, VerifyError> {
    VerifyError::compare(&Digest(block.image_digest), image)?;
    verify(block)
}

/// As [`verify_ecdsa_p192`], for a P-256 block.
///
/// # Errors
/// [`VerifyError`]: the first check that fails.
pub fn verify_ecdsa_p256(block: &EcdsaP256Block, image: &Digest) -> Result<Digest, VerifyError> {
    VerifyError::compare(&Digest(block.image_digest), image)?;
    verify(block)
}

/// As [`verify_ecdsa_p192`], for a P-384 block and a SHA-384 digest.
///
/// # Errors
/// [`VerifyError`]: the first check that fails.
pub fn verify_ecdsa_p384(block: &EcdsaP384Block, image: &Digest384) -> Result<Digest, VerifyError> {
    if block.image_digest != image.0 {
        return Err(VerifyError::ImageDigest384 {
            expected: Digest384(block.image_digest),
            found: *image,
        });
    }
    verify(block)
}

/// Checks key and signature of a block over the image digest that the block names.
fn verify<const D: usize, const N: usize, const G: usize, const R: usize>(
    block: &EcdsaBlock<D, N, G, R>,
) -> Result<Digest, VerifyError>
where
    EcdsaBlock<D, N, G, R>: Arithmetic,
{
    let key = EcdsaPublicKey::<D, N, G, R>::new(reversed(block.x), reversed(block.y))
        .map_err(|NotOnCurve| VerifyError::Point)?;
    let signature = [reversed(block.r), reversed(block.s)];
    key.verify(&block.image_digest, &signature)
        .map_err(|BadSignature| VerifyError::Signature)?;
    Ok(block.key_digest())
}

/// A public key for blocks of one curve: a point that is on it. Parameters as [`EcdsaBlock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EcdsaPublicKey<const D: usize, const N: usize, const G: usize, const R: usize> {
    x: [u8; N],
    y: [u8; N],
}

/// A P-192 public key.
pub type EcdsaP192PublicKey = EcdsaPublicKey<32, 24, 16, 1031>;
/// A P-256 public key.
pub type EcdsaP256PublicKey = EcdsaPublicKey<32, 32, 0, 1031>;
/// A P-384 public key.
pub type EcdsaP384PublicKey = EcdsaPublicKey<48, 48, 0, 951>;

#[expect(
    private_bounds,
    reason = "the curve arithmetic is nobody else's business"
)]
impl<const D: usize, const N: usize, const G: usize, const R: usize> EcdsaPublicKey<D, N, G, R>
where
    EcdsaBlock<D, N, G, R>: Arithmetic,
{
    /// Takes the coordinates, big-endian.
    ///
    /// # Errors
    /// [`NotOnCurve`].
    pub fn new(x: [u8; N], y: [u8; N]) -> Result<Self, NotOnCurve> {
        let mut buffer = [0; LARGEST_POINT];
        match <EcdsaBlock<D, N, G, R>>::is_point(sec1(&[x, y], &mut buffer)) {
            true => Ok(Self { x, y }),
            false => Err(NotOnCurve),
        }
    }

    /// Returns X and Y, big-endian.
    #[must_use]
    pub const fn coordinates(&self) -> [[u8; N]; 2] {
        [self.x, self.y]
    }

    /// Checks a signature, `r` and `s` big-endian, over an image with this digest.
    ///
    /// # Errors
    /// [`BadSignature`] when a number is out of range or the signature does not verify.
    pub fn verify(&self, image: &[u8; D], signature: &[[u8; N]; 2]) -> Result<(), BadSignature> {
        let mut buffer = [0; LARGEST_POINT];
        let point = sec1(&[self.x, self.y], &mut buffer);
        <EcdsaBlock<D, N, G, R>>::verify(point, image, signature.as_flattened())
    }

    /// Builds the signature block of an image from a signature, `r` and `s` big-endian.
    ///
    /// # Errors
    /// [`BadSignature`] when the signature is not by this key over this image.
    pub fn build_block(
        &self,
        image: &[u8; D],
        signature: &[[u8; N]; 2],
    ) -> Result<EcdsaBlock<D, N, G, R>, BadSignature> {
        self.verify(image, signature)?;
        Ok(self.block_with(image, signature))
    }

    /// Digest of the key as burnt in eFuse.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.block_with(&[0; D], &[[0; N]; 2]).key_digest()
    }

    fn block_with(&self, image: &[u8; D], [r, s]: &[[u8; N]; 2]) -> EcdsaBlock<D, N, G, R> {
        EcdsaBlock::new(&EcdsaParts {
            image_digest: *image,
            x: reversed(self.x),
            y: reversed(self.y),
            r: reversed(*r),
            s: reversed(*s),
        })
    }
}

failure!(
    /// Coordinates are no point on the curve.
    NotOnCurve,
    "the public key is not a point on its curve: the key is damaged"
);

/// The arithmetic behind a block's curve. Points are SEC1, uncompressed; signatures `r || s`.
trait Arithmetic {
    /// Whether the bytes are a point on the curve.
    fn is_point(point: &[u8]) -> bool;

    /// Checks a signature over a digest.
    fn verify(point: &[u8], digest: &[u8], signature: &[u8]) -> Result<(), BadSignature>;
}

macro_rules! arithmetic {
    ($block:ty, $curve:ident) => {
        impl Arithmetic for $block {
            fn is_point(point: &[u8]) -> bool {
                $curve::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok()
            }

            fn verify(point: &[u8], digest: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
                use $curve::ecdsa::signature::hazmat::PrehashVerifier as _;
                use $curve::ecdsa::{Signature, VerifyingKey};
                let key = VerifyingKey::from_sec1_bytes(point).map_err(|_| BadSignature)?;
                let signature = Signature::from_slice(signature).map_err(|_| BadSignature)?;
                key.verify_prehash(digest, &signature)
                    .map_err(|_| BadSignature)
            }
        }
    };
}

arithmetic!(EcdsaP192Block, p192);
arithmetic!(EcdsaP384Block, p384);

/// What signed documents are checked with serves here, too.
impl Arithmetic for EcdsaP256Block {
    fn is_point(point: &[u8]) -> bool {
        point
            .try_into()
            .is_ok_and(|point| es256::point(&PublicKeyBytes(point)).is_some())
    }

    fn verify(point: &[u8], digest: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let key = PublicKeyBytes(point.try_into().map_err(|_| BadSignature)?);
        let digest = Digest(digest.try_into().map_err(|_| BadSignature)?);
        let signature = signature.try_into().map_err(|_| BadSignature)?;
        es256::verify_prehash(&key, &digest, signature)
    }
}

/// Writes a point as `04 || X || Y`.
fn sec1<'b, const N: usize>(
    coordinates: &[[u8; N]; 2],
    buffer: &'b mut [u8; LARGEST_POINT],
) -> &'b [u8] {
    let bytes = [4]
        .into_iter()
        .chain(coordinates.as_flattened().iter().copied());
    let length = buffer
        .iter_mut()
        .zip(bytes)
        .map(|(to, from)| *to = from)
        .count();
    buffer.get(..length).unwrap_or_default()
}

/// Turns little-endian into big-endian and back.
const fn reversed<const N: usize>(mut number: [u8; N]) -> [u8; N] {
    number.reverse();
    number
}
