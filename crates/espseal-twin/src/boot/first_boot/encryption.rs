//! Turning flash encryption on: key and locks, then the flash in place, then the counter.
//!
//! Each sector is read, erased and written encrypted, and nothing remembers it in between. The
//! bootloader goes first, so a cut while the flash is encrypted leaves a ROM that finds noise.
//!
//! Source: ESP-IDF `bootloader_support/src/flash_encryption/flash_encrypt.c`,
//! `src/<chip>/flash_encryption_secure_features.c`.

use espseal_crypto::flash_encryption::FlashCipher;
use espseal_format::chip::SchemeId;
use espseal_format::units::{FlashOffset, SECTOR_SIZE};
use zeroize::Zeroizing;

use super::{Halt, burnt};
use crate::boot::image::{ImageKind, Part};
use crate::boot::second_stage::SecondStage;
use crate::boot::settings::{
    AppExtent, EncryptionBuild, EncryptionMode, FirstBoot, FirstBootLocks, SecureBootSupport,
};
use crate::boot::table::{self, RawPart, Table};
use crate::boot::{BootFailure, Refusal};
use crate::efuse::batch::Batch;
use crate::efuse::{EfuseError, FlashEncryption, KeyUse};

const TAG: &str = "flash_encrypt";
const SECTOR: u32 = 0x1000;
const ENCRYPTED_FLAG: u32 = 1;
/// Which address bits tweak the key; ESP32 only.
const CRYPT_CONFIG: &str = "FLASH_CRYPT_CONFIG";

impl SecondStage<'_, '_> {
    /// `esp_flash_encrypt_state`: says so when it is on.
    pub(super) fn flash_encryption_is_on(&mut self) -> bool {
        let (set, width) = self.efuses.flash_crypt_count();
        if set.is_multiple_of(2) {
            return false;
        }
        let left = match self.efuses.flash_encryption() {
            FlashEncryption::Release => 0,
            _ => width.saturating_sub(set) / 2,
        };
        self.log.info(
            TAG,
            format!("flash encryption is enabled ({left} plaintext flashes left)"),
        );
        true
    }

    /// `esp_flash_encrypt_init`: key, locks and ESP32 configuration, unless a pass before did that.
    pub(super) fn prepare_flash_encryption(
        &mut self,
        batch: &mut Batch,
        build: EncryptionBuild,
    ) -> Result<(), Halt> {
        let FirstBoot::Enables(locks) = self.settings.first_boot else {
            self.log.error(
                "boot",
                "flash encryption is not enabled, and SECURE_FLASH_REQUIRE_ALREADY_ENABLED is set, refusing to boot.",
            );
            return Err(Halt::Refused(BootFailure::FlashEncryptionNotEnabled));
        };
        let (set, _) = self.efuses.flash_crypt_count();
        if self.efuses.flash_crypt_count_is_write_protected() {
            let text = format!(
                "Flash Encryption cannot be enabled (CRYPT_CNT ({set}) is write protected)"
            );
            return self.refuse_encryption(text);
        }
        if set == 0 {
            self.check_and_generate_key(batch, build)?;
            let added = self.encryption_features(batch, build, locks);
            burnt(added, BootFailure::FlashEncryptionSetup)?;
        }
        Ok(())
    }

    /// `esp_flash_encrypt_contents`, `esp_flash_encrypt_enable`.
    pub(super) fn encrypt_flash(
        &mut self,
        build: EncryptionBuild,
        table: &Table,
    ) -> Result<(), Halt> {
        let Some(key) = self.efuses.flash_key() else {
            return self.refuse_encryption("no flash encryption key in eFuse");
        };
        let cipher = FlashCipher::new(&key, self.efuses.flash_crypt_config());
        self.encrypt_contents(&cipher, build, table)?;
        self.raise_counter(build)
    }

