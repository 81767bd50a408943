//! ESP32.
//!
//! Source: ESP-IDF `soc/esp32`: `soc.h` (`SOC_IROM_LOW`, `SOC_DROM_LOW`), `soc_caps.h`;
//! `esp_rom/esp32/Kconfig.soc_caps.in` (`ESP_ROM_BOOTLOADER_OFFSET_FLASH`).

use super::{Chip, ChipId, HmacPeripheral, SchemeId, SecureBoot, SecureBootScheme};
use crate::efuse;
use crate::units::FlashOffset;

/// Secure boot v2 came with revision 3.0, for one key.
pub(super) static CHIP: Chip = Chip {
    id: ChipId::Esp32,
    bootloader_offset: FlashOffset::new(0x1000),
    mmu_page_size: 0x1_0000,
    mapped: [0x400D_0000..0x4040_0000, 0x3F40_0000..0x3F80_0000],
    flash_encryption: &[SchemeId::Esp32Aes],
    secure_boot: &[
        SecureBoot {
            scheme: SecureBootScheme::V1,
            from_revision: 0,
        },
        SecureBoot {
            scheme: SecureBootScheme::V2Rsa,
            from_revision: 300,
        },
    ],
    digest_slots: 1,
    signature_blocks: 1,
    secure_version_bits: 32,
    hmac: HmacPeripheral::Absent,
    efuse: &efuse::ESP32,
};
