//! A device without power: what differs from the flash that the factory wrote.

use std::collections::BTreeMap;
use std::sync::Arc;

use espseal_format::units::{FlashOffset, SECTOR_SIZE};
use espseal_twin::nor::Change;
use sha2::{Digest as _, Sha256};

/// What the world around the device has come to; part of a state because it changes what follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stage {
    /// How many releases the maker has gone on to.
    pub(crate) phase: u8,
    /// How many trials of the story's crashing image have crashed.
    pub(crate) crashes: u8,
}

/// Flash contents, and the stage.
#[derive(Clone, Default)]
pub(crate) struct State {
    pub(crate) stage: Stage,
    /// Sectors that were ever changed, by number.
    pub(crate) sectors: BTreeMap<u32, Sector>,
}

/// One sector of flash, shared between states.
#[derive(Clone)]
pub(crate) struct Sector(Arc<(u128, [u8; SECTOR_SIZE])>);

impl Sector {
    pub(crate) fn new(number: u32, bytes: [u8; SECTOR_SIZE]) -> Self {
        let mut hash = Sha256::new();
        hash.update(number.to_le_bytes());
        hash.update(bytes);
        let hash: [u8; 32] = hash.finalize().into();
        let key = u128::from_le_bytes(*hash.first_chunk().unwrap());
        Self(Arc::new((key, bytes)))
    }

    pub(crate) fn bytes(&self) -> &[u8; SECTOR_SIZE] {
        &self.0.1
    }
}

impl State {
    /// Tells states apart.
    pub(crate) fn key(&self) -> u128 {
        let stage = u128::from(self.stage.phase) << 8 | u128::from(self.stage.crashes);
        let sectors = self.sectors.values().map(|sector| sector.0.0);
        sectors.fold(stage, u128::wrapping_add)
    }

    /// Replaces bytes within one sector; `base` is the flash as the factory wrote it.
    pub(crate) fn put(&mut self, base: &[u8], at: FlashOffset, bytes: &[u8]) {
        let number = at.get() / SECTOR_SIZE as u32;
        let mut cells = match self.sectors.get(&number) {
            Some(sector) => *sector.bytes(),
            None => *base[start(number)..].first_chunk().unwrap(),
        };
        let within = at.get() as usize % SECTOR_SIZE;
        cells[within..within + bytes.len()].copy_from_slice(bytes);
        self.sectors.insert(number, Sector::new(number, cells));
    }

    /// The state after a complete operation.
    pub(crate) fn apply(&mut self, base: &[u8], change: &Change) {
        self.put(base, change.offset, &change.new);
    }
}

/// First byte of a sector.
pub(crate) const fn start(number: u32) -> usize {
    number as usize * SECTOR_SIZE
}
