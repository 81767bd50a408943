//! The ESP32, revision 3, eFuse coding scheme none.
//!
//! Source: ESP-IDF `components/efuse/esp32`, `components/soc/esp32`, ESP32 technical reference manual
//! (eFuse controller), ESP-IDF `docs/en/security/security-features-enablement-workflows.rst`.

use espseal_format::chip::ChipId;

use super::{ChipModel, Locks, Registers};
use crate::efuse::Efuses;

pub(super) static MODEL: ChipModel = ChipModel {
    id: ChipId::Esp32,
    encryption_row: 32,
    revision,
    loadable: &[
        0x3FF8_0000..0x3FF8_2000,
        0x3FFA_E000..0x4000_0000,
        0x4007_8000..0x400A_A000,
        0x400C_0000..0x400C_2000,
        0x5000_0000..0x5000_2000,
    ],
    registers: Registers {
        blocks: &[0x00, 0x38, 0x58, 0x78],
        space: 0x120,
        controller: &[(0xF8, 0xA0), (0xFC, 0x5AA5), (0x118, 0x50)],
        check: None,
        emulator_size: 124,
    },
    locks: Locks {
        jtag: &["JTAG_DISABLE"],
        download_off: "UART_DOWNLOAD_DIS",
        download_secure: None,
        shipped: &[("CHIP_VER_REV1", 1), ("CHIP_VER_REV2", 1)],
        release: &[
            ("FLASH_CRYPT_CONFIG", 0xF),
            ("FLASH_CRYPT_CNT", 0x7F),
            ("DISABLE_DL_ENCRYPT", 1),
            ("DISABLE_DL_DECRYPT", 1),
            ("DISABLE_DL_CACHE", 1),
            ("CONSOLE_DEBUG_DISABLE", 1),
            ("JTAG_DISABLE", 1),
        ],
        // MAC shares its guard with DIS_CACHE, which would brick the chip.
        release_guards: &["RD_DIS", "MAC"],
        release_last: ("UART_DOWNLOAD_DIS", 1),
    },
};

/// The third bit of the major number is wired, not burnt: it is set on the silicon that the twin
/// models.
fn revision(efuses: &Efuses) -> u16 {
    let bit = |name| efuses.read(name) == Ok(1);
    let major = match (bit("CHIP_VER_REV1"), bit("CHIP_VER_REV2")) {
        (true, true) => 300,
        _ => 0,
    };
    let minor = efuses.read("WAFER_VERSION_MINOR").unwrap_or(0);
    u16::try_from(minor).unwrap_or(0).saturating_add(major)
}
