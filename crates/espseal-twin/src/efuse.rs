//! eFuses: bits that can be burnt and never unburnt, and what they mean for a device.
//!
//! The state is what the silicon holds. Software sees it through [`Efuses::read`] and
//! [`Efuses::read_block`], where what is read-protected is zero; flash encryption and the ROM see the
//! real keys. Fields and blocks come from `espseal_format::chip`.
//!
//! Source: the eFuse chapters of the technical reference manuals, ESP-IDF `components/efuse`, and
//! `espefuse --virt` observed as a black box.

pub(crate) mod batch;
mod bootloader;
mod coding;
pub mod emulator;
mod error;
pub mod espefuse_rules;
mod hmac;
mod key;
mod meaning;
mod read_back;
mod reed_solomon;
mod shipped;
pub mod virt;

use core::fmt;

use espseal_format::chip::{Chip, ChipId, chip_of_revision};
use espseal_format::efuse::{Block, Coding, EfuseMap, Field, KeyBlock};

pub use coding::CodingScheme;
pub use error::EfuseError;
pub use hmac::HmacPeripheral;
pub use key::{KeyProtection, KeyToBurn, KeyUse};
pub use meaning::{DownloadMode, FlashEncryption, Jtag};
pub use read_back::Wiring;
pub use shipped::Mac;

use crate::power::{Grant, Power, PowerLost};

/// Bytes of the largest eFuse block.
pub const BLOCK_SIZE: usize = 32;

/// The eFuses of one chip. Prints without its keys.
#[derive(Clone)]
pub struct Efuses {
    model: &'static Chip,
    /// What the read registers would show if nothing were read-protected.
    blocks: Vec<[u8; BLOCK_SIZE]>,
    silicon: Silicon,
    controller: Controller,
    power: Power,
}

/// What is wired rather than burnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silicon {
    /// ESP32 before revision 3.
    BeforeRevision3,
    /// Every other chip.
    Current,
}

/// What the last burn left in the eFuse controller's own registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Controller {
    used: bool,
    check_values: [u8; reed_solomon::PARITY],
}

impl Efuses {
    /// Makes the eFuses of a chip with nothing burnt, not even what Espressif burns: they read as
    /// those of revision 0.0, and so they are.
    ///
    /// # Errors
    /// [`EfuseError::UnknownChip`] when espseal has no table for the chip.
    pub fn blank(id: ChipId) -> Result<Self, EfuseError> {
        let model = chip_of_revision(id, 0).ok_or(EfuseError::UnknownChip(id))?;
        Ok(Self::of_model(model))
    }

    /// Makes the eFuses of some silicon with nothing burnt.
    fn of_model(model: &'static Chip) -> Self {
        Self {
            model,
            blocks: vec![[0; BLOCK_SIZE]; model.efuse.blocks.len()],
            silicon: Silicon::Current,
            controller: Controller::default(),
            power: Power::default(),
        }
    }

    /// Uses this power supply from now on.
    #[must_use]
    pub fn powered_by(mut self, power: Power) -> Self {
        self.power = power;
        self
    }

    /// The chip.
    #[must_use]
    pub const fn chip(&self) -> ChipId {
        self.model.id
    }

