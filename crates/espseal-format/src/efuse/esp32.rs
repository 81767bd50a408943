//! ESP32: block 0 for settings, blocks 1 to 3 for keys and user data.
//!
//! Source: ESP-IDF `components/efuse/esp32/esp_efuse_table.csv`.

use super::{Block, Coding, EfuseMap, Field, KeyBlock, KeyRole, field};
use crate::chip::SecureBootScheme;

/// The eFuses of the ESP32.
pub static MAP: EfuseMap = EfuseMap {
    blocks: &[
        block("BLOCK0", 7, Coding::Plain),
        block("BLOCK1", 8, Coding::ByScheme),
        block("BLOCK2", 8, Coding::ByScheme),
        block("BLOCK3", 8, Coding::ByScheme),
    ],
    fields: FIELDS,
    wr_dis: WR_DIS,
    rd_dis: RD_DIS,
    flash_crypt_cnt: FLASH_CRYPT_CNT,
    secure_version: SECURE_VERSION,
    mac: MAC,
    keys: &[
        KeyBlock {
            key: BLOCK1,
            role: KeyRole::FlashEncryption,
        },
        KeyBlock {
            key: BLOCK2,
            role: KeyRole::SecureBoot,
        },
        KeyBlock {
            key: BLOCK3,
            role: KeyRole::User,
        },
    ],
    secure_boot_enable: &[
        (SecureBootScheme::V1, ABS_DONE_0),
        (SecureBootScheme::V2Rsa, ABS_DONE_1),
    ],
    key_revoke: &[],
    wafer_version_major: &[CHIP_VER_REV1, CHIP_VER_REV2],
    wafer_version_minor: &[WAFER_VERSION_MINOR],
};

const WR_DIS: Field = field("WR_DIS", 0, 0, 16, 1);
const RD_DIS: Field = field("RD_DIS", 0, 16, 4, 0);
const FLASH_CRYPT_CNT: Field = field("FLASH_CRYPT_CNT", 0, 20, 7, 2);
const MAC: Field = field("MAC", 0, 32, 48, 3);
const CHIP_VER_REV1: Field = field("CHIP_VER_REV1", 0, 111, 1, 0).never_write_protected();
const CHIP_VER_REV2: Field = field("CHIP_VER_REV2", 0, 180, 1, 0).never_write_protected();
const WAFER_VERSION_MINOR: Field =
    field("WAFER_VERSION_MINOR", 0, 184, 2, 0).never_write_protected();
const ABS_DONE_0: Field = field("ABS_DONE_0", 0, 196, 1, 12);
const ABS_DONE_1: Field = field("ABS_DONE_1", 0, 197, 1, 13);
const BLOCK1: Field = field("BLOCK1", 1, 0, 256, 7).read_protected_by(0);
const BLOCK2: Field = field("BLOCK2", 2, 0, 256, 8).read_protected_by(1);
const BLOCK3: Field = field("BLOCK3", 3, 0, 256, 9).read_protected_by(2);
const SECURE_VERSION: Field = field("SECURE_VERSION", 3, 128, 32, 9).read_protected_by(2);

const FIELDS: &[Field] = &[
    WR_DIS,
    RD_DIS,
    FLASH_CRYPT_CNT,
    field("UART_DOWNLOAD_DIS", 0, 27, 1, 2),
    MAC,
    field("MAC_CRC", 0, 80, 8, 3),
    field("BLK3_PART_RESERVE", 0, 110, 1, 10).read_protected_by(3),
    CHIP_VER_REV1,
    CHIP_VER_REV2,
    WAFER_VERSION_MINOR,
    field("FLASH_CRYPT_CONFIG", 0, 188, 4, 10).read_protected_by(3),
    field("CODING_SCHEME", 0, 192, 2, 10).read_protected_by(3),
    field("CONSOLE_DEBUG_DISABLE", 0, 194, 1, 15),
    ABS_DONE_0,
    ABS_DONE_1,
    field("JTAG_DISABLE", 0, 198, 1, 14),
    field("DISABLE_DL_ENCRYPT", 0, 199, 1, 15),
    field("DISABLE_DL_DECRYPT", 0, 200, 1, 15),
    field("DISABLE_DL_CACHE", 0, 201, 1, 15),
    field("KEY_STATUS", 0, 202, 1, 10).read_protected_by(3),
    BLOCK1,
    BLOCK2,
    BLOCK3,
    field("CUSTOM_MAC_CRC", 3, 0, 8, 9).read_protected_by(2),
    field("CUSTOM_MAC", 3, 8, 48, 9).read_protected_by(2),
    SECURE_VERSION,
    field("MAC_VERSION", 3, 184, 8, 9).read_protected_by(2),
];

const fn block(name: &'static str, words: u8, coding: Coding) -> Block {
    Block {
        name,
        words,
        coding,
    }
}
