//! Rows that read the same for several chips: `super::rows` says which chip has which.
//!
//! Source: as for each of the chips.

use super::Category::{Config, Flash, Identity, Jtag, Mac, Security, SpiPad, Usb, Vdd, Wdt};
use super::{Kind, Row, flag, number, row};

pub(super) const BLOCK_SYS_DATA2: Row =
    row("BLOCK_SYS_DATA2", &["SYS_DATA_PART2"], Config, Kind::Bytes);
pub(super) const BLOCK_USR_DATA: Row = row("BLOCK_USR_DATA", &["USER_DATA"], Config, Kind::Bytes);
pub(super) const BOOTLOADER_ANTI_ROLLBACK_EN: Row = flag("BOOTLOADER_ANTI_ROLLBACK_EN", Config);
pub(super) const BOOTLOADER_ANTI_ROLLBACK_UPDATE_IN_ROM: Row =
    flag("BOOTLOADER_ANTI_ROLLBACK_UPDATE_IN_ROM", Config);
pub(super) const DIS_DCACHE: Row = flag("DIS_DCACHE", Config);
pub(super) const DIS_DIRECT_BOOT: Row = flag("DIS_DIRECT_BOOT", Config);
pub(super) const DIS_ICACHE: Row = flag("DIS_ICACHE", Config);
pub(super) const DIS_TWAI: Row = row("DIS_TWAI", &["DIS_CAN"], Config, Kind::Flag);
pub(super) const ECC_FORCE_CONST_TIME: Row = flag("ECC_FORCE_CONST_TIME", Config);
pub(super) const HYS_EN_PAD: Row = flag("HYS_EN_PAD", Config);
pub(super) const PIN_POWER_SELECTION: Row = row(
    "PIN_POWER_SELECTION",
    &[],
    Config,
    Kind::Named(&["VDD3P3_CPU", "VDD_SPI"]),
);
pub(super) const PSRAM_CAP: Row = number("PSRAM_CAP", Config);
pub(super) const PSRAM_VENDOR: Row = number("PSRAM_VENDOR", Config);
pub(super) const RD_DIS: Row = number("RD_DIS", Config);
pub(super) const TEMP: Row = number("TEMP", Config);
pub(super) const UART_PRINT_CONTROL: Row = row(
    "UART_PRINT_CONTROL",
    &[],
    Config,
    Kind::Named(&[
        "Enable",
        "Enable when GPIO8 is low at reset",
        "Enable when GPIO8 is high at reset",
        "Disable",
    ]),
);
pub(super) const WR_DIS: Row = number("WR_DIS", Config);

pub(super) const FLASH_CAP: Row = number("FLASH_CAP", Flash);
pub(super) const FLASH_TEMP: Row = number("FLASH_TEMP", Flash);
pub(super) const FLASH_TPUW: Row = number("FLASH_TPUW", Flash);
pub(super) const FLASH_TYPE: Row = row(
    "FLASH_TYPE",
    &[],
    Flash,
    Kind::Named(&["4 data lines", "8 data lines"]),
);
pub(super) const FLASH_VENDOR: Row = number("FLASH_VENDOR", Flash);
pub(super) const FORCE_SEND_RESUME: Row = flag("FORCE_SEND_RESUME", Flash);

pub(super) const BLK_VERSION_MAJOR: Row = number("BLK_VERSION_MAJOR", Identity);
pub(super) const BLK_VERSION_MINOR: Row = number("BLK_VERSION_MINOR", Identity);
pub(super) const DISABLE_BLK_VERSION_MAJOR: Row = flag("DISABLE_BLK_VERSION_MAJOR", Identity);
pub(super) const DISABLE_WAFER_VERSION_MAJOR: Row = flag("DISABLE_WAFER_VERSION_MAJOR", Identity);
pub(super) const OPTIONAL_UNIQUE_ID: Row = row("OPTIONAL_UNIQUE_ID", &[], Identity, Kind::Bytes);
pub(super) const PKG_VERSION: Row = number("PKG_VERSION", Identity);
pub(super) const WAFER_VERSION_MAJOR: Row = number("WAFER_VERSION_MAJOR", Identity);
pub(super) const WAFER_VERSION_MINOR: Row = number("WAFER_VERSION_MINOR", Identity);
pub(super) const WAFER_VERSION_MINOR_HI: Row = flag("WAFER_VERSION_MINOR_HI", Identity);
pub(super) const WAFER_VERSION_MINOR_LO: Row = number("WAFER_VERSION_MINOR_LO", Identity);

