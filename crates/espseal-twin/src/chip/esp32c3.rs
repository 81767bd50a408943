//! The ESP32-C3.
//!
//! Source: ESP-IDF `components/efuse/esp32c3/esp_efuse_table.csv`,
//! `components/soc/esp32c3/register/soc/efuse_reg.h`, ESP32-C3 technical reference manual (eFuse
//! controller), ESP-IDF `docs/en/security/security-features-enablement-workflows.rst`.

use espseal_format::chip::ChipId;
use espseal_format::units::FlashOffset;

use super::{ChipModel, MemoryMap};
use crate::efuse::{Block, Coding, EfuseMap, Efuses, Field, KeyPlan};

pub(super) static MODEL: ChipModel = ChipModel {
    chip: ChipId::Esp32C3,
    tool_name: "esp32c3",
    bootloader_offset: FlashOffset::new(0),
    encryption_row: 16,
    revision,
    memory: MemoryMap {
        mapped: &[0x3C00_0000..0x3C80_0000, 0x4200_0000..0x4280_0000],
        loadable: &[
            0x3FC8_0000..0x3FCE_0000,
            0x4037_C000..0x403E_0000,
            0x5000_0000..0x5000_2000,
        ],
    },
    efuses: EFUSES,
};

const EFUSES: EfuseMap = EfuseMap {
    blocks: &[
        Block {
            name: "BLOCK0",
            len: 24,
            register: 0x2C,
            wr_dis: None,
            rd_dis: None,
            coding: Coding::Plain,
        },
        coded("BLOCK1", 24, 0x44, 20, None),
        coded("BLOCK2", 32, 0x5C, 21, None),
        coded("BLOCK3", 32, 0x7C, 22, None),
        coded("BLOCK_KEY0", 32, 0x9C, 23, Some(0)),
        coded("BLOCK_KEY1", 32, 0xBC, 24, Some(1)),
        coded("BLOCK_KEY2", 32, 0xDC, 25, Some(2)),
        coded("BLOCK_KEY3", 32, 0xFC, 26, Some(3)),
        coded("BLOCK_KEY4", 32, 0x11C, 27, Some(4)),
        coded("BLOCK_KEY5", 32, 0x13C, 28, Some(5)),
        coded("BLOCK_SYS_DATA2", 32, 0x15C, 29, Some(6)),
    ],
    wr_dis: Field::new("WR_DIS", 0, 0, 32),
    rd_dis: Field::guarded("RD_DIS", 0, 32, 7, 0),
    crypt_cnt: Field::guarded("SPI_BOOT_CRYPT_CNT", 0, 82, 3, 4),
    crypt_config: None,
    secure_boot: Field::guarded("SECURE_BOOT_EN", 0, 116, 1, 15),
    revoke: &[
        Field::guarded("SECURE_BOOT_KEY_REVOKE0", 0, 85, 1, 5),
        Field::guarded("SECURE_BOOT_KEY_REVOKE1", 0, 86, 1, 6),
        Field::guarded("SECURE_BOOT_KEY_REVOKE2", 0, 87, 1, 7),
    ],
    secure_version: Field::guarded("SECURE_VERSION", 0, 142, 16, 18),
    others: &[
        Field::guarded("DIS_ICACHE", 0, 40, 1, 2),
        Field::guarded("DIS_USB_JTAG", 0, 41, 1, 2),
        Field::guarded("DIS_DOWNLOAD_ICACHE", 0, 42, 1, 2),
        Field::guarded("DIS_USB_SERIAL_JTAG", 0, 43, 1, 2),
        Field::guarded("DIS_FORCE_DOWNLOAD", 0, 44, 1, 2),
        Field::guarded("SOFT_DIS_JTAG", 0, 48, 3, 31),
        Field::guarded("DIS_PAD_JTAG", 0, 51, 1, 2),
        Field::guarded("DIS_DOWNLOAD_MANUAL_ENCRYPT", 0, 52, 1, 2),
        Field::guarded("SECURE_BOOT_AGGRESSIVE_REVOKE", 0, 117, 1, 16),
        Field::guarded("DIS_DOWNLOAD_MODE", 0, 128, 1, 18),
        Field::guarded("DIS_DIRECT_BOOT", 0, 129, 1, 18),
        Field::guarded("DIS_USB_SERIAL_JTAG_DOWNLOAD_MODE", 0, 132, 1, 18),
        Field::guarded("ENABLE_SECURITY_DOWNLOAD", 0, 133, 1, 18),
        Field::guarded("UART_PRINT_CONTROL", 0, 134, 2, 18),
        Field::guarded("WAFER_VERSION_MINOR_LO", 1, 114, 3, 20),
        Field::guarded("WAFER_VERSION_MINOR_HI", 1, 183, 1, 20),
        Field::guarded("WAFER_VERSION_MAJOR", 1, 184, 2, 20),
    ],
    keys: KeyPlan::Purposes {
        first: 4,
        purposes: &[
            Field::guarded("KEY_PURPOSE_0", 0, 88, 4, 8),
            Field::guarded("KEY_PURPOSE_1", 0, 92, 4, 9),
            Field::guarded("KEY_PURPOSE_2", 0, 96, 4, 10),
            Field::guarded("KEY_PURPOSE_3", 0, 100, 4, 11),
            Field::guarded("KEY_PURPOSE_4", 0, 104, 4, 12),
            Field::guarded("KEY_PURPOSE_5", 0, 108, 4, 13),
        ],
        flash: 4,
        hmac: 8,
        digests: &[9, 10, 11],
    },
    jtag: &["DIS_PAD_JTAG", "DIS_USB_JTAG"],
    download_off: "DIS_DOWNLOAD_MODE",
    download_secure: Some("ENABLE_SECURITY_DOWNLOAD"),
    shipped: &[("WAFER_VERSION_MINOR_LO", 4)],
    mac: [
        Field::guarded("MAC", 1, 40, 8, 20),
        Field::guarded("MAC", 1, 32, 8, 20),
        Field::guarded("MAC", 1, 24, 8, 20),
        Field::guarded("MAC", 1, 16, 8, 20),
        Field::guarded("MAC", 1, 8, 8, 20),
        Field::guarded("MAC", 1, 0, 8, 20),
    ],
    mac_crc: None,
    register_space: 0x200,
    controller_registers: &[(0x1CC, 0x5AA5), (0x1E8, 0x28), (0x1F0, 0x3000), (0x1F4, 0x190)],
    check_register: Some(0x20),
    emulator_size: 1024,
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
};

const fn coded(
    name: &'static str,
    len: usize,
    register: usize,
    wr_dis: u8,
    rd_dis: Option<u8>,
) -> Block {
    Block { name, len, register, wr_dis: Some(wr_dis), rd_dis, coding: Coding::ReedSolomon }
}

/// Revision as `major * 100 + minor`.
fn revision(efuses: &Efuses) -> u16 {
    let read = |name| efuses.read(name).ok().and_then(|value| u16::try_from(value).ok()).unwrap_or(0);
    let minor = read("WAFER_VERSION_MINOR_HI") * 8 + read("WAFER_VERSION_MINOR_LO");
    read("WAFER_VERSION_MAJOR") * 100 + minor
}
