//! Numbers that points are multiplied by: integers modulo the order of P-256.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::words::Word;

use super::modular::{self, Number, ORDER};

/// A number below the order.
#[derive(Zeroize, PartialEq, Eq)]
pub(crate) struct Scalar(Number);

/// A secret number in `[1, n-1]`; wiped when dropped.
#[derive(ZeroizeOnDrop)]
pub(crate) struct SecretScalar(Scalar);

impl Scalar {
    /// Zero.
    pub(super) const ZERO: Self = Self(modular::ZERO);

    /// Takes 32 bytes, big-endian; `None` unless the number is in `[1, n-1]`.
    pub(crate) fn from_be_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let scalar = Self(ORDER.parse(bytes)?);
        (scalar != Self::ZERO).then_some(scalar)
    }

    /// Takes 32 bytes, big-endian, modulo the order.
    pub(crate) fn reduced(bytes: &[u8; 32]) -> Self {
        Self(ORDER.reduced(&modular::from_be_bytes(bytes)))
    }

    /// Returns the number, big-endian.
    pub(crate) fn to_be_bytes(&self) -> [u8; 32] {
        modular::to_be_bytes(&self.0)
    }

    /// `self * other`.
    #[must_use]
    pub(crate) fn times(&self, other: &Self) -> Self {
        Self(ORDER.product(&ORDER.enter(&self.0), &other.0))
    }

    /// `self + other`.
    #[must_use]
    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self(ORDER.sum(&self.0, &other.0))
    }

    /// The number whose product with this one is 1; zero for zero.
    #[must_use]
    pub(crate) fn inverse(&self) -> Self {
        Self(ORDER.leave(&ORDER.inverse(&ORDER.enter(&self.0))))
    }

    /// The bits, highest first.
    pub(super) fn bits(&self) -> impl Iterator<Item = Word> {
        modular::bits(&self.0)
    }
}

impl SecretScalar {
    /// Takes 32 bytes, big-endian; `None` unless the number is in `[1, n-1]`.
    pub(crate) fn from_be_bytes(bytes: &[u8; 32]) -> Option<Self> {
        Scalar::from_be_bytes(bytes).map(Self)
    }

    /// The number itself.
    pub(crate) const fn get(&self) -> &Scalar {
        &self.0
    }
}
