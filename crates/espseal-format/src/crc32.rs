//! The two CRC-32 variants of the ESP ROM, without lookup tables: at most 1196 bytes are summed.
//!
//! Source: ESP-IDF `esp_rom_crc.h`: `esp_rom_crc32_le(init, ..)` inverts `init` and the result.

/// The polynomial, reversed: the lowest bit is worth the most.
const POLYNOMIAL: u32 = 0xEDB8_8320;

/// `esp_rom_crc32_le(0, bytes)`, the usual CRC-32 (zlib).
pub(crate) fn from_zero(bytes: &[u8]) -> u32 {
    !shift(u32::MAX, bytes)
}

/// `esp_rom_crc32_le(UINT32_MAX, bytes)`, as otadata uses it: the register starts at 0.
pub(crate) fn from_all_ones(bytes: &[u8]) -> u32 {
    !shift(0, bytes)
}

/// Shifts bytes through the register, lowest bit first.
#[inline(never)]
fn shift(register: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(register, |register, byte| {
        (0..8).fold(register ^ u32::from(*byte), |register, _| {
            (register >> 1) ^ (POLYNOMIAL & (register & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of CRC-32/ISO-HDLC and of its sibling that starts at 0.
    #[test]
    fn nine_digits_give_the_published_check_values() {
        assert_eq!(from_zero(b"123456789"), 0xCBF4_3926);
        assert_eq!(from_all_ones(b"123456789"), 0xD202_D277);
    }
}
