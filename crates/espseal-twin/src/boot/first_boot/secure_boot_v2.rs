//! Turning secure boot v2 on: digests of the keys that signed the bootloader, locks, and the enabling bit
//! in one batch of burns.
//!
//! Source: ESP-IDF `bootloader_support/src/secure_boot_v2/secure_boot.c`,
//! `src/<chip>/secure_boot_secure_features.c`.

use espseal_format::chip::SecureBootScheme;
use espseal_format::signature_block::{Curve, SignatureScheme};
use espseal_format::units::{Digest, FlashOffset, SECTOR_SIZE};

use super::{Halt, burnt};
use crate::boot::image::{ImageKind, Part, Verified};
use crate::boot::second_stage::SecondStage;
use crate::boot::settings::{FirstBoot, FirstBootLocks, FlashEncryptionSupport, SecureBootSupport};
use crate::boot::signature::Trusted;
use crate::boot::{BootFailure, signature};
use crate::efuse::batch::Batch;
use crate::efuse::{DownloadMode, EfuseError, FlashEncryption, KeyUse};

const TAG: &str = "secure_boot_v2";
const FEATURES: &str = "secure_boot";

impl SecondStage<'_, '_> {
    /// `esp_secure_boot_v2_permanently_enable`.
    pub(super) fn enable_secure_boot_v2(
        &mut self,
        batch: &mut Batch,
        part: Part,
        app: &Verified,
    ) -> Result<(), Halt> {
        self.log.info(TAG, "enabling secure boot v2...");
        if self.efuses.secure_boot_enabled() {
            self.log
                .info(TAG, "secure boot v2 is already enabled, continuing..");
            return Ok(());
        }
        let FirstBoot::Enables(locks) = self.settings.first_boot else {
            self.log.error(
                TAG,
                "secure boot is not enabled, and SECURE_BOOT_REQUIRE_ALREADY_ENABLED is set, refusing to boot.",
            );
            return Err(Halt::Refused(BootFailure::SecureBootNotEnabled));
        };
        self.digests(batch, part, app)?;
        self.log.info(TAG, "blowing secure boot efuse...");
        let added = self.secure_boot_features(batch, locks);
        burnt(added, BootFailure::SecureBootSetup)
    }

    /// `check_and_generate_secure_boot_keys`.
    fn digests(&mut self, batch: &mut Batch, part: Part, app: &Verified) -> Result<(), Halt> {
        let chip = self.efuses.model();
        let at = chip.bootloader_offset.get();
        let bootloader = Part {
            offset: at,
            size: self.settings.partition_table.get().saturating_sub(at),
        };
        let Some(verified) = self.verify(bootloader, ImageKind::Bootloader)? else {
            return self.refuse("bootloader image appears invalid! error 8194");
        };
        let present = self.efuses.secure_boot_digests();
        let slots = usize::from(chip.digest_slots);
        let burnt_already = present.iter().any(Option::is_some);
        let found = match burnt_already {
            true => "already present",
            false => "absent, generating..",
        };
        self.log.info(TAG, format!("Secure boot digests {found}"));
        let keys: Vec<Digest> = match burnt_already {
            true => {
                self.log
                    .warning(TAG, "Using pre-loaded public key digest in eFuse");
                present.into_iter().flatten().collect()
            }
            false => self.burn_digests(batch, bootloader, &verified)?,
        };
        let app_keys = self.keys_of(part, app, "Application signature block is invalid.")?;
        if app_keys.is_empty() {
            return self.refuse("No valid applications signature blocks found.");
        }
        let count = app_keys.len();
        self.log.info(
            TAG,
            format!("{count} signature block(s) found appended to the app."),
        );
        if count > keys.len() {
            let own = keys.len();
            self.log.warning(
                TAG,
                format!("App has {count} signature blocks but bootloader only has {own}. Some keys missing from bootloader?"),
            );
        }
        let compared = Trusted::from_efuses(self.efuses).digest_len();
        let mut matched = false;
        for (own, key) in keys.iter().enumerate() {
            for (other, app_key) in app_keys.iter().enumerate() {
                // The C2 holds half of a digest.
                if key.0.get(..compared) == app_key.0.get(..compared) {
                    let text =
                        format!("Application key({other}) matches with bootloader key({own}).");
                    self.log.info(TAG, text);
                    matched = true;
                }
            }
        }
        if !matched {
            return self.refuse("No application key digest matches the bootloader key digest.");
        }
        for slot in keys.len()..slots {
            let Some(field) = self.efuses.map().key_revoke.get(slot) else {
                break;
            };
            self.log
                .info(TAG, format!("Revoking empty key digest slot ({slot})..."));
            burnt(
                batch.set(self.efuses, field, 1),
                BootFailure::SecureBootSetup,
            )?;
        }
        Ok(())
    }

