//! ECIES of ESP-IDF's `esp_encrypted_img`: a file sealed for one device.
//!
//! ```text
//! device scalar = PBKDF2-HMAC-SHA256(eFuse key of purpose HMAC_UP, fixed salt, 2048 rounds), big-endian
//! content key   = HKDF-SHA256(x of ephemeral * device, salt of the header, "_esp_enc_img_ecc")
//! body          = AES-256-GCM(content key, 16-byte IV), as in `content`
//! ```
//!
//! # Security notes
//!
//! * [`seal`] draws the ephemeral key, the salt and the IV for each file, so that no content key seals
//!   two bodies; the caller can give none of them.
//! * Anybody can seal for a public key. Only secure boot tells a device whose image it opened.
//! * `esp_encrypted_img` carries on with a content key of zeros when its scalar is outside `[1, n-1]`;
//!   hence such HMAC keys are refused here. One in 2^32 is.
//!
//! Source: idf-extra-components `esp_encrypted_img/src/esp_encrypted_img.c`,
//! `src/esp_encrypted_img_utilities.c`, `tools/esp_enc_img_gen.py`; RFC 5869, RFC 8018 section 5.2.

use core::fmt;

use espseal_format::enc_img::{EciesExchange, EncImgHeader};
use espseal_format::units::PublicKeyBytes;
use p256::elliptic_curve::point::AffineCoordinates as _;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::{PublicKey, SecretKey};
use rand_core::CryptoRng;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::content::{self, ContentKey};
use crate::es256::InvalidPrivateKey;
use crate::hmac::hmac;

/// Salt of PBKDF2, the same for every device.
#[doc(alias = "pbkdf2_salt")]
const DEVICE_SALT: [u8; 32] = [
    0x0e, 0x21, 0x60, 0x64, 0x2d, 0xae, 0x76, 0xd3, 0x34, 0x48, 0xe4, 0x3d, 0x77, 0x20, 0x12, 0x3d,
    0x9f, 0x3b, 0x1e, 0xce, 0xb8, 0x8e, 0x57, 0x3a, 0x4e, 0x8f, 0x7f, 0xb9, 0x4f, 0xf0, 0xc8, 0x69,
];
/// Rounds of PBKDF2.
#[doc(alias = "PBKDF2_ITERATIONS")]
const ROUNDS: u32 = 2048;
/// Info of HKDF, without a terminating zero.
const INFO: &[u8] = b"_esp_enc_img_ecc";

/// The HMAC key of one device, as it is burnt into an eFuse key block with purpose `HMAC_UP`.
#[derive(ZeroizeOnDrop)]
pub struct HmacKey([u8; 32]);

redacted_debug!(HmacKey);

impl HmacKey {
    /// Draws a key whose device scalar is in `[1, n-1]`.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        loop {
            let mut key = Self([0; 32]);
            rng.fill_bytes(&mut key.0);
            // Drawing a second time does not happen.
            if key.device_key().is_ok() {
                return key;
            }
        }
    }

    /// Takes the 32 bytes of a key file, as `espefuse burn-key` takes them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the secret itself, for the file that is burnt.
    #[must_use]
    pub const fn expose_secret(&self) -> &[u8; 32] {
        &self.0
    }

    /// Derives the private key that the device derives with its HMAC peripheral.
    ///
    /// # Errors
    /// [`InvalidPrivateKey`] when the scalar is not in `[1, n-1]`.
    pub fn device_key(&self) -> Result<DeviceKey, InvalidPrivateKey> {
        DeviceKey::from_bytes(&pbkdf2(&self.0))
    }
}

/// The private key of one device.
pub struct DeviceKey(SecretKey);

redacted_debug!(DeviceKey);

impl DeviceKey {
    /// Takes a scalar, big-endian.
    ///
    /// # Errors
    /// [`InvalidPrivateKey`] when the scalar is not in `[1, n-1]`.
    pub fn from_bytes(scalar: &[u8; 32]) -> Result<Self, InvalidPrivateKey> {
        SecretKey::from_bytes(scalar.into())
            .map(Self)
            .map_err(|_| InvalidPrivateKey)
    }

    /// Returns the public key that files are sealed for.
    #[must_use]
    pub fn public_key(&self) -> PublicKeyBytes {
        encode(&self.0.public_key())
    }

    /// Agrees with the sender of a file on its content key.
    ///
    /// # Errors
    /// [`InvalidPoint`] when the sender's ephemeral key is not on the curve.
    pub fn content_key(&self, exchange: &EciesExchange) -> Result<ContentKey, InvalidPoint> {
        let mut point = PublicKeyBytes([4; PublicKeyBytes::LEN]);
        let (_, coordinates) = point.0.split_at_mut(1);
        coordinates.copy_from_slice(&exchange.ephemeral);
        agree(&self.0, &point, &exchange.salt)
    }
}

