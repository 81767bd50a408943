//! eFuses: bits that can be burnt and never unburnt, and what they mean for a device.
//!
//! The state is what the silicon holds. Software sees it through [`Efuses::read`] and
//! [`Efuses::read_block`], where a read-protected block is all zeros; flash encryption and the ROM see
//! the real keys. Fields come from `espseal_format::efuse`, the rest from [`crate::chip`].
//!
//! Source: the eFuse chapters of the technical reference manuals, and `espefuse --virt` observed as
//! a black box.

pub(crate) mod batch;
mod bootloader;
pub mod emulator;
mod meaning;
mod reed_solomon;
pub mod virt;

use core::fmt;

use espseal_format::chip::ChipId;
use espseal_format::efuse::{Coding, EfuseMap, Field, KeyBlock, KeyPurpose, KeyRole};

pub use meaning::{DownloadMode, FlashEncryption, Jtag, Mac};

use crate::chip::{ChipModel, Model};
use crate::power::{Grant, Power, PowerLost};

/// Bytes of the largest eFuse block.
pub const BLOCK_SIZE: usize = 32;

/// The eFuses of one chip. Prints without its keys.
#[derive(Clone)]
pub struct Efuses {
    model: Model,
    blocks: Vec<[u8; BLOCK_SIZE]>,
    controller: Controller,
    power: Power,
}

/// What the last burn left in the eFuse controller's own registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Controller {
    used: bool,
    check_values: [u8; reed_solomon::PARITY],
}

/// What a key block is for, as `espefuse burn-key` knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// Flash encryption key in the order of its key file; burnt reversed and read-protected.
    FlashEncryption,
    /// SHA-256 of a secure-boot key, for slot 0, 1 or 2; stays readable.
    SecureBootDigest(u8),
    /// Key of the HMAC engine in upstream mode; read-protected.
    HmacUpstream,
}

impl Efuses {
    /// Makes the eFuses of a chip with nothing burnt, not even what Espressif burns.
    ///
    /// # Errors
    /// [`EfuseError::UnknownChip`] when the twin has no table for the chip.
    pub fn blank(chip: ChipId) -> Result<Self, EfuseError> {
        let model = ChipModel::of(chip).ok_or(EfuseError::UnknownChip(chip))?;
        Ok(Self {
            model,
            blocks: vec![[0; BLOCK_SIZE]; model.chip.efuse.blocks.len()],
            controller: Controller::default(),
            power: Power::default(),
        })
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
        self.model.chip.id
    }

    /// Everything that is known about the chip.
    #[must_use]
    pub const fn model(&self) -> Model {
        self.model
    }

    /// Revision of the silicon, `major * 100 + minor`.
    #[must_use]
    pub fn revision(&self) -> u16 {
        (self.model.revision)(self)
    }

    /// Reads a field by the name that ESP-IDF and espefuse give it, as software reads it.
    ///
    /// # Errors
    /// [`EfuseError::NoSuchField`].
    pub fn read(&self, name: &str) -> Result<u64, EfuseError> {
        Ok(self.get(self.field(name)?))
    }

    /// Burns the bits that are 1 in `value`; the others stay as they are.
    ///
    /// # Errors
    /// [`EfuseError::NoSuchField`], [`EfuseError::TooWide`], [`EfuseError::WriteProtected`] when new bits
    /// would be needed behind a write protection, [`EfuseError::PowerLost`].
    pub fn burn(&mut self, name: &str, value: u64) -> Result<(), EfuseError> {
        let field = self.field(name)?;
        self.set(field, value)
    }

    /// Reads a block as software reads it: zeros when it is read-protected.
    #[must_use]
    pub fn read_block(&self, block: usize) -> [u8; BLOCK_SIZE] {
        if self.is_read_protected(block) {
            return [0; BLOCK_SIZE];
        }
        self.silicon(block)
    }

