//! One block at a time: AES-NI; and the key schedules that every width starts from.

use core::arch::x86_64::{
    __m128i, _mm_aesdec_si128, _mm_aesdeclast_si128, _mm_aesenc_si128, _mm_aesenclast_si128,
    _mm_and_si128, _mm_bslli_si128, _mm_loadu_si128, _mm_set_epi32, _mm_set1_epi32,
    _mm_setzero_si128, _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_slli_epi64, _mm_srai_epi32,
    _mm_storeu_si128, _mm_xor_si128,
};

use super::prelude::*;

pub(super) type V = __m128i;
const LANES: usize = 1;

super::kernels::kernels!("aes,ssse3", 4);

/// Expands an AES-128 key, FIPS 197 section 5.2.
#[target_feature(enable = "aes,ssse3")]
pub(super) fn expand_128(key: &[u8; 16]) -> Zeroizing<[Block; 11]> {
    let mut schedule = Zeroizing::new([[0; 16]; 11]);
    let mut now = load(key);
    let mut slots = schedule.iter_mut();
    for constant in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x1B, 0x36] {
        if let Some(slot) = slots.next() {
            store(now, slot);
        }
        now = next_even(now, now, constant);
    }
    if let Some(slot) = slots.next() {
        store(now, slot);
    }
    schedule
}

/// Expands an AES-256 key, FIPS 197 section 5.2.
#[target_feature(enable = "aes,ssse3")]
pub(super) fn expand_256(key: &[u8; 32]) -> Zeroizing<[Block; 15]> {
    let mut schedule = Zeroizing::new([[0; 16]; 15]);
    let (mut even, mut odd) = load_rows(key);
    let (pairs, last) = schedule.as_chunks_mut();
    for (constant, [even_slot, odd_slot]) in ROUND_CONSTANTS.into_iter().zip(pairs) {
        store(even, even_slot);
        store(odd, odd_slot);
        even = next_even(even, odd, constant);
        odd = next_odd(even, odd);
    }
    for slot in last {
        store(even, slot);
    }
    schedule
}

/// Turns an encryption schedule into the one that decryption uses, in the order of use.
#[target_feature(enable = "aes,ssse3")]
pub(super) fn invert<const N: usize>(schedule: &[Block; N]) -> Zeroizing<[Block; N]> {
    let mut inverse = Zeroizing::new(*schedule);
    inverse.reverse();
    if let [_, middle @ .., _] = inverse.as_mut_slice() {
        for key in middle {
            store(inv_mix_columns(load(key)), key);
        }
    }
    inverse
}

#[target_feature(enable = "sse2")]
#[inline]
fn zero() -> V {
    _mm_setzero_si128()
}

#[target_feature(enable = "sse2")]
#[inline]
fn load(bytes: &Block) -> V {
    // SAFETY: `bytes` is a live reference to as many bytes as are read; they need no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "sse2")]
#[inline]
fn store(vector: V, bytes: &mut Block) {
    // SAFETY: `bytes` is a live reference to as many bytes as are written; they need no alignment.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), vector) }
}

#[target_feature(enable = "sse2")]
#[inline]
fn broadcast(block: &Block) -> V {
    load(block)
}

/// Fills the first byte of every word.
#[target_feature(enable = "sse2")]
#[inline]
fn word(byte: u8) -> V {
    _mm_set1_epi32(i32::from(byte))
}

#[target_feature(enable = "sse2")]
#[inline]
fn xor(a: V, b: V) -> V {
    _mm_xor_si128(a, b)
}

#[target_feature(enable = "aes")]
#[inline]
fn aesenc(block: V, key: V) -> V {
    _mm_aesenc_si128(block, key)
}

#[target_feature(enable = "aes")]
#[inline]
fn aesenclast(block: V, key: V) -> V {
    _mm_aesenclast_si128(block, key)
}

#[target_feature(enable = "aes")]
#[inline]
fn aesdec(block: V, key: V) -> V {
    _mm_aesdec_si128(block, key)
}

#[target_feature(enable = "aes")]
#[inline]
fn aesdeclast(block: V, key: V) -> V {
    _mm_aesdeclast_si128(block, key)
}

/// Moves the bytes of the block up by `N`.
#[target_feature(enable = "sse2")]
#[inline]
fn shift_left<const N: i32>(block: V) -> V {
    _mm_bslli_si128::<N>(block)
}

#[target_feature(enable = "ssse3")]
#[inline]
fn reverse(block: V) -> V {
    _mm_shuffle_epi8(block, load(&REVERSE))
}

/// Fills the block with its last word, rotated by a byte.
#[target_feature(enable = "ssse3")]
#[inline]
fn rotated_last_word(block: V) -> V {
    _mm_shuffle_epi8(block, load(&ROTATED_LAST_WORD))
}

/// Fills the block with its last word.
#[target_feature(enable = "sse2")]
#[inline]
fn last_word(block: V) -> V {
    _mm_shuffle_epi32::<0xFF>(block)
}

/// One lane needs no multiple of the tweak.
#[target_feature(enable = "sse2")]
#[inline]
fn spread(tweak: V) -> V {
    tweak
}

/// Multiplies by x in GF(2^128) modulo x^128 + x^7 + x^2 + x + 1.
#[target_feature(enable = "sse2")]
#[inline]
fn next_masks(mask: V) -> V {
    // The top bit of each half, all over a word: the low one enters the high half, the high one is
    // reduced.
    let carry = _mm_shuffle_epi32::<0b01_01_01_11>(_mm_srai_epi32::<31>(mask));
    let carry = _mm_and_si128(carry, _mm_set_epi32(0, 1, 0, 0x87));
    xor(_mm_slli_epi64::<1>(mask), carry)
}

/// Loads one row: its first block and its second block.
#[target_feature(enable = "sse2")]
#[inline]
fn load_rows(bytes: &[u8; BYTES * 2]) -> (V, V) {
    let (halves, _) = bytes.as_chunks();
    match halves {
        [first, second] => (load(first), load(second)),
        _ => (zero(), zero()),
    }
}

/// Stores one row, given its first block and its second block.
#[target_feature(enable = "sse2")]
#[inline]
fn store_rows(first: V, second: V, bytes: &mut [u8; BYTES * 2]) {
    let (halves, _) = bytes.as_chunks_mut();
    if let [low, high] = halves {
        store(first, low);
        store(second, high);
    }
}
