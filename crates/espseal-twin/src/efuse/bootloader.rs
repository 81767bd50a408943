//! What the bootloader asks of the eFuses, and burns, beyond their fields.
//!
//! Source: ESP-IDF `bootloader_support/src/flash_encryption/flash_encrypt.c`,
//! `docs/en/security/secure-boot-v2.rst`.

use espseal_crypto::flash_encryption::FlashKey;
use espseal_format::chip::{EcdsaCurve, SecureBootScheme};
use espseal_format::efuse::{KeyPurpose, KeyRole};
use espseal_format::signature_block::{Curve, SignatureScheme};

use super::{BLOCK_SIZE, EfuseError, Efuses};

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
            KeyRole::Shared { .. } => {
                let low = self.silicon(usize::from(block.key.block));
                low.get(..BLOCK_SIZE / 2) != Some(&[0; BLOCK_SIZE / 2])
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
        let (chip, revision) = (self.model(), self.revision());
        let schemes = chip.secure_boot.iter().map(|known| known.scheme);
        schemes
            .filter(|scheme| chip.boots_with(*scheme, revision))
            .collect()
    }

    /// Whether the ROM of this revision verifies such signatures.
    #[must_use]
    pub fn rom_knows(&self, scheme: SignatureScheme) -> bool {
        let (chip, revision) = (self.model(), self.revision());
        let curve = match scheme {
            SignatureScheme::Rsa3072 => return chip.boots_with(SecureBootScheme::V2Rsa, revision),
            SignatureScheme::Ecdsa(Curve::P192) => EcdsaCurve::P192,
            SignatureScheme::Ecdsa(Curve::P256) => EcdsaCurve::P256,
            SignatureScheme::Ecdsa(Curve::P384) => EcdsaCurve::P384,
        };
        let mut curves = chip.curves.iter();
        chip.boots_with(SecureBootScheme::V2Ecdsa, revision)
            && curves.any(|known| known.curve == curve && known.from_revision <= revision)
    }

    /// Whether the ROM verifies the bootloader, by either version of secure boot.
    #[must_use]
    pub fn secure_boot_is_on(&self) -> bool {
        self.secure_boot_schemes().next().is_some()
    }

    /// Turns secure boot v2 on with whatever scheme the silicon has.
    ///
    /// # Errors
    /// As [`Efuses::enable_secure_boot`].
    pub fn enable_secure_boot_v2(&mut self) -> Result<(), EfuseError> {
        let mut schemes = self.rom_schemes().into_iter();
        let v2 = schemes.find(|scheme| *scheme != SecureBootScheme::V1);
        self.enable_secure_boot(v2.unwrap_or(SecureBootScheme::V2Rsa))
    }

    /// Whether flash encryption and secure boot share one key block, which can be burnt only once.
    #[must_use]
    pub fn keys_share_a_block(&self) -> bool {
        let mut keys = self.map().keys.iter();
        keys.any(|entry| matches!(entry.role, KeyRole::Shared { .. }))
    }

    /// What of a flash key is burnt: the ESP32 repeats part of it when blocks are coded.
    #[must_use]
    pub fn flash_key_file<'a>(&self, key: &'a FlashKey) -> &'a [u8] {
        let file = key.file();
        match key {
            FlashKey::Esp32(_) => file.get(..self.coding_scheme().data_size()).unwrap_or(file),
            _ => file,
        }
    }
}
