//! The chips that the twin models: one table file each, on top of `espseal_format::chip`.

mod esp32;
mod esp32c3;

use core::ops::{Deref, Range};

use espseal_format::chip::{Chip, ChipId, chip};

use crate::efuse::Efuses;

/// What the twin knows about one chip beyond `espseal_format::chip`.
#[derive(Debug)]
pub struct ChipModel {
    id: ChipId,
    /// Bytes that an encrypted write has to be aligned to.
    pub encryption_row: usize,
    /// Reads the silicon's revision, `major * 100 + minor`.
    pub revision: fn(&Efuses) -> u16,
    /// RAM that the bootloader copies segments to.
    ///
    /// Source: ESP-IDF `components/soc/<chip>/include/soc/soc.h`.
    pub loadable: &'static [Range<u32>],
    /// How the eFuse controller stores and shows the blocks.
    pub registers: Registers,
    /// Which eFuses mean what, and which a factory burns.
    pub locks: Locks,
}

/// Where the eFuse controller shows the blocks.
#[derive(Debug)]
pub struct Registers {
    /// Offset of each block's first read register.
    pub blocks: &'static [usize],
    /// Bytes in the register space: the length of the file of `espefuse --virt`.
    pub space: usize,
    /// Registers that hold these values once anything was burnt.
    pub controller: &'static [(usize, u32)],
    /// Register of the Reed-Solomon check values of the last burn.
    pub check: Option<usize>,
    /// Bytes in the emulator's file: the blocks one after the other, padded with zeros.
    pub emulator_size: usize,
}

/// Locks of a chip, by the names of their fields.
#[derive(Debug)]
pub struct Locks {
    /// JTAG is off when all of these are set.
    pub jtag: &'static [&'static str],
    /// Turns download mode off.
    pub download_off: &'static str,
    /// Leaves only the harmless commands in download mode.
    pub download_secure: Option<&'static str>,
    /// Burnt by Espressif: the revision of the silicon.
    pub shipped: &'static [(&'static str, u64)],
    /// What release mode burns between the flash key and the digests, in this order.
    pub release: &'static [(&'static str, u64)],
    /// Fields that release mode write-protects once secure boot is on.
    pub release_guards: &'static [&'static str],
    /// Burnt after everything else: no tool gets in afterwards.
    pub release_last: (&'static str, u64),
}

impl ChipModel {
    /// Every chip the twin models.
    pub const ALL: [&'static Self; 2] = [&esp32::MODEL, &esp32c3::MODEL];

    /// The table of a chip, when the twin has one.
    #[must_use]
    pub fn of(id: ChipId) -> Option<Model> {
        let model = Self::ALL.into_iter().find(|model| model.id == id)?;
        Some(Model {
            chip: chip(id)?,
            model,
        })
    }

    /// Whether the whole stretch is in one kind of RAM.
    #[must_use]
    pub fn is_loadable(&self, address: u32, length: u32) -> bool {
        let Some(end) = address.checked_add(length) else {
            return false;
        };
        self.loadable
            .iter()
            .any(|range| range.contains(&address) && end <= range.end)
    }
}

/// Both tables of one chip.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// The table of `espseal-format`.
    pub chip: &'static Chip,
    model: &'static ChipModel,
}

impl Deref for Model {
    type Target = ChipModel;

    fn deref(&self) -> &ChipModel {
        self.model
    }
}
