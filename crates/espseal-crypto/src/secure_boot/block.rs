//! Signature blocks: checking one, and building one around a signature.

use core::fmt;

use espseal_format::signature_block::{ImageDigests, RsaParts, RsaSignatureBlock, SignatureBlock};
use espseal_format::units::{Digest, Digest384};

use super::montgomery;
use super::{
    InvalidRsaKey, RSA_LEN, RsaPublicKey, verify_ecdsa_p192, verify_ecdsa_p256, verify_ecdsa_p384,
};
use crate::es256::BadSignature;

/// Checks a signature block of any scheme against the digests of the image in front of it, and
/// returns the digest of its public key, to be looked up in eFuse.
///
/// A device calls the function of its own scheme instead, and links nothing else.
///
/// # Errors
/// [`VerifyError`]: the first check that fails.
pub fn verify_block(
    block: &SignatureBlock<'_>,
    image: &ImageDigests,
) -> Result<Digest, VerifyError> {
    match block {
        SignatureBlock::Rsa(block) => verify_rsa(block, &image.sha256),
        SignatureBlock::EcdsaP192(block) => verify_ecdsa_p192(block, &image.sha256),
        SignatureBlock::EcdsaP256(block) => verify_ecdsa_p256(block, &image.sha256),
        SignatureBlock::EcdsaP384(block) => verify_ecdsa_p384(block, &image.sha384),
        other => Err(VerifyError::Scheme {
            version: other.version(),
        }),
    }
}

/// Checks an RSA block against the digest of the image in front of it, and returns the digest of
/// its public key, to be looked up in eFuse.
///
/// `R` and `M'` are checked too: the chip computes with them, so a block whose signature is sound
/// but whose derived numbers are not would verify here and fail in the ROM. Magic and CRC were
/// checked when the block was parsed.
///
/// # Errors
/// [`VerifyError`]: the first check that fails.
#[inline(never)]
pub fn verify_rsa(block: &RsaSignatureBlock, image: &Digest) -> Result<Digest, VerifyError> {
    VerifyError::compare(&Digest(block.image_digest), image)?;
    // By reference: a device's stack has no room for copies of numbers this long.
    match &RsaPublicKey::from_number(montgomery::from_le_bytes(&block.n), block.e.get()) {
        Ok(key) => verify_with(key, block, image)?,
        Err(error) => return Err(VerifyError::PublicKey(*error)),
    }
    Ok(block.key_digest())
}

/// Checks the derived numbers and the signature of a block whose key has the right shape.
#[inline(never)]
fn verify_with(
    key: &RsaPublicKey,
    block: &RsaSignatureBlock,
    image: &Digest,
) -> Result<(), VerifyError> {
    let mut r = key.r();
    if !montgomery::is_le_bytes(&r, &block.r) {
        return Err(VerifyError::MontgomeryR);
    }
    if block.m_prime.get() != key.m_prime() {
        return Err(VerifyError::MPrime {
            expected: key.m_prime(),
            found: block.m_prime.get(),
        });
    }
    let signature = montgomery::from_le_bytes(&block.signature);
    key.verify_number(image, &signature, &mut r)
        .map_err(|BadSignature| VerifyError::Signature)
}

/// Builds the signature block of an image from a signature, big-endian.
///
/// # Errors
/// [`BadSignature`] when the signature is not by this key over this image: a signer that returns
/// nonsense is noticed here, not by a chip that no longer boots.
pub fn build_block(
    key: &RsaPublicKey,
    image: &Digest,
    signature: &[u8; RSA_LEN],
) -> Result<RsaSignatureBlock, BadSignature> {
    key.verify_pss(image, signature)?;
    Ok(block_with(key, image, signature))
}

impl RsaPublicKey {
    /// Digest of the key as burnt in eFuse: SHA-256 over `n`, `e`, `R` and `M'` as a block stores
    /// them.
    #[must_use]
    pub fn digest(&self) -> Digest {
        block_with(self, &Digest([0; 32]), &[0; RSA_LEN]).key_digest()
    }
}

/// Puts a block together without a look at the signature.
fn block_with(key: &RsaPublicKey, image: &Digest, signature: &[u8; RSA_LEN]) -> RsaSignatureBlock {
    RsaSignatureBlock::new(&RsaParts {
        image_digest: *image,
        n: reversed(&key.modulus()),
        e: key.exponent(),
        r: reversed(&key.montgomery_r()),
        m_prime: key.m_prime(),
        signature: reversed(signature),
    })
}

/// Turns little-endian into big-endian and back.
fn reversed(number: &[u8; RSA_LEN]) -> [u8; RSA_LEN] {
    let mut number = *number;
    number.reverse();
    number
}

/// Why a signature block is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// The block was made for another image.
    ImageDigest {
        /// Digest in the block.
        expected: Digest,
        /// Digest of the image.
        found: Digest,
    },
    /// The block was made for another image (SHA-384).
    ImageDigest384 {
        /// Digest in the block.
        expected: Digest384,
        /// Digest of the image.
        found: Digest384,
    },
    /// The scheme is none that this version interprets.
    Scheme {
        /// Version byte of the block.
        version: u8,
    },
    /// The public key is no point on its curve.
    Point,
    /// The public key has not the shape that secure boot asks for.
    PublicKey(InvalidRsaKey),
    /// `R` is not `2^6144 mod n`.
    MontgomeryR,
    /// `M'` is not `-n^-1 mod 2^32`.
    MPrime {
        /// Value that belongs to the modulus.
        expected: u32,
        /// Value in the block.
        found: u32,
    },
    /// The signature does not verify.
    Signature,
}

impl VerifyError {
    /// Compares the digest in a block with that of the image.
    pub(super) fn compare(expected: &Digest, found: &Digest) -> Result<(), Self> {
        match expected == found {
            true => Ok(()),
            false => Err(Self::ImageDigest {
                expected: *expected,
                found: *found,
            }),
        }
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ImageDigest { expected, found } => write!(
                f,
                "the image has digest {found}, the signature block is for {expected}: sign again"
            ),
            Self::ImageDigest384 { expected, found } => write!(
                f,
                "the image has digest {found}, the signature block is for {expected}: sign again"
            ),
            Self::Scheme { version } => write!(
                f,
                "the signature block has version {version} and a layout that is neither RSA-3072 nor ECDSA P-192, P-256 or P-384"
            ),
            Self::Point => {
                f.write_str("the signature block's public key is no point on its curve: sign again")
            }
            Self::PublicKey(error) => error.fmt(f),
            Self::MontgomeryR => {
                f.write_str("the signature block's R does not belong to its modulus: sign again")
            }
            Self::MPrime { expected, found } => write!(
                f,
                "the signature block's M' is {found:#010x}, expected {expected:#010x}: sign again"
            ),
            Self::Signature => f.write_str("the image's signature does not verify"),
        }
    }
}

impl core::error::Error for VerifyError {}
