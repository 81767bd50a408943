//! What does the work of flash encryption.

/// Instructions that flash encryption uses.
///
/// [`FlashCipher::new`](super::FlashCipher::new) takes the fastest that the processor has; all give
/// the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// The `aes` crate: constant-time software, or what it finds by itself.
    Portable,
    /// x86-64 with AES-NI.
    AesNi,
    /// x86-64 with VAES and AVX2.
    Vaes256,
    /// x86-64 with VAES and AVX-512.
    Vaes512,
}

impl Engine {
    /// Every engine, slowest first.
    pub const ALL: [Self; 4] = [Self::Portable, Self::AesNi, Self::Vaes256, Self::Vaes512];
}
