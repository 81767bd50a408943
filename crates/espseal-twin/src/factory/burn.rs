//! The order of burning: keys that must stay unreadable first, download mode last.

use espseal_crypto::flash_encryption::FlashKey;
use espseal_format::chip::SecureBootScheme;
use espseal_format::efuse::KeyRole;
use espseal_format::units::Digest;

use super::{FactoryError, FactoryPlan, Security};
use crate::efuse::{EfuseError, Efuses, KeyProtection, KeyToBurn, KeyUse};

impl FactoryPlan<'_> {
    /// Burns the release-mode set.
    pub(super) fn burn(&self, efuses: &mut Efuses) -> Result<(), FactoryError> {
        let Security::Release {
            flash_key,
            digests,
            hmac_key,
        } = self.security
        else {
            return Ok(());
        };
        let model = efuses.model();
        let release = &model.locks.release;
        let shared = model
            .efuse
            .keys
            .iter()
            .any(|entry| matches!(entry.role, KeyRole::Shared { .. }));
        // Keys that must stay unreadable come before RD_DIS is write-protected below.
        let flash = key_to_burn(
            efuses,
            KeyUse::FlashEncryption,
            flash_key_file(efuses, flash_key),
        )?;
        let digests_to_burn = (0..).map(KeyUse::SecureBootDigest).zip(digests);
        if shared {
            let mut both = vec![flash];
            for (usage, Digest(digest)) in digests_to_burn.clone() {
                both.push(key_to_burn(efuses, usage, digest)?);
            }
            efuses.burn_keys(&both, KeyProtection::Usual)?;
        } else {
            efuses.burn_keys(&[flash], KeyProtection::Usual)?;
        }
        if let Some(key) = hmac_key {
            let key = key_to_burn(efuses, KeyUse::HmacUpstream, key)?;
            efuses.burn_keys(&[key], KeyProtection::Usual)?;
        }
        for (field, value) in release.flash_encryption {
            efuses.burn(field, *value)?;
        }
        for (usage, Digest(digest)) in digests_to_burn.filter(|_| !shared) {
            let key = key_to_burn(efuses, usage, digest)?;
            efuses.burn_keys(&[key], KeyProtection::Usual)?;
        }
        efuses.enable_secure_boot(self.secure_boot(efuses)?)?;
        for (field, value) in release.secure_boot {
            efuses.burn(field, *value)?;
        }
        for field in release.write_protect {
            efuses.write_protect(field)?;
        }
        efuses.revoke_from(digests.len())?;
        let (field, value) = release.last;
        Ok(efuses.burn(field, value)?)
    }

    /// Secure boot v2 as this silicon has it.
    fn secure_boot(&self, efuses: &Efuses) -> Result<SecureBootScheme, FactoryError> {
        let (model, revision) = (efuses.model(), efuses.revision());
        let schemes = [SecureBootScheme::V2Rsa, SecureBootScheme::V2Ecdsa];
        let mut schemes = schemes.into_iter();
        let scheme = schemes.find(|scheme| model.boots_with(*scheme, revision));
        Ok(scheme.ok_or(EfuseError::NoSecureBoot {
            chip: self.chip,
            revision,
            scheme: SecureBootScheme::V2Rsa,
        })?)
    }
}

/// What of a key file goes into the eFuses: the ESP32 repeats part of it when blocks are coded.
fn flash_key_file<'a>(efuses: &Efuses, key: &'a FlashKey) -> &'a [u8] {
    let file = key.file();
    match key {
        FlashKey::Esp32(_) => file
            .get(..efuses.coding_scheme().data_size())
            .unwrap_or(file),
        _ => file,
    }
}

/// Finds the first block that is free for a key.
fn key_to_burn<'a>(
    efuses: &Efuses,
    usage: KeyUse,
    key: &'a [u8],
) -> Result<KeyToBurn<'a>, FactoryError> {
    let block = efuses
        .free_block_for(usage)
        .ok_or(FactoryError::NoKeyBlock { usage })?;
    Ok(KeyToBurn { block, usage, key })
}
