//! AES-256-GCM composed from AES and GHASH: bodies with a 16-byte IV, epoch keys with a 12-byte one.
//!
//! NIST SP 800-38D: section 6.4 (GHASH), 6.5 (GCTR), 7.1 (encryption) and 7.2 (decryption). An IV
//! of other than 96 bits goes through GHASH to give the pre-counter block:
//! `J0 = GHASH(IV || 0^64 || [128]_64)`, so its low word may stand anywhere and the 32-bit counter
//! (`inc32`, section 6.2) may wrap in the middle of a body.
//!
//! Composed by hand because the `aes-gcm` crate gives no random access to its keystream. All
//! encryption goes through one function that is not inlined: the cipher's code exists once.

use aes::Aes256;
use aes::cipher::consts::U16;
use aes::cipher::{
    Array, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt as _, BlockSizeUser,
    KeyInit as _, ParBlocks,
};
use ghash::GHash;
use ghash::universal_hash::UniversalHash as _;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{AuthenticationFailed, ContentKey, Iv, Tag};

/// Bytes of a block.
const BLOCK: usize = 16;
/// Blocks encrypted at once: as many as a cipher takes in parallel, on a host with VAES and in a chip.
const BATCH: usize = if cfg!(target_pointer_width = "64") {
    64
} else {
    8
};
/// Bytes after which the counter would repeat.
const LIMIT: u64 = 64 << 30;

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
    #[inline(never)]
    #[must_use]
    pub fn new(key: &ContentKey, iv: &Iv) -> Self {
        let cipher = Aes256::new((&key.0).into());
        let pre_counter = ghash_short(subkey(&cipher), &iv.0, lengths(0, 128));
        Self {
            cipher,
            pre_counter,
        }
    }

    /// Prepares GCM with a nonce of 96 bits: `J0 = nonce || 0^31 || 1`.
    pub(crate) fn with_nonce(key: &[u8; 32], nonce: &[u8; 12]) -> Self {
        let nonce = nonce
            .iter()
            .fold(0, |sum, byte| (sum << 8) | u128::from(*byte));
        Self {
            cipher: Aes256::new(key.into()),
            pre_counter: (nonce << 32) | 1,
        }
    }

    /// Encrypts or decrypts the stretch of the body that starts at `byte_offset`, in place.
    ///
    /// # Panics
    /// When the stretch ends beyond 64 GiB, where the counter would repeat; the protocol's bodies
    /// are shorter than 4 GiB.
    #[inline(never)]
    pub fn apply(&self, byte_offset: u32, stretch: &mut [u8]) {
        assert!(u64::from(byte_offset).saturating_add(stretch.len() as u64) <= LIMIT);
        let mut counter = advance(self.pre_counter, byte_offset / 16);
        // Only the first batch may begin within a block.
        let mut skip = (byte_offset % 16) as usize;
        let mut batch = Zeroizing::new([[0; BLOCK]; BATCH]);
        let mut rest = stretch;
        while !rest.is_empty() {
            let blocks = skip.saturating_add(rest.len()).div_ceil(BLOCK).min(BATCH);
            let used = batch.get_mut(..blocks).unwrap_or_default();
            for block in used.iter_mut() {
                counter = advance(counter, 1);
                *block = counter.to_be_bytes();
            }
            encrypt_blocks(&self.cipher, used);
            let stream = used.as_flattened().get(skip..).unwrap_or_default();
            let (now, later) = rest.split_at_mut(stream.len().min(rest.len()));
            now.iter_mut()
                .zip(stream)
                .for_each(|(byte, stream)| *byte ^= stream);
            (rest, skip) = (later, 0);
        }
    }

    /// Encrypts in place and returns the tag. The caller answers for key and IV being fresh.
    pub(crate) fn seal(&self, message: &mut [u8], ghash: Ghash) -> Tag {
        self.apply(0, message);
        self.tag(message, ghash)
    }

    /// Checks the tag, then decrypts in place; a message that is refused stays as it is.
    pub(crate) fn open(
        &self,
        tag: &Tag,
        message: &mut [u8],
        ghash: Ghash,
    ) -> Result<(), AuthenticationFailed> {
        if !bool::from(self.tag(message, ghash).0.ct_eq(&tag.0)) {
            return Err(AuthenticationFailed);
        }
        self.apply(0, message);
        Ok(())
    }

    #[cfg(test)]
    pub(super) const fn pre_counter(&self) -> u128 {
        self.pre_counter
    }

    /// Computes the tag over the ciphertext: `E(J0) ^ GHASH(C || 0* || [0]_64 || [len(C)]_64)`.
    fn tag(&self, ciphertext: &[u8], ghash: Ghash) -> Tag {
        let bits = (ciphertext.len() as u64).wrapping_mul(8);
        let hash = ghash(subkey(&self.cipher), ciphertext, lengths(0, bits));
        let mut mask = [self.pre_counter.to_be_bytes()];
        encrypt_blocks(&self.cipher, &mut mask);
        let [mask] = mask;
        Tag((hash ^ u128::from_be_bytes(mask)).to_be_bytes())
    }
}

