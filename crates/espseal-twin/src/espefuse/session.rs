//! One call of espefuse on one chip: what is burnt, what is about to be, and the burn itself.
//!
//! Commands add bits with [`Session::save`], which refuses what would not come out as asked.
//! [`Session::burn`] burns blocks from the highest number down. In block 0, what could shut the way
//! for the rest comes last: protections, secure boot, flash encryption, download modes.

use std::fs;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use espseal_format::chip::ChipId;
use espseal_format::efuse::{Coding, Field};
use zeroize::Zeroizing;

use super::arguments::{CommandLine, Confirm};
use super::{EspefuseError, PemKeys, efuse_file};
use crate::efuse::{BLOCK_SIZE, CodingScheme, Efuses, virt};

/// Fields of block 0 that are burnt after the rest of it.
const POSTPONED: [&str; 8] = [
    "WR_DIS",
    "RD_DIS",
    "SPI_BOOT_CRYPT_CNT",
    "FLASH_CRYPT_CNT",
    "SECURE_BOOT_EN",
    "DIS_DOWNLOAD_MODE",
    "ENABLE_SECURITY_DOWNLOAD",
    "UART_DOWNLOAD_DIS",
];

/// Whether `--force-write-always` was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Force {
    No,
    Always,
}

/// Whether burns wait for the end of the command line, as they do when it has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    AtOnce,
    AtTheEnd,
}

/// How a burn came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Burnt {
    /// As asked.
    Done,
    /// Not at all yet: it waits for the end.
    Waits,
    /// The question was answered with no.
    Declined,
}

/// The chip, its file, and what is to be burnt.
pub(super) struct Session<'a> {
    pub(super) efuses: Efuses,
    pending: Vec<Zeroizing<[u8; BLOCK_SIZE]>>,
    path: Option<PathBuf>,
    confirm: Confirm,
    pub(super) when: When,
    input: &'a mut dyn BufRead,
    pub(super) output: &'a mut dyn Write,
    pub(super) keys: &'a dyn PemKeys,
}

impl<'a> Session<'a> {
    /// Opens the eFuse file, or makes that of a blank chip.
    pub(super) fn open(
        line: &CommandLine,
        when: When,
        input: &'a mut dyn BufRead,
        output: &'a mut dyn Write,
        keys: &'a dyn PemKeys,
    ) -> Result<Self, EspefuseError> {
        let stored = match &line.file {
            Some(path) if path.exists() => {
                let bytes = fs::read(path).map_err(|error| file_error(path, error))?;
                let parsed = virt::parse(line.chip, &bytes);
                Some(parsed.map_err(|error| EspefuseError::EfuseFile {
                    path: path.clone(),
                    error,
                })?)
            }
            _ => None,
        };
        let is_new = stored.is_none();
        let efuses = match stored {
            Some(efuses) => efuses,
            None => Efuses::blank(line.chip)?,
        };
        if efuses.coding_scheme() == CodingScheme::Repeat {
            return Err(EspefuseError::RepeatCoding);
        }
        let blocks = efuses.map().blocks.len();
        let session = Self {
            efuses,
            pending: vec![Zeroizing::new([0; BLOCK_SIZE]); blocks],
            path: line.file.clone(),
            confirm: line.confirm,
            when,
            input,
            output,
            keys,
        };
        if is_new {
            session.store()?;
        }
        Ok(session)
    }

    /// The chip.
    pub(super) fn chip(&self) -> ChipId {
        self.efuses.chip()
    }

    /// Adds a field's bits to what is to be burnt.
    pub(super) fn save_field(
        &mut self,
        field: &'static Field,
        value: u64,
        force: Force,
    ) -> Result<(), EspefuseError> {
        let mut bits = [0; BLOCK_SIZE];
        field
            .burn(&mut bits, value)
            .ok_or_else(|| EspefuseError::TooWide {
                field: field.name,
                value: value.to_string(),
                width: field.width,
            })?;
        self.save(field, bits, force)
    }

    /// Adds bits of a field, given where they stand in its block.
    pub(super) fn save(
        &mut self,
        field: &'static Field,
        bits: [u8; BLOCK_SIZE],
        force: Force,
    ) -> Result<(), EspefuseError> {
        let block = usize::from(field.block);
        let mask = mask_of(field);
        let mut adds = false;
        let mut clears = false;
        let view = self.efuses.read_block(block);
        let pending = self.pending(block);
        for (((bit, view), pending), mask) in bits.iter().zip(view).zip(*pending).zip(mask) {
            let current = (view | pending) & mask;
            adds |= bit & !current != 0;
            clears |= current & !bit != 0;
        }
        if !adds {
            return Ok(());
        }
        let allowed = force == Force::Always;
        // Protections are only ever added to.
        let map = self.efuses.map();
        let adds_only = *field == map.wr_dis || *field == map.rd_dis;
        if clears && !allowed && !adds_only {
            return Err(EspefuseError::CannotClear(field.name));
        }
        if self.is_hidden(field) && !allowed {
            return Err(EspefuseError::Hidden(field.name));
        }
        if self.is_locked(field) && !allowed {
            return Err(EspefuseError::WriteProtected(field.name));
        }
        self.add(block, bits);
        Ok(())
    }

