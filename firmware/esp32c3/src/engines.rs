//! The AES and SHA engines under the agent; software where they do not give known answers.
//!
//! The bulk of an update goes through here: each chunk's hash and keystream, the digest of the whole
//! slot. The signature over it, once an update, is checked in software.
//!
//! Which of the two is used is decided once, by known answers: an emulator may model only some of
//! the chip, and a peripheral that answers wrongly must not be believed.
//!
//! Source: FIPS 197 appendix C.3, FIPS 180-4; for the counter NIST SP 800-38D sections 6.5 and 7.1.

use esp_hal::aes::Aes;
use esp_hal::sha::{Sha, Sha256 as Algorithm, ShaDigest};
use espseal_agent::crypto::{Crypto, Hasher, Rsa3072, Scheme as _, SoftwareCrypto};
use espseal_crypto::content::{BodyKeystream, ContentKey, Iv};
use espseal_format::sha256::Sha256;
use espseal_format::signature_block::SignatureBlock;
use espseal_format::units::Digest;
use ghash::GHash;
use ghash::universal_hash::UniversalHash as _;
use zeroize::Zeroizing;

/// Bytes of an AES block.
const BLOCK: usize = 16;

/// Who computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Used {
    /// The chip's engines.
    Hardware,
    /// The agent's software.
    Software,
}

/// The chip's engines.
pub struct Engines<'d> {
    aes: Aes<'d>,
    sha: Sha<'d>,
    software: SoftwareCrypto,
    used: Used,
}

/// A hash on the SHA engine, or in software.
pub enum RunningHash<'d, 'c> {
    /// On the engine, which it borrows.
    Hardware(ShaDigest<'d, Algorithm, &'c mut Sha<'d>>),
    /// In software.
    Software(Sha256),
}

/// The keystream of one body.
#[expect(
    clippy::large_enum_variant,
    reason = "there is no heap to put one of them on"
)]
pub enum Keystream {
    /// Key and pre-counter block J0, for the engine.
    Hardware {
        /// The content key, wiped when dropped.
        key: Zeroizing<[u8; 32]>,
        /// J0 of SP 800-38D.
        pre_counter: u128,
    },
    /// In software.
    Software(BodyKeystream),
}

impl<'d> Engines<'d> {
    /// Takes the engines and asks them what is known.
    #[must_use]
    pub fn new(aes: Aes<'d>, sha: Sha<'d>) -> Self {
        let mut engines = Self {
            aes,
            sha,
            software: SoftwareCrypto::new(),
            used: Used::Hardware,
        };
        if !engines.answer_rightly() {
            engines.used = Used::Software;
        }
        engines
    }

    /// Who computes.
    #[must_use]
    pub const fn used(&self) -> Used {
        self.used
    }

    fn answer_rightly(&mut self) -> bool {
        let mut block = core::array::from_fn(|i| (i as u8).wrapping_mul(0x11));
        let key: [u8; 32] = core::array::from_fn(|i| i as u8);
        self.aes.encrypt(&mut block, key);
        block == known::AES_256 && self.digest(b"abc").0 == known::SHA_256
    }
}

impl<'d> Crypto for Engines<'d> {
    type Sha256<'c>
        = RunningHash<'d, 'c>
    where
        Self: 'c;
    type ImageHash<'c>
        = RunningHash<'d, 'c>
    where
        Self: 'c;
    type ImageDigest = Digest;
    type Keystream = Keystream;

    fn sha256(&mut self) -> RunningHash<'d, '_> {
        match self.used {
            Used::Hardware => RunningHash::Hardware(self.sha.start()),
            Used::Software => RunningHash::Software(Sha256::new()),
        }
    }

    fn image_hash(&mut self) -> RunningHash<'d, '_> {
        self.sha256()
    }

    fn keystream(&mut self, key: &ContentKey, iv: &Iv) -> Keystream {
        if self.used == Used::Software {
            return Keystream::Software(self.software.keystream(key, iv));
        }
        let key = Zeroizing::new(*key.expose_secret());
        let mut subkey = Zeroizing::new([0; BLOCK]);
        self.aes.encrypt(&mut subkey, *key);
        // J0 = GHASH(IV || 0^64 || [128]_64), as for every IV of other than 96 bits.
        let mut ghash = GHash::new((&*subkey).into());
        let lengths = 128_u128.to_be_bytes();
        ghash.update(&[iv.0.into(), lengths.into()]);
        let pre_counter = u128::from_be_bytes(ghash.finalize().into());
        Keystream::Hardware { key, pre_counter }
    }

    fn apply(&mut self, keystream: &Keystream, byte_offset: u32, stretch: &mut [u8]) {
        let (key, pre_counter) = match keystream {
            Keystream::Software(keystream) => return keystream.apply(byte_offset, stretch),
            Keystream::Hardware { key, pre_counter } => (key, *pre_counter),
        };
        let mut index = byte_offset / BLOCK as u32;
        // Only the first block may begin within one.
        let mut skip = byte_offset as usize % BLOCK;
        let mut rest = stretch;
        while !rest.is_empty() {
            let part;
            (part, rest) = rest.split_at_mut(rest.len().min(BLOCK - skip));
            let mut block = Zeroizing::new(counter(pre_counter, index));
            self.aes.encrypt(&mut block, **key);
            let stream = block.iter().skip(skip);
            part.iter_mut()
                .zip(stream)
                .for_each(|(byte, key)| *byte ^= key);
            (index, skip) = (index.wrapping_add(1), 0);
        }
    }

    fn verify_block(&mut self, block: &SignatureBlock<'_>, image: &Digest) -> bool {
        Rsa3072::verify(block, image)
    }
}

impl Hasher for RunningHash<'_, '_> {
    type Digest = Digest;

    fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Software(hash) => hash.update(piece),
            Self::Hardware(hash) => {
                let mut rest = piece;
                // The engine answers "not yet" and nothing else.
                while !rest.is_empty() {
                    if let Ok(left) = hash.update(rest) {
                        rest = left;
                    }
                }
            }
        }
    }

    fn finish(self) -> Digest {
        match self {
            Self::Software(hash) => hash.finish(),
            Self::Hardware(mut hash) => {
                let mut digest = Digest([0; 32]);
                while hash.finish(&mut digest.0).is_err() {}
                digest
            }
        }
    }
}

/// The counter block of a body's block: the low word counts from J0 + 1 and wraps (`inc32`).
fn counter(pre_counter: u128, index: u32) -> [u8; BLOCK] {
    let low = (pre_counter as u32).wrapping_add(index).wrapping_add(1);
    (pre_counter & !u128::from(u32::MAX) | u128::from(low)).to_be_bytes()
}

/// Known answers.
mod known {
    /// AES-256 of 00 11 .. FF under 00 01 .. 1F.
    pub(super) const AES_256: [u8; 16] = 0x8ea2b7ca516745bfeafc49904b496089_u128.to_be_bytes();
    /// SHA-256 of "abc".
    pub(super) const SHA_256: [u8; 32] = [
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22,
        0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00,
        0x15, 0xad,
    ];
}
