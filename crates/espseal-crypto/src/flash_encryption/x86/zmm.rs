//! Four blocks at a time: AVX-512 with VAES.

use core::arch::x86_64::{
    __m512i, _mm_loadu_si128, _mm512_aesdec_epi128, _mm512_aesdeclast_epi128, _mm512_aesenc_epi128,
    _mm512_aesenclast_epi128, _mm512_broadcast_i32x4, _mm512_bslli_epi128, _mm512_loadu_si512,
    _mm512_set_epi64, _mm512_set1_epi32, _mm512_set1_epi64, _mm512_setzero_si512,
    _mm512_shuffle_epi8, _mm512_shuffle_epi32, _mm512_shuffle_i64x2, _mm512_sllv_epi64,
    _mm512_srlv_epi64, _mm512_storeu_si512, _mm512_ternarylogic_epi64, _mm512_xor_si512,
};

use super::prelude::*;

pub(super) type V = __m512i;
const LANES: usize = 4;

super::kernels::kernels!("avx512f,avx512bw,vaes", 4);

#[target_feature(enable = "avx512f")]
#[inline]
fn zero() -> V {
    _mm512_setzero_si512()
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(bytes: &[u8; BYTES]) -> V {
    // SAFETY: `bytes` is a live reference to as many bytes as are read; they need no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store(vector: V, bytes: &mut [u8; BYTES]) {
    // SAFETY: `bytes` is a live reference to as many bytes as are written; they need no alignment.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), vector) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn broadcast(block: &Block) -> V {
    // SAFETY: `block` is a live reference to as many bytes as are read; they need no alignment.
    _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(block.as_ptr().cast()) })
}

/// Fills the first byte of every word.
#[target_feature(enable = "avx512f")]
#[inline]
fn word(byte: u8) -> V {
    _mm512_set1_epi32(i32::from(byte))
}

#[target_feature(enable = "avx512f")]
#[inline]
fn xor(a: V, b: V) -> V {
    _mm512_xor_si512(a, b)
}

#[target_feature(enable = "avx512f,vaes")]
#[inline]
fn aesenc(block: V, key: V) -> V {
    _mm512_aesenc_epi128(block, key)
}

#[target_feature(enable = "avx512f,vaes")]
#[inline]
fn aesenclast(block: V, key: V) -> V {
    _mm512_aesenclast_epi128(block, key)
}

#[target_feature(enable = "avx512f,vaes")]
#[inline]
fn aesdec(block: V, key: V) -> V {
    _mm512_aesdec_epi128(block, key)
}

#[target_feature(enable = "avx512f,vaes")]
#[inline]
fn aesdeclast(block: V, key: V) -> V {
    _mm512_aesdeclast_epi128(block, key)
}

/// Moves the bytes of each block up by `N`.
#[target_feature(enable = "avx512bw")]
#[inline]
fn shift_left<const N: i32>(block: V) -> V {
    _mm512_bslli_epi128::<N>(block)
}

#[target_feature(enable = "avx512bw")]
#[inline]
fn reverse(block: V) -> V {
    _mm512_shuffle_epi8(block, broadcast(&REVERSE))
}

/// Fills each block with its last word, rotated by a byte.
#[target_feature(enable = "avx512bw")]
#[inline]
fn rotated_last_word(block: V) -> V {
    _mm512_shuffle_epi8(block, broadcast(&ROTATED_LAST_WORD))
}

/// Fills each block with its last word.
#[target_feature(enable = "avx512f")]
#[inline]
fn last_word(block: V) -> V {
    _mm512_shuffle_epi32::<0xFF>(block)
}

/// Multiplies the lanes by 1, x, x^2 and x^3, from the last lane to the first.
#[target_feature(enable = "avx512f")]
#[inline]
fn spread(tweak: V) -> V {
    let left = _mm512_set_epi64(0, 0, 1, 1, 2, 2, 3, 3);
    let right = _mm512_set_epi64(64, 64, 63, 63, 62, 62, 61, 61);
    multiply(tweak, left, right)
}

/// Multiplies every lane by x^4.
#[target_feature(enable = "avx512f")]
#[inline]
fn next_masks(mask: V) -> V {
    multiply(mask, _mm512_set1_epi64(4), _mm512_set1_epi64(60))
}

/// Multiplies by x^`left` in GF(2^128) modulo x^128 + x^7 + x^2 + x + 1; `right` is 64 - `left`.
#[target_feature(enable = "avx512f")]
#[inline]
fn multiply(value: V, left: V, right: V) -> V {
    const XOR3: i32 = 0x96;
    // What leaves a half: from the low one it enters the high one, from the high one it is reduced.
    let carry = _mm512_shuffle_epi32::<0b01_00_11_10>(_mm512_srlv_epi64(value, right));
    // Shifts by 64 clear the high halves.
    let by_1 = _mm512_sllv_epi64(carry, _mm512_set_epi64(64, 1, 64, 1, 64, 1, 64, 1));
    let by_2 = _mm512_sllv_epi64(carry, _mm512_set_epi64(64, 2, 64, 2, 64, 2, 64, 2));
    let by_7 = _mm512_sllv_epi64(carry, _mm512_set_epi64(64, 7, 64, 7, 64, 7, 64, 7));
    let shifted = _mm512_sllv_epi64(value, left);
    let sum = _mm512_ternarylogic_epi64::<XOR3>(shifted, carry, by_1);
    _mm512_ternarylogic_epi64::<XOR3>(sum, by_2, by_7)
}

/// Loads four rows: their first blocks, and their second blocks.
#[target_feature(enable = "avx512f")]
#[inline]
fn load_rows(bytes: &[u8; BYTES * 2]) -> (V, V) {
    let (halves, _) = bytes.as_chunks();
    match halves {
        [low, high] => {
            let (low, high) = (load(low), load(high));
            (
                _mm512_shuffle_i64x2::<0b10_00_10_00>(low, high),
                _mm512_shuffle_i64x2::<0b11_01_11_01>(low, high),
            )
        }
        _ => (zero(), zero()),
    }
}

/// Stores four rows, given their first blocks and their second blocks.
#[target_feature(enable = "avx512f")]
#[inline]
fn store_rows(first: V, second: V, bytes: &mut [u8; BYTES * 2]) {
    let (halves, _) = bytes.as_chunks_mut();
    if let [low, high] = halves {
        let low_rows = _mm512_shuffle_i64x2::<0b01_00_01_00>(first, second);
        let high_rows = _mm512_shuffle_i64x2::<0b11_10_11_10>(first, second);
        store(
            _mm512_shuffle_i64x2::<0b11_01_10_00>(low_rows, low_rows),
            low,
        );
        store(
            _mm512_shuffle_i64x2::<0b11_01_10_00>(high_rows, high_rows),
            high,
        );
    }
}
