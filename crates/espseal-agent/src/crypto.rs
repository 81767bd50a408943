//! The engines that the bulk of an update runs through: SHA-256, AES-CTR, secure-boot signatures.
//!
//! Firmware for a chip with AES, SHA and RSA or ECC peripherals implements [`Crypto`] with them and
//! hands it to [`Agent::with_crypto`](crate::agent::Agent::with_crypto); [`SoftwareCrypto`] does
//! without. What the device's keys are used for goes through
//! [`DeviceKey`](crate::device_key::DeviceKey) instead, and signed documents, a few KB at each
//! poll, are always checked in software.

use core::marker::PhantomData;

use espseal_crypto::content::{BodyKeystream, ContentKey, Iv};
use espseal_crypto::secure_boot::{
    verify_ecdsa_p192, verify_ecdsa_p256, verify_ecdsa_p384, verify_rsa,
};
use espseal_format::sha256::Sha256;
use espseal_format::sha384::Sha384;
use espseal_format::signature_block::SignatureBlock;
use espseal_format::units::{Digest, Digest384};

/// Hashing, the body's keystream, and verification of secure-boot signatures.
///
/// What an engine answers is believed: one that answers wrongly makes the agent refuse good images,
/// or accept what only the chip's ROM would still refuse.
pub trait Crypto {
    /// A running SHA-256, which may borrow the peripheral.
    type Sha256<'c>: Hasher<Digest = Digest>
    where
        Self: 'c;

    /// A running hash of what secure boot signs: SHA-256, but SHA-384 for P-384.
    type ImageHash<'c>: Hasher<Digest = Self::ImageDigest>
    where
        Self: 'c;

    /// What [`image_hash`](Self::image_hash) ends in.
    type ImageDigest;

    /// The opened content key of one body, prepared for [`apply`](Self::apply); wiped when dropped.
    type Keystream;

    /// Starts a hash.
    fn sha256(&mut self) -> Self::Sha256<'_>;

    /// Starts a hash of what secure boot signs.
    fn image_hash(&mut self) -> Self::ImageHash<'_>;

    /// Prepares the keystream of one body.
    fn keystream(&mut self, key: &ContentKey, iv: &Iv) -> Self::Keystream;

    /// Encrypts or decrypts the stretch of the body that starts at `byte_offset`, in place, as
    /// [`BodyKeystream::apply`] does.
    fn apply(&mut self, keystream: &Self::Keystream, byte_offset: u32, stretch: &mut [u8]);

    /// Whether the block's signature over the image with this digest verifies with the block's own key;
    /// that the key is burnt in eFuse was checked before.
    fn verify_block(&mut self, block: &SignatureBlock<'_>, image: &Self::ImageDigest) -> bool;

    /// Hashes bytes in one go.
    fn digest(&mut self, bytes: &[u8]) -> Digest {
        let mut hash = self.sha256();
        hash.update(bytes);
        hash.finish()
    }
}

/// A hash that takes its input piece by piece.
pub trait Hasher {
    /// What it ends in.
    type Digest;

    /// Takes the next piece.
    fn update(&mut self, piece: &[u8]);

    /// Ends the input.
    fn finish(self) -> Self::Digest;
}

impl Hasher for Sha256 {
    type Digest = Digest;

    fn update(&mut self, piece: &[u8]) {
        Self::update(self, piece);
    }

    fn finish(self) -> Digest {
        Self::finish(self)
    }
}

impl Hasher for Sha384 {
    type Digest = Digest384;

    fn update(&mut self, piece: &[u8]) {
        Self::update(self, piece);
    }

    fn finish(self) -> Digest384 {
        Self::finish(self)
    }
}

/// One scheme of secure boot v2, as a type: a device links the arithmetic of its own alone.
pub trait Scheme {
    /// The hash that it takes of an image.
    type Hash: Hasher + Default;

