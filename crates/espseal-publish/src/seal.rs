//! Seals a checked image into one body for every recipient, and opens it again.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use espseal_crypto::content::{self, ContentKey, Iv, Tag};
use espseal_format::units::{CHUNK_SIZE, CHUNKS_PER_PAGE, Digest};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::blame::Blame;
use crate::image_check::CheckedImage;

/// A sealed image with the key that opens it; the key leaves only wrapped.
#[derive(Debug)]
pub struct SealedBody {
    /// Ciphertext, as long as the plaintext.
    pub body: Vec<u8>,
    /// SHA-256 of the ciphertext.
    pub digest: Digest,
    /// SHA-256 of the plaintext.
    pub plaintext: Digest,
    /// Page file: the SHA-256 of each 4096-byte chunk, one after the other.
    pub pages: Vec<u8>,
    /// SHA-256 of each page of the page file.
    pub page_digests: Vec<Digest>,
    /// Initialisation vector.
    pub iv: Iv,
    /// Authentication tag.
    pub tag: Tag,
    /// Commitment to key and body.
    pub commitment: Digest,
    /// Content key.
    pub key: ContentKey,
}

/// Encrypts an image under a fresh key and opens the result before anybody gets to see it.
///
/// # Errors
/// [`SealError::NotOpened`] when what came out does not open to what went in.
pub fn seal<R: CryptoRng>(rng: &mut R, image: &CheckedImage) -> Result<SealedBody, SealError> {
    let mut body = image.bytes().to_vec();
    let sealed = content::seal(rng, &mut body);
    let digest = Digest::of(&body);
    let pages: Vec<u8> = body
        .chunks(CHUNK_SIZE)
        .flat_map(|chunk| Digest::of(chunk).0)
        .collect();
    let page_digests = pages
        .chunks(CHUNKS_PER_PAGE * Digest::LEN)
        .map(Digest::of)
        .collect();
    let commitment = content::commitment(&digest, &sealed.key);
    let whole = SealedBody {
        body,
        digest,
        plaintext: Digest::of(image.bytes()),
        pages,
        page_digests,
        iv: sealed.iv,
        tag: sealed.tag,
        commitment,
        key: sealed.key,
    };
    whole.rehearse_opening(image.bytes())?;
    Ok(whole)
}

impl SealedBody {
    /// Opens the body as a recipient would and compares it with the image.
    fn rehearse_opening(&self, image: &[u8]) -> Result<(), SealError> {
        let mut opened = Zeroizing::new(self.body.clone());
        content::verify_commitment(&self.commitment, &self.digest, &self.key)
            .map_err(|_| SealError::NotOpened)?;
        content::open(&self.key, &self.iv, &self.tag, &mut opened)
            .map_err(|_| SealError::NotOpened)?;
        verify_slices_are_equal(&opened, image).map_err(|_| SealError::NotOpened)
    }
}

/// Failure of sealing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The body does not open to the image.
    #[error(
        "the sealed body does not open to the image it was made from; nothing was published: test \
         this machine's memory, then run it again"
    )]
    NotOpened,
}

impl SealError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Io
    }
}
