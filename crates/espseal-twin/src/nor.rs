//! NOR flash: erases sectors to ones, programs by clearing bits, and may lose power in between.
//!
//! Addresses are raw, below flash encryption ([`crate::bus`] is above it). A chip lives in memory or
//! in a file of its exact contents, the file that `esptool read-flash` makes and emulators take.
//!
//! Source: the instruction sets of common SPI NOR chips (page program, 4 KB sector erase, block
//! protection), and ESP-IDF `esp_flash_err.h` for error numbers.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use espseal_format::units::{FlashOffset, SECTOR_SIZE};

use crate::power::{Grant, Power, PowerLost, Tear};

/// A NOR flash chip. Prints without its contents.
pub struct NorFlash {
    cells: Vec<u8>,
    file: Option<File>,
    power: Power,
    protection: WriteProtection,
    changes: Option<Vec<Change>>,
}

/// One program or erase that was carried out whole: what a cut inside it would have left can be
/// worked out afterwards, without doing everything before it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// First byte.
    pub offset: FlashOffset,
    /// The cells before.
    pub old: Vec<u8>,
    /// The cells after.
    pub new: Vec<u8>,
}

impl Change {
    /// The cells as this tear would have left them.
    #[must_use]
    pub fn torn(&self, tear: Tear) -> Vec<u8> {
        let mut cells = self.new.clone();
        tear.apply(&self.old, &mut cells);
        cells
    }
}

/// State of the chip's block-protection bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteProtection {
    /// Programs and erases work.
    #[default]
    Off,
    /// The chip ignores programs and erases; the driver reads the cells back and reports
    /// `ESP_ERR_FLASH_OP_FAIL` (0x6001).
    Stuck,
}

impl NorFlash {
    /// Makes an erased chip in memory.
    ///
    /// # Errors
    /// [`NorError::Geometry`] unless the size is a multiple of a sector, up to 16 MB.
    pub fn erased(size: usize) -> Result<Self, NorError> {
        Self::from_bytes(vec![0xFF; size])
    }

    /// Makes a chip in memory with these contents.
    ///
    /// # Errors
    /// [`NorError::Geometry`] unless the size is a multiple of a sector, up to 16 MB.
    pub fn from_bytes(cells: Vec<u8>) -> Result<Self, NorError> {
        if cells.is_empty()
            || !cells.len().is_multiple_of(SECTOR_SIZE)
            || cells.len() > Self::MAX_SIZE
        {
            return Err(NorError::Geometry { size: cells.len() });
        }
        Ok(Self {
            cells,
            file: None,
            power: Power::default(),
            protection: WriteProtection::Off,
            changes: None,
        })
    }

    /// Opens a chip whose contents are a file; every operation is written through.
    ///
    /// # Errors
    /// [`NorError::File`] when the file cannot be read and written, [`NorError::Geometry`] for its size.
    pub fn open(path: &Path) -> Result<Self, NorError> {
        let mut file = File::options().read(true).write(true).open(path)?;
        let mut cells = Vec::new();
        file.read_to_end(&mut cells)?;
        let mut flash = Self::from_bytes(cells)?;
        flash.file = Some(file);
        Ok(flash)
    }

    /// Largest chip that the memory-mapped flash of these chips reaches: 16 MB.
    pub const MAX_SIZE: usize = 0x100_0000;

    /// Uses this power supply from now on.
    #[must_use]
    pub fn powered_by(mut self, power: Power) -> Self {
        self.power = power;
        self
    }

    /// The chip's power supply.
    #[must_use]
    pub fn power(&self) -> &Power {
        &self.power
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.cells.len()
    }

    /// The cells as they are, without asking whether there is power: what a programmer clipped to
    /// the chip would read.
    #[must_use]
    pub fn contents(&self) -> &[u8] {
        &self.cells
    }