    fn check_and_generate_key(
        &mut self,
        batch: &mut Batch,
        build: EncryptionBuild,
    ) -> Result<(), Halt> {
        if let Some(protected) = self.efuses.flash_key_is_protected() {
            if !protected {
                let text = "Invalid key state, check read&write protection for key and keypurpose(if exists)";
                return self.refuse_encryption(text);
            }
            self.log
                .info(TAG, "Using pre-loaded flash encryption key in efuse");
            return Ok(());
        }
        self.log.info(TAG, "Generating new flash encryption key...");
        let mut drawn = Zeroizing::new([0; 64]);
        let length = match build.scheme {
            SchemeId::Esp32Aes => self.efuses.coding_scheme().data_size(),
            SchemeId::XtsAes128 if self.efuses.keys_share_a_block() && self.shares_block() => 16,
            SchemeId::XtsAes128 => 32,
            SchemeId::XtsAes256 => 64,
        };
        let filled = getrandom::fill(drawn.as_mut_slice()).ok();
        let bytes = filled.and_then(|()| drawn.get(..length));
        let Some(key) = bytes else {
            return self.refuse_encryption("no randomness for the flash encryption key");
        };
        match batch.add_key(self.efuses, KeyUse::FlashEncryption, key) {
            Ok(()) => Ok(()),
            Err(_) => {
                let text = "Not enough free efuse key blocks to continue";
                self.refuse_encryption(text)
            }
        }
    }

    /// Whether secure boot needs the other half of the chip's only key block.
    const fn shares_block(&self) -> bool {
        matches!(self.settings.secure_boot, SecureBootSupport::V2(_))
    }

    /// `esp_flash_encryption_enable_secure_features`.
    fn encryption_features(
        &mut self,
        batch: &mut Batch,
        build: EncryptionBuild,
        locks: FirstBootLocks,
    ) -> Result<(), EfuseError> {
        let chip = self.efuses.model();
        let first = &chip.locks.first_boot;
        let release = build.mode == EncryptionMode::Release;
        match release {
            true => self.log.info(TAG, "Disable UART bootloader encryption..."),
            false => self
                .log
                .warning(TAG, "Not disabling UART bootloader encryption"),
        }
        self.log.info(TAG, "Disable UART bootloader cache...");
        let preset = self.efuses.read(CRYPT_CONFIG).unwrap_or(0);
        let burns = first.flash_encryption.iter();
        // A pre-burnt configuration stays, as long as it is not zero.
        let burns: Vec<_> = burns
            .filter(|(name, _)| *name != CRYPT_CONFIG || preset == 0)
            .copied()
            .collect();
        if chip.efuse.field(CRYPT_CONFIG).is_some() {
            self.log.info(TAG, "Setting CRYPT_CONFIG efuse to 0xF");
            if preset != 0 && preset != 0xF {
                let text = format!("EFUSE_ENCRYPT_CONFIG should be set 0xF but it is {preset:#x}");
                self.log.error(TAG, text);
            }
        }
        self.add_locks(batch, &burns, locks.jtag)?;
        if release {
            self.add_locks(batch, first.flash_encryption_release, locks.jtag)?;
        }
        let efuses = &*self.efuses;
        if matches!(self.settings.secure_boot, SecureBootSupport::V2(_)) {
            batch.write_protect(efuses, chip.efuse.rd_dis.name)?;
        }
        if release {
            // The counter's own lock has to wait until it is burnt.
            let others = first.release_write_protect.iter();
            for name in others.filter(|name| **name != chip.efuse.flash_crypt_cnt.name) {
                batch.write_protect(efuses, name)?;
            }
        }
        Ok(())
    }

    fn encrypt_contents(
        &mut self,
        cipher: &FlashCipher,
        build: EncryptionBuild,
        table: &Table,
    ) -> Result<(), Halt> {
        self.encrypt_bootloader(cipher)?;
        let at = self.settings.partition_table;
        let size = self.bus.size();
        if table::load(self.bus, at, size, &mut crate::boot::Log::default())?.is_none() {
            let text = "Failed to read partition table data - not plaintext or empty?";
            return self.refuse_encryption(text);
        }
        self.encrypt_region(cipher, at.get(), SECTOR)?;
        self.log
            .info(TAG, "partition table encrypted and loaded successfully");
        for (index, entry) in table.entries.iter().enumerate() {
            if let Some(length) = self.length_to_encrypt(entry, build)? {
                let at = entry.part.offset;
                self.log.info(
                    TAG,
                    format!(
                        "Encrypting partition {index} at offset {at:#x} (length {length:#x})..."
                    ),
                );
                self.encrypt_region(cipher, at, length)?;
                self.log.info(TAG, "Done encrypting");
            }
        }
        Ok(())
    }

