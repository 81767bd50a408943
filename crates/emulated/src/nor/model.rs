//! A model of a SPI NOR chip, byte for byte of its bus, after ISSI's datasheet of the IS25WP256.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "a test model may overflow loudly"
)]

extern crate std;
use std::vec;
use std::vec::Vec;

use super::SpiBus;

/// The chip: cells, latch, and the command on the wires.
pub(crate) struct Chip {
    pub(crate) cells: Vec<u8>,
    /// Ignores write enable, as a chip with its protection bits set.
    pub(crate) protected: bool,
    /// How many status reads after an operation still say busy.
    pub(crate) busy_reads: u32,
    /// Every erase and program so far.
    pub(crate) operations: u32,
    latch: bool,
    busy: u32,
    selected: bool,
    command: Vec<u8>,
}

impl Chip {
    pub(crate) fn erased(size: usize) -> Self {
        Self::holding(vec![0xFF; size])
    }

    pub(crate) fn holding(cells: Vec<u8>) -> Self {
        Self {
            cells,
            protected: false,
            busy_reads: 2,
            operations: 0,
            latch: false,
            busy: 0,
            selected: false,
            command: Vec::new(),
        }
    }

    fn address(&self) -> usize {
        self.command[1..4]
            .iter()
            .fold(0, |address, byte| address << 8 | usize::from(*byte))
    }
}

impl SpiBus for Chip {
    fn select(&mut self) {
        assert!(!self.selected);
        self.selected = true;
        self.command.clear();
    }

    fn deselect(&mut self) {
        assert!(self.selected);
        self.selected = false;
        match self.command.first() {
            Some(0x06) => self.latch = !self.protected,
            Some(0x20) if self.latch => {
                assert_eq!(self.command.len(), 4);
                let start = self.address() & !0xFFF;
                self.cells[start..start + 4096].fill(0xFF);
                (self.latch, self.busy) = (false, self.busy_reads);
                self.operations += 1;
            }
            Some(0x02) if self.latch => {
                let (page, within) = (self.address() & !0xFF, self.address() & 0xFF);
                for (index, byte) in self.command[4..].iter().enumerate() {
                    self.cells[page + (within + index) % 256] &= byte;
                }
                (self.latch, self.busy) = (false, self.busy_reads);
                self.operations += 1;
            }
            _ => {}
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        assert!(self.selected);
        if self.command.is_empty() && self.busy > 0 {
            assert_eq!(bytes[0], 0x05, "a busy chip takes nothing but status reads");
        }
        self.command.extend_from_slice(bytes);
    }

    fn receive(&mut self, buffer: &mut [u8]) {
        assert!(self.selected);
        match self.command[0] {
            0x05 => {
                let status = u8::from(self.busy > 0) | u8::from(self.latch) << 1;
                self.busy = self.busy.saturating_sub(1);
                buffer.fill(status);
            }
            0x03 => {
                let start = self.address();
                buffer.copy_from_slice(&self.cells[start..start + buffer.len()]);
            }
            other => panic!("nothing comes back from command {other:#x}"),
        }
    }
}
