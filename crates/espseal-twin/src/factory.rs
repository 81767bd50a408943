//! What a factory writes to flash and burns into eFuses.
//!
//! Flash encryption is applied as ESP-IDF defines it: bootloader, partition table, apps, otadata, NVS
//! keys and entries flagged `encrypted`; NVS never. Flash that holds nothing stays erased.
//! The eFuses are burnt in the order that locks nobody out too early; the download mode goes last.
//!
//! Source: ESP-IDF `docs/en/security/security-features-enablement-workflows.rst`, `flash_encrypt.c`.

mod burn;
mod check;
mod error;
mod locking;

use core::fmt;
use core::ops::Range;

use espseal_crypto::flash_encryption::{FlashCipher, FlashCryptConfig, FlashKey};
use espseal_crypto::secure_boot::v1::BootloaderKey;
use espseal_format::chip::ChipId;
use espseal_format::partition_table::{Entry, PartitionTable, TABLE_LEN};
use espseal_format::secure_boot_v1::{BOOTLOADER_DIGEST_LEN, IV_LEN};
use espseal_format::units::{Digest, FlashOffset, SECTOR_SIZE};

pub use error::FactoryError;
pub use locking::{FlashLock, Locking, SecureBootLock, Step, StepFailed, burnt_between};

use crate::efuse::{Efuses, Mac};

/// Everything a factory needs to make one device.
#[derive(Debug)]
pub struct FactoryPlan<'a> {
    /// The chip.
    pub chip: ChipId,
    /// Its factory MAC address.
    pub mac: Mac,
    /// Size of the flash chip in bytes.
    pub flash_size: usize,
    /// Bootloader, signed where secure boot is burnt.
    pub bootloader: &'a [u8],
    /// Where the bootloader expects the partition table.
    pub table_offset: FlashOffset,
    /// The partition table.
    pub table: &'a PartitionTable,
    /// What to write into partitions, by label: apps, and data already in its final form.
    pub contents: &'a [(&'a str, &'a [u8])],
    /// The locks to burn.
    pub security: Security<'a>,
}

/// How far a device is locked.
#[derive(Clone, Copy)]
pub enum Security<'a> {
    /// Nothing is burnt; flash is plain.
    Open,
    /// Whatever of secure boot and flash encryption is asked for: irreversible on a real chip.
    Locked(&'a Locking<'a>),
    /// Flash encryption and secure boot in release mode: irreversible on a real chip.
    Release {
        /// The flash encryption key: drawn for this device alone.
        flash_key: &'a FlashKey,
        /// Digests of one to three secure-boot keys; one on the ESP32.
        digests: &'a [Digest],
        /// Key of the HMAC engine, for devices that derive their own key from it.
        hmac_key: Option<&'a [u8; 32]>,
    },
}

impl Security<'_> {
    /// The cipher that flash is written with.
    fn cipher(&self) -> Option<FlashCipher> {
        match self {
            Self::Open => None,
            Self::Release { flash_key, .. } => {
                Some(FlashCipher::new(flash_key, FlashCryptConfig::DEFAULT))
            }
            Self::Locked(locking) => {
                let flash = locking.flash_encryption?;
                Some(FlashCipher::new(flash.key, flash.config))
            }
        }
    }
}

/// One device as it leaves the factory. Prints without its contents.
pub struct FactoryDevice {
    /// Contents of the whole flash chip.
    pub flash: Vec<u8>,
    /// The eFuses.
    pub efuses: Efuses,
}

