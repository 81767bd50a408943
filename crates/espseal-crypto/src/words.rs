//! Arithmetic on numbers of any length, whose time depends on their length alone.
//!
//! What P-256 and the RSA verification of secure boot have in common. Numbers are words of 32 bits,
//! lowest word first; all numbers of one call have the same length.
//!
//! Source: P. Montgomery, Modular Multiplication Without Trial Division (1985); Handbook of Applied
//! Cryptography, algorithms 14.7, 14.9 and 14.36.

/// Adds and returns the carry.
#[inline(never)]
pub(crate) fn add(number: &mut [u32], other: &[u32]) -> u32 {
    let mut carry = 0;
    for (word, other) in number.iter_mut().zip(other) {
        (*word, carry) = multiply_add(1, *other, *word, carry);
    }
    carry
}

/// Subtracts and returns the borrow, 1 where `other` is the larger.
#[inline(never)]
pub(crate) fn subtract(number: &mut [u32], other: &[u32]) -> u32 {
    let mut borrow = 0;
    for (word, other) in number.iter_mut().zip(other) {
        let difference = u64::from(*word)
            .wrapping_sub(u64::from(*other))
            .wrapping_sub(u64::from(borrow));
        (*word, borrow) = halves(difference);
        borrow &= 1;
    }
    borrow
}

/// One step of a Montgomery product: `(sum + a * b + m * n) / 2^32`, where `m` makes the division
/// exact.
///
/// `m_prime` is `-n^-1 mod 2^32`; `overflow` is the word above `sum`, before and after.
#[inline(never)]
pub(crate) fn accumulate(
    (sum, overflow): (&mut [u32], u32),
    a: u32,
    b: &[u32],
    (n, m_prime): (&[u32], u32),
) -> u32 {
    let lowest = |number: &[u32]| number.first().copied().unwrap_or(0);
    let m = lowest(sum)
        .wrapping_add(a.wrapping_mul(lowest(b)))
        .wrapping_mul(m_prime);
    let (mut of_b, mut of_n) = (0, 0);
    // The word that a step computes goes to the place below: the lowest is zero and falls away.
    let mut below = &mut 0;
    for ((word, b), n) in sum.iter_mut().zip(b).zip(n) {
        let low;
        (low, of_b) = multiply_add(a, *b, *word, of_b);
        (*below, of_n) = multiply_add(m, *n, low, of_n);
        below = word;
    }
    let (high, first) = overflow.overflowing_add(of_b);
    let (high, second) = high.overflowing_add(of_n);
    *below = high;
    u32::from(first) | u32::from(second)
}

/// `-n^-1 mod 2^32` for the lowest word of an odd modulus.
///
/// Newton: each step doubles the number of correct low bits, from the 3 of `n * n = 1 mod 8`.
pub(crate) const fn negated_inverse(lowest: u32) -> u32 {
    let (mut inverse, mut step) = (lowest, 0_u32);
    while step < 4 {
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(lowest.wrapping_mul(inverse)));
        step = step.wrapping_add(1);
    }
    inverse.wrapping_neg()
}

/// `a * b + c + d` as low and high word; the sum cannot overflow 64 bits.
const fn multiply_add(a: u32, b: u32, c: u32, d: u32) -> (u32, u32) {
    halves(
        (a as u64)
            .wrapping_mul(b as u64)
            .wrapping_add(c as u64)
            .wrapping_add(d as u64),
    )
}

/// Low and high word.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the two words are what is asked for"
)]
const fn halves(number: u64) -> (u32, u32) {
    (number as u32, (number >> 32) as u32)
}
