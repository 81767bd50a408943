//! A driver for SPI NOR flash chips with 4 KB sectors and 256-byte pages.
//!
//! Every command is one selection of the chip: the command byte, three address bytes, data. Before
//! each erase and program the write-enable latch is set and read back, since a protected chip
//! ignores what follows without a word; after it the status register is polled until the chip is
//! ready.
//!
//! Source: the instruction set that SPI NOR chips share (JEDEC JESD216), as in ISSI's datasheet of
//! the IS25WP256.

use espseal_agent::flash::{FlashFault, FlashFaultKind};
use espseal_format::units::{FlashOffset, SECTOR_SIZE};

/// Bytes in a page, the most that one program command takes.
pub const PAGE_SIZE: usize = 256;
/// Bytes that three address bytes reach: 16 MB, as much as the ESP32's memory-mapped flash.
pub const REACH: u32 = 1 << 24;

/// The wires to one flash chip.
pub trait SpiBus {
    /// Begins a command: chip select goes low.
    fn select(&mut self);

    /// Ends the command.
    fn deselect(&mut self);

    /// Shifts bytes out; what comes in is dropped.
    fn send(&mut self, bytes: &[u8]);

    /// Shifts bytes in.
    fn receive(&mut self, buffer: &mut [u8]);
}

/// A SPI NOR flash chip.
#[derive(Debug)]
pub struct SpiNor<B> {
    bus: B,
}

/// Why a flash operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NorFault {
    /// The address lies outside the chip, or is not where the operation may start.
    OutOfRange,
    /// The write-enable latch stays clear.
    WriteProtected,
    /// The chip stays busy.
    Busy,
    /// Power went.
    PowerLost,
}

impl FlashFault for NorFault {
    fn kind(&self) -> FlashFaultKind {
        match self {
            Self::OutOfRange => FlashFaultKind::OutOfRange,
            Self::WriteProtected => FlashFaultKind::WriteProtected,
            Self::Busy => FlashFaultKind::Hardware,
            Self::PowerLost => FlashFaultKind::PowerLost,
        }
    }
}

impl<B: SpiBus> SpiNor<B> {
    /// Takes the bus; the chip is left as it is.
    pub const fn new(bus: B) -> Self {
        Self { bus }
    }

    /// The bus.
    pub const fn bus(&self) -> &B {
        &self.bus
    }

    /// The bus.
    pub const fn bus_mut(&mut self) -> &mut B {
        &mut self.bus
    }

    /// Reads bytes from any address.
    ///
    /// # Errors
    /// [`NorFault::OutOfRange`].
    pub fn read(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), NorFault> {
        reachable(at, buffer.len())?;
        self.bus.select();
        self.bus.send(&with_address(command::READ, at));
        self.bus.receive(buffer);
        self.bus.deselect();
        Ok(())
    }

    /// Sets every bit of the sector at `at`.
    ///
    /// # Errors
    /// [`NorFault`]; [`NorFault::OutOfRange`] also when `at` does not start a sector.
    pub fn erase_sector(&mut self, at: FlashOffset) -> Result<(), NorFault> {
        if !at.is_sector_aligned() {
            return Err(NorFault::OutOfRange);
        }
        reachable(at, SECTOR_SIZE)?;
        self.enable_writing()?;
        self.command(&with_address(command::ERASE_SECTOR, at));
        self.wait()
    }

    /// Clears the bits that are 0 in `data`, which has to lie within one page: past its end a chip
    /// goes on at its start.
    ///
    /// # Errors
    /// [`NorFault`]; [`NorFault::OutOfRange`] also when `data` crosses the end of a page.
    pub fn program_page(&mut self, at: FlashOffset, data: &[u8]) -> Result<(), NorFault> {
        let within = usize::try_from(at.get() & 0xFF).map_err(|_| NorFault::OutOfRange)?;
        if within.saturating_add(data.len()) > PAGE_SIZE {
            return Err(NorFault::OutOfRange);
        }
        reachable(at, data.len())?;
        self.enable_writing()?;
        self.bus.select();
        self.bus.send(&with_address(command::PROGRAM_PAGE, at));
        self.bus.send(data);
        self.bus.deselect();
        self.wait()
    }

    fn enable_writing(&mut self) -> Result<(), NorFault> {
        self.command(&[command::WRITE_ENABLE]);
        match self.status() & status::WRITE_ENABLED {
            0 => Err(NorFault::WriteProtected),
            _ => Ok(()),
        }
    }

    fn wait(&mut self) -> Result<(), NorFault> {
        for _ in 0..MAX_POLLS {
            if self.status() & status::BUSY == 0 {
                return Ok(());
            }
        }
        Err(NorFault::Busy)
    }

    fn status(&mut self) -> u8 {
        let mut status = [0];
        self.bus.select();
        self.bus.send(&[command::READ_STATUS]);
        self.bus.receive(&mut status);
        self.bus.deselect();
        let [status] = status;
        status
    }

    fn command(&mut self, bytes: &[u8]) {
        self.bus.select();
        self.bus.send(bytes);
        self.bus.deselect();
    }
}

/// Status reads before a chip counts as stuck: a sector erase takes at most 0.4 s, and a status
/// read over the fastest bus more than 0.2 µs.
const MAX_POLLS: u32 = 2_000_000;

mod command {
    pub(super) const PROGRAM_PAGE: u8 = 0x02;
    pub(super) const READ: u8 = 0x03;
    pub(super) const READ_STATUS: u8 = 0x05;
    pub(super) const WRITE_ENABLE: u8 = 0x06;
    pub(super) const ERASE_SECTOR: u8 = 0x20;
}

mod status {
    pub(super) const BUSY: u8 = 1;
    pub(super) const WRITE_ENABLED: u8 = 2;
}

fn with_address(command: u8, at: FlashOffset) -> [u8; 4] {
    let [_, high, middle, low] = at.get().to_be_bytes();
    [command, high, middle, low]
}

fn reachable(at: FlashOffset, length: usize) -> Result<(), NorFault> {
    u32::try_from(length)
        .ok()
        .and_then(|length| at.get().checked_add(length))
        .filter(|end| *end <= REACH)
        .map(|_| ())
        .ok_or(NorFault::OutOfRange)
}

#[cfg(test)]
pub(crate) mod model;
#[cfg(test)]
mod tests;