    /// Adds bits to those of a field.
    pub(super) fn add_bits(
        &mut self,
        field: &'static Field,
        value: u64,
    ) -> Result<(), EspefuseError> {
        let current = field.get(&self.efuses.read_block(field.block.into()));
        let pending = field.get(self.pending(field.block.into()));
        let all = value | current.unwrap_or(0) | pending.unwrap_or(0);
        self.save_field(field, all, Force::No)
    }

    /// Adds bits of a block without looking at its fields.
    pub(super) fn save_block(
        &mut self,
        block: usize,
        bits: [u8; BLOCK_SIZE],
        force: Force,
    ) -> Result<(), EspefuseError> {
        if block != 0 && force == Force::No {
            self.check_open(block)?;
        }
        self.add(block, bits);
        Ok(())
    }

    /// Refuses a block that is hidden or can no longer be burnt.
    fn check_open(&self, block: usize) -> Result<(), EspefuseError> {
        let name = self.block_name(block);
        if self.efuses.is_read_protected(block) {
            return Err(EspefuseError::Hidden(name));
        }
        match self.efuses.is_write_protected(block) {
            true => Err(EspefuseError::WriteProtected(name)),
            false => Ok(()),
        }
    }

    fn add(&mut self, block: usize, bits: [u8; BLOCK_SIZE]) {
        if let Some(pending) = self.pending.get_mut(block) {
            pending
                .iter_mut()
                .zip(bits)
                .for_each(|(to, bit)| *to |= bit);
        }
    }

    /// Burns what was saved, or waits for the end of the command line.
    pub(super) fn commit(&mut self, force: Force) -> Result<Burnt, EspefuseError> {
        match self.when {
            When::AtTheEnd => Ok(Burnt::Waits),
            When::AtOnce => self.burn(force),
        }
    }

    /// Burns what was saved.
    pub(super) fn burn(&mut self, force: Force) -> Result<Burnt, EspefuseError> {
        let mut blocks = Vec::new();
        for block in (0..self.pending.len()).rev() {
            let bits = *self.pending(block);
            if adds(&bits, &self.efuses.read_block(block)) {
                self.check_block(block, &bits, force)?;
                blocks.push((block, Zeroizing::new(bits)));
            }
        }
        self.pending.iter_mut().for_each(|pending| pending.fill(0));
        if blocks.is_empty() {
            return Ok(Burnt::Done);
        }
        if !self.confirmed()? {
            return Ok(Burnt::Declined);
        }
        for (block, bits) in blocks {
            match block {
                0 => self.burn_settings(*bits, force)?,
                _ => self.program(block, *bits)?,
            }
        }
        Ok(Burnt::Done)
    }

    /// Burns block 0: first what shuts no door.
    fn burn_settings(&mut self, bits: [u8; BLOCK_SIZE], force: Force) -> Result<(), EspefuseError> {
        let fields = self.efuses.map().fields.iter();
        let postponed: Vec<&'static Field> = fields
            .filter(|field| field.block == 0 && self.is_postponed(field))
            .collect();
        let mut first = bits;
        for field in &postponed {
            first
                .iter_mut()
                .zip(mask_of(field))
                .for_each(|(bits, mask)| *bits &= !mask);
        }
        if first != [0; BLOCK_SIZE] {
            self.program(0, first)?;
        }
        for field in postponed {
            let mut own = bits;
            own.iter_mut()
                .zip(mask_of(field))
                .for_each(|(bits, mask)| *bits &= mask);
            let current = field.get(&self.efuses.read_block(0)).unwrap_or(0);
            let value = field.get(&own).unwrap_or(0) | current;
            self.save_field(field, value, force)?;
        }
        let last = *self.pending(0);
        if let Some(pending) = self.pending.first_mut() {
            pending.fill(0);
        }
        match last == [0; BLOCK_SIZE] {
            true => Ok(()),
            false => self.program(0, last),
        }
    }

