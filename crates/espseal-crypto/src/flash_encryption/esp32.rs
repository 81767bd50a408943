//! The ESP32's scheme: AES-256 with a key that changes every 32 bytes.
//!
//! To *encrypt*, the hardware runs AES-256 *decryption* over the byte-reversed block and reverses
//! the result. The key is XORed with the flash offset, bits 5..=23: the 256 key bits fall into four
//! ranges, each enabled by one bit of `FLASH_CRYPT_CONFIG`, and each is filled with the 19 offset
//! bits (bit 23 first) three times over and then with as many of the lowest offset bits as still
//! fit:
//!
//! | config bit | key bits, from the first bit of the key file | filled with |
//! |---|---|---|
//! | 0 | 0..67 | 3 x 19 bits, then offset bits 14..=5 |
//! | 1 | 67..132 | 3 x 19 bits, then offset bits 12..=5 |
//! | 2 | 132..195 | 3 x 19 bits, then offset bits 10..=5 |
//! | 3 | 195..256 | 3 x 19 bits, then offset bits 8..=5 |
//!
//! An ESP32 maps 16 MB of flash, so the hardware has no higher offset bits. espsecure goes on:
//! a copy of the offset grows to the left, over the copy before it, and whole copies are *added*.
//! So does this module, to give the same bytes.
//!
//! Source: ESP-IDF `docs/en/security/flash-encryption.rst` for the scheme and the ranges; the
//! filling was found by searching for the key bits that explain espsecure's output
//! (`vectors/flash-encryption/README.md`), within 16 MB and beyond.

use aes::cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};
use aes::{Aes256Dec, Aes256Enc, Block};
use zeroize::{Zeroize as _, Zeroizing};

use super::{Direction, FlashCryptConfig};

/// Bytes that share a key.
const SPAN: u32 = 32;

/// The ESP32's flash encryption block.
pub(super) struct Cipher {
    /// First and second half of the key, most significant bit first.
    key: [u128; 2],
    config: FlashCryptConfig,
}

impl Drop for Cipher {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl Cipher {
    pub(super) fn new(key: &[u8; 32], config: FlashCryptConfig) -> Self {
        let mut halves = [0; 2];
        let (parts, _) = key.as_chunks::<16>();
        for (half, part) in halves.iter_mut().zip(parts) {
            *half = u128::from_be_bytes(*part);
        }
        Self {
            key: halves,
            config,
        }
    }

    /// Runs the portable code over any number of blocks.
    pub(super) fn apply(&self, direction: Direction, offset: u32, blocks: &mut [Block]) {
        match direction {
            Direction::Encrypt => self.for_each_key(offset, blocks, |key, blocks| {
                Aes256Dec::new(key.into()).decrypt_blocks(blocks);
            }),
            Direction::Decrypt => self.for_each_key(offset, blocks, |key, blocks| {
                Aes256Enc::new(key.into()).encrypt_blocks(blocks);
            }),
        }
    }

    /// What the address changes of the key's halves, most significant bit first.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn tweak(&self, offset: u32) -> [u128; 2] {
        tweak(offset, self.config)
    }

    /// Calls `work` with each key and the reversed blocks that it covers.
    fn for_each_key(
        &self,
        offset: u32,
        blocks: &mut [Block],
        work: impl Fn(&[u8; 32], &mut [Block]),
    ) {
        if self.config.get() == 0 {
            // No part of the key depends on the address: one key for everything.
            return reversed(blocks, |blocks| work(&self.key_at(0), blocks));
        }
        let mut offset = offset;
        let mut rest = blocks;
        while !rest.is_empty() {
            let until_next_key = if offset & 0x10 == 0 { 2 } else { 1 };
            let (now, later) = rest.split_at_mut(until_next_key.min(rest.len()));
            reversed(now, |blocks| work(&self.key_at(offset), blocks));
            offset = (offset & !(SPAN - 1)).wrapping_add(SPAN);
            rest = later;
        }
    }

    /// Derives the key for the 32 bytes around `offset`.
    fn key_at(&self, offset: u32) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        let (parts, _) = key.as_chunks_mut::<16>();
        for (part, half) in parts.iter_mut().zip(self.halves(offset)) {
            *part = half.to_be_bytes();
        }
        key
    }

    /// The halves of that key, most significant bit first.
    pub(super) fn halves(&self, offset: u32) -> [u128; 2] {
        let [first, second] = self.key;
        let [one, two] = tweak(offset, self.config);
        [first ^ one, second ^ two]
    }
}

/// Where rows stop to differ from each other by their lowest offset bits alone: 16 MB.
#[cfg(target_arch = "x86_64")]
pub(super) const LINEAR_END: u32 = 1 << 24;

