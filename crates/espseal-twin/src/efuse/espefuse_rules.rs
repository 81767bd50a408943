//! What `espefuse` allows and refuses, beyond what the silicon does.
//!
//! The silicon ORs bits, ignores protected ones in block 0 and knows nothing of purposes before it
//! uses a key. `espefuse` reads first and refuses what would not come out as asked. Each function here is
//! one of its commands. Except where an error says so, all of it is done or nothing.
//!
//! Source: `espefuse --virt` 5.6.0, observed.

use std::collections::BTreeMap;

use espseal_format::chip::ChipId;
use espseal_format::efuse::{EfuseMap, Field, KeyBlock, KeyPurpose, KeyRole};

use super::{BLOCK_SIZE, CodingScheme, EfuseError, Efuses, KeyProtection, KeyToBurn, put};

/// Why `espefuse` refuses a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EspefuseRefusal {
    /// Burnt bits are 0 in the new value.
    #[error("{field}: the new value clears bits that are burnt")]
    CannotClear {
        /// Name of the field or block.
        field: &'static str,
    },
    /// What is there already cannot be seen.
    #[error("{field} is read-protected: burning it could damage what is there")]
    Hidden {
        /// Name of the field or block.
        field: &'static str,
    },
    /// The hardware gets this purpose wrong in this block.
    #[error("{field} cannot have the purpose {purpose}: the hardware gets it wrong")]
    HardwareBug {
        /// Name of the purpose field.
        field: &'static str,
        /// The purpose.
        purpose: KeyPurpose,
    },
    /// The block is for a key that software has to read.
    #[error("{field} must stay readable")]
    MustBeReadable {
        /// Name of the block.
        field: &'static str,
    },
    /// The data has to fill the block.
    #[error("the data has {found} bytes, the rest of the block {expected}")]
    DataLength {
        /// Bytes in the block, or after the offset.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The new value is part of what is burnt. Everything else that was asked for is burnt.
    #[error("{field} holds more than the new value; the rest was burnt")]
    Unsuccessful {
        /// Name of the field.
        field: &'static str,
    },
    /// The tool does not burn this field.
    #[error("burning {field} is not supported")]
    Unsupported {
        /// Name of the field.
        field: &'static str,
    },
    /// The number stands for no purpose, or for no use in particular.
    #[error("{field} cannot be set to {value}")]
    UnknownPurpose {
        /// Name of the purpose field.
        field: &'static str,
        /// The number.
        value: u64,
    },
    /// It does not know the ESP32's third coding scheme.
    #[error("the coding scheme \"repeat\" is not supported")]
    RepeatCoding,
    /// The silicon refuses, too.
    #[error(transparent)]
    Efuse(#[from] EfuseError),
}

/// `burn-efuse`: fields and their new values.
///
/// # Errors
/// [`EspefuseRefusal`]; after [`EspefuseRefusal::Unsuccessful`] the other fields are burnt.
pub fn burn_efuse(efuses: &mut Efuses, values: &[(&str, u64)]) -> Result<(), EspefuseRefusal> {
    let mut blocks: BTreeMap<usize, [u8; BLOCK_SIZE]> = BTreeMap::new();
    let mut unsuccessful = None;
    for (name, value) in values {
        let field = efuses.field(name)?;
        match check_value(efuses, field, *value)? {
            Change::None => {}
            Change::Less => unsuccessful = unsuccessful.or(Some(field.name)),
            Change::Some => {
                let bytes = blocks.entry(field.block.into()).or_default();
                put(field, bytes, *value)?;
            }
        }
    }
    commit(efuses, |efuses| {
        // Highest block first.
        let mut blocks = blocks.into_iter().rev();
        Ok(blocks.try_for_each(|(block, bytes)| efuses.program(block, bytes))?)
    })?;
    match unsuccessful {
        Some(field) => Err(EspefuseRefusal::Unsuccessful { field }),
        None => Ok(()),
    }
}

/// Does all of something or nothing.
fn commit(
    efuses: &mut Efuses,
    burn: impl FnOnce(&mut Efuses) -> Result<(), EspefuseRefusal>,
) -> Result<(), EspefuseRefusal> {
    let mut burnt = efuses.clone();
    burn(&mut burnt)?;
    if burnt.coding_scheme() == CodingScheme::Repeat {
        return Err(EspefuseRefusal::RepeatCoding);
    }
    *efuses = burnt;
    Ok(())
}

/// `burn-bit`: bits of one block.
///
/// # Errors
/// [`EspefuseRefusal`].
pub fn burn_bits(efuses: &mut Efuses, block: usize, bits: &[usize]) -> Result<(), EspefuseRefusal> {
    let size = efuses.block_size(block)?;
    let mut bytes = [0; BLOCK_SIZE];
    for bit in bits {
        let end = bit / 8 + 1;
        match bytes.get_mut(bit / 8) {
            Some(byte) if end <= size => *byte |= 1 << (bit % 8),
            _ => return Err(EfuseError::PastBlock { block, size, end }.into()),
        }
    }
    burn_bytes(efuses, block, bytes)
}

/// `burn-block-data`: bytes from an offset to the end of a block, or a part in its middle.
///
/// # Errors
/// [`EspefuseRefusal`].
pub fn burn_block_data(
    efuses: &mut Efuses,
    block: usize,
    offset: usize,
    data: &[u8],
) -> Result<(), EspefuseRefusal> {
    let size = efuses.block_size(block)?;
    let expected = size.saturating_sub(offset);
    let found = data.len();
    if found > expected || (offset == 0 && found != size) {
        return Err(EspefuseRefusal::DataLength { expected, found });
    }
    let mut bytes = [0; BLOCK_SIZE];
    bytes
        .iter_mut()
        .skip(offset)
        .zip(data)
        .for_each(|(to, from)| *to = *from);
    burn_bytes(efuses, block, bytes)
}

/// `burn-key`: keys for exact purposes.
///
/// # Errors
/// [`EspefuseRefusal`].
pub fn burn_key(
    efuses: &mut Efuses,
    keys: &[KeyToBurn<'_>],
    protection: KeyProtection,
) -> Result<(), EspefuseRefusal> {
    for key in keys {
        let entry = efuses
            .key_block(key.block)
            .ok_or(EfuseError::NoKeyBlock { block: key.block })?;
        if efuses.is_read_protected(key.block) {
            let field = entry.key.name;
            return Err(EspefuseRefusal::Hidden { field });
        }
    }
    commit(efuses, |efuses| Ok(efuses.burn_keys(keys, protection)?))
}

/// `write-protect-efuse`.
///
/// # Errors
/// [`EspefuseRefusal`].
pub fn write_protect(efuses: &mut Efuses, names: &[&str]) -> Result<(), EspefuseRefusal> {
    commit(efuses, |efuses| {
        Ok(names
            .iter()
            .try_for_each(|name| efuses.write_protect(name))?)
    })
}

/// `read-protect-efuse`: not for keys that software has to read.
///
/// # Errors
/// [`EspefuseRefusal`].
pub fn read_protect(efuses: &mut Efuses, names: &[&str]) -> Result<(), EspefuseRefusal> {
    for name in names {
        let field = efuses.field(name)?;
        let block = usize::from(field.block);
        let purpose = efuses.key_purpose(block);
        if purpose.is_some_and(|purpose| !purpose.is_secret()) {
            return Err(EspefuseRefusal::MustBeReadable { field: field.name });
        }
    }
    commit(efuses, |efuses| {
        Ok(names
            .iter()
            .try_for_each(|name| efuses.read_protect(name))?)
    })
}

/// What a new value would do.
enum Change {
    /// It is there.
    None,
    /// It would have to unburn bits and burns none.
    Less,
    /// It burns bits.
    Some,
}

fn check_value(efuses: &Efuses, field: &Field, value: u64) -> Result<Change, EspefuseRefusal> {
    if field.name == "ADC_VREF" {
        return Err(EspefuseRefusal::Unsupported { field: field.name });
    }
    let is_purpose = |entry: &&KeyBlock| matches!(entry.role, KeyRole::Purpose(own) if own.low == *field || own.high == Some(*field));
    if let Some(entry) = efuses.map().keys.iter().find(is_purpose) {
        check_purpose(efuses.chip(), efuses.map(), entry, field, value)?;
    }
    let current = efuses.get(field);
    if value == current {
        return Ok(Change::None);
    }
    if value & !current == 0 {
        return Ok(Change::Less);
    }
    if current & !value != 0 {
        return Err(EspefuseRefusal::CannotClear { field: field.name });
    }
    let hidden = match field.block {
        0 => field.read_protect.is_some_and(|bit| efuses.is_rd_dis(bit)),
        block => efuses.is_read_protected(usize::from(block)),
    };
    if hidden {
        return Err(EspefuseRefusal::Hidden { field: field.name });
    }
    if field.write_protect.is_some_and(|bit| efuses.is_wr_dis(bit)) {
        return Err(EfuseError::WriteProtected { field: field.name }.into());
    }
    Ok(Change::Some)
}

/// A purpose has to be one that the tool knows; on some chips it takes any number but 0.
fn check_purpose(
    chip: ChipId,
    map: &EfuseMap,
    entry: &KeyBlock,
    field: &Field,
    value: u64,
) -> Result<(), EspefuseRefusal> {
    let field = field.name;
    let number = u8::try_from(value).unwrap_or(u8::MAX);
    let purpose = map.purpose(number);
    let lenient = matches!(chip, ChipId::Esp32C5 | ChipId::Esp32C6 | ChipId::Esp32P4);
    let known = !matches!(purpose, KeyPurpose::Unknown(_));
    if value == 0 || !(lenient || known) {
        return Err(EspefuseRefusal::UnknownPurpose { field, value });
    }
    if entry.refuses.contains(&purpose) {
        return Err(EspefuseRefusal::HardwareBug { field, purpose });
    }
    Ok(())
}

/// Burns bytes that are laid out as the block is.
fn burn_bytes(
    efuses: &mut Efuses,
    block: usize,
    bytes: [u8; BLOCK_SIZE],
) -> Result<(), EspefuseRefusal> {
    let entry = efuses
        .block(block)
        .ok_or(EfuseError::NoSuchBlock { block })?;
    if block != 0 && efuses.is_read_protected(block) {
        return Err(EspefuseRefusal::Hidden { field: entry.name });
    }
    if efuses.is_write_protected(block) {
        return Err(EfuseError::WriteProtected { field: entry.name }.into());
    }
    let size = efuses.block_size(block)?;
    commit(efuses, |efuses| {
        Ok(efuses.burn_block(block, 0, bytes.get(..size).unwrap_or(&bytes))?)
    })
}