    fn is_postponed(&self, field: &Field) -> bool {
        let esp32 = self.chip() == ChipId::Esp32;
        POSTPONED.contains(&field.name) || (esp32 && field.name == "ABS_DONE_1")
    }

    /// One burn command, and the file after it.
    fn program(&mut self, block: usize, bits: [u8; BLOCK_SIZE]) -> Result<(), EspefuseError> {
        self.efuses.program_anyway(block, bits)?;
        self.store()?;
        let missing = adds(&bits, &self.efuses.read_block(block));
        let name = self.block_name(block);
        match missing && block != 0 && !self.efuses.is_read_protected(block) {
            true => Err(EspefuseError::Unsuccessful(name)),
            false => Ok(()),
        }
    }

    fn check_block(
        &self,
        block: usize,
        bits: &[u8; BLOCK_SIZE],
        force: Force,
    ) -> Result<(), EspefuseError> {
        let Some(entry) = self.efuses.map().blocks.get(block) else {
            return Ok(());
        };
        if block == 0 || force == Force::Always {
            return Ok(());
        }
        self.check_open(block)?;
        let view = self.efuses.read_block(block);
        let coded = match entry.coding {
            Coding::Plain => false,
            Coding::ReedSolomon => true,
            Coding::ByScheme => self.efuses.coding_scheme() != CodingScheme::None,
        };
        match coded && view != [0; BLOCK_SIZE] && adds(bits, &view) {
            true => Err(EspefuseError::BurntBefore(entry.name)),
            false => Ok(()),
        }
    }

    /// Asks before the burn.
    fn confirmed(&mut self) -> Result<bool, EspefuseError> {
        if self.confirm == Confirm::Never {
            return Ok(true);
        }
        writeln!(
            self.output,
            "This burn cannot be undone. Type 'BURN' (all capitals) to continue."
        )?;
        self.output.flush()?;
        let mut answer = String::new();
        if self.input.read_line(&mut answer)? == 0 {
            return Err(EspefuseError::NoAnswer);
        }
        let yes = answer.strip_suffix('\n').unwrap_or(&answer) == "BURN";
        if !yes {
            writeln!(self.output, "Aborting.")?;
        }
        Ok(yes)
    }

    /// Writes the eFuse file.
    fn store(&self) -> Result<(), EspefuseError> {
        match &self.path {
            Some(path) => efuse_file::write(path, &virt::encode(&self.efuses))
                .map_err(|error| file_error(path, error)),
            None => Ok(()),
        }
    }

    /// Whether software cannot read the field.
    pub(super) fn is_hidden(&self, field: &Field) -> bool {
        self.efuses.is_field_hidden(field)
    }

    /// Whether the field can no longer be burnt.
    pub(super) fn is_locked(&self, field: &Field) -> bool {
        field
            .write_protect
            .is_some_and(|bit| self.efuses.is_wr_dis(bit))
    }

    /// A field that the chip's table has.
    pub(super) fn field(&self, name: &str) -> Result<&'static Field, EspefuseError> {
        let unknown = || crate::efuse::EfuseError::NoSuchField(name.into());
        Ok(self.efuses.map().field(name).ok_or_else(unknown)?)
    }

    /// Name of a block.
    pub(super) fn block_name(&self, block: usize) -> &'static str {
        let entry = self.efuses.map().blocks.get(block);
        entry.map_or("", |entry| entry.name)
    }

    fn pending(&self, block: usize) -> &[u8; BLOCK_SIZE] {
        const NONE: &[u8; BLOCK_SIZE] = &[0; BLOCK_SIZE];
        self.pending.get(block).map_or(NONE, |pending| pending)
    }
}

/// Reads a whole file of data or of a key.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, EspefuseError> {
    let bytes = fs::read(path).map_err(|error| file_error(path, error))?;
    Ok(Zeroizing::new(bytes))
}

/// An error of a file.
pub(super) fn file_error(path: &Path, error: std::io::Error) -> EspefuseError {
    EspefuseError::File {
        path: path.into(),
        error,
    }
}

/// Whether bits are not yet in the block.
fn adds(bits: &[u8; BLOCK_SIZE], view: &[u8; BLOCK_SIZE]) -> bool {
    bits.iter().zip(view).any(|(bit, view)| bit & !view != 0)
}

/// The bits of a field in its block.
pub(super) fn mask_of(field: &Field) -> [u8; BLOCK_SIZE] {
    let mut mask = [0; BLOCK_SIZE];
    for bit in field.bit..field.bit.saturating_add(field.width) {
        if let Some(byte) = mask.get_mut(usize::from(bit / 8)) {
            *byte |= 1 << (bit % 8);
        }
    }
    mask
}
