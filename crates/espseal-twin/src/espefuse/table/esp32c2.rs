//! What espefuse calls the fields of the ESP32-C2.
//!
//! Source: `espefuse --chip esp32c2 --virt summary --format json` of 5.6.0 for each value of each field.

use super::{Category, Kind, Row, row};

pub(super) const ROWS: &[Row] = &[
    row("WR_DIS", &[], Category::Config, Kind::Number),
    row("RD_DIS", &[], Category::Config, Kind::Number),
    row(
        "WDT_DELAY_SEL",
        &[],
        Category::Wdt,
        Kind::Named(&["40000", "80000", "160000", "320000"]),
    ),
    row("DIS_PAD_JTAG", &[], Category::Jtag, Kind::Flag),
    row("DIS_DOWNLOAD_ICACHE", &[], Category::Security, Kind::Flag),
    row(
        "DIS_DOWNLOAD_MANUAL_ENCRYPT",
        &[],
        Category::Security,
        Kind::Flag,
    ),
    row(
        "SPI_BOOT_CRYPT_CNT",
        &[],
        Category::Security,
        Kind::NamedCount(&["Disable", "Enable", "", "Disable", "", "", "", "Enable"]),
    ),
    row(
        "XTS_KEY_LENGTH_256",
        &[],
        Category::Security,
        Kind::Named(&["128 bits key", "256 bits key"]),
    ),
    row(
        "UART_PRINT_CONTROL",
        &[],
        Category::Config,
        Kind::Named(&[
            "Enable",
            "Enable when GPIO8 is low at reset",
            "Enable when GPIO8 is high at reset",
            "Disable",
        ]),
    ),
    row("FORCE_SEND_RESUME", &[], Category::Flash, Kind::Flag),
    row("DIS_DOWNLOAD_MODE", &[], Category::Security, Kind::Flag),
    row("DIS_DIRECT_BOOT", &[], Category::Config, Kind::Flag),
    row(
        "ENABLE_SECURITY_DOWNLOAD",
        &[],
        Category::Security,
        Kind::Flag,
    ),
    row("FLASH_TPUW", &[], Category::Flash, Kind::Number),
    row("SECURE_BOOT_EN", &[], Category::Security, Kind::Flag),
    row("SECURE_VERSION", &[], Category::Security, Kind::Count),
    row(
        "CUSTOM_MAC_USED",
        &["ENABLE_CUSTOM_MAC"],
        Category::Mac,
        Kind::Flag,
    ),
    row(
        "DISABLE_WAFER_VERSION_MAJOR",
        &[],
        Category::Identity,
        Kind::Flag,
    ),
    row(
        "DISABLE_BLK_VERSION_MAJOR",
        &[],
        Category::Identity,
        Kind::Flag,
    ),
    row(
        "CUSTOM_MAC",
        &["MAC_CUSTOM", "USER_DATA_MAC_CUSTOM"],
        Category::Mac,
        Kind::Mac,
    ),
    row("MAC", &["MAC_FACTORY"], Category::Mac, Kind::Mac),
    row("WAFER_VERSION_MINOR", &[], Category::Identity, Kind::Number),
    row("WAFER_VERSION_MAJOR", &[], Category::Identity, Kind::Number),
    row("PKG_VERSION", &[], Category::Identity, Kind::Number),
    row(
        "BLK_VERSION_MINOR",
        &[],
        Category::Identity,
        Kind::Named(&["No calib", "With calib"]),
    ),
    row("BLK_VERSION_MAJOR", &[], Category::Identity, Kind::Number),
    row("FLASH_VENDOR", &[], Category::Flash, Kind::Number),
    row("FLASH_TEMP", &[], Category::Flash, Kind::Number),
    row("FLASH_CAP", &[], Category::Flash, Kind::Number),
    row("BLOCK_KEY0", &["KEY0"], Category::Security, Kind::Bytes),
    row("BLOCK_KEY0_LOW_128", &[], Category::Security, Kind::Bytes),
    row("BLOCK_KEY0_HI_128", &[], Category::Security, Kind::Bytes),
];
