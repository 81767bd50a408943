//! NOR flash in RAM: erases to ones, programs only towards zero, loses power in mid-operation.
//!
//! Encryption on the bus is a position-dependent mask, so that erased flash reads as noise, as it
//! does on an encrypted device.

use core::ops::Range;

use espseal_agent::flash::{Flash, FlashFault, FlashFaultKind, RawFlash};
use espseal_format::units::{FlashOffset, SECTOR_SIZE};

/// How much of the interrupted operation happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tear {
    /// None of it.
    Before,
    /// This many bytes of it.
    After(usize),
    /// All of it, but nobody hears.
    Whole,
}

/// When power goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Number of the erase or program operation, from 0.
    pub(crate) operation: u32,
    pub(crate) tear: Tear,
}

#[derive(Clone)]
pub(crate) struct RamFlash {
    raw: Vec<u8>,
    encrypted: bool,
    /// What the mask is made from.
    pub(crate) key: u64,
    pub(crate) operations: u32,
    pub(crate) cut: Option<Cut>,
    pub(crate) powered: bool,
    /// First bytes of sectors erased, in order.
    pub(crate) erased: Vec<u32>,
    /// A sector whose bits no longer erase.
    pub(crate) worn: Option<u32>,
    pub(crate) protected: Option<Range<u32>>,
    /// Reads so far, and the one that fails.
    pub(crate) reads: u32,
    pub(crate) unreadable: Option<u32>,
    /// Programming the sector at the first address flips bits of the byte at the second.
    pub(crate) disturbed: Option<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RamFault(pub(crate) FlashFaultKind);

impl FlashFault for RamFault {
    fn kind(&self) -> FlashFaultKind {
        self.0
    }

    fn code(&self) -> u32 {
        0x6001
    }
}

impl RamFlash {
    pub(crate) fn new(size: usize, encrypted: bool) -> Self {
        Self {
            raw: vec![0xFF; size],
            encrypted,
            key: 0x5DEE_CE66_D1CE_4E5B,
            operations: 0,
            cut: None,
            powered: true,
            erased: Vec::new(),
            worn: None,
            protected: None,
            reads: 0,
            unreadable: None,
            disturbed: None,
        }
    }

    pub(crate) fn power_up(&mut self) {
        self.powered = true;
    }

    /// Writes as the factory does: no operation counts, no power is cut.
    pub(crate) fn program_factory(&mut self, at: u32, data: &[u8]) {
        for (index, sector) in data.chunks(SECTOR_SIZE).enumerate() {
            let start = at as usize + index * SECTOR_SIZE;
            self.raw[start..start + SECTOR_SIZE].fill(0xFF);
            for (offset, byte) in sector.iter().enumerate() {
                self.raw[start + offset] = byte ^ self.mask(start + offset);
            }
        }
    }

    pub(crate) fn peek(&self, range: Range<u32>) -> Vec<u8> {
        range
            .map(|at| self.raw[at as usize] ^ self.mask(at as usize))
            .collect()
    }

    /// Whether a sector of `range` was erased since the flash was made.
    pub(crate) fn erased_within(&self, range: &Range<u32>) -> bool {
        self.erased.iter().any(|at| range.contains(at))
    }

    /// What stands on the chip once `data` is written at `at`.
    pub(crate) fn encrypted(&self, at: u32, data: &[u8]) -> Vec<u8> {
        (at as usize..)
            .zip(data)
            .map(|(cell, byte)| byte ^ self.mask(cell))
            .collect()
    }

    /// What stands on the chip.
    pub(crate) fn cells(&self, range: Range<u32>) -> Vec<u8> {
        self.raw[range.start as usize..range.end as usize].to_vec()
    }

    fn mask(&self, at: usize) -> u8 {
        if !self.encrypted {
            return 0;
        }
        let mut x = (at as u64 / 8).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ self.key;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (x ^ (x >> 31)).to_le_bytes()[at % 8]
    }

    /// Begins an erase or program operation: how many bytes of it happen.
    fn begin(&mut self) -> Result<Option<usize>, RamFault> {
        if !self.powered {
            return Err(RamFault(FlashFaultKind::PowerLost));
        }
        let this = self.operations;
        self.operations += 1;
        match self.cut {
            Some(Cut { operation, tear }) if operation == this => {
                self.powered = false;
                Ok(Some(match tear {
                    Tear::Before => 0,
                    Tear::After(bytes) => bytes,
                    Tear::Whole => SECTOR_SIZE,
                }))
            }
            _ => Ok(None),
        }
    }

    fn end(&self) -> Result<(), RamFault> {
        if self.powered {
            Ok(())
        } else {
            Err(RamFault(FlashFaultKind::PowerLost))
        }
    }

    fn check(&self, at: u32, length: usize) -> Result<usize, RamFault> {
        let start = at as usize;
        if start + length > self.raw.len() {
            return Err(RamFault(FlashFaultKind::OutOfRange));
        }
        Ok(start)
    }

    fn erase(&mut self, at: u32) -> Result<(), RamFault> {
        let start = self.check(at, SECTOR_SIZE)?;
        assert_eq!(start % SECTOR_SIZE, 0, "unaligned erase at {at:#x}");
        if self
            .protected
            .as_ref()
            .is_some_and(|range| range.contains(&at))
        {
            return Err(RamFault(FlashFaultKind::WriteProtected));
        }
        let bytes = self.begin()?.unwrap_or(SECTOR_SIZE);
        self.erased.push(at);
        if self.worn != Some(at) {
            self.raw[start..start + bytes].fill(0xFF);
        }
        self.end()
    }

    fn program(&mut self, at: u32, data: &[u8; SECTOR_SIZE]) -> Result<(), RamFault> {
        self.program_raw(at, &self.encrypted(at, data))
    }

    fn program_raw(&mut self, at: u32, cells: &[u8]) -> Result<(), RamFault> {
        let start = self.check(at, SECTOR_SIZE)?;
        let bytes = self.begin()?.unwrap_or(SECTOR_SIZE);
        for (offset, byte) in cells.iter().enumerate().take(bytes) {
            self.raw[start + offset] &= byte;
        }
        if let Some((_, victim)) = self.disturbed.filter(|(programmed, _)| *programmed == at) {
            self.raw[victim as usize] ^= 0x18;
        }
        self.end()
    }
}

impl Flash for RamFlash {
    type Error = RamFault;

    fn read(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), RamFault> {
        self.end()?;
        self.reads += 1;
        if self.unreadable == Some(self.reads) {
            return Err(RamFault(FlashFaultKind::Hardware));
        }
        let start = self.check(at.get(), buffer.len())?;
        for (offset, byte) in buffer.iter_mut().enumerate() {
            *byte = self.raw[start + offset] ^ self.mask(start + offset);
        }
        Ok(())
    }

    fn replace_sector(
        &mut self,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), RamFault> {
        self.erase(at.get())?;
        self.program(at.get(), data)
    }

    fn erase_sector(&mut self, at: FlashOffset) -> Result<(), RamFault> {
        self.erase(at.get())
    }
}

impl RawFlash for RamFlash {
    fn read_raw(&mut self, at: FlashOffset, buffer: &mut [u8]) -> Result<(), RamFault> {
        self.end()?;
        let start = self.check(at.get(), buffer.len())?;
        buffer.copy_from_slice(&self.raw[start..start + buffer.len()]);
        Ok(())
    }

    fn replace_sector_raw(
        &mut self,
        at: FlashOffset,
        data: &[u8; SECTOR_SIZE],
    ) -> Result<(), RamFault> {
        self.erase(at.get())?;
        self.program_raw(at.get(), data)
    }
}