/// Low 32 bits of a counter block.
const LOW: u128 = u32::MAX as u128;

/// Encrypts blocks; the only way to the cipher.
#[inline(never)]
fn encrypt_blocks(cipher: &Aes256, blocks: &mut [[u8; BLOCK]]) {
    cipher.encrypt_with_backend(Batches(blocks));
}

/// Blocks to encrypt as many at once as the cipher takes, the last ones in a batch that is filled
/// up: its code for single blocks, another 2 KB of a device's flash, stays out.
struct Batches<'b>(&'b mut [[u8; BLOCK]]);

impl BlockSizeUser for Batches<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Batches<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let mut batch = Zeroizing::new(ParBlocks::<B>::default());
        for blocks in self.0.chunks_mut(batch.len()) {
            let blocks = Array::cast_slice_from_core_mut(blocks);
            batch
                .iter_mut()
                .zip(&*blocks)
                .for_each(|(to, from)| *to = *from);
            backend.encrypt_par_blocks((&mut *batch).into());
            blocks
                .iter_mut()
                .zip(&*batch)
                .for_each(|(to, from)| *to = *from);
        }
    }
}

/// GHASH of data, filled up to a block, and of the block with the two lengths.
pub(crate) type Ghash = fn(Zeroizing<[u8; BLOCK]>, &[u8], u128) -> u128;

/// GHASH of whole bodies, by the `ghash` crate: as fast as a host can.
pub(crate) fn ghash_bulk(subkey: Zeroizing<[u8; BLOCK]>, data: &[u8], lengths: u128) -> u128 {
    let mut hash = GHash::new((&*subkey).into());
    hash.update_padded(data);
    hash.update(&[lengths.to_be_bytes().into()]);
    u128::from_be_bytes(hash.finalize().into())
}

/// GHASH of a few blocks, bit by bit: all that a device hashes are an IV and a wrapped key, for
/// which the fast code would take 2.5 KB of its flash. Constant time: masks instead of branches.
#[inline(never)]
pub(crate) fn ghash_short(subkey: Zeroizing<[u8; BLOCK]>, data: &[u8], lengths: u128) -> u128 {
    let blocks = data.chunks(BLOCK).map(|chunk| {
        let mut block = [0; BLOCK];
        block
            .iter_mut()
            .zip(chunk)
            .for_each(|(to, from)| *to = *from);
        u128::from_be_bytes(block)
    });
    blocks.chain([lengths]).fold(0, |sum, block| {
        multiply(sum ^ block, u128::from_be_bytes(*subkey))
    })
}

/// Product in GF(2^128) with GCM's order of bits (SP 800-38D section 6.3, algorithm 1).
fn multiply(mut x: u128, mut y: u128) -> u128 {
    const REDUCTION: u128 = 0xE1 << 120;
    let mask = |bit: u128| 0_u128.wrapping_sub(bit & 1);
    let mut product = 0;
    for _ in 0..128 {
        product ^= y & mask(x >> 127);
        x <<= 1;
        y = (y >> 1) ^ (REDUCTION & mask(y));
    }
    product
}

/// The key of GHASH: `H = E(0^128)`.
#[inline(never)]
fn subkey(cipher: &Aes256) -> Zeroizing<[u8; BLOCK]> {
    let mut subkey = Zeroizing::new([[0; BLOCK]]);
    encrypt_blocks(cipher, &mut *subkey);
    let [subkey] = *subkey;
    Zeroizing::new(subkey)
}

/// The last block of GHASH's input: two lengths in bits.
fn lengths(first: u64, second: u64) -> u128 {
    (u128::from(first) << 64) | u128::from(second)
}

/// `inc32` of SP 800-38D section 6.2, repeated: counts in the low 32 bits and leaves the others.
fn advance(counter: u128, blocks: u32) -> u128 {
    (counter & !LOW) | (counter.wrapping_add(blocks.into()) & LOW)
}

#[cfg(test)]
mod tests {
    use rand_core::Rng as _;

    use super::*;
    use crate::test_rng::TestRng;

    #[test]
    fn both_ghashes_agree_on_every_length_up_to_ten_blocks() {
        let mut rng = TestRng::new(0x6A);
        let mut data = [0; 10 * BLOCK];
        for length in 0..=data.len() {
            for _ in 0..4 {
                let mut subkey = [0; BLOCK];
                rng.fill_bytes(&mut subkey);
                rng.fill_bytes(&mut data);
                let lengths = lengths(rng.next_u64(), rng.next_u64());
                let short = ghash_short(Zeroizing::new(subkey), &data[..length], lengths);
                let bulk = ghash_bulk(Zeroizing::new(subkey), &data[..length], lengths);
                assert_eq!(short, bulk, "{length}");
            }
        }
    }
}
