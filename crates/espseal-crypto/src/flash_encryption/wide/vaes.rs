//! Four blocks in a register.

use core::arch::x86_64::{
    __m512i, _mm_loadu_si128, _mm512_aesdec_epi128, _mm512_aesdeclast_epi128, _mm512_aesenc_epi128,
    _mm512_aesenclast_epi128, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_bslli_epi128,
    _mm512_loadu_si512, _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_shuffle_epi32,
    _mm512_shuffle_i64x2, _mm512_slli_epi64, _mm512_sllv_epi64, _mm512_srlv_epi64,
    _mm512_storeu_si512, _mm512_xor_si512,
};

use super::algorithms::{RCON, REPEATED, REVERSE, ROTATED, words};

algorithms! {
    features: "aes,avx2,vaes,avx512f,avx512bw",
    vector: __m512i,
    lanes: 4,
    tweaks: 4,
    zero: _mm512_setzero_si512,
    xor: _mm512_xor_si512,
    shuffle: _mm512_shuffle_epi8,
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

/// Registers in which one XTS unit stands.
const IN_UNIT: usize = 2;

/// Turns the tweaks of a few units into the masks of their blocks, in the order of memory.
#[target_feature(enable = "aes,avx2,vaes,avx512f,avx512bw")]
#[inline]
fn spread(tweaks: &[u8; BYTES]) -> [__m512i; AT_ONCE] {
    // Within a register, the last lane is the earliest block.
    let mut within = [[0; BYTES]; 2];
    let [left, right] = &mut within;
    let (left, right) = (left.as_chunks_mut().0, right.as_chunks_mut().0);
    for ((left, right), power) in left.iter_mut().zip(right).rev().zip(0..) {
        [*left, *right] = shift_by(power);
    }
    let within = within.map(|sides| load(&sides));
    let across = shift_by(4).map(|side| all(&side));
    let mut masks = [_mm512_setzero_si512(); AT_ONCE];
    let (units, _) = masks.as_chunks_mut::<IN_UNIT>();
    let (tweaks, _) = tweaks.as_chunks::<16>();
    for (unit, tweak) in units.iter_mut().zip(tweaks) {
        let mut mask = times_alpha(all(tweak), within);
        for place in unit.iter_mut().rev() {
            *place = mask;
            mask = times_alpha(mask, across);
        }
    }
    masks
}

/// Multiplies each lane by a power of alpha, given as `shift_by` gives it.
#[target_feature(enable = "aes,avx2,vaes,avx512f,avx512bw")]
#[inline]
fn times_alpha(value: __m512i, [left, right]: [__m512i; 2]) -> __m512i {
    let low_half = all(&u128::from(u64::MAX).to_le_bytes());
    // The low half gets what leaves at the top, the high half what leaves the low one.
    let carried = _mm512_srlv_epi64(_mm512_shuffle_epi32::<0x4E>(value), right);
    let out = _mm512_and_si512(carried, low_half);
    let reduced = _mm512_xor_si512(
        _mm512_xor_si512(_mm512_slli_epi64::<1>(out), _mm512_slli_epi64::<2>(out)),
        _mm512_slli_epi64::<7>(out),
    );
    _mm512_xor_si512(
        _mm512_xor_si512(_mm512_sllv_epi64(value, left), carried),
        reduced,
    )
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

/// How far the two halves of a lane shift for `alpha^power`: left, and what comes over from the right.
const fn shift_by(power: u64) -> [[u8; 16]; 2] {
    let right = 64_u64.saturating_sub(power);
    [twice(power), twice(right)]
}

/// A number in both halves of a lane.
const fn twice(value: u64) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    [a, b, c, d, e, f, g, h, a, b, c, d, e, f, g, h]
}
