//! What burnt eFuses mean: which keys are in force and what is locked.

use espseal_crypto::flash_encryption::{FlashCryptConfig, FlashKey};
use espseal_format::chip::{SchemeId, SecureBootScheme};
use espseal_format::efuse::{KeyPurpose, KeyRole};
use espseal_format::units::{Digest, SecurityVersion};
use zeroize::Zeroizing;

use super::{BLOCK_SIZE, EfuseError, Efuses};

/// State of flash encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashEncryption {
    /// An even number of bits is set: flash is read and written as it is.
    Off,
    /// On, but it can still be turned off or used through the download mode.
    Development,
    /// On for ever.
    Release,
}

/// What the UART download mode of the ROM still offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownloadMode {
    /// Everything.
    Open,
    /// Flash can be rewritten, nothing can be read out or run.
    Secure,
    /// Nothing.
    Off,
}

/// State of the JTAG port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jtag {
    /// A debugger can attach.
    Open,
    /// Disabled until software opens it with the HMAC key.
    SoftOff,
    /// Disabled for ever.
    Off,
}

impl Efuses {
    /// State of flash encryption.
    #[must_use]
    pub fn flash_encryption(&self) -> FlashEncryption {
        let field = &self.map().flash_crypt_cnt;
        let count = self.get(field);
        if count.count_ones().is_multiple_of(2) {
            return FlashEncryption::Off;
        }
        let full = count.count_ones() == u32::from(field.width);
        if full || field.write_protect.is_some_and(|bit| self.is_wr_dis(bit)) {
            FlashEncryption::Release
        } else {
            FlashEncryption::Development
        }
    }

    /// The flash encryption key as the hardware sees it, in key-file order; `None` when no block
    /// holds one. XTS-AES-256 needs both its blocks and goes before XTS-AES-128.
    ///
    /// This is the silicon's view: no software on the device can call it.
    #[must_use]
    pub fn flash_key(&self) -> Option<FlashKey> {
        let keys = self.map().keys;
        let of_purpose = |purpose| {
            let mut able = keys.iter().filter_map(|entry| match entry.role {
                KeyRole::Purpose(field) if self.purpose(&field) == purpose => {
                    Some(usize::from(entry.key.block))
                }
                _ => None,
            });
            able.next().map(|block| Zeroizing::new(self.silicon(block)))
        };
        let fixed = keys.iter().find_map(|entry| {
            let block = Zeroizing::new(self.silicon(usize::from(entry.key.block)));
            let (scheme, size) = match entry.role {
                KeyRole::FlashEncryption => (SchemeId::Esp32Aes, self.coding_scheme().data_size()),
                KeyRole::Shared { whole } if self.get(&whole) == 1 => (SchemeId::XtsAes128, 32),
                KeyRole::Shared { .. } => (SchemeId::XtsAes128, 16),
                _ => return None,
            };
            FlashKey::from_efuse(scheme, block.get(..size)?).ok()
        });
        let first = of_purpose(KeyPurpose::XtsAes256Key1);
        let second = of_purpose(KeyPurpose::XtsAes256Key2);
        if let (Some(first), Some(second)) = (first, second) {
            let both = Zeroizing::new([*first, *second]);
            return FlashKey::from_efuse(SchemeId::XtsAes256, both.as_flattened()).ok();
        }
        let single = of_purpose(KeyPurpose::XtsAes128Key);
        fixed.or_else(|| FlashKey::from_efuse(SchemeId::XtsAes128, &single?[..]).ok())
    }

    /// Which address bits tweak the ESP32's key.
    #[must_use]
    pub fn flash_crypt_config(&self) -> FlashCryptConfig {
        let field = self.map().field("FLASH_CRYPT_CONFIG");
        let value = field.and_then(|field| u8::try_from(self.get(field)).ok());
        value
            .and_then(FlashCryptConfig::new)
            .unwrap_or(FlashCryptConfig::DEFAULT)
    }