    /// Replaces cells behind the device's back, as a programmer clipped to the chip would: no
    /// operation counts, no power is needed, and nothing is written to a chip's file.
    ///
    /// # Errors
    /// [`NorError::OutOfBounds`].
    pub fn overwrite(&mut self, offset: FlashOffset, cells: &[u8]) -> Result<(), NorError> {
        self.range(offset, cells.len())?;
        let start = usize::try_from(offset.get()).unwrap_or(usize::MAX);
        let own = self.cells.iter_mut().skip(start);
        own.zip(cells).for_each(|(own, cell)| *own = *cell);
        Ok(())
    }

    /// Keeps every program and erase from now on; gives those kept so far.
    pub fn record_changes(&mut self) -> Vec<Change> {
        self.changes.replace(Vec::new()).unwrap_or_default()
    }

    /// Sets or clears the stuck write protection.
    pub fn set_write_protection(&mut self, protection: WriteProtection) {
        self.protection = protection;
    }

    /// Reads bytes from any offset.
    ///
    /// # Errors
    /// [`NorError::OutOfBounds`] past the end, [`NorError::PowerLost`].
    pub fn read(&self, offset: FlashOffset, buffer: &mut [u8]) -> Result<(), NorError> {
        self.power.check()?;
        let from = self.range(offset, buffer.len())?;
        buffer.copy_from_slice(from);
        Ok(())
    }

    /// Clears the bits that are 0 in `data`; bits that are 1 stay as they are.
    ///
    /// # Errors
    /// [`NorError::WriteProtected`], [`NorError::OutOfBounds`], [`NorError::PowerLost`].
    pub fn program(&mut self, offset: FlashOffset, data: &[u8]) -> Result<(), NorError> {
        let old = self.range(offset, data.len())?;
        let new = old.iter().zip(data).map(|(old, new)| old & new).collect();
        self.change(offset, new)
    }

    /// Sets every bit of one sector.
    ///
    /// # Errors
    /// [`NorError::Misaligned`] unless the offset starts a sector, and as [`NorFlash::program`].
    pub fn erase_sector(&mut self, offset: FlashOffset) -> Result<(), NorError> {
        if !offset.is_sector_aligned() {
            return Err(NorError::Misaligned {
                offset,
                alignment: SECTOR_SIZE,
            });
        }
        self.range(offset, SECTOR_SIZE)?;
        self.change(offset, vec![0xFF; SECTOR_SIZE])
    }

    /// Carries out one operation whose complete result is `new`.
    fn change(&mut self, offset: FlashOffset, mut new: Vec<u8>) -> Result<(), NorError> {
        if self.protection == WriteProtection::Stuck {
            self.power.check()?;
            return Err(NorError::WriteProtected { offset });
        }
        let grant = self.power.operate()?;
        let start = usize::try_from(offset.get()).map_err(|_| NorError::Geometry { size: 0 })?;
        let size = self.cells.len();
        let cells = self
            .cells
            .get_mut(start..start.saturating_add(new.len()))
            .ok_or(NorError::OutOfBounds {
                offset,
                length: new.len(),
                size,
            })?;
        if let Grant::Torn(tear) = grant {
            tear.apply(cells, &mut new);
        }
        if let Some(changes) = &mut self.changes {
            changes.push(Change {
                offset,
                old: cells.to_vec(),
                new: new.clone(),
            });
        }
        cells.copy_from_slice(&new);
        if let Some(file) = &mut self.file {
            file.seek(SeekFrom::Start(u64::from(offset.get())))?;
            file.write_all(&new)?;
        }
        match grant {
            Grant::Whole => Ok(()),
            Grant::WholeThenLost | Grant::Torn(_) => Err(PowerLost.into()),
        }
    }

    fn range(&self, offset: FlashOffset, length: usize) -> Result<&[u8], NorError> {
        usize::try_from(offset.get())
            .ok()
            .and_then(|start| self.cells.get(start..start.checked_add(length)?))
            .ok_or(NorError::OutOfBounds {
                offset,
                length,
                size: self.cells.len(),
            })
    }
}