pub(super) const DIS_PAD_JTAG: Row = flag("DIS_PAD_JTAG", Jtag);
pub(super) const JTAG_SEL_ENABLE: Row = flag("JTAG_SEL_ENABLE", Jtag);
pub(super) const SOFT_DIS_JTAG: Row = number("SOFT_DIS_JTAG", Jtag);

pub(super) const CUSTOM_MAC: Row = row(
    "CUSTOM_MAC",
    &["MAC_CUSTOM", "USER_DATA_MAC_CUSTOM"],
    Mac,
    Kind::Mac,
);
pub(super) const MAC: Row = row("MAC", &["MAC_FACTORY"], Mac, Kind::Mac);
pub(super) const MAC_EUI64: Row = row("MAC_EUI64", &[], Mac, Kind::Eui64);
pub(super) const MAC_EXT: Row = row("MAC_EXT", &[], Mac, Kind::Mac);

pub(super) const BLOCK_KEY0: Row = row("BLOCK_KEY0", &["KEY0"], Security, Kind::Bytes);
pub(super) const BLOCK_KEY1: Row = row("BLOCK_KEY1", &["KEY1"], Security, Kind::Bytes);
pub(super) const BLOCK_KEY2: Row = row("BLOCK_KEY2", &["KEY2"], Security, Kind::Bytes);
pub(super) const BLOCK_KEY3: Row = row("BLOCK_KEY3", &["KEY3"], Security, Kind::Bytes);
pub(super) const BLOCK_KEY4: Row = row("BLOCK_KEY4", &["KEY4"], Security, Kind::Bytes);
pub(super) const BLOCK_KEY5: Row = row("BLOCK_KEY5", &["KEY5"], Security, Kind::Bytes);
pub(super) const CRYPT_DPA_ENABLE: Row = flag("CRYPT_DPA_ENABLE", Security);
pub(super) const DIS_DOWNLOAD_DCACHE: Row = flag("DIS_DOWNLOAD_DCACHE", Security);
pub(super) const DIS_DOWNLOAD_ICACHE: Row = flag("DIS_DOWNLOAD_ICACHE", Security);
pub(super) const DIS_DOWNLOAD_MANUAL_ENCRYPT: Row = flag("DIS_DOWNLOAD_MANUAL_ENCRYPT", Security);
pub(super) const DIS_DOWNLOAD_MODE: Row = flag("DIS_DOWNLOAD_MODE", Security);
pub(super) const DIS_FORCE_DOWNLOAD: Row = flag("DIS_FORCE_DOWNLOAD", Security);
pub(super) const ENABLE_SECURITY_DOWNLOAD: Row = flag("ENABLE_SECURITY_DOWNLOAD", Security);
pub(super) const KEY_PURPOSE_0: Row =
    row("KEY_PURPOSE_0", &["KEY0_PURPOSE"], Security, Kind::Purpose);
pub(super) const KEY_PURPOSE_1: Row =
    row("KEY_PURPOSE_1", &["KEY1_PURPOSE"], Security, Kind::Purpose);
pub(super) const KEY_PURPOSE_2: Row =
    row("KEY_PURPOSE_2", &["KEY2_PURPOSE"], Security, Kind::Purpose);
pub(super) const KEY_PURPOSE_3: Row =
    row("KEY_PURPOSE_3", &["KEY3_PURPOSE"], Security, Kind::Purpose);
pub(super) const KEY_PURPOSE_4: Row =
    row("KEY_PURPOSE_4", &["KEY4_PURPOSE"], Security, Kind::Purpose);
pub(super) const KEY_PURPOSE_5: Row =
    row("KEY_PURPOSE_5", &["KEY5_PURPOSE"], Security, Kind::Purpose);
pub(super) const SECURE_BOOT_AGGRESSIVE_REVOKE: Row =
    flag("SECURE_BOOT_AGGRESSIVE_REVOKE", Security);
pub(super) const SECURE_BOOT_DISABLE_FAST_WAKE: Row =
    flag("SECURE_BOOT_DISABLE_FAST_WAKE", Security);
