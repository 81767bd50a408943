//! What burnt eFuses mean: which keys are in force and what is locked.

use core::fmt;

use espseal_crypto::flash_encryption::{FlashCryptConfig, FlashKey};
use espseal_format::chip::ChipId;
use espseal_format::units::{Digest, SecurityVersion};

use super::map::KeyPlan;
use super::{BLOCK_SIZE, EfuseError, Efuses};

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
            (0..8).fold(crc ^ byte, |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x8C } else { 0 })
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
        let map = efuses.map;
        let mut bits = vec![[0; BLOCK_SIZE]; map.blocks.len()];
        let bytes = map.mac.iter().zip(mac.0.map(u64::from));
        let crc = map.mac_crc.iter().map(|field| (field, u64::from(mac.crc8())));
        let revision =
            map.shipped.iter().filter_map(|(name, value)| Some((map.field(name)?, *value)));
        for (field, value) in bytes.chain(crc).chain(revision) {
            if let Some(block) = bits.get_mut(usize::from(field.block)) {
                field.put(block, value);
            }
        }
        for (block, bits) in bits.into_iter().enumerate() {
            efuses.load_block(block, bits);
        }
        Ok(efuses)
    }

    /// The factory MAC address.
    #[must_use]
    pub fn mac(&self) -> Mac {
        Mac(self.map.mac.map(|field| u8::try_from(self.get(&field)).unwrap_or(0)))
    }

    /// State of flash encryption.
    #[must_use]
    pub fn flash_encryption(&self) -> FlashEncryption {
        let field = &self.map.crypt_cnt;
        let count = self.get(field);
        if count.count_ones() % 2 == 0 {
            return FlashEncryption::Off;
        }
        let full = count.count_ones() == u32::from(field.width);
        if full || field.wr_dis.is_some_and(|bit| self.is_wr_dis(bit)) {
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
        let block = match self.map.keys {
            KeyPlan::Fixed { flash, .. } => flash,
            KeyPlan::Purposes { flash, .. } => self.block_with_purpose(flash)?,
        };
        let mut key = self.silicon(block);
        key.reverse();
        match self.map.keys {
            KeyPlan::Fixed { .. } => Some(FlashKey::Esp32(key)),
            KeyPlan::Purposes { .. } => Some(FlashKey::Xts128(key)),
        }
    }

    /// Which address bits tweak the ESP32's key.
    #[must_use]
    pub fn flash_crypt_config(&self) -> FlashCryptConfig {
        let value = self.map.crypt_config.map_or(0xF, |field| self.get(&field));
        FlashCryptConfig::new(u8::try_from(value).unwrap_or(0))
    }

    /// Whether the ROM verifies the bootloader's signature.
    #[must_use]
    pub fn secure_boot_enabled(&self) -> bool {
        self.get(&self.map.secure_boot) == 1
    }

    /// Digest of the secure-boot key in each slot; `None` when the slot is empty, revoked or does not exist.
    #[must_use]
    pub fn secure_boot_digests(&self) -> [Option<Digest>; 3] {
        [0, 1, 2].map(|slot| {
            if self.is_revoked(slot) {
                return None;
            }
            let block = match self.map.keys {
                KeyPlan::Fixed { digest, .. } => (slot == 0).then_some(digest)?,
                KeyPlan::Purposes { digests, .. } => self.block_with_purpose(*digests.get(slot)?)?,
            };
            let digest = self.read_block(block);
            (digest != [0; BLOCK_SIZE]).then_some(Digest(digest))
        })
    }

    /// Whether the key of a digest slot is revoked.
    #[must_use]
    pub fn is_revoked(&self, slot: usize) -> bool {
        self.map.revoke.get(slot).is_some_and(|field| self.get(field) == 1)
    }

    /// Anti-rollback counter: the number of bits burnt.
    #[must_use]
    pub fn secure_version(&self) -> SecurityVersion {
        SecurityVersion::new(self.get(&self.map.secure_version).count_ones())
    }

    /// Raises the anti-rollback counter, never lowers it.
    ///
    /// # Errors
    /// [`EfuseError::TooWide`] when the field has fewer bits, and as [`Efuses::burn`].
    pub fn raise_secure_version(&mut self, version: SecurityVersion) -> Result<(), EfuseError> {
        let field = &self.map.secure_version;
        let (width, wanted) = (u32::from(field.width), version.get());
        if wanted > width {
            let value = u64::from(wanted);
            return Err(EfuseError::TooWide { field: field.name, width: field.width, value });
        }
        // As ESP-IDF does it: the lowest bits, so the field reads as (1 << version) - 1.
        self.set(field, (1_u64 << wanted).wrapping_sub(1))
    }

    /// What the UART download mode still offers.
    #[must_use]
    pub fn download_mode(&self) -> DownloadMode {
        let set = |name| self.map.field(name).is_some_and(|field| self.get(field) != 0);
        if set(self.map.download_off) {
            DownloadMode::Off
        } else if self.map.download_secure.is_some_and(set) {
            DownloadMode::Secure
        } else {
            DownloadMode::Open
        }
    }

    /// State of the JTAG port.
    #[must_use]
    pub fn jtag(&self) -> Jtag {
        let set = |name: &&str| self.map.field(name).is_some_and(|field| self.get(field) != 0);
        if self.map.jtag.iter().all(set) { Jtag::Off } else { Jtag::Open }
    }

    fn block_with_purpose(&self, purpose: u64) -> Option<usize> {
        let KeyPlan::Purposes { first, purposes, .. } = self.map.keys else { return None };
        let index = purposes.iter().position(|field| self.get(field) == purpose)?;
        first.checked_add(index)
    }
}
