//! The public RSA-3072 operation and the numbers derived from a public key.

use core::fmt;

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U3072};
use espseal_format::units::Digest;

use super::pss;
use crate::es256::BadSignature;

/// Bytes in a modulus, a signature and an encoded message.
pub const RSA_LEN: usize = 384;

type Modulus = Odd<U3072>;
type Params = FixedMontyParams<{ U3072::LIMBS }>;
type Residue = FixedMontyForm<{ U3072::LIMBS }>;

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
        let [first, ..] = *modulus;
        if first & 0x80 == 0 {
            return Err(InvalidRsaKey::ModulusTooShort);
        }
        let odd = Odd::new(U3072::from_be_slice(modulus)).into_option();
        let modulus = odd.ok_or(InvalidRsaKey::ModulusEven)?;
        if exponent < 3 || exponent & 1 == 0 {
            return Err(InvalidRsaKey::Exponent { found: exponent });
        }
        Ok(Self { modulus, exponent })
    }

    /// Returns the modulus `n`, big-endian.
    #[must_use]
    pub fn modulus(&self) -> [u8; RSA_LEN] {
        to_be_bytes(self.modulus.as_ref())
    }

    /// Returns the public exponent `e`.
    #[must_use]
    pub const fn exponent(&self) -> u32 {
        self.exponent
    }

    /// Returns `R = 2^6144 mod n`, big-endian: what the signature block stores reversed.
    #[must_use]
    pub fn montgomery_r(&self) -> [u8; RSA_LEN] {
        to_be_bytes(Params::new_vartime(self.modulus).r2())
    }

    /// Returns `M' = -n^-1 mod 2^32`.
    #[must_use]
    pub fn m_prime(&self) -> u32 {
        let [.., a, b, c, d] = self.modulus();
        let low = u32::from_be_bytes([a, b, c, d]);
        // Newton: each step doubles the number of correct low bits, from the 3 of n * n = 1 mod 8.
        let inverse = (0..4).fold(low, |inverse: u32, _| {
            inverse.wrapping_mul(2_u32.wrapping_sub(low.wrapping_mul(inverse)))
        });
        inverse.wrapping_neg()
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
        let signature = U3072::from_be_slice(signature);
        if signature >= *self.modulus.as_ref() {
            return Err(BadSignature);
        }
        let encoded = self.public_operation(&signature);
        pss::verify(image, &to_be_bytes(&encoded))
    }

    /// RSAVP1 of RFC 8017 section 5.2.2: `signature^e mod n`.
    ///
    /// Square and multiply from the left: a window would cost a device 6 KB of stack and save
    /// nothing for 65537. Variable time: everything here is public.
    fn public_operation(&self, signature: &U3072) -> U3072 {
        let params = Params::new_vartime(self.modulus);
        let base = Residue::new(signature, &params);
        let mut power = base;
        for bit in (0..self.exponent.ilog2()).rev() {
            power = power.square();
            if (self.exponent >> bit) & 1 == 1 {
                power = power.mul(&base);
            }
        }
        power.retrieve()
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

/// Writes a number big-endian.
fn to_be_bytes(number: &U3072) -> [u8; RSA_LEN] {
    let mut bytes = [0; RSA_LEN];
    let limbs = number.as_limbs().iter().rev();
    let (places, _) = bytes.as_chunks_mut::<{ RSA_LEN / U3072::LIMBS }>();
    for (place, limb) in places.iter_mut().zip(limbs) {
        *place = limb.0.to_be_bytes();
    }
    bytes
}
