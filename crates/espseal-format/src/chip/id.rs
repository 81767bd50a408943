//! Numbers and names of the family's chips, with or without a table.
//!
//! Source: ESP-IDF `esp_app_format.h` (`esp_chip_id_t`).

use core::fmt;
use core::str::FromStr;

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
}
