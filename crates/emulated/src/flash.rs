//! The agent's flash: encryption in software over a SPI NOR chip, and power cuts at any operation.
//!
//! On a real chip the encryption is hardware on the flash bus; here it is the same function in
//! software, so that the cells hold what an ESP32-C3 of that key would hold. The supply is asked
//! before each erase and each page program, and may go before it, inside a program, or after it.

use espseal_agent::flash::Flash;
use espseal_crypto::flash_encryption::{BLOCK_LEN, FlashCipher};
use espseal_format::units::{FlashOffset, SECTOR_SIZE};

use crate::frame::OperationKind;
use crate::nor::{NorFault, PAGE_SIZE, SpiBus, SpiNor};

/// The power supply of a device under test.
pub trait Supply {
    /// Says how far the operation may go.
    fn grant(&mut self, kind: OperationKind, at: FlashOffset) -> Grant;

    /// Power goes. On the emulated core this does not return.
    fn lose(&mut self) -> NorFault;
}

/// How far an operation may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// All the way.
    Whole,
    /// All the way, and nothing after it.
    WholeThenLost,
    /// Nothing of it.
    Nothing,
    /// So many bytes of a page are programmed; an erase does not begin.
    Part(u16),
}

/// When power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// How many operations complete before the one that is hit.
    pub operation: u32,
    /// Where in it.
    pub moment: Moment,
}

/// Where in an operation power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before it.
    Before,
    /// After so many bytes of a page program.
    Inside(u16),
    /// After it.
    After,
}

/// Counts operations and finds the one that is hit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    cut: Option<Cut>,
    operations: u32,
}

impl Plan {
    /// A plan with one cut, or none.
    #[must_use]
    pub const fn new(cut: Option<Cut>) -> Self {
        Self { cut, operations: 0 }
    }

    /// Counts one operation and says how far it may go.
    pub fn count(&mut self) -> Grant {
        let position = self.operations;
        self.operations = position.saturating_add(1);
        match self.cut {
            Some(Cut { operation, moment }) if operation == position => match moment {
                Moment::Before => Grant::Nothing,
                Moment::Inside(bytes) => Grant::Part(bytes),
                Moment::After => Grant::WholeThenLost,
            },
            _ => Grant::Whole,
        }
    }

    /// How many operations were begun.
    #[must_use]
    pub const fn operations(&self) -> u32 {
        self.operations
    }
}

/// Decrypted access to a SPI NOR chip.
#[derive(Debug)]
pub struct EncryptedFlash<B, S> {
    nor: SpiNor<B>,
    cipher: FlashCipher,
    supply: S,
    size: u32,
}

impl<B: SpiBus, S: Supply> EncryptedFlash<B, S> {
    /// Puts encryption over the first `size` bytes of a chip.
    pub const fn new(nor: SpiNor<B>, cipher: FlashCipher, supply: S, size: u32) -> Self {
        Self {
            nor,
            cipher,
            supply,
            size,
        }
    }

    /// The power supply.
    pub const fn supply(&self) -> &S {
        &self.supply
    }

    /// The power supply.
    pub const fn supply_mut(&mut self) -> &mut S {
        &mut self.supply
    }

    /// The chip below the encryption.
    pub const fn nor_mut(&mut self) -> &mut SpiNor<B> {
        &mut self.nor
    }

    fn check(&self, at: FlashOffset, length: usize) -> Result<(), NorFault> {
        u32::try_from(length)
            .ok()
            .and_then(|length| at.get().checked_add(length))
            .filter(|end| *end <= self.size)
            .map(|_| ())
            .ok_or(NorFault::OutOfRange)
    }

    /// Reads and decrypts whole cipher blocks.
    fn read_blocks(&mut self, at: FlashOffset, blocks: &mut [u8]) -> Result<(), NorFault> {
        self.nor.read(at, blocks)?;
        self.cipher
            .decrypt(at, blocks)
            .map_err(|_| NorFault::OutOfRange)
    }

    /// Fills `buffer` from the cipher block at `block`, whose first `skip` bytes are not asked for.
    fn read_within(
        &mut self,
        block: FlashOffset,
        skip: usize,
        buffer: &mut [u8],
    ) -> Result<(), NorFault> {
        let mut whole = [0; BLOCK_LEN];
        self.read_blocks(block, &mut whole)?;
        let wanted = whole.iter().skip(skip);
        buffer
            .iter_mut()
            .zip(wanted)
            .for_each(|(to, from)| *to = *from);
        Ok(())
    }

    fn erase(&mut self, at: FlashOffset) -> Result<(), NorFault> {
        match self.supply.grant(OperationKind::Erase, at) {
            Grant::Whole => self.nor.erase_sector(at),
            Grant::WholeThenLost => {
                self.nor.erase_sector(at)?;
                Err(self.supply.lose())
            }
            Grant::Nothing | Grant::Part(_) => Err(self.supply.lose()),
        }
    }

    fn program(&mut self, at: FlashOffset, cells: &[u8]) -> Result<(), NorFault> {
        match self.supply.grant(OperationKind::Program, at) {
            Grant::Whole => self.nor.program_page(at, cells),
            Grant::WholeThenLost => {
                self.nor.program_page(at, cells)?;
                Err(self.supply.lose())
            }
            Grant::Nothing => Err(self.supply.lose()),
            Grant::Part(bytes) => {
                let part = cells.get(..bytes.into()).unwrap_or(cells);
                self.nor.program_page(at, part)?;
                Err(self.supply.lose())
            }
        }
    }
}

impl<B: SpiBus, S: Supply> Flash for EncryptedFlash<B, S> {
    type Error = NorFault;

    fn read(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), NorFault> {
        self.check(at, buffer.len())?;
        let step = |at: FlashOffset, length: usize| {
            u32::try_from(length)
                .ok()
                .and_then(|length| at.checked_add(length))
                .ok_or(NorFault::OutOfRange)
        };
        let block = FlashOffset::new(at.get() & !0xF);
        let skip = usize::try_from(at.get() & 0xF).map_err(|_| NorFault::OutOfRange)?;
        let (mut at, mut rest) = (at, buffer);
        if skip > 0 {
            let head = rest.len().min(BLOCK_LEN.saturating_sub(skip));
            let (head, later) = rest.split_at_mut(head);
            self.read_within(block, skip, head)?;
            at = step(at, head.len())?;
            rest = later;
        }
        let whole = rest.len() & !0xF;
        let (whole, tail) = rest.split_at_mut(whole);
        if !whole.is_empty() {
            self.read_blocks(at, whole)?;
        }
        if tail.is_empty() {
            return Ok(());
        }
        self.read_within(step(at, whole.len())?, 0, tail)
    }

    fn replace_sector(
        &mut self,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), NorFault> {
        self.erase_sector(at)?;
        let mut at = at;
        let (pages, _) = data.as_chunks::<PAGE_SIZE>();
        for page in pages {
            let mut cells = *page;
            self.cipher
                .encrypt(at, &mut cells)
                .map_err(|_| NorFault::OutOfRange)?;
            self.program(at, &cells)?;
            at = FlashOffset::new(at.get().saturating_add(PAGE));
        }
        Ok(())
    }

    fn erase_sector(&mut self, at: FlashOffset) -> Result<(), NorFault> {
        if !at.is_sector_aligned() {
            return Err(NorFault::OutOfRange);
        }
        self.check(at, SECTOR_SIZE)?;
        self.erase(at)
    }
}

/// [`PAGE_SIZE`] as a length in flash.
const PAGE: u32 = 256;
const _: () = assert!(PAGE as usize == PAGE_SIZE);

#[cfg(test)]
mod tests;
