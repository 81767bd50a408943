//! Two blocks at a time: AVX2 with VAES.

use core::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_aesdec_epi128, _mm256_aesdeclast_epi128, _mm256_aesenc_epi128,
    _mm256_aesenclast_epi128, _mm256_broadcastsi128_si256, _mm256_bslli_epi128, _mm256_loadu_si256,
    _mm256_permute2x128_si256, _mm256_set_epi64x, _mm256_set1_epi32, _mm256_set1_epi64x,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_shuffle_epi32, _mm256_sllv_epi64,
    _mm256_srlv_epi64, _mm256_storeu_si256, _mm256_xor_si256,
};

use super::prelude::*;

pub(super) type V = __m256i;
const LANES: usize = 2;

super::kernels::kernels!("avx2,vaes", 4);

#[target_feature(enable = "avx2")]
#[inline]
fn zero() -> V {
    _mm256_setzero_si256()
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(bytes: &[u8; BYTES]) -> V {
    // SAFETY: `bytes` is a live reference to as many bytes as are read; they need no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store(vector: V, bytes: &mut [u8; BYTES]) {
    // SAFETY: `bytes` is a live reference to as many bytes as are written; they need no alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), vector) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn broadcast(block: &Block) -> V {
    // SAFETY: `block` is a live reference to as many bytes as are read; they need no alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(block.as_ptr().cast()) })
}

/// Fills the first byte of every word.
#[target_feature(enable = "avx2")]
#[inline]
fn word(byte: u8) -> V {
    _mm256_set1_epi32(i32::from(byte))
}

#[target_feature(enable = "avx2")]
#[inline]
fn xor(a: V, b: V) -> V {
    _mm256_xor_si256(a, b)
}

#[target_feature(enable = "avx2,vaes")]
#[inline]
fn aesenc(block: V, key: V) -> V {
    _mm256_aesenc_epi128(block, key)
}

#[target_feature(enable = "avx2,vaes")]
#[inline]
fn aesenclast(block: V, key: V) -> V {
    _mm256_aesenclast_epi128(block, key)
}

#[target_feature(enable = "avx2,vaes")]
#[inline]
fn aesdec(block: V, key: V) -> V {
    _mm256_aesdec_epi128(block, key)
}

#[target_feature(enable = "avx2,vaes")]
#[inline]
fn aesdeclast(block: V, key: V) -> V {
    _mm256_aesdeclast_epi128(block, key)
}

/// Moves the bytes of each block up by `N`.
#[target_feature(enable = "avx2")]
#[inline]
fn shift_left<const N: i32>(block: V) -> V {
    _mm256_bslli_epi128::<N>(block)
}

#[target_feature(enable = "avx2")]
#[inline]
fn reverse(block: V) -> V {
    _mm256_shuffle_epi8(block, broadcast(&REVERSE))
}

/// Fills each block with its last word, rotated by a byte.
#[target_feature(enable = "avx2")]
#[inline]
fn rotated_last_word(block: V) -> V {
    _mm256_shuffle_epi8(block, broadcast(&ROTATED_LAST_WORD))
}

/// Fills each block with its last word.
#[target_feature(enable = "avx2")]
#[inline]
fn last_word(block: V) -> V {
    _mm256_shuffle_epi32::<0xFF>(block)
}

/// Multiplies the first lane by x.
#[target_feature(enable = "avx2")]
#[inline]
fn spread(tweak: V) -> V {
    let left = _mm256_set_epi64x(0, 0, 1, 1);
    let right = _mm256_set_epi64x(64, 64, 63, 63);
    multiply(tweak, left, right)
}

/// Multiplies every lane by x^2.
#[target_feature(enable = "avx2")]
#[inline]
fn next_masks(mask: V) -> V {
    multiply(mask, _mm256_set1_epi64x(2), _mm256_set1_epi64x(62))
}

/// Multiplies by x^`left` in GF(2^128) modulo x^128 + x^7 + x^2 + x + 1; `right` is 64 - `left`.
#[target_feature(enable = "avx2")]
#[inline]
fn multiply(value: V, left: V, right: V) -> V {
    // What leaves a half: from the low one it enters the high one, from the high one it is reduced.
    let carry = _mm256_shuffle_epi32::<0b01_00_11_10>(_mm256_srlv_epi64(value, right));
    // Shifts by 64 clear the high halves.
    let by_1 = _mm256_sllv_epi64(carry, _mm256_set_epi64x(64, 1, 64, 1));
    let by_2 = _mm256_sllv_epi64(carry, _mm256_set_epi64x(64, 2, 64, 2));
    let by_7 = _mm256_sllv_epi64(carry, _mm256_set_epi64x(64, 7, 64, 7));
    let shifted = _mm256_sllv_epi64(value, left);
    xor(xor(xor(shifted, carry), xor(by_1, by_2)), by_7)
}

/// Loads two rows: their first blocks, and their second blocks.
#[target_feature(enable = "avx2")]
#[inline]
fn load_rows(bytes: &[u8; BYTES * 2]) -> (V, V) {
    let (halves, _) = bytes.as_chunks();
    match halves {
        [low, high] => from_rows(load(low), load(high)),
        _ => (zero(), zero()),
    }
}

/// Stores two rows, given their first blocks and their second blocks.
#[target_feature(enable = "avx2")]
#[inline]
fn store_rows(first: V, second: V, bytes: &mut [u8; BYTES * 2]) {
    let (halves, _) = bytes.as_chunks_mut();
    if let [low, high] = halves {
        let (low_row, high_row) = from_rows(first, second);
        store(low_row, low);
        store(high_row, high);
    }
}

/// Transposes two by two blocks.
#[target_feature(enable = "avx2")]
#[inline]
fn from_rows(low: V, high: V) -> (V, V) {
    (
        _mm256_permute2x128_si256::<0x20>(low, high),
        _mm256_permute2x128_si256::<0x31>(low, high),
    )
}
