//! One block in a register.

use core::arch::x86_64::{
    __m128i, _mm_aesdec_si128, _mm_aesdeclast_si128, _mm_aesenc_si128, _mm_aesenclast_si128,
    _mm_and_si128, _mm_bslli_si128, _mm_loadu_si128, _mm_setzero_si128, _mm_shuffle_epi8,
    _mm_shuffle_epi32, _mm_slli_epi64, _mm_sllv_epi64, _mm_srlv_epi64, _mm_storeu_si128,
    _mm_xor_si128,
};

use super::algorithms::{RCON, REPEATED, REVERSE, ROTATED, shift_by, words};

algorithms! {
    features: "aes,avx2",
    vector: __m128i,
    lanes: 1,
    zero: _mm_setzero_si128,
    xor: _mm_xor_si128,
    and: _mm_and_si128,
    shuffle: _mm_shuffle_epi8,
    swap: _mm_shuffle_epi32,
    left: _mm_sllv_epi64,
    right: _mm_srlv_epi64,
    left_by: _mm_slli_epi64,
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
