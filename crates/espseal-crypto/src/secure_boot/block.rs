//! Signature blocks: checking one, and building one around a signature.

use core::fmt;

use espseal_format::signature_block::{RsaParts, RsaSignatureBlock};
use espseal_format::units::Digest;

use super::{InvalidRsaKey, RSA_LEN, RsaPublicKey};
use crate::es256::BadSignature;

/// Checks a signature block against the digest of the image in front of it, and returns the
/// digest of its public key, to be looked up in eFuse.
///
/// `R` and `M'` are checked too: the chip computes with them, so a block whose signature is sound
/// but whose derived numbers are not would verify here and fail in the ROM. Magic and CRC were
/// checked when the block was parsed.
///
/// # Errors
/// [`VerifyError`]: the first check that fails.
pub fn verify_rsa(block: &RsaSignatureBlock, image: &Digest) -> Result<Digest, VerifyError> {
    if block.image_digest != image.0 {
        return Err(VerifyError::ImageDigest {
            expected: Digest(block.image_digest),
            found: *image,
        });
    }
    let key =
        RsaPublicKey::new(&reversed(&block.n), block.e.get()).map_err(VerifyError::PublicKey)?;
    if block.r != reversed(&key.montgomery_r()) {
        return Err(VerifyError::MontgomeryR);
    }
    if block.m_prime.get() != key.m_prime() {
        return Err(VerifyError::MPrime {
            expected: key.m_prime(),
            found: block.m_prime.get(),
        });
    }
    key.verify_pss(image, &reversed(&block.signature))
        .map_err(|BadSignature| VerifyError::Signature)?;
    Ok(block.key_digest())
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
    Ok(RsaSignatureBlock::new(&RsaParts {
        image_digest: *image,
        n: reversed(&key.modulus()),
        e: key.exponent(),
        r: reversed(&key.montgomery_r()),
        m_prime: key.m_prime(),
        signature: reversed(signature),
    }))
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

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ImageDigest { expected, found } => write!(
                f,
                "the image has digest {found}, the signature block is for {expected}: sign again"
            ),
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
