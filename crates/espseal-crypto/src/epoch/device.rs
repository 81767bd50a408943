//! A device's own private key, the only key that opens its wrapped epoch keys.

use espseal_format::units::{DeviceId, Product, PublicKeyBytes};
use espseal_format::wrap::ShardEntry;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{EpochKey, OpenFailed, hpke};
use crate::es256::{self, InvalidPrivateKey};
use crate::nist_p256::SecretScalar;

/// Private HPKE key of a device; wiped when dropped.
pub struct DevicePrivateKey {
    secret: SecretScalar,
    public: PublicKeyBytes,
    id: DeviceId,
}

redacted_debug!(DevicePrivateKey);

impl DevicePrivateKey {
    /// Derives the key pair from keying material (RFC 9180 section 7.1.3, `DeriveKeyPair`).
    ///
    /// 32 bytes of full entropy, as section 7.1.3 asks for P-256: the output of the eFuse HMAC
    /// under a label of its own, or of a random number generator.
    #[must_use]
    pub fn from_ikm(ikm: &[u8; 32]) -> Self {
        Self::new(hpke::derive_key_pair(ikm))
    }

    /// Derives the private scalar alone, big-endian, for a maker who computes public keys faster.
    pub(crate) fn scalar_from_ikm(ikm: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(hpke::derive_key_pair(ikm).get().to_be_bytes())
    }

    /// Takes a private scalar, 32 bytes big-endian.
    ///
    /// # Errors
    /// [`InvalidPrivateKey`] when the scalar is not in `[1, n-1]`.
    pub fn from_bytes(scalar: &[u8; 32]) -> Result<Self, InvalidPrivateKey> {
        SecretScalar::from_be_bytes(scalar)
            .map(Self::new)
            .ok_or(InvalidPrivateKey)
    }

    /// Draws a key.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut ikm = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *ikm);
        Self::from_ikm(&ikm)
    }

    fn new(secret: SecretScalar) -> Self {
        let public = es256::public_key(&secret);
        Self {
            secret,
            id: DeviceId::of(&public),
            public,
        }
    }

    /// Returns the public half, which the maker enrols.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKeyBytes {
        &self.public
    }

    /// Returns the device's pseudonym, the hash of its public key.
    #[must_use]
    pub const fn device_id(&self) -> DeviceId {
        self.id
    }

    /// Returns the private scalar, for a key file.
    #[must_use]
    pub fn expose_secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.get().to_be_bytes())
    }

    pub(super) const fn secret(&self) -> &SecretScalar {
        &self.secret
    }
}

/// Opens this device's entry of an epoch shard.
///
/// The result comes from whoever knows the device's public key: check it with
/// [`EpochKey::verify_commitment`] before use.
///
/// # Errors
/// [`OpenFailed`] when the entry names another device, was made for another product, group or
/// epoch, or was changed.
pub fn open(
    private: &DevicePrivateKey,
    product: &Product,
    group: u32,
    epoch: u32,
    entry: &ShardEntry,
) -> Result<EpochKey, OpenFailed> {
    hpke::open(private, product, group, epoch, entry)
}