pub(super) const SECURE_BOOT_EN: Row = flag("SECURE_BOOT_EN", Security);
pub(super) const SECURE_BOOT_KEY_REVOKE0: Row = flag("SECURE_BOOT_KEY_REVOKE0", Security);
pub(super) const SECURE_BOOT_KEY_REVOKE1: Row = flag("SECURE_BOOT_KEY_REVOKE1", Security);
pub(super) const SECURE_BOOT_KEY_REVOKE2: Row = flag("SECURE_BOOT_KEY_REVOKE2", Security);
pub(super) const SECURE_VERSION: Row = row("SECURE_VERSION", &[], Security, Kind::Count);
pub(super) const SEC_DPA_LEVEL: Row = number("SEC_DPA_LEVEL", Security);
pub(super) const SPI_BOOT_CRYPT_CNT: Row = row(
    "SPI_BOOT_CRYPT_CNT",
    &[],
    Security,
    Kind::NamedCount(&["Disable", "Enable", "", "Disable", "", "", "", "Enable"]),
);
pub(super) const SPI_DOWNLOAD_MSPI_DIS: Row = flag("SPI_DOWNLOAD_MSPI_DIS", Security);
pub(super) const XTS_DPA_CLK_ENABLE: Row = flag("XTS_DPA_CLK_ENABLE", Security);
pub(super) const XTS_DPA_PSEUDO_LEVEL: Row = number("XTS_DPA_PSEUDO_LEVEL", Security);

pub(super) const SPI_PAD_CONFIG_CLK: Row = number("SPI_PAD_CONFIG_CLK", SpiPad);
pub(super) const SPI_PAD_CONFIG_CS: Row = number("SPI_PAD_CONFIG_CS", SpiPad);
pub(super) const SPI_PAD_CONFIG_D: Row = number("SPI_PAD_CONFIG_D", SpiPad);
pub(super) const SPI_PAD_CONFIG_D4: Row = number("SPI_PAD_CONFIG_D4", SpiPad);
pub(super) const SPI_PAD_CONFIG_D5: Row = number("SPI_PAD_CONFIG_D5", SpiPad);
pub(super) const SPI_PAD_CONFIG_D6: Row = number("SPI_PAD_CONFIG_D6", SpiPad);
pub(super) const SPI_PAD_CONFIG_D7: Row = number("SPI_PAD_CONFIG_D7", SpiPad);
pub(super) const SPI_PAD_CONFIG_DQS: Row = number("SPI_PAD_CONFIG_DQS", SpiPad);
pub(super) const SPI_PAD_CONFIG_HD: Row = number("SPI_PAD_CONFIG_HD", SpiPad);
pub(super) const SPI_PAD_CONFIG_Q: Row = number("SPI_PAD_CONFIG_Q", SpiPad);
pub(super) const SPI_PAD_CONFIG_WP: Row = number("SPI_PAD_CONFIG_WP", SpiPad);

pub(super) const DIS_USB_JTAG: Row = flag("DIS_USB_JTAG", Usb);
pub(super) const DIS_USB_SERIAL_JTAG_DOWNLOAD_MODE: Row =
    flag("DIS_USB_SERIAL_JTAG_DOWNLOAD_MODE", Usb);
pub(super) const DIS_USB_SERIAL_JTAG_ROM_PRINT: Row = flag("DIS_USB_SERIAL_JTAG_ROM_PRINT", Usb);
pub(super) const USB_EXCHG_PINS: Row = flag("USB_EXCHG_PINS", Usb);
pub(super) const USB_EXT_PHY_ENABLE: Row =
    row("USB_EXT_PHY_ENABLE", &["EXT_PHY_ENABLE"], Usb, Kind::Flag);

pub(super) const VDD_SPI_AS_GPIO: Row = flag("VDD_SPI_AS_GPIO", Vdd);
pub(super) const VDD_SPI_FORCE: Row = flag("VDD_SPI_FORCE", Vdd);
pub(super) const VDD_SPI_TIEH: Row = row(
    "VDD_SPI_TIEH",
    &[],
    Vdd,
    Kind::Named(&[
        "VDD_SPI connects to 1.8 V LDO",
        "VDD_SPI connects to VDD3P3_RTC_IO",
    ]),
);
pub(super) const VDD_SPI_XPD: Row = flag("VDD_SPI_XPD", Vdd);

pub(super) const WDT_DELAY_SEL: Row = number("WDT_DELAY_SEL", Wdt);
