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
//! An ESP32 maps 16 MB of flash, so there are no higher offset bits; they would be ignored here.
//!
//! Source: ESP-IDF `docs/en/security/flash-encryption.rst` for the scheme and the ranges; the
//! filling was found by searching for the key bits that explain espsecure's output
//! (`vectors/flash-encryption/README.md`).

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

/// Spreads the offset over the 256 key bits, most significant bit first.
fn tweak(offset: u32, config: FlashCryptConfig) -> [u128; 2] {
    let field = u128::from((offset >> 5) & 0x7_FFFF);
    let thrice = (field << 38) | (field << 19) | field;
    let enabled = |bit: u8| 0_u128.wrapping_sub(u128::from((config.get() >> bit) & 1));
    let first = ((thrice << 10) | (field & 0x3FF)) & enabled(0); // 67 bits
    let second = ((thrice << 8) | (field & 0xFF)) & enabled(1); // 65 bits
    let third = ((thrice << 6) | (field & 0x3F)) & enabled(2); // 63 bits
    let fourth = ((thrice << 4) | (field & 0xF)) & enabled(3); // 61 bits
    [
        (first << 61) | (second >> 4),
        (second << 124) | (third << 61) | fourth,
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
    fn offset_bits_outside_5_to_23_do_not_reach_the_key() {
        let config = FlashCryptConfig::DEFAULT;
        assert_eq!(tweak(0xFF00_001F, config), [0, 0]);
    }
}
