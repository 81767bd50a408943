//! ESP32.
//!
//! Secure boot v2 came with revision 3.0, for one key. eFuse blocks 1 to 3 are coded by `CODING_SCHEME`; the key
//! blocks have fixed purposes. `MAC` shares its write protection with `DIS_CACHE`, which would brick the chip.
//!
//! Source: ESP-IDF `soc/esp32` (`soc.h`, `soc_caps.h`, `efuse_reg.h`, `Kconfig.mmu`), `efuse/esp32`
//! (`esp_efuse_table.csv`, `esp_efuse_chip.h`), `esp_rom/esp32` (`Kconfig.soc_caps.in`, `ecdsa.h`),
//! `bootloader_support/src/esp32`, `docs/en/security/security-features-enablement-workflows.rst`.

use super::{
    Chip, ChipId, FirstBoot, FlashEncryptionKey, HmacPeripheral, Locks, Mapping, Release,
    SecureBoot, SecureBootScheme,
};
use crate::efuse::layout::{field, find, settings, unguarded};
use crate::efuse::{Block, Coding, EfuseMap, Field, KeyBlock, KeyPurpose, KeyRole, Registers};
use crate::units::FlashOffset;

pub(super) static CHIP: Chip = Chip {
    id: ChipId::Esp32,
    bootloader_offset: FlashOffset::new(0x1000),
    usual_revision: 300,
    revisions: 0..u16::MAX,
    mapping: &MAPPING,
    ram: &[
        0x3FF8_0000..0x3FF8_2000,
        0x3FFA_E000..0x4000_0000,
        0x4007_8000..0x400A_A000,
        0x400C_0000..0x400C_2000,
        0x5000_0000..0x5000_2000,
    ],
    flash_encryption: &[FlashEncryptionKey::ESP32, FlashEncryptionKey::ESP32_192],
    encryption_row: 32,
    secure_boot: &[
        SecureBoot::always(SecureBootScheme::V1),
        SecureBoot::since(SecureBootScheme::V2Rsa, 300),
    ],
    curves: &[],
    digest_slots: 1,
    signature_blocks: 1,
    secure_version_bits: 32,
    hmac: HmacPeripheral::Absent,
    efuse: &EFUSE,
    locks: Locks {
        jtag: &["JTAG_DISABLE"],
        jtag_soft: None,
        download_off: "UART_DOWNLOAD_DIS",
        download_secure: None,
        release: Release {
            flash_encryption: &[
                ("FLASH_CRYPT_CNT", 0x7F),
                ("FLASH_CRYPT_CONFIG", 0xF),
                ("DISABLE_DL_ENCRYPT", 1),
                ("DISABLE_DL_DECRYPT", 1),
                ("DISABLE_DL_CACHE", 1),
                ("JTAG_DISABLE", 1),
            ],
            secure_boot: &[("JTAG_DISABLE", 1), ("CONSOLE_DEBUG_DISABLE", 1)],
            write_protect: &["DIS_CACHE", "RD_DIS"],
            last: ("UART_DOWNLOAD_DIS", 1),
        },
        first_boot: FirstBoot {
            flash_encryption: &[
                ("FLASH_CRYPT_CONFIG", 0xF),
                ("DISABLE_DL_DECRYPT", 1),
                ("DISABLE_DL_CACHE", 1),
                ("JTAG_DISABLE", 1),
                ("CONSOLE_DEBUG_DISABLE", 1),
            ],
            flash_encryption_release: &[("DISABLE_DL_ENCRYPT", 1)],
            release_write_protect: &["DIS_CACHE"],
            secure_boot: &[("JTAG_DISABLE", 1), ("CONSOLE_DEBUG_DISABLE", 1)],
        },
    },
};

pub(super) static MAPPING: Mapping = Mapping {
    chip: ChipId::Esp32,
    page_size: 0x1_0000,
    other_page_sizes: &[],
    ranges: [0x400D_0000..0x4040_0000, 0x3F40_0000..0x3F80_0000],
};

static EFUSE: EfuseMap = EfuseMap {
    blocks: &BLOCKS,
    fields: FIELDS,
    calibration: CALIBRATION,
    wr_dis: find(FIELDS, "WR_DIS"),
    rd_dis: find(FIELDS, "RD_DIS"),
    flash_crypt_cnt: find(FIELDS, "FLASH_CRYPT_CNT"),
    secure_version: find(FIELDS, "SECURE_VERSION"),
    mac: find(FIELDS, "MAC"),
    keys: &[
        KeyBlock {
            key: find(FIELDS, "BLOCK1"),
            role: KeyRole::FlashEncryption,
            refuses: &[],
        },
        KeyBlock {
            key: find(FIELDS, "BLOCK2"),
            role: KeyRole::SecureBoot,
            refuses: &[],
        },
        KeyBlock {
            key: find(FIELDS, "BLOCK3"),
            role: KeyRole::User,
            refuses: &[],
        },
    ],
    purposes: &[
        (0, KeyPurpose::User),
        (1, KeyPurpose::FlashEncryption),
        (2, KeyPurpose::SecureBootV1),
        (3, KeyPurpose::SecureBootV2),
    ],
    secure_boot_enable: &[
        (SecureBootScheme::V1, find(FIELDS, "ABS_DONE_0")),
        (SecureBootScheme::V2Rsa, find(FIELDS, "ABS_DONE_1")),
    ],
    key_revoke: &[],
    aggressive_revoke: None,
    secure_boot_sha384: None,
    wafer_version_major: &[find(FIELDS, "CHIP_VER_REV1"), find(FIELDS, "CHIP_VER_REV2")],
    wafer_version_minor: &[find(FIELDS, "WAFER_VERSION_MINOR")],
    registers: Registers {
        blocks: &[0, 0x38, 0x58, 0x78],
        space: 0x120,
        controller: &[(0xF8, 0xA0), (0xFC, 0x5AA5), (0x118, 0x50)],
        check: None,
        emulator_size: 124,
    },
};

