//! Turning secure boot v1 on: a key of its own, the digest of the bootloader under it, and the enabling
//! bit last of all.
//!
//! Source: ESP-IDF `bootloader_support/src/secure_boot_v1/secure_boot.c`,
//! `src/esp32/secure_boot_secure_features.c`.

use espseal_crypto::secure_boot::v1::BootloaderKey;
use espseal_format::chip::SecureBootScheme;
use espseal_format::secure_boot_v1::IV_LEN;
use espseal_format::units::{FlashOffset, SECTOR_SIZE};
use zeroize::Zeroizing;

use super::{Halt, burnt};
use crate::boot::image::{ImageKind, Part, Refusal};
use crate::boot::second_stage::SecondStage;
use crate::boot::settings::FirstBoot;
use crate::boot::{BootFailure, Decision};
use crate::efuse::batch::Batch;

const TAG: &str = "secure_boot_v1";
/// The key's block and its name.
const BLOCK: (usize, &str) = (2, "BLOCK2");

impl SecondStage<'_, '_> {
    /// `esp_secure_boot_generate_digest`.
    pub(super) fn generate_bootloader_digest(&mut self) -> Result<(), Halt> {
        if self.efuses.secure_boot_is_on() {
            self.log.info(
                TAG,
                "bootloader secure boot is already enabled. No need to generate digest. continuing..",
            );
            return Ok(());
        }
        if self.settings.first_boot == FirstBoot::Refuses {
            self.log.error(
                TAG,
                "secure boot is not enabled, and SECURE_BOOT_REQUIRE_ALREADY_ENABLED is set, refusing to boot.",
            );
            return Err(Halt::Refused(BootFailure::SecureBootNotEnabled));
        }
        let at = self.efuses.model().bootloader_offset.get();
        let part = Part {
            offset: at,
            size: self.settings.partition_table.get().saturating_sub(at),
        };
        let Some(verified) = self.verify(part, ImageKind::Bootloader)? else {
            return self.refuse_v1("bootloader image appears invalid! error 8194");
        };
        self.check_and_generate_bootloader_key()?;
        self.log.info(TAG, "Generating secure boot digest...");
        let length = usize::try_from(verified.image_len).unwrap_or(0);
        let mut image = vec![0; length];
        self.bus
            .read(FlashOffset::new(at), &mut image)
            .map_err(Refusal::from)?;
        self.write_digest(&image)?;
        self.log.info(TAG, "Digest generation complete.");
        Ok(())
    }

    /// The key is burnt at once, and protected only when secure boot is turned on.
    fn check_and_generate_bootloader_key(&mut self) -> Result<(), Halt> {
        let (block, _) = BLOCK;
        let used = self.efuses.silicon(block) != [0; 32]
            || self.efuses.is_read_protected(block)
            || self.efuses.is_write_protected(block);
        if used {
            self.log
                .warning(TAG, "Using pre-loaded secure boot key in EFUSE block 2");
            return Ok(());
        }
        self.log.info(TAG, "Generating new secure boot key...");
        let mut key = Zeroizing::new([0; 32]);
        if getrandom::fill(key.as_mut_slice()).is_err() {
            return self.refuse_v1("no randomness for the secure boot key");
        }
        let size = self.efuses.coding_scheme().data_size();
        let key = key.get(..size).unwrap_or_default();
        let result = self.efuses.burn_block(block, 0, key);
        burnt(result, BootFailure::SecureBootSetup)
    }

    fn write_digest(&mut self, image: &[u8]) -> Result<(), Halt> {
        let key = self.efuses.secure_boot_v1_key();
        let key = key.and_then(|file| BootloaderKey::from_file(&file).ok());
        let mut iv = [0; IV_LEN];
        let (Some(key), Ok(())) = (key, getrandom::fill(&mut iv)) else {
            return self.refuse_v1("secure boot generation failed");
        };
        let mut sector = [0xFF; SECTOR_SIZE];
        if let Some(place) = sector.first_chunk_mut() {
            *place = key.digest(&iv, image).encode();
        }
        let written = self.bus.replace_sector(FlashOffset::new(0), &sector);
        Ok(written.map_err(Refusal::from)?)
    }

    /// `esp_secure_boot_permanently_enable`.
    pub(super) fn enable_secure_boot_v1(&mut self) -> Result<(), Halt> {
        self.log.info("boot", "Checking secure boot...");
        if self.efuses.secure_boot_is_on() {
            self.log.info(
                TAG,
                "bootloader secure boot is already enabled, continuing..",
            );
            return Ok(());
        }
        let FirstBoot::Enables(locks) = self.settings.first_boot else {
            return Err(Halt::Refused(BootFailure::SecureBootNotEnabled));
        };
        let (block, name) = BLOCK;
        let protections = (
            self.efuses.is_read_protected(block),
            self.efuses.is_write_protected(block),
        );
        if protections.0 != protections.1 {
            return self
                .refuse_v1("Pre-loaded key is not protected. Refusing to blow secure boot efuse.");
        }
        self.log.info(TAG, "blowing secure boot efuse...");
        self.log
            .info("secure_boot", "Read & write protecting new key...");
        let mut batch = Batch::default();
        let map = self.efuses.map();
        let added = [
            batch.read_protect_block(self.efuses, block),
            batch.write_protect(self.efuses, name),
            self.add_locks(
                &mut batch,
                self.efuses.model().locks.first_boot.secure_boot,
                locks.jtag,
            ),
        ];
        for added in added {
            burnt(added, BootFailure::SecureBootSetup)?;
        }
        let mut enabling = map.secure_boot_enable.iter();
        if let Some((_, field)) = enabling.find(|(scheme, _)| *scheme == SecureBootScheme::V1) {
            let added = batch.set(self.efuses, field, 1);
            burnt(added, BootFailure::SecureBootSetup)?;
        }
        self.burn(batch, BootFailure::SecureBootSetup)?;
        self.log
            .info(TAG, "secure boot is now enabled for bootloader image");
        self.decisions.push(Decision::EnabledSecureBoot);
        Ok(())
    }

    fn refuse_v1<T>(&mut self, text: &'static str) -> Result<T, Halt> {
        self.log.error(TAG, text);
        Err(Halt::Refused(BootFailure::SecureBootSetup))
    }
}
