//! Epoch keys: who may open the bodies of a group until the next epoch.
//!
//! The maker draws one epoch key (EK) for each product, group and epoch, wraps it once for each
//! device with HPKE (RFC 9180), and commits to it in the signed `releases` document, since HPKE's
//! base mode authenticates no sender. Each body's content key is wrapped once under a key-encryption
//! key (KEK) derived from EK, product, group, epoch and body digest.
//!
//! ```text
//! device key --HPKE--> EK --HKDF-Expand--> KEK --AES-KW--> content key
//! ```
//!
//! Suite: DHKEM(P-256, HKDF-SHA256) 0x0010, HKDF-SHA256 0x0001, AES-256-GCM 0x0002.
//!
//! Source: `docs/protocol.md`, "Key wraps" and "Releases".

use aes::cipher::consts::U32;
use aes_kw::KwAes256;
use aes_kw::cipher::KeyInit as _;
use espseal_format::sha256::Sha256;
use espseal_format::units::{Digest, Product, PublicKeyBytes};
use espseal_format::wrap::{BodyWrap, ShardEntry, epoch_commitment_prefix, kek_info};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::content::ContentKey;
use crate::hmac::hmac;

mod device;
mod hpke;

pub use device::{DevicePrivateKey, open};

/// Key of one product, group and epoch; opens every body wrapped in it.
#[derive(ZeroizeOnDrop)]
pub struct EpochKey([u8; 32]);

redacted_debug!(EpochKey);

impl EpochKey {
    /// Draws the key of a new epoch.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut key = Self([0; 32]);
        rng.fill_bytes(&mut key.0);
        key
    }

    /// Takes over a key from the maker's key store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the secret itself, for the maker's key store.
    #[must_use]
    pub const fn expose_secret(&self) -> &[u8; 32] {
        &self.0
    }

    /// Commits to the key:
    /// `SHA-256("espseal/v1/epoch-commit\0" || product || group || epoch || EK)`.
    #[must_use]
    pub fn commitment(&self, product: &Product, group: u32, epoch: u32) -> Digest {
        let prefix = epoch_commitment_prefix(product, group, epoch);
        Sha256::of(&[&prefix, &self.0])
    }

    /// Checks, in constant time, that the signed commitment names this key.
    ///
    /// # Errors
    /// [`EpochKeyMismatch`]: whoever wrapped the key is not the maker who signed the commitment.
    pub fn verify_commitment(
        &self,
        expected: &Digest,
        product: &Product,
        group: u32,
        epoch: u32,
    ) -> Result<(), EpochKeyMismatch> {
        let own = self.commitment(product, group, epoch);
        if own.0.ct_eq(&expected.0).into() {
            Ok(())
        } else {
            Err(EpochKeyMismatch)
        }
    }

    /// Wraps the key for one device.
    ///
    /// # Errors
    /// [`InvalidPublicKey`] when the device's key is not a point on the curve.
    pub fn wrap_for<R: CryptoRng + ?Sized>(
        &self,
        device: &PublicKeyBytes,
        product: &Product,
        group: u32,
        epoch: u32,
        rng: &mut R,
    ) -> Result<ShardEntry, InvalidPublicKey> {
        hpke::seal(self, device, product, group, epoch, rng)
    }

    /// Derives the key that wraps one body's content key.
    #[must_use]
    pub fn kek(&self, product: &Product, group: u32, epoch: u32, body: &Digest) -> Kek {
        Kek::derive(self, product, group, epoch, body)
    }
}

/// Key-encryption key of one body in one epoch.
#[derive(ZeroizeOnDrop)]
pub struct Kek([u8; 32]);

redacted_debug!(Kek);

impl Kek {
    /// `HKDF-Expand-SHA256(EK, "espseal/v1/kek\0" || product || group || epoch || body, 32)`.
    ///
    /// One block of output is `HMAC(EK, info || 0x01)` (RFC 5869 section 2.3).
    fn derive(key: &EpochKey, product: &Product, group: u32, epoch: u32, body: &Digest) -> Self {
        let info = kek_info(product, group, epoch, body);
        Self(*hmac(&key.0, &[&info, &[1]]))
    }

    /// Wraps a content key with AES-256-KW (RFC 3394 section 2.2.1).
    #[must_use]
    pub fn wrap(&self, key: &ContentKey) -> BodyWrap {
        let cipher = KwAes256::new((&self.0).into());
        BodyWrap(
            cipher
                .wrap_fixed_key::<U32>(key.expose_secret().into())
                .into(),
        )
    }

    /// Unwraps a content key (RFC 3394 section 2.2.2).
    ///
    /// # Errors
    /// [`UnwrapFailed`] when the integrity check value does not come out.
    pub fn unwrap_key(&self, wrap: &BodyWrap) -> Result<ContentKey, UnwrapFailed> {
        let mut key = Zeroizing::new([0; 32]);
        KwAes256::new((&self.0).into())
            .unwrap_key(&wrap.0, &mut *key)
            .map_err(|_| UnwrapFailed)?;
        Ok(ContentKey::from_bytes(*key))
    }
}

failure!(
    /// An epoch key is not the one that `releases` commits to.
    EpochKeyMismatch,
    "the epoch key is not the one the signed releases commit to"
);

failure!(
    /// A device's public key is not an uncompressed point on P-256.
    InvalidPublicKey,
    "the device's public key is not a point on P-256"
);

failure!(
    /// A wrapped epoch key is not for this device, product, group and epoch, or was changed.
    OpenFailed,
    "the wrapped epoch key does not open with this device's key"
);

failure!(
    /// A wrapped content key is not for this epoch and body, or was changed.
    UnwrapFailed,
    "the wrapped content key does not open with this epoch key"
);

#[cfg(test)]
mod tests;
