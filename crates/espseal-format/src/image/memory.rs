//! What lies at a load address: which of a chip's memories a segment goes to.
//!
//! Only for showing an image: whether a segment is mapped or copied, and whether a bootloader
//! takes its address, is decided by the chip's table ([`crate::chip`]).
//!
//! Source: ESP-IDF `components/soc/<chip>/include/soc/soc.h`, the constants named in [`Memory`].

use core::fmt;

use crate::chip::ChipId;

/// A memory that a segment can be loaded or mapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Memory {
    /// Load address 0: bytes that nothing loads, such as the segment of secure padding.
    Padding,
    /// Constants mapped from flash (`SOC_DROM_LOW`).
    Drom,
    /// Instructions mapped from flash (`SOC_IROM_LOW`).
    Irom,
    /// Data in internal RAM (`SOC_DRAM_LOW`).
    Dram,
    /// Instructions in internal RAM (`SOC_IRAM_LOW`).
    Iram,
    /// Cache of the second core, where the ESP32's bootloader lies (`SOC_CACHE_APP_LOW`).
    CacheApp,
    /// Instructions in the low-power domain (`SOC_RTC_IRAM_LOW`).
    RtcIram,
    /// Data in the low-power domain (`SOC_RTC_DRAM_LOW`).
    RtcDram,
    /// Slow memory of the low-power domain (`SOC_RTC_DATA_LOW`).
    RtcData,
    /// Tightly coupled memory of the ESP32-P4 (`SOC_SPM_LOW`).
    Tcm,
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Padding => "PADDING",
            Self::Drom => "DROM",
            Self::Irom => "IROM",
            Self::Dram => "DRAM",
            Self::Iram => "IRAM",
            Self::CacheApp => "CACHE_APP",
            Self::RtcIram => "RTC_IRAM",
            Self::RtcDram => "RTC_DRAM",
            Self::RtcData => "RTC_DATA",
            Self::Tcm => "TCM",
        })
    }
}

/// Returns what lies at an address of a chip: nothing, one memory, or several on one bus.
pub fn memories(chip: ChipId, load_addr: u32) -> impl Iterator<Item = Memory> {
    let ranges = MAPS
        .iter()
        .find(|row| row.0 == chip)
        .map_or(&[][..], |row| row.1);
    let here = move |row: &&Row| (row.1..row.2).contains(&load_addr);
    let padding = (load_addr == 0).then_some(Memory::Padding);
    padding
        .into_iter()
        .chain(ranges.iter().filter(here).map(|row| row.0))
}

/// A memory, its first address, and the address behind it.
type Row = (Memory, u32, u32);

