//! Both private keys of a device in software: for opening epoch keys and for signing reports.
//!
//! The keys are independent, so that a report can never be taken for anything else. They come from
//! a random number generator and are kept in encrypted flash, or they are derived at each start
//! from the eFuse HMAC key, under one label each.

use core::fmt;

use espseal_format::units::{DeviceId, Digest, Product, PublicKeyBytes};
use espseal_format::wrap::ShardEntry;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::epoch::{self, DevicePrivateKey, EpochKey, OpenFailed};
use crate::es256::{InvalidPrivateKey, SIGNATURE_LEN, SigningFailed, SigningKey};

/// Message for the HMAC peripheral that gives the keying material of the epoch-opening key.
const EPOCH_LABEL: &[u8] = b"espseal/v1/device-epoch-key\0";
/// Message for the HMAC peripheral that gives the keying material of the report-signing key.
const REPORT_LABEL: &[u8] = b"espseal/v1/device-report-key\0";

/// Private keys of a device, held in memory.
#[derive(Debug)]
pub struct SoftwareDeviceKey {
    epoch: DevicePrivateKey,
    report: SigningKey,
}

impl SoftwareDeviceKey {
    /// Draws both keys.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self {
            epoch: DevicePrivateKey::generate(rng),
            report: SigningKey::generate(rng),
        }
    }

    /// Derives both keys from HMAC-SHA256 under an eFuse key that software cannot read.
    ///
    /// Each output of `hmac` goes through `DeriveKeyPair` (RFC 9180 section 7.1.3).
    ///
    /// # Errors
    /// [`DeriveError::Hmac`] when `hmac` fails; [`DeriveError::Degenerate`] never in practice.
    pub fn derive<E>(
        mut hmac: impl FnMut(&[u8]) -> Result<[u8; 32], E>,
    ) -> Result<Self, DeriveError<E>> {
        let mut derive = |label| {
            let ikm = Zeroizing::new(hmac(label).map_err(DeriveError::Hmac)?);
            Ok(DevicePrivateKey::from_ikm(&ikm))
        };
        let epoch = derive(EPOCH_LABEL)?;
        let report = derive(REPORT_LABEL)?.expose_secret();
        let report = SigningKey::from_bytes(&report).map_err(|_| DeriveError::Degenerate)?;
        Ok(Self { epoch, report })
    }

    /// Derives what [`expose_secret`](Self::expose_secret) gives for [`derive`](Self::derive), without
    /// the public halves: a factory computes those for thousands of devices with a faster library.
    ///
    /// # Errors
    /// What `hmac` fails with.
    pub fn derive_secrets<E>(
        mut hmac: impl FnMut(&[u8]) -> Result<[u8; 32], E>,
    ) -> Result<Zeroizing<[u8; 64]>, E> {
        let mut bytes = Zeroizing::new([0; 64]);
        let (places, _) = bytes.as_chunks_mut::<32>();
        for (place, label) in places.iter_mut().zip([EPOCH_LABEL, REPORT_LABEL]) {
            let ikm = Zeroizing::new(hmac(label)?);
            *place = *DevicePrivateKey::scalar_from_ikm(&ikm);
        }
        Ok(bytes)
    }

    /// Takes the two private scalars as [`expose_secret`](Self::expose_secret) gives them.
    ///
    /// # Errors
    /// [`InvalidPrivateKey`] when a scalar is not in `[1, n-1]`.
    pub fn from_bytes(bytes: &[u8; 64]) -> Result<Self, InvalidPrivateKey> {
        let ([epoch, report], _) = bytes.as_chunks::<32>() else {
            return Err(InvalidPrivateKey);
        };
        Ok(Self {
            epoch: DevicePrivateKey::from_bytes(epoch)?,
            report: SigningKey::from_bytes(report)?,
        })
    }

    /// Returns both private scalars, epoch-opening key first, for encrypted flash.
    #[must_use]
    pub fn expose_secret(&self) -> Zeroizing<[u8; 64]> {
        let mut bytes = Zeroizing::new([0; 64]);
        let (epoch, report) = (self.epoch.expose_secret(), self.report.expose_secret());
        let both = epoch.iter().chain(report.iter());
        bytes
            .iter_mut()
            .zip(both)
            .for_each(|(to, from)| *to = *from);
        bytes
    }

    /// Returns the device's pseudonym.
    #[must_use]
    pub const fn device_id(&self) -> DeviceId {
        self.epoch.device_id()
    }

    /// Returns the public key that epoch keys are wrapped for.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKeyBytes {
        self.epoch.public_key()
    }

    /// Returns the public key that verifies reports.
    #[must_use]
    pub fn report_key(&self) -> PublicKeyBytes {
        self.report.public_key()
    }

    /// Opens this device's entry of an epoch shard, as [`epoch::open`].
    ///
    /// # Errors
    /// [`OpenFailed`] when the entry is not for this device, product, group and epoch.
    pub fn open_epoch_key(
        &self,
        product: &Product,
        group: u32,
        epoch: u32,
        entry: &ShardEntry,
    ) -> Result<EpochKey, OpenFailed> {
        epoch::open(&self.epoch, product, group, epoch, entry)
    }

    /// Signs the digest of a report.
    ///
    /// # Errors
    /// [`SigningFailed`] never in practice.
    pub fn sign_report(&self, digest: &Digest) -> Result<[u8; SIGNATURE_LEN], SigningFailed> {
        self.report.sign_prehash(digest)
    }
}

/// Why a device's keys could not be derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeriveError<E> {
    /// The HMAC peripheral failed.
    Hmac(E),
    /// The keying material gave no key.
    Degenerate,
}

impl<E: fmt::Display> fmt::Display for DeriveError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hmac(error) => write!(f, "the HMAC peripheral failed: {error}"),
            Self::Degenerate => f.write_str("the HMAC output gives no private key"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for DeriveError<E> {}

#[cfg(test)]
mod tests;
