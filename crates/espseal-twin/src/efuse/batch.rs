//! Burns that are collected and then carried out together, as ESP-IDF's bootloader burns.
//!
//! The blocks are burnt from the highest number down, so that BLOCK0 with its protections comes last.
//!
//! Source: ESP-IDF `components/efuse/src/esp_efuse_api.c` (`esp_efuse_batch_write_*`),
//! `esp_efuse_utility.c` (`esp_efuse_utility_burn_chip_opt`).

use espseal_crypto::flash_encryption::FlashKey;
use espseal_format::chip::SecureBootScheme;
use espseal_format::efuse::Field;

use super::{BLOCK_SIZE, EfuseError, Efuses, KeyUse, put};

/// Collected burns. Prints nothing: a key may be among them.
pub(crate) struct Batch {
    blocks: Vec<[u8; BLOCK_SIZE]>,
}

impl Batch {
    /// Starts with nothing.
    pub(crate) fn new(efuses: &Efuses) -> Self {
        Self {
            blocks: vec![[0; BLOCK_SIZE]; efuses.map().blocks.len()],
        }
    }

    /// Adds the bits of a field; a write-protected field stays as it is, as in hardware.
    pub(crate) fn set(
        &mut self,
        efuses: &Efuses,
        field: &Field,
        value: u64,
    ) -> Result<(), EfuseError> {
        if field.write_protect.is_some_and(|bit| efuses.is_wr_dis(bit)) {
            return Ok(());
        }
        match self.blocks.get_mut(usize::from(field.block)) {
            Some(block) => put(field, block, value),
            None => Ok(()),
        }
    }

    /// Adds the bits of a field by its name; nothing when the chip has no such field.
    pub(crate) fn set_named(
        &mut self,
        efuses: &Efuses,
        name: &str,
        value: u64,
    ) -> Result<(), EfuseError> {
        match efuses.map().field(name) {
            Some(field) => self.set(efuses, field, value),
            None => Ok(()),
        }
    }

    /// Adds the write protection of a field by its name; nothing when there is none.
    pub(crate) fn write_protect(&mut self, efuses: &Efuses, name: &str) -> Result<(), EfuseError> {
        let field = efuses.map().field(name);
        match field.and_then(|field| field.write_protect) {
            Some(bit) => self.set(efuses, &efuses.map().wr_dis, 1 << bit),
            None => Ok(()),
        }
    }
}

impl Efuses {
    /// Adds a key with its purpose and protections, as `esp_efuse_write_key` does.
    pub(crate) fn add_key(
        &self,
        batch: &mut Batch,
        block: usize,
        usage: KeyUse,
        key: &[u8; 32],
    ) -> Result<(), EfuseError> {
        let missing = EfuseError::NoKeyBlock { block };
        let entry = self.key_block(block).ok_or_else(|| missing.clone())?;
        let purpose = usage.purpose_in(entry).ok_or(missing)?;
        let hidden = matches!(usage, KeyUse::FlashEncryption | KeyUse::HmacUpstream);
        if let Some(bits) = batch.blocks.get_mut(block) {
            *bits = *key;
            if usage == KeyUse::FlashEncryption {
                bits.reverse();
            }
        }
        let mut protect = entry.key.write_protect.map_or(0, |bit| 1 << bit);
        if let Some((field, purpose)) = purpose {
            batch.set(self, &field, purpose.to_u8().into())?;
            protect |= field.write_protect.map_or(0, |bit| 1 << bit);
        }
        batch.set(self, &self.map().wr_dis, protect)?;
        match (hidden, entry.key.read_protect) {
            (true, Some(bit)) => batch.set(self, &self.map().rd_dis, 1 << bit),
            _ => Ok(()),
        }
    }

    /// Adds a flash encryption key in free blocks.
    pub(crate) fn add_flash_key(
        &self,
        batch: &mut Batch,
        key: &FlashKey,
    ) -> Result<(), EfuseError> {
        let blocks = key.efuse_blocks();
        let usage = KeyUse::FlashEncryption;
        for burnt in blocks.blocks() {
            let mut part = *burnt;
            part.reverse();
            let block = self
                .free_block_for(usage)
                .ok_or(EfuseError::NoKeyBlock { block: 0 })?;
            self.add_key(batch, block, usage, &part)?;
        }
        Ok(())
    }

    /// Adds what turns secure boot v2 on.
    pub(crate) fn add_secure_boot_enable(&self, batch: &mut Batch) -> Result<(), EfuseError> {
        let mut schemes = self.map().secure_boot_enable.iter();
        match schemes.find(|(scheme, _)| *scheme != SecureBootScheme::V1) {
            Some((_, field)) => batch.set(self, field, 1),
            None => Ok(()),
        }
    }

    /// Burns what the batch has collected.
    ///
    /// # Errors
    /// [`EfuseError`] of the first block that fails; the blocks after it are not burnt then.
    pub(crate) fn burn_batch(&mut self, batch: &Batch) -> Result<(), EfuseError> {
        for (block, bits) in batch.blocks.iter().enumerate().rev() {
            let old = self.silicon(block);
            let needed = bits.iter().zip(old).any(|(bit, old)| bit & !old != 0);
            if needed {
                self.program(block, *bits)?;
            }
        }
        Ok(())
    }
}
