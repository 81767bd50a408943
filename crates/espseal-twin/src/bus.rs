//! The flash bus: flash encryption between the chip's cells and the CPU.
//!
//! With flash encryption on, reads through the cache are decrypted, whatever was written, so erased
//! flash reads as noise; encrypted writes take whole cipher rows. Raw access goes around it, as
//! `esp_flash_read` and `esp_flash_write` do.
//!
//! Source: ESP-IDF `docs/en/security/flash-encryption.rst`, `components/spi_flash`.

use espseal_agent::flash::HEAD;
use espseal_crypto::flash_encryption::FlashCipher;
use espseal_format::units::{FlashOffset, SECTOR_SIZE};

use crate::nor::{NorError, NorFlash};

/// The largest unit that a scheme tweaks as one: 128 bytes with XTS, 32 on the ESP32.
const UNIT: u32 = 128;
/// [`HEAD`] as a length in flash.
const HEAD_LEN: u32 = 16;
const _: () = assert!(HEAD_LEN as usize == HEAD);

/// A flash chip behind an optional flash-encryption engine.
#[derive(Debug)]
pub struct Bus<'a> {
    flash: &'a mut NorFlash,
    cipher: Option<&'a FlashCipher>,
    row: usize,
}

impl<'a> Bus<'a> {
    /// Connects a chip; without a cipher everything is plain.
    ///
    /// `row` is the alignment of encrypted writes: 32 bytes on the ESP32, 16 on the others.
    #[must_use]
    pub fn new(flash: &'a mut NorFlash, cipher: Option<&'a FlashCipher>, row: usize) -> Self {
        Self { flash, cipher, row }
    }

    /// Whether flash encryption is on.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.cipher.is_some()
    }

    /// Size of the chip in bytes.
    #[must_use]
    pub fn size(&self) -> u32 {
        u32::try_from(self.flash.size()).unwrap_or(u32::MAX)
    }

    /// Reads as the cache does, decrypted.
    ///
    /// # Errors
    /// [`NorError`] of the chip.
    pub fn read(&mut self, offset: FlashOffset, buffer: &mut [u8]) -> Result<(), NorError> {
        let Some(cipher) = self.cipher else {
            return self.flash.read(offset, buffer);
        };
        // The cache decrypts whole units; the chip's size is a multiple of them.
        let start = offset.get() & !(UNIT - 1);
        let skip = to_usize(offset.get().wrapping_sub(start));
        let mut unit = vec![
            0;
            skip.saturating_add(buffer.len())
                .next_multiple_of(to_usize(UNIT))
        ];
        self.flash.read(FlashOffset::new(start), &mut unit)?;
        decrypt(cipher, FlashOffset::new(start), &mut unit)?;
        let plain = unit.get(skip..).unwrap_or_default();
        buffer
            .iter_mut()
            .zip(plain)
            .for_each(|(to, from)| *to = *from);
        Ok(())
    }

    /// Reads the cells as they are.
    ///
    /// # Errors
    /// [`NorError`] of the chip.
    pub fn read_raw(&mut self, offset: FlashOffset, buffer: &mut [u8]) -> Result<(), NorError> {
        self.flash.read(offset, buffer)
    }

    /// Encrypts and programs; plain while flash encryption is off.
    ///
    /// # Errors
    /// [`NorError::Misaligned`] unless offset and length are whole cipher rows, and those of the chip.
    pub fn write(&mut self, offset: FlashOffset, data: &[u8]) -> Result<(), NorError> {
        let Some(cipher) = self.cipher else {
            return self.flash.program(offset, data);
        };
        if !to_usize(offset.get()).is_multiple_of(self.row) || !data.len().is_multiple_of(self.row)
        {
            return Err(NorError::Misaligned {
                offset,
                alignment: self.row,
            });
        }
        let mut cells = data.to_vec();
        let misaligned = |_| NorError::Misaligned {
            offset,
            alignment: self.row,
        };
        cipher.encrypt(offset, &mut cells).map_err(misaligned)?;
        self.flash.program(offset, &cells)
    }

    /// Reads a sector as it is, erases it, and programs it encrypted, as the bootloader does on the
    /// first boot: two operations, and nothing remembers the sector in between.
    ///
    /// # Errors
    /// [`NorError`] of the chip.
    pub(crate) fn encrypt_sector(
        &mut self,
        offset: FlashOffset,
        cipher: &FlashCipher,
    ) -> Result<(), NorError> {
        let mut data = [0; SECTOR_SIZE];
        self.flash.read(offset, &mut data)?;
        self.flash.erase_sector(offset)?;
        let misaligned = |_| NorError::Misaligned {
            offset,
            alignment: self.row,
        };
        cipher.encrypt(offset, &mut data).map_err(misaligned)?;
        self.flash.program(offset, &data)
    }

    /// Programs bytes as they are.
    ///
    /// # Errors
    /// [`NorError`] of the chip.
    pub fn write_raw(&mut self, offset: FlashOffset, data: &[u8]) -> Result<(), NorError> {
        self.flash.program(offset, data)
    }

    /// Erases one sector.
    ///
    /// # Errors
    /// [`NorError`] of the chip.
    pub fn erase_sector(&mut self, offset: FlashOffset) -> Result<(), NorError> {
        self.flash.erase_sector(offset)
    }

    /// Erases a sector and writes it whole; without flash encryption its first [`HEAD`] bytes last,
    /// as [`espseal_agent::flash::Flash::replace_sector`] asks for.
    ///
    /// # Errors
    /// [`NorError`] of the chip.
    pub fn replace_sector(
        &mut self,
        offset: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), NorError> {
        self.erase_sector(offset)?;
        if self.is_encrypted() {
            return self.write(offset, data);
        }
        let (head, rest) = data.split_at(HEAD);
        let after = FlashOffset::new(offset.get().saturating_add(HEAD_LEN));
        self.write(after, rest)?;
        self.write(offset, head)
    }
}

fn decrypt(cipher: &FlashCipher, offset: FlashOffset, data: &mut [u8]) -> Result<(), NorError> {
    let misaligned = |_| NorError::Misaligned {
        offset,
        alignment: to_usize(UNIT),
    };
    cipher.decrypt(offset, data).map_err(misaligned)
}

fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
