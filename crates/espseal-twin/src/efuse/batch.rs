//! Burns that are collected and then carried out together, as ESP-IDF's bootloader burns.
//!
//! The blocks are burnt from the highest number down, so that BLOCK0 with its protections comes last.
//!
//! Source: ESP-IDF `components/efuse/src/esp_efuse_api.c` (`esp_efuse_batch_write_*`),
//! `esp_efuse_utility.c` (`esp_efuse_utility_burn_chip_opt`).

use espseal_format::efuse::Field;
use zeroize::Zeroizing;

use super::{BLOCK_SIZE, EfuseError, Efuses, KeyProtection, KeyToBurn, KeyUse, mask, put};

/// Collected burns. Prints nothing: keys may be among them.
#[derive(Default)]
pub(crate) struct Batch {
    settings: [u8; BLOCK_SIZE],
    keys: Vec<(usize, KeyUse, Zeroizing<Vec<u8>>)>,
}

impl Batch {
    /// Adds the bits of a field of BLOCK0; a write-protected field stays as it is, as in hardware.
    pub(crate) fn set(
        &mut self,
        efuses: &Efuses,
        field: &Field,
        value: u64,
    ) -> Result<(), EfuseError> {
        if field.write_protect.is_some_and(|bit| efuses.is_wr_dis(bit)) {
            return Ok(());
        }
        put(field, &mut self.settings, value)
    }

    /// Adds the bits of a field by its name.
    pub(crate) fn set_named(
        &mut self,
        efuses: &Efuses,
        name: &str,
        value: u64,
    ) -> Result<(), EfuseError> {
        let field = efuses.field(name)?;
        self.set(efuses, field, value)
    }

    /// Adds the write protection of a field by its name; nothing when there is none.
    pub(crate) fn write_protect(&mut self, efuses: &Efuses, name: &str) -> Result<(), EfuseError> {
        match efuses.field(name)?.write_protect {
            Some(bit) => self.set(efuses, &efuses.map().wr_dis, 1 << bit),
            None => Ok(()),
        }
    }

    /// Adds what hides a whole block from software.
    pub(crate) fn read_protect_block(
        &mut self,
        efuses: &Efuses,
        block: usize,
    ) -> Result<(), EfuseError> {
        let bits = efuses
            .block(block)
            .map_or(0, |block| mask(block.read_protect));
        self.set(efuses, &efuses.map().rd_dis, bits)
    }

    /// Adds a key in the first free block, with its purpose and protections.
    pub(crate) fn add_key(
        &mut self,
        efuses: &Efuses,
        usage: KeyUse,
        key: &[u8],
    ) -> Result<(), EfuseError> {
        let taken: Vec<usize> = self.keys.iter().map(|(block, ..)| *block).collect();
        let block = efuses
            .free_block_beside(usage, &taken)
            .ok_or(EfuseError::NoSecondBlock)?;
        self.keys.push((block, usage, Zeroizing::new(key.to_vec())));
        Ok(())
    }

    /// Burns what was collected.
    ///
    /// # Errors
    /// [`EfuseError`] of the first block that fails; the blocks after it are not burnt then.
    pub(crate) fn burn(mut self, efuses: &mut Efuses) -> Result<(), EfuseError> {
        let keys: Vec<_> = self
            .keys
            .iter()
            .map(|(block, usage, key)| KeyToBurn {
                block: *block,
                usage: *usage,
                key,
            })
            .collect();
        let plan = efuses.plan_keys(&keys, KeyProtection::Usual)?;
        for (field, value) in &plan.fields {
            put(field, &mut self.settings, *value)?;
        }
        let map = efuses.map();
        put(&map.wr_dis, &mut self.settings, plan.wr_dis)?;
        put(&map.rd_dis, &mut self.settings, plan.rd_dis)?;
        for (block, bits) in plan.blocks.into_iter().rev() {
            efuses.program(block, bits)?;
        }
        let old = efuses.silicon(0);
        match self
            .settings
            .iter()
            .zip(old)
            .any(|(bit, old)| bit & !old != 0)
        {
            true => efuses.program(0, self.settings),
            false => Ok(()),
        }
    }
}
