//! What burnt eFuses mean: which keys are in force and what is locked.

use core::fmt;

use espseal_crypto::flash_encryption::{FlashCryptConfig, FlashKey};
use espseal_format::chip::ChipId;
use espseal_format::units::{Digest, SecurityVersion};

use espseal_format::chip::{SchemeId, SecureBootScheme};
use espseal_format::efuse::{Field, KeyPurpose, KeyRole};

use super::{BLOCK_SIZE, EfuseError, Efuses, KeyUse, put};

/// Factory MAC address, most significant byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// CRC-8 as the ESP32 stores it next to the address: Dallas/Maxim, polynomial 0x31 reflected.
    ///
    /// Source: ESP32 technical reference manual, eFuse controller.
    #[must_use]
    pub fn crc8(self) -> u8 {
        self.0.iter().fold(0, |crc, byte| {
            (0..8).fold(crc ^ byte, |crc, _| {
                (crc >> 1) ^ if crc & 1 == 1 { 0x8C } else { 0 }
            })
        })
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

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
    /// Disabled for ever.
    Off,
}

impl Efuses {
    /// Makes the eFuses of a chip as it leaves Espressif: silicon revision and MAC address burnt.
    ///
    /// ESP32 is revision 3.0, ESP32-C3 revision 0.4.
    ///
    /// # Errors
    /// [`EfuseError::UnknownChip`].
    pub fn as_shipped(chip: ChipId, mac: Mac) -> Result<Self, EfuseError> {
        let mut efuses = Self::blank(chip)?;
        let map = efuses.map();
        let address = mac
            .0
            .iter()
            .fold(0, |address, byte| address << 8 | u64::from(*byte));
        let crc = map
            .field("MAC_CRC")
            .map(|field| (field, u64::from(mac.crc8())));
        let shipped = efuses.model.locks.shipped.iter();
        let revision = shipped.filter_map(|(name, value)| Some((map.field(name)?, *value)));
        let mut blocks = efuses.blocks.clone();
        for (field, value) in [(&map.mac, address)].into_iter().chain(crc).chain(revision) {
            if let Some(block) = blocks.get_mut(usize::from(field.block)) {
                put(field, block, value)?;
            }
        }
        efuses.blocks = blocks;
        Ok(efuses)
    }

    /// The factory MAC address.
    #[must_use]
    pub fn mac(&self) -> Mac {
        let [_, _, mac @ ..] = self.get(&self.map().mac).to_be_bytes();
        Mac(mac)
    }

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
    /// holds one.
    ///
    /// This is the silicon's view: no software on the device can call it.
    #[must_use]
    pub fn flash_key(&self) -> Option<FlashKey> {
        let mut keys = self.map().keys.iter();
        let (scheme, block) = keys.find_map(|block| match block.role {
            KeyRole::FlashEncryption => Some((SchemeId::Esp32Aes, block)),
            KeyRole::Purpose(field) if self.purpose(&field) == KeyPurpose::XtsAes128Key => {
                Some((SchemeId::XtsAes128, block))
            }
            _ => None,
        })?;
        FlashKey::from_efuse(scheme, &self.silicon(usize::from(block.key.block))).ok()
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

    /// Whether the ROM verifies the bootloader's signature.
    #[must_use]
    pub fn secure_boot_enabled(&self) -> bool {
        let mut schemes = self.map().secure_boot_enable.iter();
        schemes.any(|(scheme, field)| *scheme == SecureBootScheme::V2Rsa && self.get(field) == 1)
    }

    /// Digest of the secure-boot key in each slot; `None` when the slot is empty, revoked or does not exist.
    #[must_use]
    pub fn secure_boot_digests(&self) -> [Option<Digest>; 3] {
        [0, 1, 2].map(|slot| {
            let block = self.map().keys.iter().find(|block| match block.role {
                KeyRole::SecureBoot => slot == 0,
                KeyRole::Purpose(field) => self.purpose(&field).digest_slot() == Some(slot),
                _ => false,
            })?;
            let digest = self.read_block(usize::from(block.key.block));
            (!self.is_revoked(slot) && digest != [0; BLOCK_SIZE]).then_some(Digest(digest))
        })
    }

    /// Whether the key of a digest slot is revoked.
    #[must_use]
    pub fn is_revoked(&self, slot: usize) -> bool {
        self.map()
            .key_revoke
            .get(slot)
            .is_some_and(|field| self.get(field) == 1)
    }

    /// Turns secure boot v2 on, for ever.
    ///
    /// # Errors
    /// As [`Efuses::burn`].
    pub fn enable_secure_boot(&mut self) -> Result<(), EfuseError> {
        let mut schemes = self.map().secure_boot_enable.iter();
        match schemes.find(|(scheme, _)| *scheme == SecureBootScheme::V2Rsa) {
            Some((_, field)) => self.set(field, 1),
            None => Ok(()),
        }
    }

    /// Revokes the digest slots from this one on, so that nobody else's key gets in.
    ///
    /// # Errors
    /// As [`Efuses::burn`].
    pub fn revoke_from(&mut self, slot: usize) -> Result<(), EfuseError> {
        self.map()
            .key_revoke
            .iter()
            .skip(slot)
            .try_for_each(|field| self.set(field, 1))
    }

    /// The first block that is unused and can hold a key for this use.
    #[must_use]
    pub fn free_block_for(&self, usage: KeyUse) -> Option<usize> {
        let blank = |block: &usize| {
            self.silicon(*block) == [0; BLOCK_SIZE] && !self.is_write_protected(*block)
        };
        let able = self
            .map()
            .keys
            .iter()
            .filter(|block| usage.purpose_in(block).is_some());
        able.map(|block| usize::from(block.key.block)).find(blank)
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
        // As ESP-IDF does it: the lowest bits, so the field reads as (1 << version) - 1.
        self.set(&field, (1_u64 << wanted).wrapping_sub(1))
    }

    /// What the UART download mode still offers.
    #[must_use]
    pub fn download_mode(&self) -> DownloadMode {
        let locks = &self.model.locks;
        let set = |name| {
            self.map()
                .field(name)
                .is_some_and(|field| self.get(field) != 0)
        };
        if set(locks.download_off) {
            DownloadMode::Off
        } else if locks.download_secure.is_some_and(set) {
            DownloadMode::Secure
        } else {
            DownloadMode::Open
        }
    }

    /// State of the JTAG port.
    #[must_use]
    pub fn jtag(&self) -> Jtag {
        let set = |name: &&str| {
            self.map()
                .field(name)
                .is_some_and(|field| self.get(field) != 0)
        };
        if self.model.locks.jtag.iter().all(set) {
            Jtag::Off
        } else {
            Jtag::Open
        }
    }

    pub(super) fn purpose(&self, field: &Field) -> KeyPurpose {
        KeyPurpose::from_u8(u8::try_from(self.get(field)).unwrap_or(0))
    }
}
