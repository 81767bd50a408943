//! What the bootloader asks of the eFuses, and burns, beyond their fields.
//!
//! Source: ESP-IDF `bootloader_support/src/flash_encryption/flash_encrypt.c`,
//! `docs/en/security/secure-boot-v2.rst`.

use espseal_format::chip::SecureBootScheme;
use espseal_format::efuse::{KeyPurpose, KeyRole};

use super::{BLOCK_SIZE, EfuseError, Efuses, KeyUse};

impl Efuses {
    /// Version of the layout of the eFuse blocks, `major * 100 + minor`; `None` on a chip without.
    #[must_use]
    pub fn block_version(&self) -> Option<u16> {
        let read = |name| u16::try_from(self.read(name).ok()?).ok();
        Some(read("BLK_VERSION_MAJOR")? * 100 + read("BLK_VERSION_MINOR")?)
    }

    /// Bits of the flash encryption counter that are set, and how many there are.
    #[must_use]
    pub fn flash_crypt_count(&self) -> (u32, u32) {
        let field = &self.map().flash_crypt_cnt;
        (self.get(field).count_ones(), u32::from(field.width))
    }

    /// Whether the flash encryption counter can never be raised again.
    #[must_use]
    pub fn flash_crypt_count_is_write_protected(&self) -> bool {
        let guard = self.map().flash_crypt_cnt.write_protect;
        guard.is_some_and(|bit| self.is_wr_dis(bit))
    }

    /// Raises the flash encryption counter by one bit, the lowest that is free: on, or off again.
    ///
    /// # Errors
    /// As [`Efuses::burn`].
    pub fn raise_flash_crypt_count(&mut self) -> Result<(), EfuseError> {
        let field = self.map().flash_crypt_cnt;
        let count = self.get(&field);
        self.set(&field, count | count.wrapping_add(1))
    }

    /// Sets every bit of the flash encryption counter.
    ///
    /// # Errors
    /// As [`Efuses::burn`].
    pub fn fill_flash_crypt_count(&mut self) -> Result<(), EfuseError> {
        let field = self.map().flash_crypt_cnt;
        self.set(&field, (1_u64 << field.width).wrapping_sub(1))
    }

    /// Whether the flash key's blocks are read- and write-protected; `None` when none is burnt.
    #[must_use]
    pub fn flash_key_is_protected(&self) -> Option<bool> {
        let mut blocks = self.flash_key_blocks().peekable();
        blocks.peek()?;
        Some(blocks.all(|block| self.is_read_protected(block) && self.is_write_protected(block)))
    }

    /// The blocks that hold the flash key.
    fn flash_key_blocks(&self) -> impl Iterator<Item = usize> {
        let keys = self.map().keys.iter().filter(|block| match block.role {
            KeyRole::FlashEncryption => {
                self.silicon(usize::from(block.key.block)) != [0; BLOCK_SIZE]
            }
            KeyRole::Purpose(field) => matches!(
                self.purpose(&field),
                KeyPurpose::XtsAes128Key | KeyPurpose::XtsAes256Key1 | KeyPurpose::XtsAes256Key2
            ),
            _ => false,
        });
        keys.map(|block| usize::from(block.key.block))
    }

    /// The secure boot schemes that the ROM of this revision verifies.
    pub(crate) fn rom_schemes(&self) -> Vec<SecureBootScheme> {
        let revision = self.revision();
        let schemes = self.model.chip.secure_boot.iter();
        let known = schemes.filter(|known| known.from_revision <= revision);
        known.map(|known| known.scheme).collect()
    }

    /// Whether the ROM revokes a key as soon as a signature in its name does not verify.
    #[must_use]
    pub fn revokes_aggressively(&self) -> bool {
        self.read("SECURE_BOOT_AGGRESSIVE_REVOKE") == Ok(1)
    }

    /// Revokes one digest slot; nothing on a chip that cannot.
    ///
    /// # Errors
    /// As [`Efuses::burn`].
    pub fn revoke(&mut self, slot: usize) -> Result<(), EfuseError> {
        match self.map().key_revoke.get(slot) {
            Some(field) => self.set(field, 1),
            None => Ok(()),
        }
    }

    /// The same, when these blocks are spoken for.
    pub(crate) fn free_block_beside(&self, usage: KeyUse, taken: &[usize]) -> Option<usize> {
        let blank = |block: &usize| {
            !taken.contains(block)
                && self.silicon(*block) == [0; BLOCK_SIZE]
                && !self.is_write_protected(*block)
        };
        let able = self
            .map()
            .keys
            .iter()
            .filter(|block| usage.purpose_in(block).is_some());
        able.map(|block| usize::from(block.key.block)).find(blank)
    }
}