/// The memories of each chip.
const MAPS: &[(ChipId, &[Row])] = {
    use Memory::{CacheApp, Dram, Drom, Iram, Irom, RtcData, RtcDram, RtcIram, Tcm};
    &[
        (
            ChipId::Esp32,
            &[
                (Drom, 0x3F40_0000, 0x3F80_0000),
                (RtcDram, 0x3FF8_0000, 0x3FF8_2000),
                (Dram, 0x3FFA_E000, 0x4000_0000),
                (CacheApp, 0x4007_8000, 0x4008_0000),
                (Iram, 0x4008_0000, 0x400A_A000),
                (RtcIram, 0x400C_0000, 0x400C_2000),
                (Irom, 0x400D_0000, 0x4040_0000),
                (RtcData, 0x5000_0000, 0x5000_2000),
            ],
        ),
        (
            ChipId::Esp32S2,
            &[
                (Drom, 0x3F00_0000, 0x3FF8_0000),
                (RtcDram, 0x3FF9_E000, 0x3FFA_0000),
                (Dram, 0x3FFB_0000, 0x4000_0000),
                (Iram, 0x4002_0000, 0x4007_0000),
                (RtcIram, 0x4007_0000, 0x4007_2000),
                (Irom, 0x4008_0000, 0x4080_0000),
                (RtcData, 0x5000_0000, 0x5000_2000),
            ],
        ),
        (
            ChipId::Esp32S3,
            &[
                (Drom, 0x3C00_0000, 0x3E00_0000),
                (Dram, 0x3FC8_8000, 0x3FD0_0000),
                (Iram, 0x4037_0000, 0x403E_0000),
                (Irom, 0x4200_0000, 0x4400_0000),
                (RtcData, 0x5000_0000, 0x5000_2000),
                (RtcIram, 0x600F_E000, 0x6010_0000),
                (RtcDram, 0x600F_E000, 0x6010_0000),
            ],
        ),
        (
            ChipId::Esp32C2,
            &[
                (Drom, 0x3C00_0000, 0x3C40_0000),
                (Dram, 0x3FCA_0000, 0x3FCE_0000),
                (Iram, 0x4037_C000, 0x403C_0000),
                (Irom, 0x4200_0000, 0x4240_0000),
            ],
        ),
        (
            ChipId::Esp32C3,
            &[
                (Drom, 0x3C00_0000, 0x3C80_0000),
                (Dram, 0x3FC8_0000, 0x3FCE_0000),
                (Iram, 0x4037_C000, 0x403E_0000),
                (Irom, 0x4200_0000, 0x4280_0000),
                (RtcIram, 0x5000_0000, 0x5000_2000),
                (RtcDram, 0x5000_0000, 0x5000_2000),
            ],
        ),
        (
            ChipId::Esp32C5,
            &[
                (Drom, 0x4200_0000, 0x4400_0000),
                (Irom, 0x4200_0000, 0x4400_0000),
                (Dram, 0x4080_0000, 0x4086_0000),
                (Iram, 0x4080_0000, 0x4086_0000),
                (RtcIram, 0x5000_0000, 0x5000_4000),
                (RtcDram, 0x5000_0000, 0x5000_4000),
            ],
        ),
        (
            ChipId::Esp32C6,
            &[
                (Drom, 0x4200_0000, 0x4300_0000),
                (Irom, 0x4200_0000, 0x4300_0000),
                (Dram, 0x4080_0000, 0x4088_0000),
                (Iram, 0x4080_0000, 0x4088_0000),
                (RtcIram, 0x5000_0000, 0x5000_4000),
                (RtcDram, 0x5000_0000, 0x5000_4000),
            ],
        ),
        (
            ChipId::Esp32C61,
            &[
                (Drom, 0x4200_0000, 0x4400_0000),
                (Irom, 0x4200_0000, 0x4400_0000),
                (Dram, 0x4080_0000, 0x4085_0000),
                (Iram, 0x4080_0000, 0x4085_0000),
            ],
        ),
        (
            ChipId::Esp32H2,
            &[
                (Drom, 0x4200_0000, 0x4300_0000),
                (Irom, 0x4200_0000, 0x4300_0000),
                (Dram, 0x4080_0000, 0x4085_0000),
                (Iram, 0x4080_0000, 0x4085_0000),
                (RtcIram, 0x5000_0000, 0x5000_1000),
                (RtcDram, 0x5000_0000, 0x5000_1000),
            ],
        ),
        (
            ChipId::Esp32H21,
            &[
                (Drom, 0x4200_0000, 0x4300_0000),
                (Irom, 0x4200_0000, 0x4300_0000),
                (Dram, 0x4080_0000, 0x4085_0000),
                (Iram, 0x4080_0000, 0x4085_0000),
                (RtcIram, 0x5000_0000, 0x5000_1000),
                (RtcDram, 0x5000_0000, 0x5000_1000),
            ],
        ),
        (
            ChipId::Esp32H4,
            &[
                (Drom, 0x4200_0000, 0x4400_0000),
                (Irom, 0x4200_0000, 0x4400_0000),
                (Dram, 0x4081_0000, 0x4086_0000),
                (Iram, 0x4081_0000, 0x4086_0000),
                (RtcIram, 0x5000_0000, 0x5000_4000),
                (RtcDram, 0x5000_0000, 0x5000_4000),
            ],
        ),
        (
            ChipId::Esp32P4,
            &[
                (Tcm, 0x3010_0000, 0x3010_2000),
                (Drom, 0x4000_0000, 0x4400_0000),
                (Irom, 0x4000_0000, 0x4400_0000),
                (Dram, 0x4FF0_0000, 0x4FFC_0000),
                (Iram, 0x4FF0_0000, 0x4FFC_0000),
                (RtcIram, 0x5010_8000, 0x5011_0000),
                (RtcDram, 0x5010_8000, 0x5011_0000),
            ],
        ),
        (
            ChipId::Esp32S31,
            &[
                (RtcIram, 0x2E00_0000, 0x2E00_8000),
                (RtcDram, 0x2E00_0000, 0x2E00_8000),
                (Dram, 0x2F00_0000, 0x2F08_0000),
                (Iram, 0x2F00_0000, 0x2F08_0000),
                (Drom, 0x4000_0000, 0x4400_0000),
                (Irom, 0x4000_0000, 0x4400_0000),
            ],
        ),
    ]
};
