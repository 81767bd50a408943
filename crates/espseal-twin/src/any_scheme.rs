//! The agent's check of secure-boot signatures for firmware of any chip.

use espseal_agent::crypto::{EcdsaP192, EcdsaP256, Rsa3072, Scheme};
use espseal_format::signature_block::{Curve, SignatureBlock, SignatureScheme};
use espseal_format::units::Digest;

/// Verifies with the scheme that the block names, out of those that the agent knows.
///
/// Real firmware links the one scheme of its product. Which one that is follows from the keys: a digest
/// in eFuse covers the kind of its key, so that a block of another scheme names no key that is burnt.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyScheme;

impl AnyScheme {
    /// Whether the agent can verify the scheme: P-384 it cannot, whose signatures are over a SHA-384.
    #[must_use]
    pub const fn has(scheme: SignatureScheme) -> bool {
        matches!(
            scheme,
            SignatureScheme::Rsa3072 | SignatureScheme::Ecdsa(Curve::P192 | Curve::P256)
        )
    }
}

impl Scheme for AnyScheme {
    fn verify(block: &SignatureBlock<'_>, image: &Digest) -> bool {
        Rsa3072::verify(block, image)
            || EcdsaP192::verify(block, image)
            || EcdsaP256::verify(block, image)
    }
}