    /// Adds the digests of the keys that signed the bootloader.
    fn burn_digests(
        &mut self,
        batch: &mut Batch,
        part: Part,
        verified: &Verified,
    ) -> Result<Vec<Digest>, Halt> {
        let keys = self.keys_of(part, verified, "Bootloader signature block is invalid")?;
        if keys.is_empty() {
            return self.refuse("No valid bootloader signature blocks found.");
        }
        let count = keys.len();
        self.log.info(
            TAG,
            format!("{count} signature block(s) found appended to the bootloader."),
        );
        self.log.info(TAG, "Burning public key hash to eFuse");
        for (slot, Digest(key)) in (0..).zip(&keys) {
            let usage = KeyUse::SecureBootDigest(slot);
            if batch.add_key(self.efuses, usage, key).is_err() {
                let text = format!("Bootloader signatures({count}) more than available key slots.");
                return self.refuse(text);
            }
        }
        Ok(keys)
    }

    /// Digests of the keys that signed an image, as its signature sector has them.
    fn keys_of(
        &mut self,
        part: Part,
        verified: &Verified,
        bad: &'static str,
    ) -> Result<Vec<Digest>, Halt> {
        let sector_len = u32::try_from(SECTOR_SIZE).unwrap_or(u32::MAX);
        let at = part
            .offset
            .saturating_add(verified.image_len.next_multiple_of(sector_len));
        let mut sector = vec![0; SECTOR_SIZE];
        self.bus
            .read(FlashOffset::new(at), &mut sector)
            .map_err(|error| Halt::from(crate::boot::Refusal::from(error)))?;
        let blocks = usize::from(self.efuses.model().signature_blocks);
        let keys = verified
            .digests
            .and_then(|digests| signature::key_digests(&sector, &digests, blocks));
        let Some(keys) = keys else {
            self.log.error(TAG, "Secure boot key verification failed.");
            return self.refuse(bad);
        };
        let (count, offset) = (keys.len(), part.offset);
        self.log.info(
            TAG,
            format!(
                "Digests successfully calculated, {count} valid signatures (image offset {offset:#x})"
            ),
        );
        Ok(keys)
    }

    /// `esp_secure_boot_enable_secure_features`.
    fn secure_boot_features(
        &mut self,
        batch: &mut Batch,
        locks: FirstBootLocks,
    ) -> Result<(), EfuseError> {
        let chip = &self.efuses.model().locks;
        match (locks.download, chip.download_secure) {
            (DownloadMode::Secure, Some(field)) => {
                self.log
                    .info(FEATURES, "Enabling Security download mode...");
                batch.set_named(self.efuses, field, 1)?;
            }
            (DownloadMode::Off, _) => {
                self.log.info(FEATURES, "Disable ROM Download mode...");
                batch.set_named(self.efuses, chip.download_off, 1)?;
            }
            _ => self.log.warning(
                FEATURES,
                "UART ROM Download mode kept enabled - SECURITY COMPROMISED",
            ),
        }
        self.add_locks(batch, chip.first_boot.secure_boot, locks.jtag)?;
        let efuses = &*self.efuses;
        let map = efuses.map();
        let mut enabling = map.secure_boot_enable.iter();
        if let Some((_, field)) = enabling.find(|(scheme, _)| *scheme != SecureBootScheme::V1) {
            batch.set(efuses, field, 1)?;
        }
        if self.settings.secure_boot == SecureBootSupport::V2(SignatureScheme::Ecdsa(Curve::P384))
            && let Some(field) = &map.secure_boot_sha384
        {
            batch.set(efuses, field, 1)?;
        }
        let later = matches!(
            self.settings.flash_encryption,
            FlashEncryptionSupport::CompiledIn(_)
        ) && efuses.flash_encryption() == FlashEncryption::Off;
        if !later {
            self.log
                .info(FEATURES, "Prevent read disabling of additional efuses...");
            batch.write_protect(efuses, efuses.map().rd_dis.name)?;
        }
        Ok(())
    }

    fn refuse<T>(&mut self, text: impl Into<String>) -> Result<T, Halt> {
        self.log.error(TAG, text);
        Err(Halt::Refused(BootFailure::SecureBootSetup))
    }
}
