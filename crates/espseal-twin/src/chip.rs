//! The chips that the twin models: one table file each.

mod esp32;
mod esp32c3;

use core::ops::Range;

use espseal_format::chip::ChipId;
use espseal_format::units::FlashOffset;

use crate::efuse::{EfuseMap, Efuses};

/// What the twin knows about one chip.
#[derive(Debug)]
pub struct ChipModel {
    /// The chip.
    pub chip: ChipId,
    /// Name of the chip for `--chip` of Espressif's tools.
    pub tool_name: &'static str,
    /// Where the ROM looks for the bootloader.
    pub bootloader_offset: FlashOffset,
    /// Bytes that an encrypted write has to be aligned to.
    pub encryption_row: usize,
    /// Reads the silicon's revision, `major * 100 + minor`.
    pub revision: fn(&Efuses) -> u16,
    /// Where segments may go.
    pub memory: MemoryMap,
    /// The eFuses.
    pub efuses: EfuseMap,
}

/// Address ranges of a chip, as far as the bootloader tells them apart.
///
/// Source: ESP-IDF `components/soc/<chip>/include/soc/soc.h`.
#[derive(Debug)]
pub struct MemoryMap {
    /// Flash mapped through the cache.
    pub mapped: &'static [Range<u32>],
    /// RAM that segments are copied to.
    pub loadable: &'static [Range<u32>],
}

impl ChipModel {
    /// Every chip the twin models.
    pub const ALL: [&'static Self; 2] = [&esp32::MODEL, &esp32c3::MODEL];

    /// The table of a chip, when the twin has one.
    #[must_use]
    pub fn of(chip: ChipId) -> Option<&'static Self> {
        Self::ALL.into_iter().find(|model| model.chip == chip)
    }
}

impl MemoryMap {
    /// Whether the address is mapped flash.
    #[must_use]
    pub fn is_mapped(&self, address: u32) -> bool {
        self.mapped.iter().any(|range| range.contains(&address))
    }

    /// Whether the whole stretch is in one kind of RAM.
    #[must_use]
    pub fn is_loadable(&self, address: u32, length: u32) -> bool {
        let Some(end) = address.checked_add(length) else { return false };
        self.loadable.iter().any(|range| range.contains(&address) && end <= range.end)
    }
}
