//! The two CRC-32 variants of the ESP ROM, without lookup tables: at most 1196 bytes are summed.
//!
//! Source: ESP-IDF `esp_rom_crc.h`: `esp_rom_crc32_le(init, ..)` inverts `init` and the result.

use crc::{Algorithm, CRC_32_ISO_HDLC, Crc, NoTable};

/// `esp_rom_crc32_le(UINT32_MAX, ..)`: the register starts at 0.
const FROM_ALL_ONES: Algorithm<u32> = Algorithm {
    init: 0,
    check: 0xD202_D277,
    residue: 0,
    ..CRC_32_ISO_HDLC
};

/// `esp_rom_crc32_le(0, bytes)`, the usual CRC-32 (zlib).
pub(crate) fn from_zero(bytes: &[u8]) -> u32 {
    Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC).checksum(bytes)
}

/// `esp_rom_crc32_le(UINT32_MAX, bytes)`, as otadata uses it.
pub(crate) fn from_all_ones(bytes: &[u8]) -> u32 {
    Crc::<u32, NoTable>::new(&FROM_ALL_ONES).checksum(bytes)
}