    /// Everything that is known about the chip.
    #[must_use]
    pub const fn model(&self) -> &'static Chip {
        self.model
    }

    /// The table of fields and blocks.
    #[must_use]
    pub const fn map(&self) -> &'static EfuseMap {
        self.model.efuse
    }

    /// Reads a field by the name that espefuse gives it, as software reads it; 0 for a field of more
    /// than 64 bits.
    ///
    /// # Errors
    /// [`EfuseError::NoSuchField`].
    pub fn read(&self, name: &str) -> Result<u64, EfuseError> {
        Ok(self.get(self.field(name)?))
    }

    /// Burns the bits that are 1 in `value`; the others stay as they are.
    ///
    /// # Errors
    /// [`EfuseError::NoSuchField`], [`EfuseError::TooWide`], [`EfuseError::WriteProtected`] when new
    /// bits would be needed behind a write protection, [`EfuseError::BlockUsed`] when the block's
    /// coding lets it be burnt only once, [`EfuseError::PowerLost`].
    pub fn burn(&mut self, name: &str, value: u64) -> Result<(), EfuseError> {
        let field = self.field(name)?;
        self.set(field, value)
    }

    /// Reads a block as software reads it: what is read-protected is zero.
    #[must_use]
    pub fn read_block(&self, block: usize) -> [u8; BLOCK_SIZE] {
        let mut bytes = self.silicon(block);
        let parts = self
            .block(block)
            .map_or(&[][..], |block| block.read_protect);
        let size = BLOCK_SIZE.checked_div(parts.len()).unwrap_or(BLOCK_SIZE);
        for (part, bit) in bytes.chunks_mut(size).zip(parts) {
            if self.is_rd_dis(*bit) {
                part.fill(0);
            }
        }
        if block == 0 {
            let hidden = self.map().fields.iter().filter(|field| {
                field.block == 0 && field.read_protect.is_some_and(|bit| self.is_rd_dis(bit))
            });
            hidden.for_each(|field| clear(field, &mut bytes));
        }
        bytes
    }

    /// Burns the bits that are 1 in `bytes`, from byte `offset` of a block on.
    ///
    /// # Errors
    /// [`EfuseError::NoSuchBlock`], [`EfuseError::PastBlock`], and as [`Efuses::burn`]. In block 0, write-
    /// protected bits stay as they are, and that is no error: the hardware ignores them.
    pub fn burn_block(
        &mut self,
        block: usize,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), EfuseError> {
        let size = self.block_size(block)?;
        let end = offset.saturating_add(bytes.len());
        let mut bits = [0; BLOCK_SIZE];
        match bits.get_mut(offset..end) {
            Some(target) if end <= size => target.copy_from_slice(bytes),
            _ => return Err(EfuseError::PastBlock { block, size, end }),
        }
        self.program(block, bits)
    }

    /// Whether software can no longer read the block, or a part of it.
    #[must_use]
    pub fn is_read_protected(&self, block: usize) -> bool {
        self.block(block)
            .is_some_and(|block| block.read_protect.iter().any(|bit| self.is_rd_dis(*bit)))
    }

    /// Whether the block can no longer be burnt.
    #[must_use]
    pub fn is_write_protected(&self, block: usize) -> bool {
        self.block(block)
            .and_then(|block| block.write_protect)
            .is_some_and(|bit| self.is_wr_dis(bit))
    }

    /// Sets the write-protect bit that guards a field.
    ///
    /// # Errors
    /// [`EfuseError::NoSuchField`], [`EfuseError::NoProtection`] for a field that has no such bit, and
    /// as [`Efuses::burn`].
    pub fn write_protect(&mut self, name: &str) -> Result<(), EfuseError> {
        let field = self.field(name)?;
        let bit = field
            .write_protect
            .ok_or(EfuseError::NoProtection { field: field.name })?;
        self.set(&self.map().wr_dis, 1 << bit)
    }

    /// Hides a field from software; what hides with it is hidden, too.
    ///
    /// # Errors
    /// [`EfuseError::NoSuchField`], [`EfuseError::NoProtection`] for a field that cannot be hidden,
    /// [`EfuseError::WriteProtected`] once `RD_DIS` is write-protected, and as [`Efuses::burn`].
    pub fn read_protect(&mut self, name: &str) -> Result<(), EfuseError> {
        let field = *self.field(name)?;
        let block = self.block(usize::from(field.block));
        let whole = block.filter(|block| {
            field.read_protect.is_none() && field.width == u16::from(block.words) * 32
        });
        let bits = match (field.read_protect, whole) {
            (Some(bit), _) => 1 << bit,
            (None, Some(block)) => mask(block.read_protect),
            (None, None) => 0,
        };
        if bits == 0 {
            return Err(EfuseError::NoProtection { field: field.name });
        }
        self.set(&self.map().rd_dis, bits)
    }

    /// The bits of a block as the hardware takes them, hidden or not.
    pub(crate) fn silicon(&self, block: usize) -> [u8; BLOCK_SIZE] {
        self.blocks.get(block).copied().unwrap_or([0; BLOCK_SIZE])
    }

    /// Reads a field of the map as software does.
    pub(crate) fn get(&self, field: &Field) -> u64 {
        // RD_DIS is never hidden: its bits decide what is.
        let bytes = match field.block {
            0 if field.read_protect.is_none() => self.silicon(0),
            block => self.read_block(usize::from(block)),
        };
        field.get(&bytes).unwrap_or(0)
    }

    /// Burns a field of the map.
    pub(crate) fn set(&mut self, field: &Field, value: u64) -> Result<(), EfuseError> {
        let mut bits = [0; BLOCK_SIZE];
        put(field, &mut bits, value)?;
        if field.block == 0 && field.write_protect.is_some_and(|bit| self.is_wr_dis(bit)) {
            let burnt = field.get(&self.silicon(0)).unwrap_or(0);
            if value & !burnt != 0 {
                return Err(EfuseError::WriteProtected { field: field.name });
            }
        }
        self.program(usize::from(field.block), bits)
    }

    /// Replaces the silicon's contents; only for reading files.
    fn load_block(&mut self, block: usize, bytes: [u8; BLOCK_SIZE]) {
        if let Some(own) = self.blocks.get_mut(block) {
            *own = bytes;
        }
    }

    /// One burn command of the controller: ORs `bits` into the block.
    ///
    /// Nothing happens when all of them are burnt.
    fn program(&mut self, block: usize, mut bits: [u8; BLOCK_SIZE]) -> Result<(), EfuseError> {
        let entry = self.block(block).ok_or(EfuseError::NoSuchBlock { block })?;
        let old = self.silicon(block);
        if block == 0 {
            let fields = self.map().fields.iter().filter(|field| field.block == 0);
            fields
                .filter(|field| field.write_protect.is_some_and(|bit| self.is_wr_dis(bit)))
                .for_each(|field| clear(field, &mut bits));
        }
        if bits.iter().zip(old).all(|(bit, old)| bit & !old == 0) {
            return Ok(());
        }
        if entry.write_protect.is_some_and(|bit| self.is_wr_dis(bit)) {
            return Err(EfuseError::WriteProtected { field: entry.name });
        }
        if self.burnt_before(entry.coding, &old, &bits) {
            return Err(EfuseError::BlockUsed { block });
        }
        let grant = self.power.operate()?;
        let mut new = old;
        new.iter_mut().zip(bits).for_each(|(new, bit)| *new |= bit);
        if let Grant::Torn(tear) = grant {
            tear.apply(&old, &mut new);
        }
        self.load_block(block, new);
        self.controller.used = true;
        if entry.coding == Coding::ReedSolomon {
            self.controller.check_values = reed_solomon::parity(&bits);
        }
        match grant {
            Grant::Whole => Ok(()),
            Grant::WholeThenLost | Grant::Torn(_) => Err(PowerLost.into()),
        }
    }

    /// A burn command that nobody checked: what the silicon does with it.
    ///
    /// Protected bits stay as they are, and a coded block gets the OR of both codings: its data reads
    /// so, and its check values are those of the last burn.
    pub(crate) fn program_anyway(
        &mut self,
        block: usize,
        mut bits: [u8; BLOCK_SIZE],
    ) -> Result<(), EfuseError> {
        let entry = self.block(block).ok_or(EfuseError::NoSuchBlock { block })?;
        let given = bits;
        if block == 0 {
            let fields = self.map().fields.iter().filter(|field| field.block == 0);
            fields
                .filter(|field| field.write_protect.is_some_and(|bit| self.is_wr_dis(bit)))
                .for_each(|field| clear(field, &mut bits));
        }
        let locked = entry.write_protect.is_some_and(|bit| self.is_wr_dis(bit));
        let old = self.silicon(block);
        let mut new = old;
        if !locked {
            new.iter_mut().zip(bits).for_each(|(new, bit)| *new |= bit);
        }
        self.power.operate()?;
        self.load_block(block, new);
        self.controller.used = true;
        if entry.coding == Coding::ReedSolomon {
            self.controller.check_values = reed_solomon::parity(&given);
        }
        Ok(())
    }

    /// Whether the coding forbids to add these bits to what is burnt.
    fn burnt_before(
        &self,
        coding: Coding,
        old: &[u8; BLOCK_SIZE],
        bits: &[u8; BLOCK_SIZE],
    ) -> bool {
        match coding {
            Coding::Plain => false,
            Coding::ReedSolomon => *old != [0; BLOCK_SIZE],
            Coding::ByScheme => self.coding_scheme().forbids(old, bits),
        }
    }

    /// Whether this bit of `WR_DIS` is burnt.
    pub(crate) fn is_wr_dis(&self, bit: u8) -> bool {
        self.map().wr_dis.get(&self.silicon(0)).unwrap_or(0) >> bit & 1 == 1
    }

    /// Whether a field, or a part of it, is hidden from software.
    pub(crate) fn is_field_hidden(&self, field: &Field) -> bool {
        let parts = self
            .block(usize::from(field.block))
            .map_or(&[][..], |block| block.read_protect);
        let bits = BLOCK_SIZE.checked_div(parts.len()).unwrap_or(0) * 8;
        let end = usize::from(field.bit) + usize::from(field.width);
        let hidden = |(part, bit): (usize, &u8)| {
            let start = part * bits;
            usize::from(field.bit) < start + bits && start < end && self.is_rd_dis(*bit)
        };
        field.read_protect.is_some_and(|bit| self.is_rd_dis(bit))
            || parts.iter().enumerate().any(hidden)
    }

    fn is_rd_dis(&self, bit: u8) -> bool {
        self.map().rd_dis.get(&self.silicon(0)).unwrap_or(0) >> bit & 1 == 1
    }

    /// Bytes that can be burnt into a block.
    pub(crate) fn block_size(&self, block: usize) -> Result<usize, EfuseError> {
        let entry = self.block(block).ok_or(EfuseError::NoSuchBlock { block })?;
        let size = usize::from(entry.words) * 4;
        Ok(match entry.coding {
            Coding::ByScheme => self.coding_scheme().data_size(),
            Coding::Plain | Coding::ReedSolomon => size,
        })
    }

    fn block(&self, block: usize) -> Option<&'static Block> {
        self.map().blocks.get(block)
    }

    fn key_block(&self, block: usize) -> Option<&'static KeyBlock> {
        self.map()
            .keys
            .iter()
            .find(|entry| usize::from(entry.key.block) == block)
    }

    fn field(&self, name: &str) -> Result<&'static Field, EfuseError> {
        self.map()
            .field(name)
            .ok_or_else(|| EfuseError::NoSuchField(name.into()))
    }
}

impl fmt::Debug for Efuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Efuses")
            .field("chip", &self.chip())
            .finish_non_exhaustive()
    }
}

/// Sets a field's bits in a block.
fn put(field: &Field, block: &mut [u8; BLOCK_SIZE], value: u64) -> Result<(), EfuseError> {
    let width = field.width;
    field.burn(block, value).ok_or(EfuseError::TooWide {
        field: field.name,
        width,
        value,
    })
}

/// Clears a field's bits in a block.
fn clear(field: &Field, block: &mut [u8; BLOCK_SIZE]) {
    for bit in field.bit..field.bit.saturating_add(field.width) {
        if let Some(byte) = block.get_mut(usize::from(bit / 8)) {
            *byte &= !(1 << (bit % 8));
        }
    }
}

/// A mask of these bits.
fn mask(bits: &[u8]) -> u64 {
    bits.iter().fold(0, |mask, bit| mask | 1 << bit)
}