    /// Whether the block is of this scheme and its signature over the image verifies.
    fn verify(block: &SignatureBlock<'_>, image: &<Self::Hash as Hasher>::Digest) -> bool;
}

/// RSA-3072-PSS: ESP32 from revision 3, S2, S3, C3, C5, C6, H2, P4.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rsa3072;

/// ECDSA over P-192: C2, C5, C6, C61, H2, P4.
#[derive(Clone, Copy, Debug, Default)]
pub struct EcdsaP192;

/// ECDSA over P-256: C2, C5, C6, C61, H2, P4.
#[derive(Clone, Copy, Debug, Default)]
pub struct EcdsaP256;

/// ECDSA over P-384: C5, and P4 from revision 3. The image is hashed with SHA-384.
#[derive(Clone, Copy, Debug, Default)]
pub struct EcdsaP384;

impl Scheme for Rsa3072 {
    type Hash = Sha256;

    fn verify(block: &SignatureBlock<'_>, image: &Digest) -> bool {
        matches!(block, SignatureBlock::Rsa(block) if verify_rsa(block, image).is_ok())
    }
}

impl Scheme for EcdsaP192 {
    type Hash = Sha256;

    fn verify(block: &SignatureBlock<'_>, image: &Digest) -> bool {
        matches!(block, SignatureBlock::EcdsaP192(block) if verify_ecdsa_p192(block, image).is_ok())
    }
}

impl Scheme for EcdsaP256 {
    type Hash = Sha256;

    fn verify(block: &SignatureBlock<'_>, image: &Digest) -> bool {
        matches!(block, SignatureBlock::EcdsaP256(block) if verify_ecdsa_p256(block, image).is_ok())
    }
}

impl Scheme for EcdsaP384 {
    type Hash = Sha384;

    fn verify(block: &SignatureBlock<'_>, image: &Digest384) -> bool {
        matches!(block, SignatureBlock::EcdsaP384(block) if verify_ecdsa_p384(block, image).is_ok())
    }
}

/// Everything in software, for images signed with scheme `S`.
#[derive(Clone, Copy, Debug)]
pub struct SoftwareCrypto<S = Rsa3072>(PhantomData<S>);

impl<S> SoftwareCrypto<S> {
    /// Needs nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<S> Default for SoftwareCrypto<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Crypto> Crypto for &mut C {
    type Sha256<'c>
        = C::Sha256<'c>
    where
        Self: 'c;
    type ImageHash<'c>
        = C::ImageHash<'c>
    where
        Self: 'c;
    type ImageDigest = C::ImageDigest;
    type Keystream = C::Keystream;

    fn sha256(&mut self) -> Self::Sha256<'_> {
        (**self).sha256()
    }

    fn image_hash(&mut self) -> Self::ImageHash<'_> {
        (**self).image_hash()
    }

    fn keystream(&mut self, key: &ContentKey, iv: &Iv) -> Self::Keystream {
        (**self).keystream(key, iv)
    }

    fn apply(&mut self, keystream: &Self::Keystream, byte_offset: u32, stretch: &mut [u8]) {
        (**self).apply(keystream, byte_offset, stretch);
    }

    fn verify_block(&mut self, block: &SignatureBlock<'_>, image: &Self::ImageDigest) -> bool {
        (**self).verify_block(block, image)
    }
}

impl<S: Scheme> Crypto for SoftwareCrypto<S> {
    type Sha256<'c>
        = Sha256
    where
        Self: 'c;
    type ImageHash<'c>
        = S::Hash
    where
        Self: 'c;
    type ImageDigest = <S::Hash as Hasher>::Digest;
    type Keystream = BodyKeystream;

    fn sha256(&mut self) -> Sha256 {
        Sha256::new()
    }

    fn image_hash(&mut self) -> S::Hash {
        S::Hash::default()
    }

    fn keystream(&mut self, key: &ContentKey, iv: &Iv) -> BodyKeystream {
        BodyKeystream::new(key, iv)
    }

    fn apply(&mut self, keystream: &BodyKeystream, byte_offset: u32, stretch: &mut [u8]) {
        keystream.apply(byte_offset, stretch);
    }

    fn verify_block(&mut self, block: &SignatureBlock<'_>, image: &Self::ImageDigest) -> bool {
        S::verify(block, image)
    }
}
