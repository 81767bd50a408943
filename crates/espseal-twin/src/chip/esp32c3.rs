//! The ESP32-C3, revision 0.4.
//!
//! Source: ESP-IDF `components/efuse/esp32c3`, `components/soc/esp32c3` (`efuse_reg.h`), ESP32-C3
//! technical reference manual (eFuse controller), ESP-IDF
//! `docs/en/security/security-features-enablement-workflows.rst`.

use espseal_format::chip::ChipId;

use super::{ChipModel, Locks, Registers};
use crate::efuse::Efuses;

pub(super) static MODEL: ChipModel = ChipModel {
    id: ChipId::Esp32C3,
    encryption_row: 16,
    revision,
    loadable: &[
        0x3FC8_0000..0x3FCE_0000,
        0x4037_C000..0x403E_0000,
        0x5000_0000..0x5000_2000,
    ],
    registers: Registers {
        blocks: &[
            0x2C, 0x44, 0x5C, 0x7C, 0x9C, 0xBC, 0xDC, 0xFC, 0x11C, 0x13C, 0x15C,
        ],
        space: 0x200,
        controller: &[
            (0x1CC, 0x5AA5),
            (0x1E8, 0x28),
            (0x1F0, 0x3000),
            (0x1F4, 0x190),
        ],
        check: Some(0x20),
        emulator_size: 1024,
    },
    locks: Locks {
        jtag: &["DIS_PAD_JTAG", "DIS_USB_JTAG"],
        download_off: "DIS_DOWNLOAD_MODE",
        download_secure: Some("ENABLE_SECURITY_DOWNLOAD"),
        shipped: &[("WAFER_VERSION_MINOR_LO", 4)],
        release: &[
            ("SPI_BOOT_CRYPT_CNT", 0x7),
            ("DIS_DOWNLOAD_MANUAL_ENCRYPT", 1),
            ("DIS_DOWNLOAD_ICACHE", 1),
            ("DIS_DIRECT_BOOT", 1),
            ("DIS_PAD_JTAG", 1),
            ("DIS_USB_JTAG", 1),
            ("SOFT_DIS_JTAG", 0x7),
        ],
        release_guards: &["RD_DIS", "DIS_ICACHE"],
        release_last: ("ENABLE_SECURITY_DOWNLOAD", 1),
    },
};

fn revision(efuses: &Efuses) -> u16 {
    let read = |name| u16::try_from(efuses.read(name).unwrap_or(0)).unwrap_or(0);
    let minor = read("WAFER_VERSION_MINOR_HI") * 8 + read("WAFER_VERSION_MINOR_LO");
    read("WAFER_VERSION_MAJOR") * 100 + minor
}
