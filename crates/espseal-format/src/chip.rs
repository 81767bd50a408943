//! What the chips of the family have in common, and one table for each chip.
//!
//! A chip that is not in [`chip`]'s list still has a [`ChipId`], so that its images parse; only
//! what needs its table is refused. To add a chip, add its file, its `mod` line and its line in
//! [`CHIPS`].
//!
//! Source: ESP-IDF `esp_app_format.h` (`esp_chip_id_t`), `components/soc/<chip>/include/soc`.

use core::fmt;
use core::ops::Range;
use core::str::FromStr;

use crate::efuse::EfuseMap;
use crate::units::FlashOffset;

mod esp32;
mod esp32c3;

/// Every chip that has a table.
pub const CHIPS: &[&Chip] = &[&esp32::CHIP, &esp32c3::CHIP];

/// Returns the table of a chip; `None` when espseal does not know the chip well enough.
#[must_use]
pub fn chip(id: ChipId) -> Option<&'static Chip> {
    CHIPS.iter().copied().find(|chip| chip.id == id)
}

/// The facts about a chip that image layout, boot and eFuse planning depend on.
#[derive(Debug)]
pub struct Chip {
    /// Number in the image header.
    pub id: ChipId,
    /// Where the ROM looks for the second-stage bootloader.
    pub bootloader_offset: FlashOffset,
    /// Bytes in a page of the flash MMU: a secure-padded app ends on such a page.
    pub mmu_page_size: u32,
    /// Address ranges that map flash (instructions, then data).
    pub mapped: [Range<u32>; 2],
    /// Flash encryption schemes of the hardware.
    pub flash_encryption: &'static [SchemeId],
    /// Secure boot schemes of the ROM, with the chip revision that brought them.
    pub secure_boot: &'static [SecureBoot],
    /// Secure boot v2 public-key digests that eFuses hold.
    pub digest_slots: u8,
    /// Secure boot v2 signature blocks that the ROM looks at.
    pub signature_blocks: u8,
    /// Bits of the anti-rollback counter: the highest secure version.
    pub secure_version_bits: u8,
    /// Whether eFuses can hold a key for the HMAC peripheral.
    pub hmac: HmacPeripheral,
    /// Where each eFuse field lies.
    pub efuse: &'static EfuseMap,
}

impl Chip {
    /// Returns the name as ESP-IDF prints it, such as `ESP32-C3`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.id.name().unwrap_or_default()
    }

    /// Whether a segment with this load address is mapped from flash, not copied to RAM.
    #[must_use]
    pub fn is_mapped(&self, load_addr: u32) -> bool {
        self.mapped.iter().any(|range| range.contains(&load_addr))
    }
}

/// A flash encryption scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchemeId {
    /// AES-256 with an address tweak, on the ESP32.
    Esp32Aes,
    /// XTS-AES-128 with a 256-bit key.
    XtsAes128,
    /// XTS-AES-256 with a 512-bit key in two eFuse blocks.
    XtsAes256,
}

/// A secure boot scheme and the first chip revision whose ROM has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecureBoot {
    /// The scheme.
    pub scheme: SecureBootScheme,
    /// First chip revision, as major * 100 + minor.
    pub from_revision: u16,
}

/// A secure boot scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecureBootScheme {
    /// Version 1: symmetric key for the bootloader, ECDSA P-256 for the app.
    V1,
    /// Version 2 with RSA-3072-PSS.
    V2Rsa,
    /// Version 2 with ECDSA.
    V2Ecdsa,
}

/// Whether the chip has an HMAC peripheral fed from eFuse key blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HmacPeripheral {
    /// It has one.
    Present,
    /// It has none: a device key has to be kept in encrypted flash.
    Absent,
}

/// Chip number of the image header (`chip_id`).
#[doc(alias = "esp_chip_id_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ChipId {
    /// 0x0000.
    Esp32,
    /// 0x0002.
    Esp32S2,
    /// 0x0005.
    Esp32C3,
    /// 0x0009.
    Esp32S3,
    /// 0x000C.
    Esp32C2,
    /// 0x000D.
    Esp32C6,
    /// 0x0010.
    Esp32H2,
    /// 0x0012.
    Esp32P4,
    /// 0x0014.
    Esp32C61,
    /// 0x0017.
    Esp32C5,
    /// 0x0019.
    Esp32H21,
    /// 0x001C.
    Esp32H4,
    /// 0x0020.
    Esp32S31,
    /// A number that ESP-IDF has not assigned.
    Unknown(u16),
}