    /// Whether software can no longer read the block.
    #[must_use]
    pub fn is_read_protected(&self, block: usize) -> bool {
        let bit = self
            .key_block(block)
            .and_then(|block| block.key.read_protect);
        bit.is_some_and(|bit| is_set(self.get(&self.map().rd_dis), bit))
    }

    /// Whether the block can no longer be burnt.
    #[must_use]
    pub fn is_write_protected(&self, block: usize) -> bool {
        let bit = self
            .key_block(block)
            .and_then(|block| block.key.write_protect);
        bit.is_some_and(|bit| self.is_wr_dis(bit))
    }

    /// Burns a key block and protects it, in the steps of `espefuse burn-key`: the block, its
    /// purpose, then the protections.
    ///
    /// # Errors
    /// [`EfuseError::NoKeyBlock`], [`EfuseError::KeyBlockUsed`], and as [`Efuses::burn`].
    pub fn burn_key(
        &mut self,
        block: usize,
        usage: KeyUse,
        key: &[u8; 32],
    ) -> Result<(), EfuseError> {
        let entry = *self
            .key_block(block)
            .ok_or(EfuseError::NoKeyBlock { block })?;
        let purpose = usage
            .purpose_in(&entry)
            .ok_or(EfuseError::NoKeyBlock { block })?;
        if self.silicon(block) != [0; BLOCK_SIZE] {
            return Err(EfuseError::KeyBlockUsed { block });
        }
        let mut bytes = *key;
        if usage == KeyUse::FlashEncryption {
            bytes.reverse();
        }
        self.program(block, bytes)?;
        let mut protect = entry.key.write_protect.map_or(0, |bit| 1 << bit);
        if let Some((field, purpose)) = purpose {
            self.set(&field, purpose.to_u8().into())?;
            protect |= field.write_protect.map_or(0, |bit| 1 << bit);
        }
        let map = self.map();
        let mut protections = [0; BLOCK_SIZE];
        let hidden = matches!(usage, KeyUse::FlashEncryption | KeyUse::HmacUpstream);
        put(&map.wr_dis, &mut protections, protect)?;
        if let (true, Some(bit)) = (hidden, entry.key.read_protect) {
            self.refuse_behind(map.rd_dis.write_protect, map.rd_dis.name)?;
            put(&map.rd_dis, &mut protections, 1 << bit)?;
        }
        self.program(0, protections)
    }

    /// Sets the write-protect bit that guards a field.
    ///
    /// # Errors
    /// [`EfuseError::NoSuchField`] also for a field that has no such bit.
    pub fn write_protect(&mut self, name: &str) -> Result<(), EfuseError> {
        let bit = self.field(name)?.write_protect;
        let bit = bit.ok_or_else(|| EfuseError::NoSuchField(name.into()))?;
        self.set(&self.map().wr_dis, 1 << bit)
    }

    /// The bits of a block as the silicon holds them.
    pub(crate) fn silicon(&self, block: usize) -> [u8; BLOCK_SIZE] {
        self.blocks.get(block).copied().unwrap_or([0; BLOCK_SIZE])
    }

