//! One block in a register.

use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_add_epi64, _mm_aesdec_si128, _mm_aesdeclast_si128,
    _mm_aesenc_si128, _mm_aesenclast_si128, _mm_and_si128, _mm_bslli_si128, _mm_loadu_si128,
    _mm_setzero_si128, _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_srai_epi32, _mm_storeu_si128,
    _mm_xor_si128,
};

use super::algorithms::{RCON, REPEATED, REVERSE, ROTATED, words};

algorithms! {
    features: "aes,avx2",
    vector: __m128i,
    lanes: 1,
    tweaks: 8,
    zero: _mm_setzero_si128,
    xor: _mm_xor_si128,
    shuffle: _mm_shuffle_epi8,
    up_by: _mm_bslli_si128,
    enc: _mm_aesenc_si128,
    enc_last: _mm_aesenclast_si128,
    dec: _mm_aesdec_si128,
    dec_last: _mm_aesdeclast_si128,
}

#[target_feature(enable = "aes,avx2")]
#[inline]
fn load(bytes: &[u8; BYTES]) -> __m128i {
    // SAFETY: reads exactly the 16 bytes of the array, at any alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "aes,avx2")]
#[inline]
fn store(bytes: &mut [u8; BYTES], value: __m128i) {
    // SAFETY: writes exactly the 16 bytes of the array, at any alignment.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), value) }
}

#[target_feature(enable = "aes,avx2")]
#[inline]
fn all(bytes: &[u8; 16]) -> __m128i {
    load(bytes)
}

/// What a doubling adds: the carry out of the low half to the high one, and the polynomial to the
/// low one for the carry out of the top.
const CARRIES: [u8; 16] = [0x87, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];

/// Turns the tweak of a unit into the masks of its blocks, in the order of memory.
///
/// A mask is the one after it doubled. The top bits of the seven masks are those of the tweak from
/// bit 63 and bit 127 down, since what comes back stays below: one copy of the tweak, shifted along,
/// gives all the carries without waiting for the masks.
#[target_feature(enable = "aes,avx2")]
#[inline]
fn spread(tweak: &[u8; BYTES]) -> [__m128i; AT_ONCE] {
    let carries = load(&CARRIES);
    let mut mask = load(tweak);
    // Words 3, 3, 1, 1: the top bit of each half in the other half's place.
    let mut tops = _mm_shuffle_epi32::<0b01_01_11_11>(mask);
    let mut masks = [mask; AT_ONCE];
    for place in masks.iter_mut().rev() {
        *place = mask;
        let carried = _mm_and_si128(_mm_srai_epi32::<31>(tops), carries);
        tops = _mm_add_epi32(tops, tops);
        mask = _mm_xor_si128(_mm_add_epi64(mask, mask), carried);
    }
    masks
}

/// One row is one register pair already: its first and its second block.
#[target_feature(enable = "aes,avx2")]
#[inline]
fn split_rows([first, second]: [__m128i; 2]) -> [__m128i; 2] {
    [first, second]
}

#[target_feature(enable = "aes,avx2")]
#[inline]
fn join_rows([first, second]: [__m128i; 2]) -> [__m128i; 2] {
    [first, second]
}