static BLOCKS: [Block; 4] = [
    settings(7),
    by_scheme("BLOCK1", 7, &[0]),
    by_scheme("BLOCK2", 8, &[1]),
    by_scheme("BLOCK3", 9, &[2]),
];

const fn by_scheme(name: &'static str, write_protect: u8, read_protect: &'static [u8]) -> Block {
    Block {
        name,
        words: 8,
        coding: Coding::ByScheme,
        write_protect: Some(write_protect),
        read_protect,
    }
}

const FIELDS: &[Field] = &[
    field("WR_DIS", 0, 0, 16, 1),
    field("RD_DIS", 0, 16, 4, 0),
    field("FLASH_CRYPT_CNT", 0, 20, 7, 2),
    field("UART_DOWNLOAD_DIS", 0, 27, 1, 2),
    field("MAC", 0, 32, 48, 3),
    field("MAC_CRC", 0, 80, 8, 3),
    field("DISABLE_APP_CPU", 0, 96, 1, 3),
    field("DISABLE_BT", 0, 97, 1, 3),
    unguarded("CHIP_PACKAGE_4BIT", 0, 98, 1),
    field("DIS_CACHE", 0, 99, 1, 3),
    unguarded("SPI_PAD_CONFIG_HD", 0, 100, 5),
    unguarded("CHIP_PACKAGE", 0, 105, 3),
    unguarded("CHIP_CPU_FREQ_LOW", 0, 108, 1),
    unguarded("CHIP_CPU_FREQ_RATED", 0, 109, 1),
    field("BLK3_PART_RESERVE", 0, 110, 1, 10).read_protected_by(3),
    unguarded("CHIP_VER_REV1", 0, 111, 1),
    field("CLK8M_FREQ", 0, 128, 8, 4),
    field("ADC_VREF", 0, 136, 5, 4),
    field("XPD_SDIO_REG", 0, 142, 1, 5),
    field("XPD_SDIO_TIEH", 0, 143, 1, 5),
    field("XPD_SDIO_FORCE", 0, 144, 1, 5),
    field("SPI_PAD_CONFIG_CLK", 0, 160, 5, 6),
    field("SPI_PAD_CONFIG_Q", 0, 165, 5, 6),
    field("SPI_PAD_CONFIG_D", 0, 170, 5, 6),
    field("SPI_PAD_CONFIG_CS0", 0, 175, 5, 6),
    unguarded("CHIP_VER_REV2", 0, 180, 1),
    field("VOL_LEVEL_HP_INV", 0, 182, 2, 3),
    unguarded("WAFER_VERSION_MINOR", 0, 184, 2),
    field("FLASH_CRYPT_CONFIG", 0, 188, 4, 10).read_protected_by(3),
    field("CODING_SCHEME", 0, 192, 2, 10).read_protected_by(3),
    field("CONSOLE_DEBUG_DISABLE", 0, 194, 1, 15),
    unguarded("DISABLE_SDIO_HOST", 0, 195, 1),
    field("ABS_DONE_0", 0, 196, 1, 12),
    field("ABS_DONE_1", 0, 197, 1, 13),
    field("JTAG_DISABLE", 0, 198, 1, 14),
    field("DISABLE_DL_ENCRYPT", 0, 199, 1, 15),
    field("DISABLE_DL_DECRYPT", 0, 200, 1, 15),
    field("DISABLE_DL_CACHE", 0, 201, 1, 15),
    field("KEY_STATUS", 0, 202, 1, 10).read_protected_by(3),
    field("BLOCK1", 1, 0, 256, 7).read_protected_by(0),
    field("BLOCK2", 2, 0, 256, 8).read_protected_by(1),
    field("BLOCK3", 3, 0, 256, 9).read_protected_by(2),
    field("CUSTOM_MAC_CRC", 3, 0, 8, 9).read_protected_by(2),
    field("CUSTOM_MAC", 3, 8, 48, 9).read_protected_by(2),
    field("SECURE_VERSION", 3, 128, 32, 9).read_protected_by(2),
    field("MAC_VERSION", 3, 184, 8, 9).read_protected_by(2),
];

const CALIBRATION: &[Field] = &[
    field("ADC1_TP_LOW", 3, 96, 7, 9).read_protected_by(2),
    field("ADC1_TP_HIGH", 3, 103, 9, 9).read_protected_by(2),
    field("ADC2_TP_LOW", 3, 112, 7, 9).read_protected_by(2),
    field("ADC2_TP_HIGH", 3, 119, 9, 9).read_protected_by(2),
];
