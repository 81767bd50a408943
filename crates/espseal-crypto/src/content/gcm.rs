//! AES-256-GCM with a 16-byte IV, composed from AES, CTR and GHASH.
//!
//! NIST SP 800-38D: section 6.4 (GHASH), 6.5 (GCTR), 7.1 (encryption) and 7.2 (decryption). An IV
//! of other than 96 bits goes through GHASH to give the pre-counter block:
//! `J0 = GHASH(IV || 0^64 || [128]_64)`, so its low word may stand anywhere and the 32-bit counter
//! (`inc32`, section 6.2) may wrap in the middle of a body.
//!
//! Composed by hand because the `aes-gcm` crate gives no random access to its keystream.

use aes::cipher::{
    BlockCipherEncrypt as _, InnerIvInit as _, KeyInit as _, StreamCipher as _,
    StreamCipherSeek as _,
};
use aes::{Aes256, Block};
use ctr::{Ctr32BE, CtrCore, cipher::StreamCipherCoreWrapper};
use ghash::GHash;
use ghash::universal_hash::UniversalHash as _;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

use super::{AuthenticationFailed, ContentKey, Iv, Tag};

/// The keystream of a body with random access: GCM without its tag.
///
/// Decrypts any stretch of a body alone, and encrypts it again to compare it with the signed hash
/// of the ciphertext. Gives no authenticity: the caller has checked hash and commitment.
pub struct BodyKeystream {
    cipher: Aes256,
    /// Pre-counter block J0 of SP 800-38D section 7.1.
    pre_counter: u128,
}

redacted_debug!(BodyKeystream);

impl BodyKeystream {
    /// Prepares the keystream of one body.
    #[must_use]
    pub fn new(key: &ContentKey, iv: &Iv) -> Self {
        let cipher = Aes256::new((&key.0).into());
        let mut hash = hash(&cipher);
        hash.update(&[Block::from(iv.0), lengths(0, 128)]);
        Self {
            cipher,
            pre_counter: u128::from_be_bytes(hash.finalize().into()),
        }
    }

    /// Encrypts or decrypts the stretch of the body that starts at `byte_offset`, in place.
    ///
    /// # Panics
    /// When the stretch ends beyond 64 GiB, where the counter would repeat; the protocol's bodies
    /// are shorter than 4 GiB.
    pub fn apply(&self, byte_offset: u32, stretch: &mut [u8]) {
        let first = Block::from(increment(self.pre_counter).to_be_bytes());
        let core = CtrCore::inner_iv_init(&self.cipher, &first);
        let mut stream: Ctr32BE<&Aes256> = StreamCipherCoreWrapper::from_core(core);
        stream.seek(byte_offset);
        stream.apply_keystream(stretch);
    }

    #[cfg(test)]
    pub(super) const fn pre_counter(&self) -> u128 {
        self.pre_counter
    }

    /// Computes the tag over the ciphertext: `E(J0) ^ GHASH(C || 0* || [0]_64 || [len(C)]_64)`.
    fn tag(&self, ciphertext: &[u8]) -> Tag {
        let mut hash = hash(&self.cipher);
        hash.update_padded(ciphertext);
        hash.update(&[lengths(0, (ciphertext.len() as u64).wrapping_mul(8))]);
        let mut mask = Block::from(self.pre_counter.to_be_bytes());
        self.cipher.encrypt_block(&mut mask);
        let sum = u128::from_be_bytes(hash.finalize().into()) ^ u128::from_be_bytes(mask.into());
        Tag(sum.to_be_bytes())
    }
}

/// Encrypts in place and returns the tag. The caller answers for key and IV being fresh.
pub(super) fn encrypt(key: &ContentKey, iv: &Iv, body: &mut [u8]) -> Tag {
    let keystream = BodyKeystream::new(key, iv);
    keystream.apply(0, body);
    keystream.tag(body)
}

/// Checks the tag, then decrypts in place.
pub(super) fn decrypt(
    key: &ContentKey,
    iv: &Iv,
    tag: &Tag,
    body: &mut [u8],
) -> Result<(), AuthenticationFailed> {
    let keystream = BodyKeystream::new(key, iv);
    if !bool::from(keystream.tag(body).0.ct_eq(&tag.0)) {
        return Err(AuthenticationFailed);
    }
    keystream.apply(0, body);
    Ok(())
}

/// Starts GHASH with the subkey `H = E(0^128)`.
fn hash(cipher: &Aes256) -> GHash {
    let mut subkey = Block::default();
    cipher.encrypt_block(&mut subkey);
    let hash = GHash::new(&subkey);
    subkey.zeroize();
    hash
}

/// The last block of GHASH's input: two lengths in bits.
fn lengths(first: u64, second: u64) -> Block {
    Block::from(((u128::from(first) << 64) | u128::from(second)).to_be_bytes())
}

/// `inc32` of SP 800-38D section 6.2: counts in the low 32 bits and leaves the others alone.
fn increment(counter: u128) -> u128 {
    const LOW: u128 = u32::MAX as u128;
    (counter & !LOW) | (counter.wrapping_add(1) & LOW)
}