    /// The table of fields.
    pub(crate) const fn map(&self) -> &'static EfuseMap {
        self.model.chip.efuse
    }

    /// Reads a field of the map as software does.
    pub(crate) fn get(&self, field: &Field) -> u64 {
        let rd_dis = &self.map().rd_dis;
        let block = self.silicon(usize::from(field.block));
        let hidden = match field.read_protect {
            Some(bit) if field != rd_dis => is_set(self.get(rd_dis), bit),
            _ => false,
        };
        if hidden {
            0
        } else {
            field.get(&block).unwrap_or(0)
        }
    }

    /// Burns a field of the map.
    pub(crate) fn set(&mut self, field: &Field, value: u64) -> Result<(), EfuseError> {
        let mut bits = [0; BLOCK_SIZE];
        put(field, &mut bits, value)?;
        if value & !self.get(field) == 0 {
            return Ok(());
        }
        self.refuse_behind(field.write_protect, field.name)?;
        self.program(usize::from(field.block), bits)
    }

    /// Replaces the silicon's contents; only for reading files.
    fn load_block(&mut self, block: usize, bytes: [u8; BLOCK_SIZE]) {
        if let Some(own) = self.blocks.get_mut(block) {
            *own = bytes;
        }
    }

    /// One burn command of the controller: ORs `bits` into the block.
    fn program(&mut self, block: usize, bits: [u8; BLOCK_SIZE]) -> Result<(), EfuseError> {
        let entry = self
            .map()
            .blocks
            .get(block)
            .ok_or(EfuseError::NoKeyBlock { block })?;
        let guard = self
            .key_block(block)
            .and_then(|block| block.key.write_protect);
        self.refuse_behind(guard, entry.name)?;
        let old = self.silicon(block);
        if entry.coding == Coding::ReedSolomon && old != [0; BLOCK_SIZE] {
            return Err(EfuseError::KeyBlockUsed { block });
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

    fn refuse_behind(&self, guard: Option<u8>, name: &'static str) -> Result<(), EfuseError> {
        if guard.is_some_and(|bit| self.is_wr_dis(bit)) {
            return Err(EfuseError::WriteProtected { field: name });
        }
        Ok(())
    }

    fn is_wr_dis(&self, bit: u8) -> bool {
        is_set(self.get(&self.map().wr_dis), bit)
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

impl KeyUse {
    /// Purpose field and value for this use of a block, if the block has one; the outer `None` when
    /// the block cannot serve it.
    fn purpose_in(self, block: &KeyBlock) -> Option<Option<(Field, KeyPurpose)>> {
        let purpose = match self {
            Self::FlashEncryption => KeyPurpose::XtsAes128Key,
            Self::HmacUpstream => KeyPurpose::HmacUp,
            Self::SecureBootDigest(0) => KeyPurpose::SecureBootDigest0,
            Self::SecureBootDigest(1) => KeyPurpose::SecureBootDigest1,
            Self::SecureBootDigest(2) => KeyPurpose::SecureBootDigest2,
            Self::SecureBootDigest(_) => return None,
        };
        match (block.role, self) {
            (KeyRole::Purpose(field), _) => Some(Some((field, purpose))),
            (KeyRole::FlashEncryption, Self::FlashEncryption)
            | (KeyRole::SecureBoot, Self::SecureBootDigest(0)) => Some(None),
            _ => None,
        }
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

const fn is_set(bits: u64, bit: u8) -> bool {
    bits >> bit & 1 == 1
}

/// Why eFuses could not be read or burnt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EfuseError {
    /// The twin does not know the chip.
    #[error("no eFuse table for {0}: the twin knows ESP32 and ESP32-C3")]
    UnknownChip(ChipId),
    /// The chip has no field of this name.
    #[error("no eFuse field {0} on this chip: see `espefuse summary` for the names")]
    NoSuchField(Box<str>),
    /// The chip has no such key block, or it cannot hold a key for this use.
    #[error("eFuse block {block} cannot hold this key: choose another block")]
    NoKeyBlock {
        /// Number of the block.
        block: usize,
    },
    /// The block was burnt before; it can be burnt only once.
    #[error("eFuse block {block} is already burnt: choose an unused block")]
    KeyBlockUsed {
        /// Number of the block.
        block: usize,
    },
    /// The value does not fit the field.
    #[error("{value:#x} does not fit the {width} bits of {field}")]
    TooWide {
        /// Name of the field.
        field: &'static str,
        /// Bits in the field.
        width: u16,
        /// What should have been burnt.
        value: u64,
    },
    /// A write-protect bit guards the field or block.
    #[error("{field} is write-protected and can never be burnt again")]
    WriteProtected {
        /// Name of the field or block.
        field: &'static str,
    },
    /// Power went.
    #[error(transparent)]
    PowerLost(#[from] PowerLost),
}