impl FactoryPlan<'_> {
    /// Checks the plan, writes the flash and burns the eFuses.
    ///
    /// # Errors
    /// [`FactoryError`], before anything is made.
    pub fn build(&self) -> Result<FactoryDevice, FactoryError> {
        self.build_on(Efuses::as_shipped(self.chip, None, self.mac)?)
    }

    /// The same on a chip with these eFuses: of another revision, or with something burnt already.
    ///
    /// # Errors
    /// [`FactoryError`]; eFuses that a failed burn leaves behind are dropped.
    pub fn build_on(&self, mut efuses: Efuses) -> Result<FactoryDevice, FactoryError> {
        self.check()?;
        self.check_silicon(&efuses)?;
        let flash = self.write_flash()?;
        match self.security {
            Security::Locked(locking) => {
                locking.carry_out(&locking.steps(efuses.model()), &mut efuses)?;
            }
            _ => self.burn(&mut efuses)?,
        }
        Ok(FactoryDevice { flash, efuses })
    }

    /// Writes the flash, encrypted where the security asks for it.
    fn write_flash(&self) -> Result<Vec<u8>, FactoryError> {
        let Plaintext {
            mut flash,
            encrypted,
        } = self.write_plaintext()?;
        let Some(cipher) = self.security.cipher() else {
            return Ok(flash);
        };
        for stretch in encrypted {
            let offset = FlashOffset::new(u32::try_from(stretch.start).unwrap_or(u32::MAX));
            let part = flash.get_mut(stretch).unwrap_or_default();
            cipher
                .encrypt(offset, part)
                .map_err(|_| FactoryError::Misaligned { offset })?;
        }
        Ok(flash)
    }

    /// Checks the plan, and returns what the flash holds before anything is encrypted: what all devices of a
    /// product share.
    ///
    /// # Errors
    /// [`FactoryError`].
    pub fn plaintext(&self) -> Result<Plaintext, FactoryError> {
        self.check()?;
        self.write_plaintext()
    }

    fn write_plaintext(&self) -> Result<Plaintext, FactoryError> {
        let mut plain = Plaintext {
            flash: vec![0xFF; self.flash_size],
            encrypted: Vec::new(),
        };
        let model = self.model()?;
        plain.place(model.bootloader_offset, self.bootloader, true)?;
        let mut table = [0xFF; TABLE_LEN];
        self.table
            .encode(&mut table)
            .map_err(|_| FactoryError::TableFull)?;
        plain.place(self.table_offset, &table, true)?;
        if let Some(otadata) = self.table.otadata() {
            // Encrypted blank, not erased: erased flash would read as noise.
            plain.place(otadata.offset, &[0xFF; 2 * SECTOR_SIZE], true)?;
        }
        if let Some(digest) = self.bootloader_digest()? {
            plain.place(FlashOffset::new(0), &digest, true)?;
        }
        for (label, bytes) in self.contents {
            let entry = self.entry(label)?;
            plain.place(entry.offset, bytes, entry.is_encrypted())?;
        }
        Ok(plain)
    }

    /// What secure boot v1 keeps at the start of flash.
    fn bootloader_digest(&self) -> Result<Option<[u8; BOOTLOADER_DIGEST_LEN]>, FactoryError> {
        let Security::Locked(Locking {
            secure_boot: Some(SecureBootLock::V1(key)),
            ..
        }) = self.security
        else {
            return Ok(None);
        };
        let key = BootloaderKey::from_file(key).map_err(|_| FactoryError::BootloaderKey)?;
        let mut iv = [0; IV_LEN];
        getrandom::fill(&mut iv).map_err(|_| FactoryError::NoRandomness)?;
        Ok(Some(key.digest(&iv, self.bootloader).encode()))
    }

    fn entry(&self, label: &str) -> Result<&Entry, FactoryError> {
        let missing = || FactoryError::NoSuchPartition {
            label: label.into(),
        };
        self.table.find_by_name(label).ok_or_else(missing)
    }
}

impl fmt::Debug for Security<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("Open"),
            Self::Release { .. } => f.write_str("Release"),
            Self::Locked(locking) => locking.fmt(f),
        }
    }
}

impl fmt::Debug for FactoryDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FactoryDevice")
            .field("efuses", &self.efuses)
            .finish_non_exhaustive()
    }
}

/// What a flash chip holds before encryption, and which stretches of it are to be encrypted: whole sectors,
/// in ascending order, none next to another.
#[derive(Clone)]
pub struct Plaintext {
    /// Contents of the whole flash chip.
    pub flash: Vec<u8>,
    /// Where it is to be encrypted.
    pub encrypted: Vec<Range<usize>>,
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plaintext")
            .field("encrypted", &self.encrypted)
            .finish_non_exhaustive()
    }
}

impl Plaintext {
    /// Writes bytes, padded with 0xFF to a whole sector.
    fn place(
        &mut self,
        offset: FlashOffset,
        bytes: &[u8],
        encrypted: bool,
    ) -> Result<(), FactoryError> {
        let length = bytes.len().next_multiple_of(SECTOR_SIZE);
        let size = self.flash.len();
        let beyond = FactoryError::BeyondFlash {
            name: "contents".into(),
            end: u64::from(offset.get()) + length as u64,
            size,
        };
        let range = usize::try_from(offset.get())
            .ok()
            .and_then(|start| Some(start..start.checked_add(length)?));
        let Some((range, target)) =
            range.and_then(|range| Some((range.clone(), self.flash.get_mut(range)?)))
        else {
            return Err(beyond);
        };
        let (start, rest) = target.split_at_mut(bytes.len());
        start.copy_from_slice(bytes);
        rest.fill(0xFF);
        if encrypted && !range.is_empty() {
            self.mark(range);
        }
        Ok(())
    }

    /// Adds a stretch, joined with those that it touches.
    fn mark(&mut self, new: Range<usize>) {
        let (touching, mut apart): (Vec<_>, Vec<_>) = self
            .encrypted
            .drain(..)
            .partition(|old| old.start <= new.end && new.start <= old.end);
        let joined = touching.into_iter().fold(new, |new, old| {
            new.start.min(old.start)..new.end.max(old.end)
        });
        apart.push(joined);
        apart.sort_by_key(|range| range.start);
        self.encrypted = apart;
    }
}
