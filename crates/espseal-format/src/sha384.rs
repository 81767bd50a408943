//! SHA-384, which secure boot with ECDSA P-384 takes of an image.
//!
//! Only devices of such chips link it. Never inlined, as [`Sha256`](crate::sha256::Sha256) is not.
//!
//! Source: FIPS 180-4 section 6.5.

use sha2::Digest as _;

use crate::units::Digest384;

/// A hash that takes its input piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Sha384(sha2::Sha384);

impl Sha384 {
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
    pub fn finish(self) -> Digest384 {
        Digest384(self.0.finalize().into())
    }
}
