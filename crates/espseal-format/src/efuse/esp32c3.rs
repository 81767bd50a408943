//! ESP32-C3: block 0 for settings, 1 to 3 for system and user data, 4 to 9 for six keys.
//!
//! Source: ESP-IDF `components/efuse/esp32c3/esp_efuse_table.csv`.

use super::{Block, Coding, EfuseMap, Field, KeyBlock, KeyRole, field};
use crate::chip::SecureBootScheme;

/// The eFuses of the ESP32-C3.
pub static MAP: EfuseMap = EfuseMap {
    blocks: &[
        Block {
            name: "BLOCK0",
            words: 6,
            coding: Coding::Plain,
        },
        coded("MAC_SPI_8M_0", 6),
        coded("BLOCK_SYS_DATA", 8),
        coded("BLOCK_USR_DATA", 8),
        coded("BLOCK_KEY0", 8),
        coded("BLOCK_KEY1", 8),
        coded("BLOCK_KEY2", 8),
        coded("BLOCK_KEY3", 8),
        coded("BLOCK_KEY4", 8),
        coded("BLOCK_KEY5", 8),
        coded("BLOCK_SYS_DATA2", 8),
    ],
    fields: FIELDS,
    wr_dis: WR_DIS,
    rd_dis: RD_DIS,
    flash_crypt_cnt: SPI_BOOT_CRYPT_CNT,
    secure_version: SECURE_VERSION,
    mac: MAC,
    keys: &[
        key(BLOCK_KEY0, KEY_PURPOSE_0),
        key(BLOCK_KEY1, KEY_PURPOSE_1),
        key(BLOCK_KEY2, KEY_PURPOSE_2),
        key(BLOCK_KEY3, KEY_PURPOSE_3),
        key(BLOCK_KEY4, KEY_PURPOSE_4),
        key(BLOCK_KEY5, KEY_PURPOSE_5),
    ],
    secure_boot_enable: &[(SecureBootScheme::V2Rsa, SECURE_BOOT_EN)],
    key_revoke: &[
        SECURE_BOOT_KEY_REVOKE0,
        SECURE_BOOT_KEY_REVOKE1,
        SECURE_BOOT_KEY_REVOKE2,
    ],
    wafer_version_major: &[WAFER_VERSION_MAJOR],
    wafer_version_minor: &[WAFER_VERSION_MINOR_LO, WAFER_VERSION_MINOR_HI],
};

const WR_DIS: Field = field("WR_DIS", 0, 0, 32, 0).never_write_protected();
const RD_DIS: Field = field("RD_DIS", 0, 32, 7, 0);
const SPI_BOOT_CRYPT_CNT: Field = field("SPI_BOOT_CRYPT_CNT", 0, 82, 3, 4);
const SECURE_BOOT_KEY_REVOKE0: Field = field("SECURE_BOOT_KEY_REVOKE0", 0, 85, 1, 5);
const SECURE_BOOT_KEY_REVOKE1: Field = field("SECURE_BOOT_KEY_REVOKE1", 0, 86, 1, 6);
const SECURE_BOOT_KEY_REVOKE2: Field = field("SECURE_BOOT_KEY_REVOKE2", 0, 87, 1, 7);
const KEY_PURPOSE_0: Field = field("KEY_PURPOSE_0", 0, 88, 4, 8);
const KEY_PURPOSE_1: Field = field("KEY_PURPOSE_1", 0, 92, 4, 9);
const KEY_PURPOSE_2: Field = field("KEY_PURPOSE_2", 0, 96, 4, 10);
const KEY_PURPOSE_3: Field = field("KEY_PURPOSE_3", 0, 100, 4, 11);
const KEY_PURPOSE_4: Field = field("KEY_PURPOSE_4", 0, 104, 4, 12);
const KEY_PURPOSE_5: Field = field("KEY_PURPOSE_5", 0, 108, 4, 13);
const SECURE_BOOT_EN: Field = field("SECURE_BOOT_EN", 0, 116, 1, 15);
const SECURE_VERSION: Field = field("SECURE_VERSION", 0, 142, 16, 18);
const MAC: Field = field("MAC", 1, 0, 48, 20);
const WAFER_VERSION_MINOR_LO: Field = field("WAFER_VERSION_MINOR_LO", 1, 114, 3, 20);
const WAFER_VERSION_MINOR_HI: Field = field("WAFER_VERSION_MINOR_HI", 1, 183, 1, 20);
const WAFER_VERSION_MAJOR: Field = field("WAFER_VERSION_MAJOR", 1, 184, 2, 20);
const BLOCK_KEY0: Field = field("BLOCK_KEY0", 4, 0, 256, 23).read_protected_by(0);
const BLOCK_KEY1: Field = field("BLOCK_KEY1", 5, 0, 256, 24).read_protected_by(1);
const BLOCK_KEY2: Field = field("BLOCK_KEY2", 6, 0, 256, 25).read_protected_by(2);
const BLOCK_KEY3: Field = field("BLOCK_KEY3", 7, 0, 256, 26).read_protected_by(3);
const BLOCK_KEY4: Field = field("BLOCK_KEY4", 8, 0, 256, 27).read_protected_by(4);
const BLOCK_KEY5: Field = field("BLOCK_KEY5", 9, 0, 256, 28).read_protected_by(5);

