//! Arithmetic on numbers of any length, whose time depends on their length alone.
//!
//! What P-256 and the RSA verification of secure boot have in common. Numbers are words, lowest word
//! first; all numbers of one call have the same length. A word has 32 bits on the chips and 64 on
//! hosts, where a product of the same number takes a quarter of the steps; `--cfg espseal_words="32"`
//! has a host compute as the chips do, for tests.
//!
//! Source: P. Montgomery, Modular Multiplication Without Trial Division (1985); Handbook of Applied
//! Cryptography, algorithms 14.7, 14.9 and 14.36.

/// A word, and a product of two.
#[cfg(all(target_pointer_width = "64", not(espseal_words = "32")))]
mod width {
    pub(crate) type Word = u64;
    pub(super) type Double = u128;
}
/// A word, and a product of two.
#[cfg(not(all(target_pointer_width = "64", not(espseal_words = "32"))))]
mod width {
    pub(crate) type Word = u32;
    pub(super) type Double = u64;
}

use width::Double;
pub(crate) use width::Word;

/// Bytes of a word.
pub(crate) const WORD_LEN: usize = size_of::<Word>();

/// Adds and returns the carry.
#[cfg_attr(target_pointer_width = "32", inline(never))]
pub(crate) fn add(number: &mut [Word], other: &[Word]) -> Word {
    let mut carry = 0;
    for (word, other) in number.iter_mut().zip(other) {
        (*word, carry) = multiply_add(1, *other, *word, carry);
    }
    carry
}

/// Subtracts and returns the borrow, 1 where `other` is the larger.
#[cfg_attr(target_pointer_width = "32", inline(never))]
pub(crate) fn subtract(number: &mut [Word], other: &[Word]) -> Word {
    let mut borrow: Word = 0;
    for (word, other) in number.iter_mut().zip(other) {
        let difference = Double::from(*word)
            .wrapping_sub(Double::from(*other))
            .wrapping_sub(Double::from(borrow));
        (*word, borrow) = halves(difference);
        borrow &= 1;
    }
    borrow
}

/// One step of a Montgomery product: `(sum + a * b + m * n) / 2^w` for words of `w` bits, where `m` makes the division
/// exact.
///
/// `m_prime` is `-n^-1 mod 2^w`; `overflow` is the word above `sum`, before and after.
#[cfg_attr(target_pointer_width = "32", inline(never))]
pub(crate) fn accumulate(
    (sum, overflow): (&mut [Word], Word),
    a: Word,
    b: &[Word],
    (n, m_prime): (&[Word], Word),
) -> Word {
    let lowest = |number: &[Word]| number.first().copied().unwrap_or(0);
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
    Word::from(first) | Word::from(second)
}

/// `-n^-1 mod 2^w` for the lowest word of an odd modulus.
///
/// Newton: each step doubles the number of correct low bits, from the 3 of `n * n = 1 mod 8`.
pub(crate) const fn negated_inverse(lowest: Word) -> Word {
    let (mut inverse, mut step) = (lowest, 0_u32);
    while step < 5 {
        inverse = inverse.wrapping_mul((2 as Word).wrapping_sub(lowest.wrapping_mul(inverse)));
        step = step.wrapping_add(1);
    }
    inverse.wrapping_neg()
}

/// `a * b + c + d` as low and high word; the sum cannot overflow two words.
const fn multiply_add(a: Word, b: Word, c: Word, d: Word) -> (Word, Word) {
    halves(
        (a as Double)
            .wrapping_mul(b as Double)
            .wrapping_add(c as Double)
            .wrapping_add(d as Double),
    )
}

/// Low and high word.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the two words are what is asked for"
)]
const fn halves(number: Double) -> (Word, Word) {
    (number as Word, (number >> Word::BITS) as Word)
}
