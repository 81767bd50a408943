//! Arithmetic modulo a 3072-bit odd number, in Montgomery form, for numbers that are public.
//!
//! Variable time, and written for size: one multiplication serves the power, the square and the
//! number `R` that a signature block carries. `crypto-bigint` does the same in 19 KB of a device's
//! flash and 6 KB of its stack, since its constant-time windows, Karatsuba steps and inversions
//! come as instances for each length; tests compare with it.
//!
//! Numbers are 96 words of 32 bits (48 of 64 on hosts), lowest word first.
//!
//! Source: Handbook of Applied Cryptography, algorithms 14.36 and 14.94.

use super::RSA_LEN;
use crate::words::{self, WORD_LEN, Word};

/// Words of a number.
pub(super) const WORDS: usize = RSA_LEN / WORD_LEN;

/// A number below 2^3072.
pub(super) type Number = [Word; WORDS];

/// An odd modulus of exactly 3072 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Modulus {
    n: Number,
    /// `-n^-1` modulo the first number that is longer than a word.
    m_prime: Word,
}

impl Modulus {
    /// Takes a modulus; `None` unless it is odd and its highest bit is set.
    pub(super) fn new(n: Number) -> Option<Self> {
        let ([low, ..], [.., high]) = (n, n);
        if low & 1 == 0 || high.leading_zeros() > 0 {
            return None;
        }
        Some(Self {
            n,
            m_prime: words::negated_inverse(low),
        })
    }

    pub(super) const fn number(&self) -> &Number {
        &self.n
    }

    /// `-n^-1 mod 2^32`, as a signature block carries it.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low half is what is asked for"
    )]
    pub(super) const fn m_prime(&self) -> u32 {
        self.m_prime as u32
    }

    /// Whether `number` is below the modulus.
    pub(super) fn exceeds(&self, number: &Number) -> bool {
        number.iter().rev().lt(self.n.iter().rev())
    }

    /// `2^6144 mod n`.
    ///
    /// Starts with `2^3072 mod n`, which is one subtraction away because the highest bit of the
    /// modulus is set; 96 doublings make `2^3072 * 2^96`, five Montgomery squares double the second
    /// exponent five times, up to 3072.
    pub(super) fn r_squared(&self) -> Number {
        let mut power = [0; WORDS];
        self.subtract_from(&mut power);
        for _ in 0..96 {
            let carry = double(&mut power);
            self.reduce(&mut power, carry);
        }
        for _ in 0..5 {
            self.square(&mut power);
        }
        power
    }

    /// Montgomery product `number * factor / 2^3072 mod n`, in place, of numbers below the modulus
    /// (14.36): on a device's stack every number counts.
    pub(super) fn multiply(&self, number: &mut Number, factor: &Number) {
        self.multiply_by(number, Some(factor));
    }

    /// As [`multiply`](Self::multiply) by the number itself.
    pub(super) fn square(&self, number: &mut Number) {
        self.multiply_by(number, None);
    }

    #[inline(never)]
    fn multiply_by(&self, number: &mut Number, factor: Option<&Number>) {
        let mut sum = [0; WORDS];
        let mut overflow = 0;
        let factor = factor.unwrap_or(number);
        for word in &*number {
            let modulus = (&self.n[..], self.m_prime);
            overflow = words::accumulate((&mut sum, overflow), *word, factor, modulus);
        }
        self.reduce(&mut sum, overflow);
        *number = sum;
    }

    /// Subtracts the modulus once if the number, with `overflow` above it, is not below it.
    fn reduce(&self, number: &mut Number, overflow: Word) {
        if overflow != 0 || !self.exceeds(number) {
            self.subtract_from(number);
        }
    }

    /// `number - n mod 2^3072`.
    fn subtract_from(&self, number: &mut Number) {
        words::subtract(number, &self.n);
    }
}

/// Doubles a number and returns the bit that falls out.
fn double(number: &mut Number) -> Word {
    let mut carry = 0;
    for word in number {
        let out = *word >> (Word::BITS - 1);
        *word = (*word << 1) | carry;
        carry = out;
    }
    carry
}

/// Reads a number, lowest byte first.
pub(super) fn from_le_bytes(bytes: &[u8; RSA_LEN]) -> Number {
    let mut number = [0; WORDS];
    let words = bytes.as_chunks().0;
    number
        .iter_mut()
        .zip(words)
        .for_each(|(to, from)| *to = Word::from_le_bytes(*from));
    number
}

