//! SHA-256 as everything here hashes: one copy of the code, however many callers.
//!
//! The functions are never inlined: padding and buffering would otherwise be repeated at each of
//! some twenty places, which a device pays for in flash.
//!
//! Source: FIPS 180-4 section 6.2.

use sha2::Digest as _;

use crate::units::Digest;

/// A hash that takes its input piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// Starts with no input.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece.
    #[inline(never)]
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Ends the input.
    #[inline(never)]
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }

    /// Hashes pieces as if they were one.
    #[inline(never)]
    #[must_use]
    pub fn of(pieces: &[&[u8]]) -> Digest {
        let mut hash = Self::new();
        pieces.iter().for_each(|piece| hash.update(piece));
        hash.finish()
    }
}
