//! Flash with a witness: every write is read back, every step is told to the observer.

use espseal_format::units::{CHUNK_SIZE, FlashOffset, SECTOR_SIZE};

use crate::error::{FlashOperation, HardwareError};
use crate::flash::{Flash, RawFlash};
use crate::observer::{Event, Observer};

/// Bytes of a sector, and of a chunk, as a length in flash.
pub(crate) const SECTOR: u32 = 4096;
const _: () = assert!(SECTOR as usize == SECTOR_SIZE && SECTOR_SIZE == CHUNK_SIZE);

/// The flash chip and whoever watches it.
pub(crate) struct Medium<F, O> {
    pub(crate) flash: F,
    pub(crate) observer: O,
}

impl<F: Flash, O: Observer> Medium<F, O> {
    pub(crate) fn read(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), HardwareError> {
        self.flash
            .read(at, buffer)
            .map_err(|error| HardwareError::flash(FlashOperation::Read, at, &error))
    }

    /// Replaces the sector at `at` and compares what the chip then reads.
    pub(crate) fn replace(
        &mut self,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), HardwareError> {
        self.flash
            .replace_sector(at, data)
            .map_err(|error| HardwareError::flash(FlashOperation::Replace, at, &error))?;
        if !self.holds(at, data, Self::read)? {
            return Err(HardwareError::ReadBack { at });
        }
        self.observer.event(&Event::Written { at });
        Ok(())
    }

    pub(crate) fn erase(&mut self, at: FlashOffset) -> Result<(), HardwareError> {
        self.flash
            .erase_sector(at)
            .map_err(|error| HardwareError::flash(FlashOperation::Erase, at, &error))?;
        self.observer.event(&Event::Erased { at });
        Ok(())
    }

    pub(crate) fn event(&mut self, event: &Event) {
        self.observer.event(event);
    }

    /// Whether the flash from `at` on reads as `data`, by way of `read`.
    fn holds(
        &mut self,
        at: FlashOffset,
        data: &[u8],
        read: impl Fn(&mut Self, FlashOffset, &mut [u8]) -> Result<(), HardwareError>,
    ) -> Result<bool, HardwareError> {
        let mut at = Some(at);
        let mut found = [0; 256];
        for expected in data.chunks(found.len()) {
            let (Some(here), Some(found)) = (at, found.get_mut(..expected.len())) else {
                return Ok(false);
            };
            read(self, here, found)?;
            if found != expected {
                return Ok(false);
            }
            at = u32::try_from(expected.len())
                .ok()
                .and_then(|length| here.checked_add(length));
        }
        Ok(true)
    }
}

impl<F: RawFlash, O: Observer> Medium<F, O> {
    pub(crate) fn read_raw(
        &mut self,
        at: FlashOffset,
        buffer: &mut [u8],
    ) -> Result<(), HardwareError> {
        self.flash
            .read_raw(at, buffer)
            .map_err(|error| HardwareError::flash(FlashOperation::Read, at, &error))
    }

    /// Replaces the sector at `at` with ciphertext and compares what then stands on the chip.
    pub(crate) fn replace_raw(
        &mut self,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), HardwareError> {
        self.flash
            .replace_sector_raw(at, data)
            .map_err(|error| HardwareError::flash(FlashOperation::Replace, at, &error))?;
        if !self.holds(at, data, Self::read_raw)? {
            return Err(HardwareError::ReadBack { at });
        }
        self.observer.event(&Event::Written { at });
        Ok(())
    }
}
