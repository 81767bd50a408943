//! ESP32-C2.
//!
//! One key block: flash encryption takes it whole, or the low half, so that the high half holds the first half of
//! the secure-boot digest. Write-protecting `SPI_BOOT_CRYPT_CNT` also locks `SECURE_BOOT_EN`.
//!
//! Source: ESP-IDF `soc/esp32c2` (`soc.h`, `soc_caps.h`, `efuse_reg.h`, `Kconfig.mmu`), `efuse/esp32c2`
//! (`esp_efuse_table.csv`, `esp_efuse_chip.h`), `esp_rom/esp32c2` (`Kconfig.soc_caps.in`, `ecdsa.h`),
//! `bootloader_support/src/esp32c2`, `docs/en/security/security-features-enablement-workflows.rst`.

use super::{
    Chip, ChipId, EcdsaCurve, FirstBoot, FlashEncryptionKey, HmacPeripheral, Locks, Mapping,
    Release, SecureBoot, SecureBootScheme, SupportedCurve,
};
use crate::efuse::layout::{coded, field, find, settings, unguarded};
use crate::efuse::{Block, EfuseMap, Field, KeyBlock, KeyPurpose, KeyRole, Registers};
use crate::units::FlashOffset;

pub(super) static CHIP: Chip = Chip {
    id: ChipId::Esp32C2,
    bootloader_offset: FlashOffset::new(0),
    usual_revision: 102,
    revisions: 0..u16::MAX,
    mapping: &MAPPING,
    ram: &[0x3FCA_0000..0x3FCE_0000, 0x4037_C000..0x403C_0000],
    flash_encryption: &[
        FlashEncryptionKey::XTS_128_DERIVED,
        FlashEncryptionKey::XTS_128,
    ],
    encryption_row: 16,
    secure_boot: &[SecureBoot::always(SecureBootScheme::V2Ecdsa)],
    curves: &[
        SupportedCurve::always(EcdsaCurve::P192),
        SupportedCurve::always(EcdsaCurve::P256),
    ],
    digest_slots: 1,
    signature_blocks: 1,
    secure_version_bits: 4,
    hmac: HmacPeripheral::Absent,
    efuse: &EFUSE,
    locks: Locks {
        jtag: &["DIS_PAD_JTAG"],
        jtag_soft: None,
        download_off: "DIS_DOWNLOAD_MODE",
        download_secure: Some("ENABLE_SECURITY_DOWNLOAD"),
        release: Release {
            flash_encryption: &[
                ("SPI_BOOT_CRYPT_CNT", 7),
                ("DIS_DOWNLOAD_MANUAL_ENCRYPT", 1),
                ("DIS_DOWNLOAD_ICACHE", 1),
                ("DIS_DIRECT_BOOT", 1),
                ("DIS_PAD_JTAG", 1),
            ],
            secure_boot: &[("DIS_DIRECT_BOOT", 1), ("DIS_PAD_JTAG", 1)],
            write_protect: &["RD_DIS"],
            last: ("ENABLE_SECURITY_DOWNLOAD", 1),
        },
        first_boot: FirstBoot {
            flash_encryption: &[
                ("DIS_DOWNLOAD_ICACHE", 1),
                ("DIS_PAD_JTAG", 1),
                ("DIS_DIRECT_BOOT", 1),
            ],
            flash_encryption_release: &[("DIS_DOWNLOAD_MANUAL_ENCRYPT", 1)],
            release_write_protect: &["SPI_BOOT_CRYPT_CNT"],
            secure_boot: &[("DIS_DIRECT_BOOT", 1), ("DIS_PAD_JTAG", 1)],
        },
    },
};

pub(super) static MAPPING: Mapping = Mapping {
    chip: ChipId::Esp32C2,
    page_size: 0x1_0000,
    other_page_sizes: &[0x4000, 0x8000],
    ranges: [0x4200_0000..0x4240_0000, 0x3C00_0000..0x3C40_0000],
};

static EFUSE: EfuseMap = EfuseMap {
    blocks: &BLOCKS,
    fields: FIELDS,
    calibration: CALIBRATION,
    wr_dis: find(FIELDS, "WR_DIS"),
    rd_dis: find(FIELDS, "RD_DIS"),
    flash_crypt_cnt: find(FIELDS, "SPI_BOOT_CRYPT_CNT"),
    secure_version: find(FIELDS, "SECURE_VERSION"),
    mac: find(FIELDS, "MAC"),
    keys: &[KeyBlock {
        key: find(FIELDS, "BLOCK_KEY0"),
        role: KeyRole::Shared {
            whole: find(FIELDS, "XTS_KEY_LENGTH_256"),
        },
        refuses: &[],
    }],
    purposes: &[
        (0, KeyPurpose::User),
        (1, KeyPurpose::XtsAes128Key),
        (2, KeyPurpose::XtsAes128KeyDerived),
        (3, KeyPurpose::SecureBootDigest),
    ],
    secure_boot_enable: &[(SecureBootScheme::V2Ecdsa, find(FIELDS, "SECURE_BOOT_EN"))],
    key_revoke: &[],
    aggressive_revoke: None,
    secure_boot_sha384: None,
    wafer_version_major: &[find(FIELDS, "WAFER_VERSION_MAJOR")],
    wafer_version_minor: &[find(FIELDS, "WAFER_VERSION_MINOR")],
    registers: Registers {
        blocks: &[0x2C, 0x34, 0x40, 0x60],
        space: 0x200,
        controller: &[
            (0x8C, 0x5AA5),
            (0x108, 0x28),
            (0x114, 0x3000),
            (0x118, 0x190),
        ],
        check: Some(0x20),
        emulator_size: 1024,
    },
};