/// The private key of one exchange, for opening once more what was sealed.
#[derive(ZeroizeOnDrop)]
pub struct EphemeralKey([u8; 32]);

redacted_debug!(EphemeralKey);

impl EphemeralKey {
    /// Returns the scalar, big-endian.
    #[must_use]
    pub const fn expose_secret(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Whether a point is one that [`seal`] takes: uncompressed, on the curve, not the identity.
#[must_use]
pub fn is_public_key(point: &PublicKeyBytes) -> bool {
    PublicKey::from_sec1_bytes(&point.0).is_ok()
}

/// Encrypts a body in place for one device and returns its header.
///
/// Ephemeral key, salt and IV are drawn here. The ephemeral key opens the body: it serves to open it
/// once for a check and is dropped then.
///
/// # Errors
/// [`SealError`]; the body is unchanged then.
pub fn seal<R: CryptoRng + ?Sized>(
    rng: &mut R,
    device: &PublicKeyBytes,
    body: &mut [u8],
) -> Result<(EncImgHeader, EphemeralKey), SealError> {
    let length = u32::try_from(body.len()).map_err(|_| SealError::TooLong)?;
    let ephemeral = draw(rng);
    let mut salt = [0; 32];
    rng.fill_bytes(&mut salt);
    let key = agree(&ephemeral, device, &salt).map_err(|_| SealError::PublicKey)?;
    let public = encode(&ephemeral.public_key());
    let (_, coordinates) = public.0.split_first().ok_or(SealError::PublicKey)?;
    let mut exchange = EciesExchange::new([0; 64], salt);
    exchange.ephemeral.copy_from_slice(coordinates);
    let sealed = content::seal_under(key, rng, body);
    let header = EncImgHeader::new(exchange.encode(), sealed.iv.0, length, sealed.tag.0);
    Ok((header, EphemeralKey(ephemeral.to_bytes().into())))
}

/// Draws a private key: candidates outside `[1, n-1]` are dropped (FIPS 186-5 appendix A.2.2).
fn draw<R: CryptoRng + ?Sized>(rng: &mut R) -> SecretKey {
    loop {
        let mut candidate = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *candidate);
        if let Ok(key) = SecretKey::from_bytes((&*candidate).into()) {
            return key;
        }
    }
}

/// ECDH, then HKDF: Extract is one HMAC under the salt, Expand one with the block number 1 behind its
/// info.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "a group has neither overflow nor division"
)]
fn agree(
    own: &SecretKey,
    peer: &PublicKeyBytes,
    salt: &[u8; 32],
) -> Result<ContentKey, InvalidPoint> {
    let peer = PublicKey::from_sec1_bytes(&peer.0).map_err(|_| InvalidPoint)?;
    let scalar = Zeroizing::new(own.to_nonzero_scalar());
    let product = (peer.to_projective() * **scalar).to_affine();
    let x = Zeroizing::new(<[u8; 32]>::from(product.x()));
    let extracted = hmac(salt, &[&*x]);
    Ok(ContentKey::from_bytes(*hmac(&extracted, &[INFO, &[1]])))
}

/// PBKDF2 for one block of output: `U1 ^ U2 ^ ...` with `U1 = HMAC(salt || 00000001)`.
fn pbkdf2(key: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    let mut round = hmac(key, &[&DEVICE_SALT, &1u32.to_be_bytes()]);
    let mut sum = Zeroizing::new(*round);
    for _ in 1..ROUNDS {
        round = hmac(key, &[&*round]);
        sum.iter_mut()
            .zip(round.iter())
            .for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

fn encode(key: &PublicKey) -> PublicKeyBytes {
    let mut bytes = PublicKeyBytes([0; PublicKeyBytes::LEN]);
    let point = key.to_sec1_point(false);
    bytes
        .0
        .iter_mut()
        .zip(point.as_bytes())
        .for_each(|(to, from)| *to = *from);
    bytes
}

failure!(
    /// The other side's public key is not a point on P-256.
    InvalidPoint,
    "the public key is not a point on P-256"
);

/// Why nothing was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// The device's public key is not an uncompressed point on the curve.
    PublicKey,
    /// The body has 4 GiB or more, which the header cannot say.
    TooLong,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PublicKey => "the device's public key is not an uncompressed point on P-256",
            Self::TooLong => {
                "the file has 4 GiB or more; expected one whose header can say its size"
            }
        })
    }
}

impl core::error::Error for SealError {}

#[cfg(test)]
mod tests;