/// Reads a number, highest byte first.
pub(super) fn from_be_bytes(bytes: &[u8; RSA_LEN]) -> Number {
    let mut number = [0; WORDS];
    let words = bytes.as_chunks().0.iter().rev();
    number
        .iter_mut()
        .zip(words)
        .for_each(|(to, from)| *to = Word::from_be_bytes(*from));
    number
}

/// Whether a number is that which the bytes are, lowest byte first.
pub(super) fn is_le_bytes(number: &Number, bytes: &[u8; RSA_LEN]) -> bool {
    let words = bytes.as_chunks().0;
    number
        .iter()
        .zip(words)
        .all(|(word, bytes)| *word == Word::from_le_bytes(*bytes))
}

/// Writes a number, highest byte first.
pub(super) fn to_be_bytes(number: &Number) -> [u8; RSA_LEN] {
    let mut bytes = [0; RSA_LEN];
    let (places, _) = bytes.as_chunks_mut();
    places
        .iter_mut()
        .zip(number.iter().rev())
        .for_each(|(to, from)| *to = from.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    extern crate std;

    use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
    use crypto_bigint::{Odd, U3072};
    use rand_core::Rng as _;

    use super::*;
    use crate::test_rng::TestRng;

    fn big(number: &Number) -> U3072 {
        U3072::from_be_slice(&to_be_bytes(number))
    }

    fn random_word(rng: &mut TestRng) -> Word {
        let mut bytes = [0; WORD_LEN];
        rng.fill_bytes(&mut bytes);
        Word::from_le_bytes(bytes)
    }

    fn product(modulus: &Modulus, a: &Number, b: &Number) -> Number {
        let mut product = *a;
        modulus.multiply(&mut product, b);
        product
    }

    /// Random numbers, and those with long runs of ones and zeros, where carries travel far.
    fn numbers(rng: &mut TestRng) -> [Number; 8] {
        let mut numbers = [[0; WORDS]; 8];
        for (kind, number) in numbers.iter_mut().enumerate() {
            for word in number.iter_mut() {
                *word = match (kind, random_word(rng)) {
                    (0..4, random) => random,
                    (_, random) if random % 8 == 0 => random,
                    (4 | 5, _) => Word::MAX,
                    _ => 0,
                };
            }
        }
        numbers
    }

    #[test]
    fn products_and_r_squared_are_those_of_crypto_bigint() {
        let mut rng = TestRng::new(0x3072);
        let mut compared = 0;
        for mut n in (0..8)
            .flat_map(|_| numbers(&mut rng))
            .collect::<std::vec::Vec<_>>()
        {
            n[0] |= 1;
            n[WORDS - 1] |= 1 << (Word::BITS - 1);
            let modulus = Modulus::new(n).unwrap();
            let params = FixedMontyParams::new_vartime(Odd::new(big(&n)).unwrap());
            assert_eq!(big(&modulus.r_squared()), *params.r2());
            let below: std::vec::Vec<_> = numbers(&mut rng)
                .into_iter()
                .filter(|number| modulus.exceeds(number))
                .collect();
            for a in &below {
                for b in &below {
                    let [x, y] = [a, b].map(|x| FixedMontyForm::from_montgomery(big(x), &params));
                    let product = product(&modulus, a, b);
                    assert_eq!(big(&product), *(x * y).as_montgomery());
                    compared += 1;
                }
            }
        }
        std::println!("{compared} products compared");
        assert!(compared > 1000);
    }

    #[test]
    fn the_largest_factors_under_the_largest_modulus_do_not_overflow() {
        let n = [Word::MAX; WORDS];
        let modulus = Modulus::new(n).unwrap();
        let mut highest = n;
        highest[0] -= 1;
        // -1 * -1 = 1, and 2^3072 is 1 modulo 2^3072 - 1.
        let mut one = [0; WORDS];
        one[0] = 1;
        assert_eq!(product(&modulus, &highest, &highest), one);
        modulus.square(&mut highest);
        assert_eq!(highest, one);
        assert!(!modulus.exceeds(&n));
    }

    #[test]
    fn even_and_short_moduli_are_refused() {
        let mut n = [0; WORDS];
        n[WORDS - 1] = 1 << (Word::BITS - 1);
        assert_eq!(Modulus::new(n), None);
        n[0] = 1;
        assert!(Modulus::new(n).is_some());
        n[WORDS - 1] = Word::MAX >> 1;
        assert_eq!(Modulus::new(n), None);
    }
}