static BLOCKS: [Block; 4] = [
    settings(2),
    coded("BLOCK1", 3, 5, &[]),
    coded("BLOCK2", 8, 6, &[]),
    coded("BLOCK_KEY0", 8, 7, &[0, 1]),
];

const FIELDS: &[Field] = &[
    unguarded("WR_DIS", 0, 0, 8),
    field("RD_DIS", 0, 32, 2, 0),
    field("WDT_DELAY_SEL", 0, 34, 2, 1),
    field("DIS_PAD_JTAG", 0, 36, 1, 1),
    field("DIS_DOWNLOAD_ICACHE", 0, 37, 1, 1),
    field("DIS_DOWNLOAD_MANUAL_ENCRYPT", 0, 38, 1, 2),
    field("SPI_BOOT_CRYPT_CNT", 0, 39, 3, 2),
    field("XTS_KEY_LENGTH_256", 0, 42, 1, 2),
    field("UART_PRINT_CONTROL", 0, 43, 2, 3),
    field("FORCE_SEND_RESUME", 0, 45, 1, 3),
    field("DIS_DOWNLOAD_MODE", 0, 46, 1, 3),
    field("DIS_DIRECT_BOOT", 0, 47, 1, 3),
    field("ENABLE_SECURITY_DOWNLOAD", 0, 48, 1, 3),
    field("FLASH_TPUW", 0, 49, 4, 3),
    field("SECURE_BOOT_EN", 0, 53, 1, 2),
    field("SECURE_VERSION", 0, 54, 4, 4),
    field("CUSTOM_MAC_USED", 0, 58, 1, 4),
    field("DISABLE_WAFER_VERSION_MAJOR", 0, 59, 1, 4),
    field("DISABLE_BLK_VERSION_MAJOR", 0, 60, 1, 4),
    unguarded("USER_DATA", 1, 0, 88),
    field("CUSTOM_MAC", 1, 0, 48, 5),
    field("MAC", 2, 0, 48, 6),
    field("WAFER_VERSION_MINOR", 2, 48, 4, 6),
    field("WAFER_VERSION_MAJOR", 2, 52, 2, 6),
    field("PKG_VERSION", 2, 54, 3, 6),
    field("BLK_VERSION_MINOR", 2, 57, 3, 6),
    field("BLK_VERSION_MAJOR", 2, 60, 2, 6),
    field("FLASH_VENDOR", 2, 248, 3, 6),
    field("FLASH_TEMP", 2, 251, 2, 6),
    field("FLASH_CAP", 2, 253, 3, 6),
    field("BLOCK_KEY0", 3, 0, 256, 7),
    field("BLOCK_KEY0_LOW_128", 3, 0, 128, 7).read_protected_by(0),
    field("BLOCK_KEY0_HI_128", 3, 128, 128, 7).read_protected_by(1),
];

const CALIBRATION: &[Field] = &[
    field("OCODE", 2, 62, 7, 6),
    field("TEMP_CALIB", 2, 69, 9, 6),
    field("ADC1_INIT_CODE_ATTEN0", 2, 78, 8, 6),
    field("ADC1_INIT_CODE_ATTEN3", 2, 86, 5, 6),
    field("ADC1_CAL_VOL_ATTEN0", 2, 91, 8, 6),
    field("ADC1_CAL_VOL_ATTEN3", 2, 99, 6, 6),
    field("DIG_DBIAS_HVT", 2, 105, 5, 6),
    field("DIG_LDO_SLP_DBIAS2", 2, 110, 7, 6),
    field("DIG_LDO_SLP_DBIAS26", 2, 117, 8, 6),
    field("DIG_LDO_ACT_DBIAS26", 2, 125, 6, 6),
    field("DIG_LDO_ACT_STEPD10", 2, 131, 4, 6),
    field("RTC_LDO_SLP_DBIAS13", 2, 135, 7, 6),
    field("RTC_LDO_SLP_DBIAS29", 2, 142, 9, 6),
    field("RTC_LDO_SLP_DBIAS31", 2, 151, 6, 6),
    field("RTC_LDO_ACT_DBIAS31", 2, 157, 6, 6),
    field("RTC_LDO_ACT_DBIAS13", 2, 163, 8, 6),
    field("ADC_CALIBRATION_3", 2, 192, 11, 6),
];