impl fmt::Debug for NorFlash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("NorFlash");
        shown
            .field("size", &self.cells.len())
            .field("protection", &self.protection);
        shown.finish_non_exhaustive()
    }
}

/// Why a flash operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NorError {
    /// The caller reached past the end of the chip.
    #[error("{length} bytes at {offset} reach past the {size}-byte chip")]
    OutOfBounds {
        /// First byte asked for.
        offset: FlashOffset,
        /// Bytes asked for.
        length: usize,
        /// Size of the chip.
        size: usize,
    },
    /// The caller's address or length does not fit the chip or the encryption scheme.
    #[error("{offset} is not aligned to {alignment} bytes")]
    Misaligned {
        /// The address or length.
        offset: FlashOffset,
        /// What it must be a multiple of.
        alignment: usize,
    },
    /// No flash chip has this size.
    #[error("{size} bytes is no flash size: use a multiple of 4096, up to 16 MB")]
    Geometry {
        /// The size asked for.
        size: usize,
    },
    /// The chip is write-protected and ignored the operation.
    #[error(
        "write or erase at {offset} failed (0x6001): the flash chip is write-protected; clear its block-protection bits"
    )]
    WriteProtected {
        /// Where.
        offset: FlashOffset,
    },
    /// Power went.
    #[error(transparent)]
    PowerLost(#[from] PowerLost),
    /// The file behind the chip could not be read or written.
    #[error("flash file: {0}")]
    File(#[from] io::Error),
}

impl NorError {
    /// The `esp_err_t` that ESP-IDF's flash driver returns for this, if it lives to return one.
    ///
    /// Source: ESP-IDF `esp_err.h`, `esp_flash_err.h`.
    #[must_use]
    pub const fn esp_err(&self) -> Option<u32> {
        match self {
            Self::OutOfBounds { .. } | Self::Misaligned { .. } => Some(0x102),
            Self::WriteProtected { .. } => Some(0x6001),
            Self::Geometry { .. } | Self::PowerLost(_) | Self::File(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::power::{Moment, PowerCut, Tear};

    fn at(offset: u32) -> FlashOffset {
        FlashOffset::new(offset)
    }

    fn chip() -> NorFlash {
        NorFlash::erased(4 * SECTOR_SIZE).unwrap()
    }

    #[test]
    fn programming_only_clears_bits_and_erasing_sets_them() {
        let mut chip = chip();
        chip.program(at(5), &[0xF0]).unwrap();
        chip.program(at(5), &[0x3F]).unwrap();
        assert_eq!(chip.contents()[5], 0x30);
        chip.erase_sector(at(0)).unwrap();
        assert_eq!(chip.contents()[5], 0xFF);
    }

    #[test]
    fn a_change_torn_afterwards_is_what_a_cut_would_have_left() {
        for tear in [0, 3, 4095]
            .map(Tear::AfterBytes)
            .into_iter()
            .chain([Tear::Scattered(9)])
        {
            let mut whole = chip();
            whole.program(at(0x1000), &[0x5A; 4096]).unwrap();
            whole.record_changes();
            whole.erase_sector(at(0x1000)).unwrap();
            let [change] = whole.record_changes().try_into().unwrap();
            let mut cut = chip();
            cut.program(at(0x1000), &[0x5A; 4096]).unwrap();
            let operation = 0;
            let moment = Moment::Inside(tear);
            cut.power().plan([PowerCut { operation, moment }]);
            assert!(cut.erase_sector(at(0x1000)).is_err());
            whole.overwrite(change.offset, &change.torn(tear)).unwrap();
            assert!(whole.contents() == cut.contents(), "{tear:?}");
        }
    }

    #[test]
    fn erasing_leaves_the_other_sectors_alone() {
        let mut chip = chip();
        chip.program(at(4095), &[0, 0]).unwrap();
        chip.erase_sector(at(4096)).unwrap();
        assert_eq!(chip.contents()[4095..4097], [0, 0xFF]);
    }

    #[test]
    fn misaligned_erases_and_reaching_past_the_end_are_refused() {
        let mut chip = chip();
        assert!(matches!(
            chip.erase_sector(at(1)),
            Err(NorError::Misaligned { .. })
        ));
        assert!(matches!(
            chip.erase_sector(at(4 * 4096)),
            Err(NorError::OutOfBounds { .. })
        ));
        assert!(matches!(
            chip.program(at(4 * 4096 - 1), &[0, 0]),
            Err(NorError::OutOfBounds { .. })
        ));
        assert!(matches!(
            chip.read(at(u32::MAX), &mut [0]),
            Err(NorError::OutOfBounds { .. })
        ));
        assert!(matches!(
            NorFlash::erased(4097),
            Err(NorError::Geometry { .. })
        ));
        assert!(matches!(
            NorFlash::erased(0),
            Err(NorError::Geometry { .. })
        ));
    }

    #[test]
    fn write_protected_chip_fails_with_0x6001_and_keeps_its_contents() {
        let mut chip = chip();
        chip.program(at(0), &[0]).unwrap();
        chip.set_write_protection(WriteProtection::Stuck);
        let error = chip.erase_sector(at(0)).unwrap_err();
        assert_eq!(error.esp_err(), Some(0x6001));
        assert!(error.to_string().contains("0x6001"));
        assert_eq!(
            chip.program(at(1), &[0]).unwrap_err().esp_err(),
            Some(0x6001)
        );
        assert_eq!(chip.contents()[..2], [0, 0xFF]);
        chip.set_write_protection(WriteProtection::Off);
        chip.erase_sector(at(0)).unwrap();
    }

    #[test]
    fn cut_inside_a_program_leaves_a_prefix_and_nothing_works_until_power_on() {
        let mut chip = chip();
        let cut = PowerCut {
            operation: 0,
            moment: Moment::Inside(Tear::AfterBytes(2)),
        };
        chip.power().plan([cut]);
        assert!(matches!(
            chip.program(at(0), &[0; 4]),
            Err(NorError::PowerLost(_))
        ));
        assert!(matches!(
            chip.read(at(0), &mut [0]),
            Err(NorError::PowerLost(_))
        ));
        assert!(matches!(
            chip.program(at(0), &[0; 4]),
            Err(NorError::PowerLost(_))
        ));
        chip.power().restore();
        let mut bytes = [0; 4];
        chip.read(at(0), &mut bytes).unwrap();
        assert_eq!(bytes, [0, 0, 0x0F, 0xFF]);
    }

    #[test]
    fn cut_inside_an_erase_leaves_the_rest_of_the_sector() {
        let mut chip = chip();
        chip.program(at(0), &[0; SECTOR_SIZE]).unwrap();
        let cut = PowerCut {
            operation: 0,
            moment: Moment::Inside(Tear::AfterBytes(2048)),
        };
        chip.power().plan([cut]);
        assert!(chip.erase_sector(at(0)).is_err());
        assert_eq!(chip.contents()[2047..2050], [0xFF, 0xF0, 0]);
    }

    #[test]
    fn a_file_backed_chip_keeps_what_was_written_even_when_torn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flash.bin");
        std::fs::write(&path, vec![0xFF; SECTOR_SIZE]).unwrap();
        let mut chip = NorFlash::open(&path).unwrap();
        let cut = PowerCut {
            operation: 1,
            moment: Moment::Inside(Tear::AfterBytes(1)),
        };
        chip.power().plan([cut]);
        chip.program(at(0), &[1]).unwrap();
        chip.program(at(8), &[0, 0]).unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), chip.contents());
        assert_eq!(chip.contents()[..1], [1]);
        assert_eq!(chip.contents()[8..10], [0, 0x0F]);
    }
}