    fn encrypt_bootloader(&mut self, cipher: &FlashCipher) -> Result<(), Halt> {
        let at = self.efuses.model().bootloader_offset.get();
        let part = Part {
            offset: at,
            size: self.settings.partition_table.get().saturating_sub(at),
        };
        let Some(verified) = self.verify(part, ImageKind::Bootloader)? else {
            self.log.warning(TAG, "no valid bootloader was found");
            return Err(Halt::Refused(BootFailure::FlashEncryptionSetup));
        };
        self.encrypt_region(cipher, at, verified.signed_len)?;
        if matches!(self.settings.secure_boot, SecureBootSupport::V1 { .. }) {
            // IV and digest of the bootloader.
            self.encrypt_region(cipher, 0, SECTOR)?;
        }
        self.log.info(TAG, "bootloader encrypted successfully");
        Ok(())
    }

    /// How much of a partition is encrypted, if any; apps only when they verify.
    fn length_to_encrypt(
        &mut self,
        entry: &RawPart,
        build: EncryptionBuild,
    ) -> Result<Option<u32>, Refusal> {
        let RawPart {
            kind,
            subtype,
            part,
            flags,
        } = *entry;
        Ok(match (kind, subtype) {
            (0, _) => {
                let verified = self.verify(part, ImageKind::App)?;
                verified.map(|app| match build.extent {
                    AppExtent::Image => app.signed_len,
                    AppExtent::Partition => part.size,
                })
            }
            // Bootloader and partition table of their own were encrypted before.
            (2 | 3, 0) => None,
            (1, 0x00 | 0x04) => Some(part.size),
            _ => (flags & ENCRYPTED_FLAG != 0).then_some(part.size),
        })
    }

    fn encrypt_region(&mut self, cipher: &FlashCipher, at: u32, length: u32) -> Result<(), Halt> {
        let end = at.saturating_add(length);
        for sector in (at..end).step_by(SECTOR_SIZE) {
            let done = self.bus.encrypt_sector(FlashOffset::new(sector), cipher);
            if let Err(error) = done {
                let number = error.esp_err().unwrap_or(u32::MAX);
                if Refusal::from(error) == Refusal::PowerLost {
                    return Err(Halt::PowerLost);
                }
                return self.refuse_encryption(format!("flash operation failed: {number:#x}"));
            }
        }
        Ok(())
    }

    /// One more bit in development mode; all of them, for ever, in release mode.
    fn raise_counter(&mut self, build: EncryptionBuild) -> Result<(), Halt> {
        let result = match build.mode {
            EncryptionMode::Release => {
                self.log
                    .info(TAG, "Setting CRYPT_CNT for permanent encryption");
                self.efuses.fill_flash_crypt_count()
            }
            EncryptionMode::Development => self.efuses.raise_flash_crypt_count(),
        };
        burnt(result, BootFailure::FlashEncryptionSetup)?;
        let chip = self.efuses.model();
        let counter = chip.efuse.flash_crypt_cnt.name;
        let locked = chip.locks.first_boot.release_write_protect;
        if build.mode == EncryptionMode::Release && locked.contains(&counter) {
            let result = self.efuses.write_protect(counter);
            burnt(result, BootFailure::FlashEncryptionSetup)?;
        }
        self.log.info(TAG, "Flash encryption completed");
        Ok(())
    }

    fn refuse_encryption<T>(&mut self, text: impl Into<String>) -> Result<T, Halt> {
        self.log.error(TAG, text);
        Err(Halt::Refused(BootFailure::FlashEncryptionSetup))
    }
}
