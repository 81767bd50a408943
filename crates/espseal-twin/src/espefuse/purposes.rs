//! Names of key purposes on the command line.
//!
//! Beside those of the chip's table: `CUSTOM_n` and `CUSTOM_DIGEST_n` for numbers that have no meaning
//! yet, `CUSTOM_MAX` for the highest, and names for keys of two blocks.

use espseal_format::chip::ChipId;
use espseal_format::efuse::{EfuseMap, KeyPurpose, KeyRole};

/// A purpose as `burn-key` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A key of one block.
    One(KeyPurpose),
    /// A number without a meaning.
    Custom(u8),
    /// XTS-AES-256: 64 bytes, two blocks.
    Xts256,
    /// ECDSA P-384: two blocks.
    EcdsaP384,
}

/// Reads a purpose of `burn-key`.
pub(super) fn named(chip: ChipId, map: &EfuseMap, name: &str) -> Option<Named> {
    let has = |purpose| map.purpose_number(purpose).is_some();
    let newer = has(KeyPurpose::EcdsaKeyP192) || chip == ChipId::Esp32P4;
    match name {
        "XTS_AES_256_KEY" if has(KeyPurpose::XtsAes256Key1) => return Some(Named::Xts256),
        "ECDSA_KEY_P384" if newer => return Some(Named::EcdsaP384),
        "ECDSA_KEY_P256" if newer => return Some(Named::One(KeyPurpose::EcdsaKey)),
        // Before revision 3.0, nothing but a number that the field is too narrow for.
        "ECDSA_KEY_P192" | "ECDSA_KEY_P384_L" | "ECDSA_KEY_P384_H"
            if chip == ChipId::Esp32P4 && !has(KeyPurpose::EcdsaKeyP192) =>
        {
            return Some(Named::Custom(match name {
                "ECDSA_KEY_P192" => 16,
                "ECDSA_KEY_P384_L" => 17,
                _ => 18,
            }));
        }
        _ => {}
    }
    if let Some(number) = custom(chip, map, name) {
        return Some(Named::Custom(number));
    }
    let purpose = KeyPurpose::from_name(name)?;
    let number = map.purpose_number(purpose)?;
    (!is_custom(chip, map, number)).then_some(Named::One(purpose))
}

/// The number of a purpose that fits one block; `None` for a name that the chip does not have.
pub(super) fn purpose_number(chip: ChipId, map: &EfuseMap, name: &str) -> Option<u8> {
    match named(chip, map, name)? {
        Named::One(purpose) => map.purpose_number(purpose),
        Named::Custom(number) => Some(number),
        Named::Xts256 | Named::EcdsaP384 => None,
    }
}

/// The name that a summary gives a number.
pub(super) fn name_of(chip: ChipId, map: &EfuseMap, number: u8) -> Option<String> {
    let newer = matches!(chip, ChipId::Esp32C5 | ChipId::Esp32P4);
    match map.purpose(number) {
        _ if is_custom(chip, map, number) => Some(format!("CUSTOM_{number}")),
        KeyPurpose::EcdsaKey if newer => Some("ECDSA_KEY_P256".into()),
        purpose => purpose.name().map(Into::into),
    }
}

/// Reads `CUSTOM_n`, `CUSTOM_DIGEST_n` and `..._MAX`.
fn custom(chip: ChipId, map: &EfuseMap, name: &str) -> Option<u8> {
    let rest = name.strip_prefix("CUSTOM_")?;
    let rest = rest.strip_prefix("DIGEST_").unwrap_or(rest);
    let highest = highest(chip)?;
    let number = match rest {
        "MAX" => highest,
        digits if digits.starts_with('0') || digits.starts_with('+') => return None,
        digits => digits.parse().ok()?,
    };
    is_custom(chip, map, number).then_some(number)
}

/// Whether a number has no meaning and may be burnt.
fn is_custom(chip: ChipId, map: &EfuseMap, number: u8) -> bool {
    let known = match chip {
        // espefuse knows those of all revisions, but not the keys for external RAM.
        ChipId::Esp32P4 => number <= 12 || (16..=18).contains(&number),
        _ => !matches!(map.purpose(number), KeyPurpose::Unknown(_)),
    };
    highest(chip).is_some_and(|highest| number <= highest) && !known
}

/// The highest number that espefuse has a name for.
const fn highest(chip: ChipId) -> Option<u8> {
    match chip {
        ChipId::Esp32C5 | ChipId::Esp32P4 => Some(31),
        ChipId::Esp32C6 => Some(15),
        _ => None,
    }
}

/// The number of a key block by its names.
pub(super) fn key_block(chip: ChipId, map: &EfuseMap, name: &str) -> Option<usize> {
    let entry = map.keys.iter().find(|entry| {
        let number = format!("BLOCK{}", entry.key.block);
        // The ESP32-C2 has one, under one name.
        let numbered = chip != ChipId::Esp32C2 && name == number;
        name == entry.key.name || numbered
    })?;
    match entry.role {
        KeyRole::User if chip != ChipId::Esp32 => None,
        _ => Some(entry.key.block.into()),
    }
}
