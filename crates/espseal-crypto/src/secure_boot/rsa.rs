//! The public RSA-3072 operation and the numbers derived from a public key.

use core::fmt;

use espseal_format::units::Digest;

use super::montgomery::{self, Modulus, Number};
use super::pss;
use crate::es256::BadSignature;

/// Bytes in a modulus, a signature and an encoded message.
pub const RSA_LEN: usize = 384;

/// A public RSA-3072 key that has the shape secure boot asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RsaPublicKey {
    modulus: Modulus,
    exponent: u32,
}

impl RsaPublicKey {
    /// Takes a modulus, big-endian, and a public exponent.
    ///
    /// # Errors
    /// [`InvalidRsaKey`] when the modulus is even or not exactly 3072 bits long, or the exponent is
    /// even or below 3 (RFC 8017 section 3.1).
    pub fn new(modulus: &[u8; RSA_LEN], exponent: u32) -> Result<Self, InvalidRsaKey> {
        Self::from_number(montgomery::from_be_bytes(modulus), exponent)
    }

    /// Takes a modulus as the arithmetic has it.
    pub(super) fn from_number(modulus: Number, exponent: u32) -> Result<Self, InvalidRsaKey> {
        let [.., high] = modulus;
        if high.leading_zeros() > 0 {
            return Err(InvalidRsaKey::ModulusTooShort);
        }
        let modulus = Modulus::new(modulus).ok_or(InvalidRsaKey::ModulusEven)?;
        if exponent < 3 || exponent & 1 == 0 {
            return Err(InvalidRsaKey::Exponent { found: exponent });
        }
        Ok(Self { modulus, exponent })
    }

    /// Returns the modulus `n`, big-endian.
    #[must_use]
    pub fn modulus(&self) -> [u8; RSA_LEN] {
        montgomery::to_be_bytes(self.modulus.number())
    }

    /// Returns the public exponent `e`.
    #[must_use]
    pub const fn exponent(&self) -> u32 {
        self.exponent
    }

    /// Returns `R = 2^6144 mod n`, big-endian: what the signature block stores reversed.
    #[must_use]
    pub fn montgomery_r(&self) -> [u8; RSA_LEN] {
        montgomery::to_be_bytes(&self.modulus.r_squared())
    }

    /// Returns `M' = -n^-1 mod 2^32`.
    #[must_use]
    pub const fn m_prime(&self) -> u32 {
        self.modulus.m_prime()
    }

    /// Checks a signature over an image with the given digest: RSASSA-PSS-VERIFY of RFC 8017
    /// section 8.1.2 with SHA-256, MGF1-SHA256 and a 32-byte salt.
    ///
    /// # Errors
    /// [`BadSignature`] when the signature is not below the modulus or does not verify.
    pub fn verify_pss(
        &self,
        image: &Digest,
        signature: &[u8; RSA_LEN],
    ) -> Result<(), BadSignature> {
        let signature = montgomery::from_be_bytes(signature);
        self.verify_number(image, &signature, &mut self.modulus.r_squared())
    }

    /// As [`verify_pss`](Self::verify_pss), with `R` at hand, which is used up.
    pub(super) fn verify_number(
        &self,
        image: &Digest,
        signature: &Number,
        r: &mut Number,
    ) -> Result<(), BadSignature> {
        if !self.modulus.exceeds(signature) {
            return Err(BadSignature);
        }
        pss::verify(image, self.public_operation(signature, r))
    }

    /// `R = 2^6144 mod n`.
    pub(super) fn r(&self) -> Number {
        self.modulus.r_squared()
    }

    /// RSAVP1 of RFC 8017 section 5.2.2: `signature^e mod n`, big-endian.
    ///
    /// Square and multiply from the left. The exponent is odd, so that the last step multiplies:
    /// with the signature itself instead of its Montgomery form, which divides the form out.
    #[inline(never)]
    fn public_operation(&self, signature: &Number, r: &mut Number) -> [u8; RSA_LEN] {
        let base = r;
        self.modulus.multiply(base, signature);
        let mut power = *base;
        for bit in (0..self.exponent.ilog2()).rev() {
            self.modulus.square(&mut power);
            if bit == 0 {
                self.modulus.multiply(&mut power, signature);
            } else if (self.exponent >> bit) & 1 == 1 {
                self.modulus.multiply(&mut power, base);
            }
        }
        montgomery::to_be_bytes(&power)
    }
}

/// A public key has not the shape that secure boot version 2 asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidRsaKey {
    /// The modulus has fewer than 3072 bits.
    ModulusTooShort,
    /// The modulus is even.
    ModulusEven,
    /// The public exponent is even or below 3.
    Exponent {
        /// The exponent found.
        found: u32,
    },
}

impl fmt::Display for InvalidRsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ModulusTooShort => {
                f.write_str("the RSA modulus has fewer than 3072 bits: use an RSA-3072 key")
            }
            Self::ModulusEven => f.write_str("the RSA modulus is even: the key is damaged"),
            Self::Exponent { found } => write!(
                f,
                "the RSA exponent is {found}, expected an odd number from 3: use a key with 65537"
            ),
        }
    }
}

impl core::error::Error for InvalidRsaKey {}