/// One bit where each whole copy of the offset ends: key bits 18, 37, 56; 85, 104, 123; 150, 169,
/// 188; 213, 232, 251.
const WHOLE_COPIES: [u128; 2] = [
    0x0000_2000_0400_0080_0000_0400_0080_0010,
    0x0000_0200_0040_0008_0000_0400_0080_0010,
];
/// One bit where each range ends, and with it the part of a copy: key bits 66, 131, 194 and 255.
const RANGE_ENDS: [u128; 2] = [
    0x2000_0000_0000_0000,
    0x1000_0000_0000_0000_2000_0000_0000_0001,
];
/// The key bits for which that part is meant: the last 10, 8, 6 and 4 of the ranges.
const PARTS: [u128; 2] = [
    0x0000_0000_0000_007F_E000_0000_0000_000F,
    0xF000_0000_0000_0007_E000_0000_0000_000F,
];
/// The ranges of key bits, by the bit of `FLASH_CRYPT_CONFIG` that enables them.
const RANGES: [[u128; 2]; 4] = [
    [!0 << 61, 0],
    [!0 >> 67, !0 << 124],
    [0, !0 >> 4 & !0 << 61],
    [0, !0 >> 67],
];

/// Spreads the offset over the 256 key bits, most significant bit first.
fn tweak(offset: u32, config: FlashCryptConfig) -> [u128; 2] {
    let [whole_first, whole_second] = copies(offset, WHOLE_COPIES);
    let [part_first, part_second] = copies(offset, RANGE_ENDS);
    let [first_parts, second_parts] = PARTS;
    let (mut first_enabled, mut second_enabled) = (0, 0);
    for (bit, [first, second]) in RANGES.into_iter().enumerate() {
        let enabled = 0_u128.wrapping_sub(u128::from((config.get() >> bit) & 1));
        first_enabled |= first & enabled;
        second_enabled |= second & enabled;
    }
    [
        (whole_first | part_first & first_parts) & first_enabled,
        (whole_second | part_second & second_parts) & second_enabled,
    ]
}

/// Adds up copies of the offset bits from 5 on, one that ends on each bit of `ends`: a product of
/// 256 bits.
fn copies(offset: u32, [first, second]: [u128; 2]) -> [u128; 2] {
    const LOW: u128 = u64::MAX as u128;
    let field = u128::from(offset >> 5);
    let low = (second & LOW).wrapping_mul(field);
    let high = (second >> 64).wrapping_mul(field).wrapping_add(low >> 64);
    let carry = high >> 64;
    [
        first.wrapping_mul(field).wrapping_add(carry),
        high << 64 | low & LOW,
    ]
}

/// Runs `work` over the blocks with the bytes of each of them reversed.
fn reversed(blocks: &mut [Block], work: impl FnOnce(&mut [Block])) {
    blocks.iter_mut().for_each(|block| block.reverse());
    work(blocks);
    blocks.iter_mut().for_each(|block| block.reverse());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_config_bit_covers_its_own_range_of_key_bits() {
        for (bits, range) in [(1, 0..67), (2, 67..132), (4, 132..195), (8, 195..256)] {
            let config = FlashCryptConfig::new(bits).unwrap();
            let [high, low] = tweak(0xFF_FFE0, config);
            let is_set = |bit: u32| match bit {
                0..128 => high >> (127 - bit) & 1 == 1,
                _ => low >> (255 - bit) & 1 == 1,
            };
            for bit in 0..256 {
                assert_eq!(
                    is_set(bit),
                    range.contains(&bit),
                    "config {bits}, bit {bit}"
                );
            }
        }
    }

    #[test]
    fn offset_bits_below_5_do_not_reach_the_key() {
        assert_eq!(tweak(0x1F, FlashCryptConfig::DEFAULT), [0, 0]);
    }

    #[test]
    fn each_offset_bit_reaches_the_key_bits_that_explain_espsecure() {
        let key_bits: [(u32, &[u32]); 6] = [
            (
                5,
                &[
                    18, 37, 56, 66, 85, 104, 123, 131, 150, 169, 188, 194, 213, 232, 251, 255,
                ],
            ),
            (
                14,
                &[9, 28, 47, 57, 76, 95, 114, 141, 160, 179, 204, 223, 242],
            ),
            (23, &[0, 19, 38, 67, 86, 105, 132, 151, 170, 195, 214, 233]),
            (24, &[18, 37, 66, 85, 104, 131, 150, 169, 194, 213, 232]),
            (25, &[17, 36, 65, 84, 103, 130, 149, 168, 193, 212, 231]),
            (30, &[12, 31, 60, 79, 98, 125, 144, 163, 188, 207, 226]),
        ];
        for (offset_bit, bits) in key_bits {
            let mut expected = [0_u128; 2];
            for bit in bits {
                expected[*bit as usize / 128] |= 1 << (127 - bit % 128);
            }
            let found = tweak(1 << offset_bit, FlashCryptConfig::DEFAULT);
            assert_eq!(found, expected, "offset bit {offset_bit}");
        }
    }
}
