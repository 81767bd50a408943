//! A device's own keys: what opens firmware and what signs reports.
//!
//! With an HMAC peripheral both are derived from a 32-byte eFuse key; without one both private scalars stand in
//! encrypted flash, 64 bytes as `SoftwareDeviceKey::expose_secret` gives them. The public halves are
//! computed with aws-lc, which takes a hundredth of the time of the code that is small enough for a device.

use std::fmt;

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::hmac;
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_format::units::{DeviceId, PublicKeyBytes};
use zeroize::Zeroizing;

use super::error::MakeError;

/// Bytes of the keying material, and of an eFuse key of the HMAC peripheral.
pub const SEED_LEN: usize = 32;

/// A device's own keys. Prints the public halves only.
pub struct Identity {
    /// What the fleet knows the device by.
    pub id: DeviceId,
    /// The key that firmware is encrypted for.
    pub encryption: PublicKeyBytes,
    /// The key that its reports are verified with.
    pub report: PublicKeyBytes,
    secrets: Zeroizing<[u8; 64]>,
}

impl Identity {
    /// Derives the keys as a device does that has this key in its HMAC peripheral.
    ///
    /// # Errors
    /// [`MakeError::Keys`] never in practice.
    pub fn derive(hmac_key: &[u8; SEED_LEN]) -> Result<Self, MakeError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, hmac_key);
        let secrets = SoftwareDeviceKey::derive_secrets(|label| {
            let tag = hmac::sign(&key, label);
            <[u8; 32]>::try_from(tag.as_ref()).map_err(|_| MakeError::Keys)
        })?;
        let public = |scalar: &[u8]| {
            let key = PrivateKey::from_private_key(&ECDH_P256, scalar).ok()?;
            let public = key.compute_public_key().ok()?;
            public.as_ref().try_into().map(PublicKeyBytes).ok()
        };
        let (encryption, report) = secrets.split_at(32);
        let encryption = public(encryption).ok_or(MakeError::Keys)?;
        Ok(Self {
            id: DeviceId::of(&encryption),
            encryption,
            report: public(report).ok_or(MakeError::Keys)?,
            secrets,
        })
    }

    /// Both private scalars, for encrypted flash.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8; 64] {
        &self.secrets
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_that_the_device_derives() {
        for seed in 0..20 {
            let key = [seed; SEED_LEN];
            let identity = Identity::derive(&key).unwrap();
            let hmac = hmac::Key::new(hmac::HMAC_SHA256, &key);
            let device = SoftwareDeviceKey::derive(|label| {
                <[u8; 32]>::try_from(hmac::sign(&hmac, label).as_ref())
            })
            .unwrap();
            assert_eq!(identity.id, device.device_id());
            assert_eq!(&identity.encryption, device.public_key());
            assert_eq!(identity.report, device.report_key());
            assert_eq!(identity.expose_secret(), &*device.expose_secret());
            let kept = SoftwareDeviceKey::from_bytes(identity.expose_secret()).unwrap();
            assert_eq!(kept.device_id(), identity.id);
        }
    }
}
