//! The flash chip behind the hardware's flash encryption.
//!
//! With `SPI_BOOT_CRYPT_CNT` burnt, esp-storage reads through the cache, which decrypts, and writes
//! through the ROM's encrypting function; otherwise both are plain. The eFuse is asked at each call,
//! so that one image runs on a board of either kind.
//!
//! `write_encrypted` of esp-storage replaces a whole sector: it reads, erases, programs. That is
//! [`Flash::replace_sector`] already (the sector it reads is overwritten completely), and like
//! it leaves a sector without meaning when power goes in between. The agent expects no more.

use esp_storage::{FlashStorage, FlashStorageError};
use espseal_agent::flash::{Flash, FlashFault, FlashFaultKind, HEAD, RawFlash};
use espseal_format::units::{FlashOffset, SECTOR_SIZE};

/// The flash that the chip boots from.
#[derive(Debug)]
pub struct EspFlash<'d> {
    storage: FlashStorage<'d>,
}

/// Why the flash failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EspFlashFault(pub FlashStorageError);

impl<'d> EspFlash<'d> {
    /// Takes the flash chip.
    #[must_use]
    pub const fn new(storage: FlashStorage<'d>) -> Self {
        Self { storage }
    }
}

impl Flash for EspFlash<'_> {
    type Error = EspFlashFault;

    fn read(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), EspFlashFault> {
        match is_encrypted() {
            true => self.storage.read_encrypted(at.get(), buffer),
            false => self.storage.read(at.get(), buffer),
        }
        .map_err(EspFlashFault)
    }

    fn replace_sector(
        &mut self,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), EspFlashFault> {
        if !at.is_sector_aligned() {
            return Err(EspFlashFault(FlashStorageError::NotAligned));
        }
        if is_encrypted() {
            return self
                .storage
                .write_encrypted(at.get(), data)
                .map_err(EspFlashFault);
        }
        self.erase_sector(at)?;
        // The head last and alone, as the trait asks of a chip that does not encrypt.
        let (head, rest) = data.split_at(HEAD);
        let after = at.get().saturating_add(HEAD as u32);
        self.storage
            .write_nor(after, rest)
            .and_then(|()| self.storage.write_nor(at.get(), head))
            .map_err(EspFlashFault)
    }

    fn erase_sector(&mut self, at: FlashOffset) -> Result<(), EspFlashFault> {
        let start = at.get();
        let end = start
            .checked_add(FlashStorage::SECTOR_SIZE)
            .ok_or(EspFlashFault(FlashStorageError::OutOfBounds))?;
        self.storage.erase(start, end).map_err(EspFlashFault)
    }
}

impl RawFlash for EspFlash<'_> {
    /// The ROM's own read, which goes around cache and decryption.
    fn read_raw(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), EspFlashFault> {
        self.storage.read(at.get(), buffer).map_err(EspFlashFault)
    }

    fn replace_sector_raw(
        &mut self,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), EspFlashFault> {
        if !at.is_sector_aligned() {
            return Err(EspFlashFault(FlashStorageError::NotAligned));
        }
        self.erase_sector(at)?;
        self.storage
            .write_nor(at.get(), data)
            .map_err(EspFlashFault)
    }
}

impl FlashFault for EspFlashFault {
    fn kind(&self) -> FlashFaultKind {
        match self.0 {
            FlashStorageError::CantUnlock => FlashFaultKind::WriteProtected,
            FlashStorageError::NotAligned | FlashStorageError::OutOfBounds => {
                FlashFaultKind::OutOfRange
            }
            _ => FlashFaultKind::Hardware,
        }
    }

    /// The number that the ROM's function returned, for the log.
    fn code(&self) -> u32 {
        match self.0 {
            FlashStorageError::IoError => 1,
            FlashStorageError::IoTimeout => 2,
            FlashStorageError::Other(code) => code.unsigned_abs(),
            _ => 0,
        }
    }
}

/// Whether this chip encrypts its flash: an odd number of bits is burnt.
fn is_encrypted() -> bool {
    esp_hal::efuse::flash_encryption()
}