    /// The secure boot schemes that are turned on and that this silicon has.
    ///
    /// Chips with RSA and ECDSA have one eFuse for both: the signature block says which one counts.
    pub fn secure_boot_schemes(&self) -> impl Iterator<Item = SecureBootScheme> {
        let revision = self.revision();
        let enabled = self.map().secure_boot_enable.iter();
        enabled
            .filter(|(_, field)| self.get(field) == 1)
            .map(|(scheme, _)| *scheme)
            .filter(move |scheme| self.model.boots_with(*scheme, revision))
    }

    /// Whether the ROM verifies the bootloader's signature, with secure boot v2.
    #[must_use]
    pub fn secure_boot_enabled(&self) -> bool {
        self.secure_boot_schemes()
            .any(|scheme| scheme != SecureBootScheme::V1)
    }

    /// Turns secure boot on, for ever.
    ///
    /// # Errors
    /// [`EfuseError::NoSecureBoot`] when the silicon does not have the scheme; as [`Efuses::burn`].
    pub fn enable_secure_boot(&mut self, scheme: SecureBootScheme) -> Result<(), EfuseError> {
        let revision = self.revision();
        let mut schemes = self.map().secure_boot_enable.iter();
        let field = schemes
            .find(|row| row.0 == scheme)
            .filter(|_| self.model.boots_with(scheme, revision))
            .map(|row| row.1)
            .ok_or(EfuseError::NoSecureBoot {
                chip: self.chip(),
                revision,
                scheme,
            })?;
        self.set(&field, 1)
    }

    /// Key of secure boot v1, in the order of its key file; `None` on chips without it.
    ///
    /// This is the silicon's view: no software on the device can call it.
    #[must_use]
    pub fn secure_boot_v1_key(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.map().purpose_number(KeyPurpose::SecureBootV1)?;
        let mut keys = self.map().keys.iter();
        let entry = keys.find(|entry| entry.role == KeyRole::SecureBoot)?;
        let block = Zeroizing::new(self.silicon(usize::from(entry.key.block)));
        let stored = block.get(..self.coding_scheme().data_size())?;
        Some(Zeroizing::new(stored.iter().rev().copied().collect()))
    }

    /// Digest of the secure boot v2 key in each slot; `None` when the slot is empty, revoked or does
    /// not exist.
    ///
    /// An ESP32-C2 holds the first 16 bytes only, the others are zero here: [`Efuses::trusted_slot`]
    /// compares as the chip does.
    #[must_use]
    pub fn secure_boot_digests(&self) -> [Option<Digest>; 3] {
        [0, 1, 2].map(|slot| {
            let mut digest = [0; BLOCK_SIZE];
            let mut keys = self.map().keys.iter();
            let (block, offset) = keys.find_map(|entry| {
                let offset = match entry.role {
                    KeyRole::SecureBoot if slot == 0 => 0,
                    KeyRole::Shared { .. } if slot == 0 => 16,
                    KeyRole::Purpose(field) if self.purpose(&field).digest_slot() == Some(slot) => {
                        0
                    }
                    _ => return None,
                };
                Some((self.read_block(usize::from(entry.key.block)), offset))
            })?;
            digest
                .iter_mut()
                .zip(block.iter().skip(offset))
                .for_each(|(to, from)| *to = *from);
            (!self.is_revoked(slot) && digest != [0; BLOCK_SIZE]).then_some(Digest(digest))
        })
    }

    /// The slot that holds this key digest and is not revoked.
    #[must_use]
    pub fn trusted_slot(&self, digest: &Digest) -> Option<usize> {
        let length = match self.holds_half_digests() {
            true => BLOCK_SIZE / 2,
            false => BLOCK_SIZE,
        };
        self.secure_boot_digests().iter().position(|burnt| {
            burnt.is_some_and(|burnt| burnt.0.get(..length) == digest.0.get(..length))
        })
    }

    /// Whether there is room for the first half of a digest only, as on the ESP32-C2.
    #[must_use]
    pub fn holds_half_digests(&self) -> bool {
        let mut keys = self.map().keys.iter();
        keys.any(|entry| matches!(entry.role, KeyRole::Shared { .. }))
    }