const FIELDS: &[Field] = &[
    WR_DIS,
    RD_DIS,
    field("DIS_ICACHE", 0, 40, 1, 2),
    field("DIS_USB_JTAG", 0, 41, 1, 2),
    field("DIS_DOWNLOAD_ICACHE", 0, 42, 1, 2),
    field("DIS_USB_SERIAL_JTAG", 0, 43, 1, 2),
    field("DIS_FORCE_DOWNLOAD", 0, 44, 1, 2),
    field("JTAG_SEL_ENABLE", 0, 47, 1, 2),
    field("SOFT_DIS_JTAG", 0, 48, 3, 31),
    field("DIS_PAD_JTAG", 0, 51, 1, 2),
    field("DIS_DOWNLOAD_MANUAL_ENCRYPT", 0, 52, 1, 2),
    SPI_BOOT_CRYPT_CNT,
    SECURE_BOOT_KEY_REVOKE0,
    SECURE_BOOT_KEY_REVOKE1,
    SECURE_BOOT_KEY_REVOKE2,
    KEY_PURPOSE_0,
    KEY_PURPOSE_1,
    KEY_PURPOSE_2,
    KEY_PURPOSE_3,
    KEY_PURPOSE_4,
    KEY_PURPOSE_5,
    SECURE_BOOT_EN,
    field("SECURE_BOOT_AGGRESSIVE_REVOKE", 0, 117, 1, 16),
    field("DIS_DOWNLOAD_MODE", 0, 128, 1, 18),
    field("DIS_DIRECT_BOOT", 0, 129, 1, 18),
    field("DIS_USB_SERIAL_JTAG_ROM_PRINT", 0, 130, 1, 18),
    field("DIS_USB_SERIAL_JTAG_DOWNLOAD_MODE", 0, 132, 1, 18),
    field("ENABLE_SECURITY_DOWNLOAD", 0, 133, 1, 18),
    field("UART_PRINT_CONTROL", 0, 134, 2, 18),
    SECURE_VERSION,
    field("ERR_RST_ENABLE", 0, 159, 1, 19),
    field("DISABLE_WAFER_VERSION_MAJOR", 0, 160, 1, 19),
    field("DISABLE_BLK_VERSION_MAJOR", 0, 161, 1, 19),
    MAC,
    WAFER_VERSION_MINOR_LO,
    field("PKG_VERSION", 1, 117, 3, 20),
    field("BLK_VERSION_MINOR", 1, 120, 3, 20),
    WAFER_VERSION_MINOR_HI,
    WAFER_VERSION_MAJOR,
    field("OPTIONAL_UNIQUE_ID", 2, 0, 128, 21),
    field("BLK_VERSION_MAJOR", 2, 128, 2, 21),
    field("BLOCK_USR_DATA", 3, 0, 256, 22),
    field("CUSTOM_MAC", 3, 200, 48, 22),
    BLOCK_KEY0,
    BLOCK_KEY1,
    BLOCK_KEY2,
    BLOCK_KEY3,
    BLOCK_KEY4,
    BLOCK_KEY5,
    field("BLOCK_SYS_DATA2", 10, 0, 256, 29).read_protected_by(6),
];

const fn coded(name: &'static str, words: u8) -> Block {
    Block {
        name,
        words,
        coding: Coding::ReedSolomon,
    }
}

const fn key(key: Field, purpose: Field) -> KeyBlock {
    KeyBlock {
        key,
        role: KeyRole::Purpose(purpose),
    }
}
