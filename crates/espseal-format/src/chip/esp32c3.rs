//! ESP32-C3.
//!
//! Source: ESP-IDF `soc/esp32c3`: `soc.h` (`SOC_IROM_LOW`, `SOC_DROM_LOW`), `soc_caps.h`;
//! `esp_rom/esp32c3/Kconfig.soc_caps.in` (`ESP_ROM_BOOTLOADER_OFFSET_FLASH`).

use super::{Chip, ChipId, HmacPeripheral, SchemeId, SecureBoot, SecureBootScheme};
use crate::efuse;
use crate::units::FlashOffset;

/// Secure boot came with revision 0.3.
pub(super) static CHIP: Chip = Chip {
    id: ChipId::Esp32C3,
    bootloader_offset: FlashOffset::new(0),
    mmu_page_size: 0x1_0000,
    mapped: [0x4200_0000..0x4280_0000, 0x3C00_0000..0x3C80_0000],
    flash_encryption: &[SchemeId::XtsAes128],
    secure_boot: &[SecureBoot {
        scheme: SecureBootScheme::V2Rsa,
        from_revision: 3,
    }],
    digest_slots: 3,
    signature_blocks: 3,
    secure_version_bits: 16,
    hmac: HmacPeripheral::Present,
    efuse: &efuse::ESP32C3,
};