/// Number, name as printed by ESP-IDF, and target name of each chip.
const IDS: &[(u16, ChipId, &str, &str)] = &[
    (0x0000, ChipId::Esp32, "ESP32", "esp32"),
    (0x0002, ChipId::Esp32S2, "ESP32-S2", "esp32s2"),
    (0x0005, ChipId::Esp32C3, "ESP32-C3", "esp32c3"),
    (0x0009, ChipId::Esp32S3, "ESP32-S3", "esp32s3"),
    (0x000C, ChipId::Esp32C2, "ESP32-C2", "esp32c2"),
    (0x000D, ChipId::Esp32C6, "ESP32-C6", "esp32c6"),
    (0x0010, ChipId::Esp32H2, "ESP32-H2", "esp32h2"),
    (0x0012, ChipId::Esp32P4, "ESP32-P4", "esp32p4"),
    (0x0014, ChipId::Esp32C61, "ESP32-C61", "esp32c61"),
    (0x0017, ChipId::Esp32C5, "ESP32-C5", "esp32c5"),
    (0x0019, ChipId::Esp32H21, "ESP32-H21", "esp32h21"),
    (0x001C, ChipId::Esp32H4, "ESP32-H4", "esp32h4"),
    (0x0020, ChipId::Esp32S31, "ESP32-S31", "esp32s31"),
];

impl ChipId {
    /// Reads the number of the image header.
    #[must_use]
    pub fn from_u16(number: u16) -> Self {
        IDS.iter()
            .find(|row| row.0 == number)
            .map_or(Self::Unknown(number), |row| row.1)
    }

    /// Returns the number of the image header.
    #[must_use]
    pub fn to_u16(self) -> u16 {
        match self {
            Self::Unknown(number) => number,
            known => IDS
                .iter()
                .find(|row| row.1 == known)
                .map_or(0xFFFF, |row| row.0),
        }
    }

    /// Returns the name as ESP-IDF prints it; `None` for a number it has not assigned.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        IDS.iter().find(|row| row.1 == self).map(|row| row.2)
    }

    /// Returns the name of the build target, such as `esp32c3`.
    #[must_use]
    pub fn target(self) -> Option<&'static str> {
        IDS.iter().find(|row| row.1 == self).map(|row| row.3)
    }
}

impl fmt::Display for ChipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "chip {:#06x}", self.to_u16()),
        }
    }
}

impl FromStr for ChipId {
    type Err = UnknownChip;

    /// Reads a target name such as `esp32c3`, or a printed name such as `ESP32-C3`.
    fn from_str(text: &str) -> Result<Self, UnknownChip> {
        IDS.iter()
            .find(|row| row.3 == text || row.2 == text)
            .map(|row| row.1)
            .ok_or(UnknownChip)
    }
}

/// The text names no chip of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownChip;

impl fmt::Display for UnknownChip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown chip: expected one of")?;
        for (index, row) in IDS.iter().enumerate() {
            write!(f, "{} {}", if index == 0 { "" } else { "," }, row.3)?;
        }
        Ok(())
    }
}

impl core::error::Error for UnknownChip {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn numbers_and_names_round_trip_and_unknown_numbers_are_kept() {
        for number in 0..=0x40 {
            assert_eq!(ChipId::from_u16(number).to_u16(), number);
        }
        for row in IDS {
            assert_eq!(ChipId::from_u16(row.0), row.1);
            assert_eq!(row.3.parse(), Ok(row.1));
            assert_eq!(row.1.to_string().parse(), Ok(row.1));
        }
        assert_eq!(ChipId::from_u16(1), ChipId::Unknown(1));
        assert_eq!(ChipId::Esp32C3.to_string(), "ESP32-C3");
        assert_eq!("esp8266".parse::<ChipId>(), Err(UnknownChip));
    }

    #[test]
    fn every_table_is_found_under_its_own_number() {
        for table in CHIPS {
            assert!(core::ptr::eq(chip(table.id).unwrap(), *table));
            assert_eq!(table.name(), table.id.to_string());
        }
        assert!(chip(ChipId::Unknown(1)).is_none());
    }
}
