//! The agent's check of secure-boot signatures, for firmware of any chip.

use espseal_agent::crypto::{EcdsaP192, EcdsaP256, EcdsaP384, Hasher, Rsa3072, Scheme};
use espseal_format::sha256::Sha256;
use espseal_format::sha384::Sha384;
use espseal_format::signature_block::{ImageDigests, SignatureBlock};

/// Verifies with the scheme that the block names.
///
/// Real firmware links the one scheme of its product. Which one that is follows from the keys: a digest
/// in eFuse covers the kind of its key, so that a block of another scheme names no key that is burnt.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyScheme;

/// Both hashes that schemes take of an image.
#[derive(Clone, Debug, Default)]
pub struct BothHashes {
    sha256: Sha256,
    sha384: Sha384,
}

impl Hasher for BothHashes {
    type Digest = ImageDigests;

    fn update(&mut self, piece: &[u8]) {
        self.sha256.update(piece);
        self.sha384.update(piece);
    }

    fn finish(self) -> ImageDigests {
        ImageDigests {
            sha256: self.sha256.finish(),
            sha384: self.sha384.finish(),
        }
    }
}

impl Scheme for AnyScheme {
    type Hash = BothHashes;

    fn verify(block: &SignatureBlock<'_>, image: &ImageDigests) -> bool {
        Rsa3072::verify(block, &image.sha256)
            || EcdsaP192::verify(block, &image.sha256)
            || EcdsaP256::verify(block, &image.sha256)
            || EcdsaP384::verify(block, &image.sha384)
    }
}
