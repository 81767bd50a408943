//! Points of P-256 in projective coordinates, with complete addition.
//!
//! Complete formulas have no exceptions: they double, they take the point at infinity, and so they
//! need no branch that would tell a secret.
//!
//! Source: J. Renes, C. Costello, L. Batina, Complete addition formulas for prime order elliptic
//! curves (2015), algorithm 4.

use super::modular::{self, FIELD, Number, ZERO, number, select};
use super::scalar::Scalar;
use crate::words::Word;

/// A point `(x/z, y/z)`; coordinates in Montgomery form. `z` is zero at infinity.
#[derive(Clone, Copy)]
pub(crate) struct Point {
    x: Number,
    y: Number,
    z: Number,
}

/// One, in Montgomery form like all below.
#[rustfmt::skip]
const ONE: Number = number([
    1, 0, 0, 0xFFFF_FFFF,
    0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFE, 0,
]);
/// The coefficient `b` of the curve.
#[rustfmt::skip]
const B: Number = number([
    0x29C4_BDDF, 0xD89C_DF62, 0x7884_3090, 0xACF0_05CD,
    0xF721_2ED6, 0xE5A2_20AB, 0x0487_4834, 0xDC30_061D,
]);

impl Point {
    /// The neutral element.
    const INFINITY: Self = Self {
        x: ZERO,
        y: ONE,
        z: ZERO,
    };

    /// The base point `G`.
    #[rustfmt::skip]
    pub(crate) const GENERATOR: Self = Self {
        x: number([0x18A9_143C, 0x79E7_30D4, 0x5FED_B601, 0x75BA_95FC,
            0x7762_2510, 0x79FB_732B, 0xA537_55C6, 0x1890_5F76]),
        y: number([0xCE95_560A, 0xDDF2_5357, 0xBA19_E45C, 0x8B4A_B8E4,
            0xDD21_F325, 0xD2E8_8688, 0x2588_5D85, 0x8571_FF18]),
        z: ONE,
    };

    /// Takes coordinates, big-endian; `None` unless they are below the prime and on the curve.
    #[inline(never)]
    pub(crate) fn from_coordinates(x: &[u8; 32], y: &[u8; 32]) -> Option<Self> {
        let x = FIELD.enter(&FIELD.parse(x)?);
        let y = FIELD.enter(&FIELD.parse(y)?);
        // y^2 = x^3 - 3x + b
        let three = plus(&plus(&ONE, &ONE), &ONE);
        let right = plus(&times(&x, &minus(&times(&x, &x), &three)), &B);
        (times(&y, &y) == right).then_some(Self { x, y, z: ONE })
    }

    /// Returns the coordinates, big-endian; zeros at infinity.
    #[inline(never)]
    pub(crate) fn coordinates(&self) -> [[u8; 32]; 2] {
        let inverse = FIELD.inverse(&self.z);
        [&self.x, &self.y].map(|coordinate| {
            let affine = times(coordinate, &inverse);
            modular::to_be_bytes(&FIELD.leave(&affine))
        })
    }

    /// `scalar * self`, in constant time.
    pub(crate) fn multiple(&self, scalar: &Scalar) -> Self {
        Self::combination([(scalar, self), (&Scalar::ZERO, &Self::INFINITY)])
    }

    /// `a * p + b * q`, in constant time (Shamir's trick: both numbers on one way).
    #[inline(never)]
    pub(crate) fn combination([(a, p), (b, q)]: [(&Scalar, &Self); 2]) -> Self {
        let both = p.plus(q);
        let mut result = Self::INFINITY;
        for (of_p, of_q) in a.bits().zip(b.bits()) {
            let if_q = Self::select([&Self::INFINITY, q], of_q);
            let if_p = Self::select([p, &both], of_q);
            let addend = Self::select([&if_q, &if_p], of_p);
            result = result.plus(&result).plus(&addend);
        }
        result
    }

    /// The complete addition.
    #[inline(never)]
    fn plus(&self, other: &Self) -> Self {
        let [xx, yy, zz] = [
            times(&self.x, &other.x),
            times(&self.y, &other.y),
            times(&self.z, &other.z),
        ];
        // (a1 + b1)(a2 + b2) - (a1 a2 + b1 b2)
        let cross = |a1: &Number, b1: &Number, a2: &Number, b2: &Number, sum: &Number| {
            minus(&times(&plus(a1, b1), &plus(a2, b2)), sum)
        };
        let xy = cross(&self.x, &self.y, &other.x, &other.y, &plus(&xx, &yy));
        let yz = cross(&self.y, &self.z, &other.y, &other.z, &plus(&yy, &zz));
        let xz = cross(&self.x, &self.z, &other.x, &other.z, &plus(&xx, &zz));
        let thrice = |number: &Number| plus(&plus(number, number), number);
        let u = thrice(&minus(&xz, &times(&B, &zz)));
        let (low, high) = (minus(&yy, &u), plus(&yy, &u));
        let zz = thrice(&zz);
        let v = thrice(&minus(&minus(&times(&B, &xz), &zz), &xx));
        let w = minus(&thrice(&xx), &zz);
        Self {
            x: minus(&times(&xy, &high), &times(&yz, &v)),
            y: plus(&times(&high, &low), &times(&w, &v)),
            z: plus(&times(&yz, &low), &times(&xy, &w)),
        }
    }

    /// The first for 0, the second for 1.
    fn select([first, second]: [&Self; 2], which: Word) -> Self {
        Self {
            x: select(&first.x, &second.x, which),
            y: select(&first.y, &second.y, which),
            z: select(&first.z, &second.z, which),
        }
    }
}

fn times(a: &Number, b: &Number) -> Number {
    FIELD.product(a, b)
}

fn plus(a: &Number, b: &Number) -> Number {
    FIELD.sum(a, b)
}

fn minus(a: &Number, b: &Number) -> Number {
    FIELD.difference(a, b)
}
