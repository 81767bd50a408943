//! The flash chip, as the agent sees it: plain bytes, whole sectors.
//!
//! Flash encryption is below this trait: what `read` returns is decrypted and what
//! `replace_sector` takes is plaintext. Erased flash therefore reads as noise on an encrypted
//! device, and the agent never concludes anything from 0xFF.

use core::fmt::Debug;

use espseal_format::units::{FlashOffset, SECTOR_SIZE};

/// Bytes at the beginning of a sector that are programmed last on a chip without flash encryption.
pub const HEAD: usize = 16;

/// Decrypted access to the flash chip.
///
/// A power cut is an error like any other: the agent does nothing more after it and unwinds.
pub trait Flash {
    /// What can go wrong.
    type Error: FlashFault;

    /// Fills `buffer` with the decrypted bytes from `at` on, at any alignment.
    ///
    /// # Errors
    /// When the range lies outside the chip or the chip does not answer.
    fn read(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), Self::Error>;

    /// Erases the sector at `at` and programs `data`, encrypted where flash encryption is on.
    ///
    /// Without flash encryption the first [`HEAD`] bytes are programmed last, alone: the sequence
    /// number of an otadata entry stands in them, and nothing else that the entry's CRC covers. Power
    /// that goes in a pulse which writes the whole entry can leave one slow bit of its state behind,
    /// and NEW (0) with bit 1 is VALID (2): the image would start without a trial. Encrypted cells need
    /// no order: a torn row reads as noise.
    ///
    /// The agent reads back what it wrote: an implementation does not have to.
    ///
    /// # Errors
    /// When `at` is not sector-aligned, or the chip refuses to erase or to program.
    fn replace_sector(
        &mut self,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), Self::Error>;

    /// Erases the sector at `at`.
    ///
    /// # Errors
    /// When `at` is not sector-aligned or the chip refuses to erase.
    fn erase_sector(&mut self, at: FlashOffset) -> Result<(), Self::Error>;
}

/// Access to what stands on the chip, beside decrypted access; for direct images.
///
/// Flash encryption is not in the way here: `read_raw` returns ciphertext, erased flash reads as
/// 0xFF, and what `replace_sector_raw` takes is programmed as it is.
pub trait RawFlash: Flash {
    /// Fills `buffer` with the bytes from `at` on as they stand on the chip, at any alignment.
    ///
    /// # Errors
    /// When the range lies outside the chip or the chip does not answer.
    fn read_raw(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), Self::Error>;

    /// Erases the sector at `at` and programs `data` as it is, in any order: ciphertext that is torn
    /// reads as noise, like any.
    ///
    /// The agent reads back what it wrote, and then reads it decrypted: an implementation over a
    /// cache drops from it what it held of the sector.
    ///
    /// # Errors
    /// When `at` is not sector-aligned, or the chip refuses to erase or to program.
    fn replace_sector_raw(
        &mut self,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), Self::Error>;
}

/// What the agent asks an error of a [`Flash`].
pub trait FlashFault: Debug {
    /// Which of the known faults it is.
    fn kind(&self) -> FlashFaultKind;

    /// The driver's own number, such as 0x6001, for the log; 0 where there is none.
    fn code(&self) -> u32 {
        0
    }
}

/// The faults of a flash chip that call for different remedies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlashFaultKind {
    /// The chip stayed write-protected (`ESP_ERR_FLASH_BASE + 1` and its relatives).
    WriteProtected,
    /// The address lies outside the chip or is not aligned.
    OutOfRange,
    /// The chip did not answer or reported failure.
    Hardware,
    /// Power went away during the operation; nothing after it happened.
    PowerLost,
}

impl<F: Flash + ?Sized> Flash for &mut F {
    type Error = F::Error;

    fn read(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), Self::Error> {
        (**self).read(at, buffer)
    }

    fn replace_sector(
        &mut self,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), Self::Error> {
        (**self).replace_sector(at, data)
    }

    fn erase_sector(&mut self, at: FlashOffset) -> Result<(), Self::Error> {
        (**self).erase_sector(at)
    }
}

impl<F: RawFlash + ?Sized> RawFlash for &mut F {
    fn read_raw(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), Self::Error> {
        (**self).read_raw(at, buffer)
    }

    fn replace_sector_raw(
        &mut self,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), Self::Error> {
        (**self).replace_sector_raw(at, data)
    }
}
