//! AES-256 Key Wrap, opening: all that a device ever decrypts with AES itself.
//!
//! Written for size: the inverse cipher of the `aes` crate and the `aes-kw` crate around it take
//! 2.5 KB of a device's flash for 24 blocks an update. Constant time: four bytes are computed with
//! in one word, by shifts and masks, without a table or a branch. Makers wrap with the crates.
//!
//! Source: RFC 3394 section 2.2.2 (unwrapping), section 2.2.3.1 (initial value); FIPS 197 sections
//! 5.2 (key expansion) and 5.3 (inverse cipher).

use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

/// One byte of a word.
const LANES: u32 = 0x0101_0101;
/// Both halves of RFC 3394's initial value.
const INITIAL_VALUE: u32 = 0xA6A6_A6A6;
/// Rounds of AES-256.
const ROUNDS: usize = 14;

/// Four columns; a column's first row is its highest byte.
type Block = [u32; 4];
/// The round keys, in the order of encryption.
type Schedule = [Block; ROUNDS + 1];

/// Opens the wrap of a 32-byte key; `None` when the initial value does not come out.
#[inline(never)]
pub(super) fn unwrap_key(kek: &[u8; 32], wrap: &[u8; 40]) -> Option<[u8; 32]> {
    let schedule = expand(kek);
    let mut words = Zeroizing::new([0; 10]);
    let bytes = wrap.as_chunks().0;
    words
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = u32::from_be_bytes(*from));
    let (check, registers) = words.split_first_chunk_mut::<2>()?;
    // RFC 3394's t, from n * 6 down to 1.
    let mut step = 24_u32;
    for _ in 0..6 {
        for register in registers.as_chunks_mut::<2>().0.iter_mut().rev() {
            let ([a, b], [c, d]) = (*check, *register);
            let [a, b, c, d] = decrypt(&schedule, [a, b ^ step, c, d]);
            (*check, *register) = ([a, b], [c, d]);
            step = step.wrapping_sub(1);
        }
    }
    let intact = check.ct_eq(&[INITIAL_VALUE; 2]);
    let mut key = [0; 32];
    let places = key.as_chunks_mut().0.iter_mut();
    places
        .zip(registers)
        .for_each(|(to, from)| *to = from.to_be_bytes());
    if intact.into() {
        Some(key)
    } else {
        key.zeroize();
        None
    }
}

/// The key expansion.
fn expand(key: &[u8; 32]) -> Zeroizing<Schedule> {
    let mut window = Zeroizing::new([0; 8]);
    let words = key.as_chunks().0;
    window
        .iter_mut()
        .zip(words)
        .for_each(|(to, from)| *to = u32::from_be_bytes(*from));
    let mut schedule = Zeroizing::new([[0; 4]; ROUNDS + 1]);
    for (index, word) in (0_u32..).zip(schedule.as_flattened_mut()) {
        let [first, b, c, d, e, f, g, last] = *window;
        *word = first;
        let mixed = match index % 8 {
            0 => substitute(last.rotate_left(8)) ^ 0x0100_0000_u32.wrapping_shl(index / 8),
            4 => substitute(last),
            _ => last,
        };
        *window = [b, c, d, e, f, g, last, first ^ mixed];
    }
    schedule
}

/// The inverse cipher.
#[inline(never)]
fn decrypt(schedule: &Schedule, mut block: Block) -> Block {
    let [first, middle @ .., last] = schedule;
    add(&mut block, last);
    for key in middle.iter().rev() {
        block = unshift_and_unsubstitute(block);
        add(&mut block, key);
        block = block.map(unmix);
    }
    block = unshift_and_unsubstitute(block);
    add(&mut block, first);
    block
}

/// `InvShiftRows` and `InvSubBytes`.
#[inline(never)]
fn unshift_and_unsubstitute([a, b, c, d]: Block) -> Block {
    [[a, d, c, b], [b, a, d, c], [c, b, a, d], [d, c, b, a]].map(|[a, b, c, d]| {
        unsubstitute((a & 0xFF00_0000) | (b & 0x00FF_0000) | (c & 0xFF00) | (d & 0xFF))
    })
}

/// `AddRoundKey`.
fn add(block: &mut Block, key: &Block) {
    block.iter_mut().zip(key).for_each(|(to, key)| *to ^= key);
}

/// `InvMixColumns` of one column.
fn unmix(column: u32) -> u32 {
    [0x0E, 0x0B, 0x0D, 0x09]
        .iter()
        .rev()
        .fold(0, |sum: u32, factor: &u32| {
            sum.rotate_left(8) ^ multiply(column, factor.wrapping_mul(LANES))
        })
}

/// `SubWord`: the inverse, then the affine transformation.
fn substitute(word: u32) -> u32 {
    let inverse = inverse(word);
    (1..5).fold(inverse, |sum, places| sum ^ rotate(inverse, places)) ^ (0x63 * LANES)
}

/// `InvSubBytes` of four bytes: the inverse affine transformation, then the inverse.
fn unsubstitute(word: u32) -> u32 {
    inverse(rotate(word, 1) ^ rotate(word, 3) ^ rotate(word, 6) ^ (0x05 * LANES))
}

/// Rotates each byte to the left.
fn rotate(word: u32, places: u32) -> u32 {
    let kept = 0xFF_u32.wrapping_shr(places).wrapping_mul(LANES);
    let fallen = word.wrapping_shr(8_u32.wrapping_sub(places));
    (word & kept).wrapping_shl(places) | (fallen & !kept.wrapping_shl(places))
}

/// Inverse of each byte in GF(2^8), its 254th power; zero stays zero.
#[inline(never)]
fn inverse(word: u32) -> u32 {
    let mut power = word;
    for _ in 0..6 {
        power = multiply(multiply(power, power), word);
    }
    multiply(power, power)
}

/// Products in GF(2^8) of the bytes of two words.
#[inline(never)]
fn multiply(mut a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    for _ in 0..8 {
        product ^= a & (b & LANES).wrapping_mul(0xFF);
        b >>= 1;
        let carries = (a >> 7) & LANES;
        a = ((a & (0x7F * LANES)) << 1) ^ carries.wrapping_mul(0x1B);
    }
    product
}

#[cfg(test)]
mod tests {
    use aes::Aes256;
    use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
    use rand_core::Rng as _;

    use super::*;
    use crate::test_rng::TestRng;

    #[test]
    fn substitution_is_undone_for_every_byte_in_every_lane() {
        for byte in 0..=255 {
            let word = u32::from_be_bytes([byte, byte ^ 0x5A, !byte, byte.wrapping_add(1)]);
            assert_eq!(unsubstitute(substitute(word)), word);
        }
        // FIPS 197 figure 7.
        assert_eq!(substitute(0x0053_AFFF), 0x63ED_7916);
    }

    #[test]
    fn what_the_aes_crate_encrypts_is_decrypted() {
        let mut rng = TestRng::new(197);
        for _ in 0..256 {
            let mut key = [0; 32];
            let mut plain = [0; 16];
            rng.fill_bytes(&mut key);
            rng.fill_bytes(&mut plain);
            let mut block = plain;
            Aes256::new((&key).into()).encrypt_block((&mut block).into());
            let words = |bytes: [u8; 16]| {
                let words = bytes.as_chunks().0;
                [0, 1, 2, 3].map(|word: usize| u32::from_be_bytes(words[word]))
            };
            assert_eq!(decrypt(&expand(&key), words(block)), words(plain));
        }
    }
}
