//! Four blocks in a register.

use core::arch::x86_64::{
    __m512i, _mm_loadu_si128, _mm512_aesdec_epi128, _mm512_aesdeclast_epi128, _mm512_aesenc_epi128,
    _mm512_aesenclast_epi128, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_bslli_epi128,
    _mm512_loadu_si512, _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_shuffle_epi32,
    _mm512_shuffle_i64x2, _mm512_slli_epi64, _mm512_sllv_epi64, _mm512_srlv_epi64,
    _mm512_storeu_si512, _mm512_xor_si512,
};

use super::algorithms::{RCON, REPEATED, REVERSE, ROTATED, shift_by, words};

algorithms! {
    features: "aes,avx2,vaes,avx512f,avx512bw",
    vector: __m512i,
    lanes: 4,
    zero: _mm512_setzero_si512,
    xor: _mm512_xor_si512,
    and: _mm512_and_si512,
    shuffle: _mm512_shuffle_epi8,
    swap: _mm512_shuffle_epi32,
    left: _mm512_sllv_epi64,
    right: _mm512_srlv_epi64,
    left_by: _mm512_slli_epi64,
    up_by: _mm512_bslli_epi128,
    enc: _mm512_aesenc_epi128,
    enc_last: _mm512_aesenclast_epi128,
    dec: _mm512_aesdec_epi128,
    dec_last: _mm512_aesdeclast_epi128,
}

#[target_feature(enable = "aes,avx2,vaes,avx512f,avx512bw")]
#[inline]
fn load(bytes: &[u8; BYTES]) -> __m512i {
    // SAFETY: reads exactly the 64 bytes of the array, at any alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "aes,avx2,vaes,avx512f,avx512bw")]
#[inline]
fn store(bytes: &mut [u8; BYTES], value: __m512i) {
    // SAFETY: writes exactly the 64 bytes of the array, at any alignment.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), value) }
}

#[target_feature(enable = "aes,avx2,vaes,avx512f,avx512bw")]
#[inline]
fn all(bytes: &[u8; 16]) -> __m512i {
    // SAFETY: reads exactly the 16 bytes of the array, at any alignment.
    _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

/// From `A0 B0 A1 B1`, `A2 B2 A3 B3` to the first blocks of the four rows, `A0 A1 A2 A3`, and the
/// second blocks.
#[target_feature(enable = "aes,avx2,vaes,avx512f,avx512bw")]
#[inline]
fn split_rows([first, second]: [__m512i; 2]) -> [__m512i; 2] {
    [
        _mm512_shuffle_i64x2::<0b10_00_10_00>(first, second),
        _mm512_shuffle_i64x2::<0b11_01_11_01>(first, second),
    ]
}

/// The reverse of [`split_rows`].
#[target_feature(enable = "aes,avx2,vaes,avx512f,avx512bw")]
#[inline]
fn join_rows([first, second]: [__m512i; 2]) -> [__m512i; 2] {
    // A0 A1 B0 B1 and A2 A3 B2 B3, then the two in the middle change places.
    let lower = _mm512_shuffle_i64x2::<0b01_00_01_00>(first, second);
    let upper = _mm512_shuffle_i64x2::<0b11_10_11_10>(first, second);
    [
        _mm512_shuffle_i64x2::<0b11_01_10_00>(lower, lower),
        _mm512_shuffle_i64x2::<0b11_01_10_00>(upper, upper),
    ]
}
