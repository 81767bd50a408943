//! Reads `espefuse summary --format json`.
//!
//! One object, one member a field: `raw_value` is `0x` and hexadecimal digits, most significant first for
//! numbers, in the order of the block for an `efuse_type` of `bytes:n`. What is not `readable` shows as
//! zeros. Whatever stands before the first brace is what espefuse says while it works.
//!
//! Source: espefuse 5.6.0, observed.

use std::collections::BTreeMap;

use espseal_format::chip::ChipId;
use espseal_format::efuse::{EfuseMap, Field};
use espseal_twin::efuse::{BLOCK_SIZE, EfuseError, Efuses, Wiring};
use serde::Deserialize;

/// What is read of a member.
#[derive(Deserialize)]
struct Entry {
    raw_value: String,
    #[serde(default)]
    efuse_type: String,
    #[serde(default)]
    readable: Option<bool>,
    #[serde(default)]
    block: Option<u8>,
    #[serde(default)]
    word: Option<u16>,
    #[serde(default)]
    pos: Option<u16>,
}

/// Parses a summary.
///
/// # Errors
/// [`SummaryError`]; a summary of another chip is one whose fields lie elsewhere.
pub fn parse(chip: ChipId, bytes: &[u8]) -> Result<Efuses, SummaryError> {
    let start = bytes
        .iter()
        .position(|byte| *byte == b'{')
        .ok_or(SummaryError::NoObject)?;
    let text = bytes.get(start..).unwrap_or_default();
    let mut entries = serde_json::Deserializer::from_slice(text);
    let entries: BTreeMap<String, Entry> = Deserialize::deserialize(&mut entries)
        .map_err(|error| SummaryError::Syntax(error.to_string().into()))?;
    let map = map_of(chip, &entries)?;
    let mut blocks = vec![[0; BLOCK_SIZE]; map.blocks.len()];
    for field in [map.wr_dis, map.rd_dis, map.flash_crypt_cnt] {
        if !entries.contains_key(field.name) {
            let field = field.name;
            return Err(SummaryError::Missing { field, chip });
        }
    }
    for (name, entry) in &entries {
        let Some(field) = map.field(name) else {
            continue;
        };
        entry.check(field, chip)?;
        if entry.readable == Some(false) {
            continue;
        }
        if let Some(block) = blocks.get_mut(usize::from(field.block)) {
            entry.load(field, block)?;
        }
    }
    Ok(Efuses::read_back(chip, blocks, wiring(&entries))?)
}

/// The table of the revision that is in the summary; it lies where it does in every table.
fn map_of(
    chip: ChipId,
    entries: &BTreeMap<String, Entry>,
) -> Result<&'static EfuseMap, SummaryError> {
    let blank = Efuses::blank(chip)?;
    let map = blank.map();
    let mut blocks = vec![[0; BLOCK_SIZE]; map.blocks.len()];
    let version = map.wafer_version_major.iter();
    for field in version.chain(map.wafer_version_minor) {
        let block = blocks.get_mut(usize::from(field.block));
        if let (Some(entry), Some(field), Some(block)) =
            (entries.get(field.name), map.field(field.name), block)
        {
            entry.check(field, chip)?;
            entry.load(field, block)?;
        }
    }
    Ok(Efuses::read_back(chip, blocks, wiring(entries))?.map())
}

impl Entry {
    /// A field that lies elsewhere is one of another chip.
    fn check(&self, field: &'static Field, chip: ChipId) -> Result<(), SummaryError> {
        let (Some(block), Some(word), Some(pos)) = (self.block, self.word, self.pos) else {
            return Ok(());
        };
        let bit = word.saturating_mul(32).saturating_add(pos);
        match (block, bit) == (field.block, field.bit) {
            true => Ok(()),
            false => Err(SummaryError::Elsewhere {
                field: field.name,
                expected: (field.block, field.bit),
                found: (block, bit),
                chip,
            }),
        }
    }

    /// Sets the field's bits.
    fn load(
        &self,
        field: &'static Field,
        block: &mut [u8; BLOCK_SIZE],
    ) -> Result<(), SummaryError> {
        let unreadable = || SummaryError::Value {
            field: field.name,
            found: self.raw_value.as_str().into(),
        };
        let digits = self.raw_value.strip_prefix("0x").ok_or_else(unreadable)?;
        if !self.efuse_type.starts_with("bytes") {
            let value = u64::from_str_radix(digits, 16).map_err(|_| unreadable())?;
            return field.burn(block, value).ok_or_else(unreadable);
        }
        let bytes = bytes(digits).ok_or_else(unreadable)?;
        let start = usize::from(field.bit / 8);
        let target = block.get_mut(start..).unwrap_or_default();
        if bytes.len() > target.len() || !field.bit.is_multiple_of(8) {
            return Err(unreadable());
        }
        target
            .iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to |= from);
        Ok(())
    }
}

/// An ESP32 of revision 2 has burnt what one of revision 3 has: only the major number tells.
fn wiring(entries: &BTreeMap<String, Entry>) -> Wiring {
    let major = entries.get("WAFER_VERSION_MAJOR");
    match major.map(|entry| entry.raw_value.as_str()) {
        Some("0x2") if entries.contains_key("CHIP_VER_REV2") => Wiring::BeforeRevision3,
        _ => Wiring::Current,
    }
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    rest.is_empty()
        .then(|| pairs.iter().map(byte).collect())
        .flatten()
}

/// Why a file is no summary of a chip.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SummaryError {
    /// Neither JSON nor an eFuse file.
    #[error(
        "no state of a chip: expected `espefuse summary --format json`, or an eFuse file of this chip"
    )]
    NoObject,
    /// Not the JSON that espefuse writes.
    #[error("no summary of espefuse: {0}; make one with `espefuse summary --format json`")]
    Syntax(Box<str>),
    /// A field is not there that every summary of the chip has.
    #[error(
        "the summary has no {field}, which every {chip} has: is it of another chip, or of a few fields only?"
    )]
    Missing {
        /// Name of the field.
        field: &'static str,
        /// The chip.
        chip: ChipId,
    },
    /// A field lies elsewhere.
    #[error(
        "{field} is at bit {} of block {} in the summary, expected bit {} of block {} on {chip}: it is of another chip",
        found.1, found.0, expected.1, expected.0
    )]
    Elsewhere {
        /// Name of the field.
        field: &'static str,
        /// Block and bit on the chip.
        expected: (u8, u16),
        /// Block and bit in the summary.
        found: (u8, u16),
        /// The chip.
        chip: ChipId,
    },
    /// A value is none.
    #[error("raw_value of {field} is {found}, which does not fit the field")]
    Value {
        /// Name of the field.
        field: &'static str,
        /// What stands there.
        found: Box<str>,
    },
    /// The chip or its revision is not known.
    #[error(transparent)]
    Efuse(#[from] EfuseError),
}
