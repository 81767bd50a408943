//! Numbers modulo the two primes of P-256, in constant time.

use subtle::{Choice, ConditionallySelectable as _};

use crate::words::{self, WORD_LEN, Word};

/// Words of a number.
const WORDS: usize = 32 / WORD_LEN;

/// A number below 2^256, lowest word first.
pub(super) type Number = [Word; WORDS];

/// Zero.
pub(super) const ZERO: Number = [0; WORDS];

/// Puts a number together from words of 32 bits, lowest first.
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "evaluated by the compiler: what goes wrong does not compile"
)]
pub(super) const fn number(words: [u32; 8]) -> Number {
    let mut number = ZERO;
    let mut bit = 0;
    while bit < 256 {
        number[bit / Word::BITS as usize] |=
            (words[bit / 32] as Word) << (bit % Word::BITS as usize);
        bit += 32;
    }
    number
}

/// A number of 32 bits.
const fn small(word: u32) -> Number {
    number([word, 0, 0, 0, 0, 0, 0, 0])
}

/// A prime between 2^255 and 2^256.
pub(super) struct Modulus {
    m: Number,
    /// `-m^-1` modulo the first number that is longer than a word.
    m_prime: Word,
    /// `2^512 mod m`: takes a number into Montgomery form.
    r_squared: Number,
}

/// The prime of the field, `2^256 - 2^224 + 2^192 + 2^96 - 1`.
#[rustfmt::skip]
pub(super) static FIELD: Modulus = Modulus::new(
    [0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF, 0,
     0, 0, 1, 0xFFFF_FFFF],
    [3, 0, 0xFFFF_FFFF, 0xFFFF_FFFB,
     0xFFFF_FFFE, 0xFFFF_FFFF, 0xFFFF_FFFD, 4],
);

/// The order of the group, FIPS 186's `n`.
#[rustfmt::skip]
pub(super) static ORDER: Modulus = Modulus::new(
    [0xFC63_2551, 0xF3B9_CAC2, 0xA717_9E84, 0xBCE6_FAAD,
     0xFFFF_FFFF, 0xFFFF_FFFF, 0, 0xFFFF_FFFF],
    [0xBE79_EEA2, 0x8324_4C95, 0x49BD_6FA6, 0x4699_799C,
     0x2B6B_EC59, 0x2845_B239, 0xF3D9_5620, 0x66E1_2D94],
);

impl Modulus {
    /// Takes both numbers as words of 32 bits, lowest first.
    const fn new(m: [u32; 8], r_squared: [u32; 8]) -> Self {
        let m = number(m);
        let [lowest, ..] = m;
        Self {
            m,
            m_prime: words::negated_inverse(lowest),
            r_squared: number(r_squared),
        }
    }

    /// Reads a number, highest byte first; `None` unless it is below the modulus.
    pub(super) fn parse(&self, bytes: &[u8; 32]) -> Option<Number> {
        let number = from_be_bytes(bytes);
        let mut difference = number;
        (words::subtract(&mut difference, &self.m) == 1).then_some(number)
    }

    /// Reduces any number below 2^256: the modulus goes into it once at most.
    pub(super) fn reduced(&self, number: &Number) -> Number {
        self.subtracted_once(number, 0)
    }

    /// Takes a number below the modulus into Montgomery form.
    pub(super) fn enter(&self, number: &Number) -> Number {
        self.product(number, &self.r_squared)
    }

    /// Takes a number out of Montgomery form.
    pub(super) fn leave(&self, number: &Number) -> Number {
        self.product(number, &const { small(1) })
    }

    /// `a + b`.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(super) fn sum(&self, a: &Number, b: &Number) -> Number {
        let mut sum = *a;
        let carry = words::add(&mut sum, b);
        self.subtracted_once(&sum, carry)
    }

    /// `a - b`.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(super) fn difference(&self, a: &Number, b: &Number) -> Number {
        let mut difference = *a;
        let borrow = words::subtract(&mut difference, b);
        let mut corrected = difference;
        words::add(&mut corrected, &self.m);
        select(&difference, &corrected, borrow)
    }

    /// Montgomery product `a * b / 2^256`.
    #[inline(never)]
    pub(super) fn product(&self, a: &Number, b: &Number) -> Number {
        let mut sum = ZERO;
        let mut overflow = 0;
        for a in a {
            overflow = words::accumulate((&mut sum, overflow), *a, b, (&self.m, self.m_prime));
        }
        self.subtracted_once(&sum, overflow)
    }

    /// Inverse of a number in Montgomery form, `a^(m-2)` by Fermat; zero stays zero.
    #[inline(never)]
    pub(super) fn inverse(&self, a: &Number) -> Number {
        let mut exponent = self.m;
        words::subtract(&mut exponent, &const { small(2) });
        let mut power = self.leave(&self.r_squared);
        for bit in bits(&exponent) {
            power = self.product(&power, &power);
            // No secret: the exponent is the modulus less two.
            if bit == 1 {
                power = self.product(&power, a);
            }
        }
        power
    }

    /// Subtracts the modulus if the number, with `overflow` above it, is not below it.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn subtracted_once(&self, number: &Number, overflow: Word) -> Number {
        let mut difference = *number;
        let borrow = words::subtract(&mut difference, &self.m);
        select(&difference, number, borrow & !overflow)
    }
}

/// `first` for 0, `second` for 1.
#[cfg_attr(target_pointer_width = "32", inline(never))]
pub(super) fn select(first: &Number, second: &Number, which: Word) -> Number {
    let choice = Choice::from(u8::from(which == 1));
    let mut chosen = *first;
    for (word, second) in chosen.iter_mut().zip(second) {
        word.conditional_assign(second, choice);
    }
    chosen
}

/// The bits of a number, highest first.
pub(super) fn bits(number: &Number) -> impl Iterator<Item = Word> {
    let words = number.iter().rev();
    words.flat_map(|word| {
        (0..Word::BITS)
            .rev()
            .map(move |bit| word.wrapping_shr(bit) & 1)
    })
}

/// Reads a number, highest byte first.
pub(super) fn from_be_bytes(bytes: &[u8; 32]) -> Number {
    let mut number = ZERO;
    let words = bytes.as_chunks().0.iter().rev();
    number
        .iter_mut()
        .zip(words)
        .for_each(|(to, from)| *to = Word::from_be_bytes(*from));
    number
}

/// Writes a number, highest byte first.
pub(super) fn to_be_bytes(number: &Number) -> [u8; 32] {
    let mut bytes = [0; 32];
    let (places, _) = bytes.as_chunks_mut();
    places
        .iter_mut()
        .zip(number.iter().rev())
        .for_each(|(to, from)| *to = from.to_be_bytes());
    bytes
}
