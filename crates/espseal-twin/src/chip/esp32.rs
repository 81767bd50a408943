//! The ESP32, revision 3, eFuse coding scheme none.
//!
//! Source: ESP-IDF `components/efuse/esp32/esp_efuse_table.csv`, ESP32 technical reference manual
//! (eFuse controller), ESP-IDF `docs/en/security/security-features-enablement-workflows.rst`.

use espseal_format::chip::ChipId;
use espseal_format::units::FlashOffset;

use super::{ChipModel, MemoryMap};
use crate::efuse::{Block, Coding, EfuseMap, Efuses, Field, KeyPlan};

pub(super) static MODEL: ChipModel = ChipModel {
    chip: ChipId::Esp32,
    tool_name: "esp32",
    bootloader_offset: FlashOffset::new(0x1000),
    encryption_row: 32,
    revision,
    memory: MemoryMap {
        mapped: &[0x3F40_0000..0x3F80_0000, 0x400D_0000..0x4040_0000],
        loadable: &[
            0x3FF8_0000..0x3FF8_2000,
            0x3FFA_E000..0x4000_0000,
            0x4007_8000..0x400A_A000,
            0x400C_0000..0x400C_2000,
            0x5000_0000..0x5000_2000,
        ],
    },
    efuses: EFUSES,
};

const EFUSES: EfuseMap = EfuseMap {
    blocks: &[
        block("BLOCK0", 28, 0x00, None, None),
        block("BLOCK1", 32, 0x38, Some(7), Some(0)),
        block("BLOCK2", 32, 0x58, Some(8), Some(1)),
        block("BLOCK3", 32, 0x78, Some(9), Some(2)),
    ],
    wr_dis: Field::guarded("WR_DIS", 0, 0, 16, 1),
    rd_dis: Field::guarded("RD_DIS", 0, 16, 4, 0),
    crypt_cnt: Field::guarded("FLASH_CRYPT_CNT", 0, 20, 7, 2),
    crypt_config: Some(Field::guarded("FLASH_CRYPT_CONFIG", 0, 188, 4, 10)),
    secure_boot: Field::guarded("ABS_DONE_1", 0, 197, 1, 13),
    revoke: &[],
    secure_version: Field::guarded("SECURE_VERSION", 3, 128, 32, 9),
    others: &[
        Field::guarded("UART_DOWNLOAD_DIS", 0, 27, 1, 2),
        Field::guarded("DIS_CACHE", 0, 99, 1, 3),
        Field::new("CHIP_PACKAGE", 0, 105, 3),
        Field::new("CHIP_VER_REV1", 0, 111, 1),
        Field::guarded("ADC_VREF", 0, 136, 5, 4),
        Field::new("CHIP_VER_REV2", 0, 180, 1),
        Field::new("WAFER_VERSION_MINOR", 0, 184, 2),
        Field::guarded("CODING_SCHEME", 0, 192, 2, 10),
        Field::guarded("CONSOLE_DEBUG_DISABLE", 0, 194, 1, 15),
        Field::guarded("ABS_DONE_0", 0, 196, 1, 12),
        Field::guarded("JTAG_DISABLE", 0, 198, 1, 14),
        Field::guarded("DISABLE_DL_ENCRYPT", 0, 199, 1, 15),
        Field::guarded("DISABLE_DL_DECRYPT", 0, 200, 1, 15),
        Field::guarded("DISABLE_DL_CACHE", 0, 201, 1, 15),
    ],
    keys: KeyPlan::Fixed { flash: 1, digest: 2 },
    jtag: &["JTAG_DISABLE"],
    download_off: "UART_DOWNLOAD_DIS",
    download_secure: None,
    shipped: &[("CHIP_VER_REV1", 1), ("CHIP_VER_REV2", 1)],
    mac: [
        Field::guarded("MAC", 0, 72, 8, 3),
        Field::guarded("MAC", 0, 64, 8, 3),
        Field::guarded("MAC", 0, 56, 8, 3),
        Field::guarded("MAC", 0, 48, 8, 3),
        Field::guarded("MAC", 0, 40, 8, 3),
        Field::guarded("MAC", 0, 32, 8, 3),
    ],
    mac_crc: Some(Field::guarded("MAC_CRC", 0, 80, 8, 3)),
    register_space: 0x120,
    controller_registers: &[(0xF8, 0xA0), (0xFC, 0x5AA5), (0x118, 0x50)],
    check_register: None,
    emulator_size: 124,
    release: &[
        ("FLASH_CRYPT_CONFIG", 0xF),
        ("FLASH_CRYPT_CNT", 0x7F),
        ("DISABLE_DL_ENCRYPT", 1),
        ("DISABLE_DL_DECRYPT", 1),
        ("DISABLE_DL_CACHE", 1),
        ("CONSOLE_DEBUG_DISABLE", 1),
        ("JTAG_DISABLE", 1),
    ],
    release_guards: &["RD_DIS", "DIS_CACHE"],
    release_last: ("UART_DOWNLOAD_DIS", 1),
};

const fn block(
    name: &'static str,
    len: usize,
    register: usize,
    wr_dis: Option<u8>,
    rd_dis: Option<u8>,
) -> Block {
    Block { name, len, register, wr_dis, rd_dis, coding: Coding::Plain }
}

/// Revision as `major * 100 + minor`. The third bit of the major number is wired, not burnt: it is set
/// on the silicon that the twin models.
fn revision(efuses: &Efuses) -> u16 {
    let bit = |name| efuses.read(name) == Ok(1);
    let major = match (bit("CHIP_VER_REV1"), bit("CHIP_VER_REV2")) {
        (true, true) => 300,
        _ => 0,
    };
    let minor = efuses.read("WAFER_VERSION_MINOR").unwrap_or(0);
    u16::try_from(minor).unwrap_or(0).saturating_add(major)
}
