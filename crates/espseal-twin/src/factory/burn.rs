//! The order of burning: flash key first, download mode last.

use espseal_format::units::Digest;

use super::{FactoryError, FactoryPlan, Security};
use crate::efuse::{Efuses, KeyUse};

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
        // Both keys that must stay unreadable come before RD_DIS is write-protected below.
        let burnt = flash_key.efuse_blocks();
        let [key] = burnt.blocks() else {
            return Err(FactoryError::FlashKeyScheme { chip: self.chip });
        };
        let mut key = *key;
        key.reverse();
        burn_in_free_block(efuses, KeyUse::FlashEncryption, &key)?;
        if let Some(key) = hmac_key {
            burn_in_free_block(efuses, KeyUse::HmacUpstream, key)?;
        }
        let model = self.model()?;
        for (field, value) in model.locks.release {
            efuses.burn(field, *value)?;
        }
        for (slot, Digest(digest)) in (0..).zip(digests) {
            burn_in_free_block(efuses, KeyUse::SecureBootDigest(slot), digest)?;
        }
        efuses.enable_secure_boot()?;
        for field in model.locks.release_guards {
            efuses.write_protect(field)?;
        }
        efuses.revoke_from(digests.len())?;
        let (field, value) = model.locks.release_last;
        Ok(efuses.burn(field, value)?)
    }
}

/// Burns a key in the first block that is free and can hold it.
fn burn_in_free_block(
    efuses: &mut Efuses,
    usage: KeyUse,
    key: &[u8; 32],
) -> Result<(), FactoryError> {
    let block = efuses
        .free_block_for(usage)
        .ok_or(FactoryError::NoKeyBlock { usage })?;
    Ok(efuses.burn_key(block, usage, key)?)
}
