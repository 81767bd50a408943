//! The device's own keys, wherever they are kept: eFuse HMAC, encrypted flash, secure element.

use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_crypto::epoch::{EpochKey, OpenFailed};
use espseal_crypto::es256::SigningFailed;
use espseal_format::units::{DeviceId, Digest, KeyId, Product};
use espseal_format::wrap::ShardEntry;

/// Use of the device's private keys, without access to them.
pub trait DeviceKey {
    /// Names the device: SHA-256 of the public half of the key that opens shards.
    fn device_id(&self) -> DeviceId;

    /// Opens this device's entry of an epoch shard.
    ///
    /// # Errors
    /// [`OpenFailed`] when the entry was not made for this key, product, group and epoch.
    fn open_epoch_key(
        &mut self,
        product: &Product,
        group: u32,
        epoch: u32,
        entry: &ShardEntry,
    ) -> Result<EpochKey, OpenFailed>;

    /// Names the report key, which is another key than the one that opens shards.
    fn report_key_id(&self) -> KeyId;

    /// Signs the digest of a report (ES256, `r || s`) with the report key.
    ///
    /// # Errors
    /// [`SigningFailed`] when the key hardware does not answer.
    fn sign_report(&mut self, digest: &Digest) -> Result<[u8; 64], SigningFailed>;
}

impl DeviceKey for SoftwareDeviceKey {
    fn device_id(&self) -> DeviceId {
        self.device_id()
    }

    fn open_epoch_key(
        &mut self,
        product: &Product,
        group: u32,
        epoch: u32,
        entry: &ShardEntry,
    ) -> Result<EpochKey, OpenFailed> {
        Self::open_epoch_key(self, product, group, epoch, entry)
    }

    fn report_key_id(&self) -> KeyId {
        KeyId::of(&self.report_key())
    }

    fn sign_report(&mut self, digest: &Digest) -> Result<[u8; 64], SigningFailed> {
        Self::sign_report(self, digest)
    }
}

impl<K: DeviceKey + ?Sized> DeviceKey for &mut K {
    fn device_id(&self) -> DeviceId {
        (**self).device_id()
    }

    fn open_epoch_key(
        &mut self,
        product: &Product,
        group: u32,
        epoch: u32,
        entry: &ShardEntry,
    ) -> Result<EpochKey, OpenFailed> {
        (**self).open_epoch_key(product, group, epoch, entry)
    }

    fn report_key_id(&self) -> KeyId {
        (**self).report_key_id()
    }

    fn sign_report(&mut self, digest: &Digest) -> Result<[u8; 64], SigningFailed> {
        (**self).sign_report(digest)
    }
}
