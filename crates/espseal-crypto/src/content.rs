//! The content key and what it seals: the body of a release.
//!
//! AES-256-GCM (NIST SP 800-38D) with a 16-byte IV and no additional data, byte for byte the body
//! of ESP-IDF's `esp_encrypted_img`. Key and IV are drawn inside [`seal`], so that no pair is ever
//! used twice.
//!
//! A device does not check the tag while it streams: the manifest signs the hash of each chunk and
//! a [`commitment`] to the key, and AES-CTR under one key maps one ciphertext to one plaintext.
//! GCM itself does not commit to its key, hence the commitment.
//!
//! Source: `docs/protocol.md`, "Body, chunks, pages" and "Manifest".

use core::fmt;

use espseal_format::sha256::Sha256;
use espseal_format::units::Digest;
use espseal_format::wrap::cek_commitment_prefix;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::ZeroizeOnDrop;

mod gcm;

pub use gcm::BodyKeystream;
pub(crate) use gcm::ghash_short;

/// Content encryption key (CEK) of one body.
#[derive(ZeroizeOnDrop)]
pub struct ContentKey([u8; 32]);

redacted_debug!(ContentKey);

impl ContentKey {
    /// Takes over a key that was unwrapped elsewhere, such as from an ESP-IDF header.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the secret itself, for wrapping it to a recipient.
    #[must_use]
    pub const fn expose_secret(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Initialisation vector of one body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Iv(pub [u8; 16]);

/// GCM authentication tag of one body.
///
/// Not comparable with `==`: only [`open`] compares tags, in constant time.
#[derive(Clone, Copy)]
pub struct Tag(pub [u8; 16]);

impl fmt::Debug for Iv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Iv({:032x})", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({:032x})", u128::from_be_bytes(self.0))
    }
}

/// What sealing a body gives besides the ciphertext.
#[derive(Debug)]
pub struct Sealed {
    /// Fresh key; goes to recipients wrapped, never as it is.
    pub key: ContentKey,
    /// Fresh IV, public.
    pub iv: Iv,
    /// Tag, public.
    pub tag: Tag,
}

/// Encrypts a body in place under a fresh random key and IV.
///
/// The caller can give neither: GCM falls apart when a pair is used twice (SP 800-38D section 8).
///
/// # Panics
/// When the body has 64 GiB or more, where GCM ends (SP 800-38D section 5.2.1.1); the protocol's
/// bodies are shorter than 4 GiB.
#[must_use]
pub fn seal<R: CryptoRng + ?Sized>(rng: &mut R, body: &mut [u8]) -> Sealed {
    let mut key = ContentKey([0; 32]);
    rng.fill_bytes(&mut key.0);
    seal_under(key, rng, body)
}

/// Encrypts a body in place under a key that seals nothing else, and a fresh IV.
pub(crate) fn seal_under<R: CryptoRng + ?Sized>(
    key: ContentKey,
    rng: &mut R,
    body: &mut [u8],
) -> Sealed {
    let mut iv = Iv([0; 16]);
    rng.fill_bytes(&mut iv.0);
    let tag = BodyKeystream::new(&key, &iv).seal(body, gcm::ghash_bulk);
    Sealed { key, iv, tag }
}

/// Checks the tag of a body in constant time and decrypts it in place.
///
/// # Errors
/// [`AuthenticationFailed`] when key, IV, tag and body do not belong together; the body is
/// unchanged then.
///
/// # Panics
/// When the body has 64 GiB or more, as in [`seal`].
pub fn open(
    key: &ContentKey,
    iv: &Iv,
    tag: &Tag,
    body: &mut [u8],
) -> Result<(), AuthenticationFailed> {
    BodyKeystream::new(key, iv).open(tag, body, gcm::ghash_bulk)
}

/// Commits to a content key: `SHA-256("espseal/v1/cek-commit\0" || body digest || CEK)`.
#[must_use]
pub fn commitment(body: &Digest, key: &ContentKey) -> Digest {
    Sha256::of(&[&cek_commitment_prefix(body), &key.0])
}

/// Checks, in constant time, that the manifest's commitment names this key and body.
///
/// # Errors
/// [`CommitmentMismatch`]: the unwrapped key is not the one the maker sealed this body with.
pub fn verify_commitment(
    expected: &Digest,
    body: &Digest,
    key: &ContentKey,
) -> Result<(), CommitmentMismatch> {
    if commitment(body, key).0.ct_eq(&expected.0).into() {
        Ok(())
    } else {
        Err(CommitmentMismatch)
    }
}

failure!(
    /// Key, IV, tag and body do not belong together.
    AuthenticationFailed,
    "the sealed body is not authentic"
);

failure!(
    /// A content key is not the one that the manifest commits to.
    CommitmentMismatch,
    "the content key is not the one the manifest commits to"
);

#[cfg(test)]
mod tests;
