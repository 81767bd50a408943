//! Header bytes 2 and 3: how the ROM reads the flash chip.
//!
//! Source: ESP-IDF `esp_app_format.h` (`esp_image_spi_mode_t`, `esp_image_spi_freq_t`); the clock
//! that the frequency divides was observed with `esptool image-info` 5.6.

use core::fmt;

use crate::chip::ChipId;

/// Read mode, header byte 2.
#[doc(alias = "esp_image_spi_mode_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlashMode {
    /// 0.
    Qio,
    /// 1.
    Qout,
    /// 2.
    Dio,
    /// 3.
    Dout,
    /// 4.
    FastRead,
    /// 5.
    SlowRead,
    /// A value that ESP-IDF has not assigned.
    Unknown(u8),
}

impl FlashMode {
    /// Reads header byte 2.
    #[must_use]
    pub const fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Qio,
            1 => Self::Qout,
            2 => Self::Dio,
            3 => Self::Dout,
            4 => Self::FastRead,
            5 => Self::SlowRead,
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for FlashMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Qio => f.pad("QIO"),
            Self::Qout => f.pad("QOUT"),
            Self::Dio => f.pad("DIO"),
            Self::Dout => f.pad("DOUT"),
            Self::FastRead => f.pad("FAST_READ"),
            Self::SlowRead => f.pad("SLOW_READ"),
            Self::Unknown(other) => write!(f, "unknown mode {other:#04x}"),
        }
    }
}

/// Flash clock, low nibble of header byte 3: a divider of the chip's own flash clock.
#[doc(alias = "esp_image_spi_freq_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlashFrequency {
    /// 0xF.
    Full,
    /// 0.
    Half,
    /// 1.
    Third,
    /// 2.
    Quarter,
    /// A value (of four bits) that ESP-IDF has not assigned.
    Unknown(u8),
}

impl FlashFrequency {
    /// Reads the low nibble of header byte 3.
    #[must_use]
    pub const fn from_nibble(nibble: u8) -> Self {
        match nibble & 0x0F {
            0xF => Self::Full,
            0 => Self::Half,
            1 => Self::Third,
            2 => Self::Quarter,
            other => Self::Unknown(other),
        }
    }

    /// Returns the clock in MHz, rounded down; `None` for an unassigned value.
    ///
    /// The ESP32-C6 reads at 80 MHz with the value that halves the clock elsewhere.
    #[must_use]
    pub const fn mhz(self, chip: ChipId) -> Option<u8> {
        let clock: u8 = match chip {
            ChipId::Esp32C2 => 60,
            ChipId::Esp32H2 | ChipId::Esp32H21 | ChipId::Esp32H4 => 48,
            _ => 80,
        };
        match (self, chip) {
            (Self::Half, ChipId::Esp32C6) | (Self::Full, _) => Some(clock),
            (Self::Half, _) => Some(clock / 2),
            (Self::Third, _) => Some(clock / 3),
            (Self::Quarter, _) => Some(clock / 4),
            (Self::Unknown(_), _) => None,
        }
    }
}
