//! What espefuse calls the fields of the ESP32-C2.
//!
//! Source: `espefuse --chip esp32c2 --virt summary --format json` of 5.6.0 for each value of each field.

use super::Category::{Identity, Mac, Security, Wdt};
use super::{Kind, Row, row, shared};

pub(super) const ROWS: &[Row] = &[
    shared::WR_DIS,
    shared::RD_DIS,
    row(
        "WDT_DELAY_SEL",
        &[],
        Wdt,
        Kind::Named(&["40000", "80000", "160000", "320000"]),
    ),
    shared::DIS_PAD_JTAG,
    shared::DIS_DOWNLOAD_ICACHE,
    shared::DIS_DOWNLOAD_MANUAL_ENCRYPT,
    shared::SPI_BOOT_CRYPT_CNT,
    row(
        "XTS_KEY_LENGTH_256",
        &[],
        Security,
        Kind::Named(&["128 bits key", "256 bits key"]),
    ),
    shared::UART_PRINT_CONTROL,
    shared::FORCE_SEND_RESUME,
    shared::DIS_DOWNLOAD_MODE,
    shared::DIS_DIRECT_BOOT,
    shared::ENABLE_SECURITY_DOWNLOAD,
    shared::FLASH_TPUW,
    shared::SECURE_BOOT_EN,
    shared::SECURE_VERSION,
    row("CUSTOM_MAC_USED", &["ENABLE_CUSTOM_MAC"], Mac, Kind::Flag),
    shared::DISABLE_WAFER_VERSION_MAJOR,
    shared::DISABLE_BLK_VERSION_MAJOR,
    shared::CUSTOM_MAC,
    shared::MAC,
    shared::WAFER_VERSION_MINOR,
    shared::WAFER_VERSION_MAJOR,
    shared::PKG_VERSION,
    row(
        "BLK_VERSION_MINOR",
        &[],
        Identity,
        Kind::Named(&["No calib", "With calib"]),
    ),
    shared::BLK_VERSION_MAJOR,
    shared::FLASH_VENDOR,
    shared::FLASH_TEMP,
    shared::FLASH_CAP,
    shared::BLOCK_KEY0,
    row("BLOCK_KEY0_LOW_128", &[], Security, Kind::Bytes),
    row("BLOCK_KEY0_HI_128", &[], Security, Kind::Bytes),
];