    /// Whether the key of a digest slot is revoked.
    #[must_use]
    pub fn is_revoked(&self, slot: usize) -> bool {
        self.map()
            .key_revoke
            .get(slot)
            .is_some_and(|field| self.get(field) == 1)
    }

    /// Whether the ROM revokes a key as soon as verification with it fails.
    #[must_use]
    pub fn revokes_aggressively(&self) -> bool {
        let field = self.map().aggressive_revoke;
        field.is_some_and(|field| self.get(&field) == 1)
    }

    /// Whether the ROM takes SHA-384 of what is signed, for ECDSA P-384.
    #[must_use]
    pub fn signs_sha384(&self) -> bool {
        let field = self.map().secure_boot_sha384;
        field.is_some_and(|field| self.get(&field) == 1)
    }

    /// Whether an image's highest chip revision does not matter; the ESP32 has no such field.
    #[must_use]
    pub fn allows_any_revision(&self) -> bool {
        self.read("DISABLE_WAFER_VERSION_MAJOR").unwrap_or(0) != 0
    }

    /// Whether an image's highest version of the eFuse blocks does not matter; the ESP32 has no such
    /// field.
    #[must_use]
    pub fn allows_any_block_version(&self) -> bool {
        self.read("DISABLE_BLK_VERSION_MAJOR").unwrap_or(0) != 0
    }

    /// Revokes one digest slot; nothing happens on chips that cannot.
    ///
    /// # Errors
    /// As [`Efuses::burn`].
    pub fn revoke(&mut self, slot: usize) -> Result<(), EfuseError> {
        match self.map().key_revoke.get(slot) {
            Some(field) => self.set(field, 1),
            None => Ok(()),
        }
    }

    /// Revokes the digest slots from this one on, so that nobody else's key gets in.
    ///
    /// # Errors
    /// As [`Efuses::burn`].
    pub fn revoke_from(&mut self, slot: usize) -> Result<(), EfuseError> {
        (slot..self.map().key_revoke.len()).try_for_each(|slot| self.revoke(slot))
    }

    /// Anti-rollback counter: the number of bits burnt.
    #[must_use]
    pub fn secure_version(&self) -> SecurityVersion {
        SecurityVersion::new(self.get(&self.map().secure_version).count_ones())
    }

    /// Raises the anti-rollback counter, never lowers it.
    ///
    /// # Errors
    /// [`EfuseError::TooWide`] when the field has fewer bits, and as [`Efuses::burn`].
    pub fn raise_secure_version(&mut self, version: SecurityVersion) -> Result<(), EfuseError> {
        let field = self.map().secure_version;
        let (width, wanted) = (u32::from(field.width), version.get());
        if wanted > width {
            let value = u64::from(wanted);
            return Err(EfuseError::TooWide {
                field: field.name,
                width: field.width,
                value,
            });
        }
        if self.secure_version() >= version {
            return Ok(());
        }
        // As ESP-IDF does it: the lowest bits, so the field reads as (1 << version) - 1.
        self.set(&field, (1_u64 << wanted).wrapping_sub(1))
    }

    /// What the UART download mode still offers.
    #[must_use]
    pub fn download_mode(&self) -> DownloadMode {
        let locks = &self.model.locks;
        if self.is_set(locks.download_off) {
            DownloadMode::Off
        } else if locks.download_secure.is_some_and(|name| self.is_set(name)) {
            DownloadMode::Secure
        } else {
            DownloadMode::Open
        }
    }

    /// State of the JTAG port.
    #[must_use]
    pub fn jtag(&self) -> Jtag {
        let locks = &self.model.locks;
        let soft = locks.jtag_soft.and_then(|name| self.read(name).ok());
        if locks.jtag.iter().all(|name| self.is_set(name)) {
            Jtag::Off
        } else if soft.is_some_and(|bits| bits.count_ones() % 2 == 1) {
            Jtag::SoftOff
        } else {
            Jtag::Open
        }
    }

    fn is_set(&self, name: &str) -> bool {
        self.read(name).is_ok_and(|value| value != 0)
    }
}
