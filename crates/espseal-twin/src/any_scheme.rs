//! The agent's check of secure-boot signatures, for firmware of any chip.

use espseal_agent::crypto::{Crypto, EcdsaP192, EcdsaP256, EcdsaP384, Rsa3072, Scheme};
use espseal_format::read::ReadAt;
use espseal_format::signature_block::{ImageDigests, SignatureBlock};
use espseal_format::units::SECTOR_SIZE;

/// Verifies with the scheme that the block names.
///
/// Real firmware links the one scheme of its product. Which one that is follows from the keys: a digest
/// in eFuse covers the kind of its key, so that a block of another scheme names no key that is burnt.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyScheme;

impl Scheme for AnyScheme {
    type Digest = ImageDigests;

    fn digest<R: ReadAt, C: Crypto>(
        image: &mut R,
        length: u32,
        crypto: &mut C,
        scratch: &mut [u8; SECTOR_SIZE],
    ) -> Result<ImageDigests, R::Error> {
        Ok(ImageDigests {
            sha256: EcdsaP256::digest(image, length, crypto, scratch)?,
            sha384: EcdsaP384::digest(image, length, crypto, scratch)?,
        })
    }

    fn verify(block: &SignatureBlock<'_>, image: &ImageDigests) -> bool {
        Rsa3072::verify(block, &image.sha256)
            || EcdsaP192::verify(block, &image.sha256)
            || EcdsaP256::verify(block, &image.sha256)
            || EcdsaP384::verify(block, &image.sha384)
    }
}
