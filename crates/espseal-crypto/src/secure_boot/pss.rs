//! EMSA-PSS with SHA-256, MGF1-SHA256 and a 32-byte salt for a 3072-bit modulus.
//!
//! ```text
//!  0 ................. 317 318 319 ........ 350 351 ....... 382 383
//! |        zeros          | 01 |    salt 32    |     H 32      | BC |
//! |<--------- DB, 351 bytes, masked ---------->|
//! ```
//!
//! `H = SHA-256(0^8 || image digest || salt)`, mask = MGF1(H). The encoded message has 3071 bits,
//! so the first bit is always zero.
//!
//! Source: RFC 8017 sections 9.1.1 (encoding), 9.1.2 (verification) and B.2.1 (MGF1).

use espseal_format::sha256::Sha256;
use espseal_format::units::Digest;

use super::RSA_LEN;
use crate::es256::BadSignature;

/// Length of hash and salt.
const HASH_LEN: usize = 32;
/// Length of the masked data block.
const DB_LEN: usize = RSA_LEN - HASH_LEN - 1;
/// Zeros in front of the data block's 01.
const PADDING_LEN: usize = DB_LEN - HASH_LEN - 1;
/// Last byte of every encoded message.
const TRAILER: u8 = 0xBC;
/// Bits of the first byte that belong to the 3071-bit encoded message.
const FIRST_BYTE: u8 = 0x7F;

const _: () = assert!(DB_LEN == 351 && PADDING_LEN == 318);

/// Encodes an image digest for the private RSA operation (RFC 8017 section 9.1.1).
///
/// `salt` must be random and fresh for each signature.
#[must_use]
pub fn emsa_pss_encode(image: &Digest, salt: &[u8; HASH_LEN]) -> [u8; RSA_LEN] {
    let mut encoded = [0; RSA_LEN];
    let hash = salted_hash(image, salt);
    let tail = [1].into_iter().chain(*salt).chain(hash).chain([TRAILER]);
    let places = encoded.iter_mut().skip(PADDING_LEN);
    places.zip(tail).for_each(|(place, byte)| *place = byte);
    mask(&mut encoded, &hash);
    encoded
}

/// Checks an encoded message (RFC 8017 section 9.1.2, steps 4 to 14).
pub(super) fn verify(image: &Digest, mut message: [u8; RSA_LEN]) -> Result<(), BadSignature> {
    let [.., trailer] = message;
    let [first, ..] = message;
    if trailer != TRAILER || first & !FIRST_BYTE != 0 {
        return Err(BadSignature);
    }
    let hash = hash_of(&message);
    mask(&mut message, &hash);
    let (padding, rest) = message.split_at(PADDING_LEN);
    let Some(([one], [salt, ..])) = rest
        .split_first_chunk::<1>()
        .map(|(one, rest)| (one, rest.as_chunks::<HASH_LEN>().0))
    else {
        return Err(BadSignature);
    };
    let padded = padding.iter().all(|byte| *byte == 0) && *one == 1;
    if padded && salted_hash(image, salt) == hash {
        Ok(())
    } else {
        Err(BadSignature)
    }
}

/// Returns the 32 bytes in front of the trailer.
fn hash_of(message: &[u8; RSA_LEN]) -> [u8; HASH_LEN] {
    let mut hash = [0; HASH_LEN];
    let stored = message.iter().skip(DB_LEN);
    hash.iter_mut()
        .zip(stored)
        .for_each(|(to, from)| *to = *from);
    hash
}

/// `SHA-256(0^8 || image digest || salt)`.
fn salted_hash(image: &Digest, salt: &[u8; HASH_LEN]) -> [u8; HASH_LEN] {
    Sha256::of(&[&[0; 8], &image.0, salt]).0
}

/// Masks or unmasks the data block with MGF1 and clears the bit that is not part of the message.
fn mask(message: &mut [u8; RSA_LEN], hash: &[u8; HASH_LEN]) {
    let (db, _) = message.split_at_mut(DB_LEN);
    for (chunk, counter) in db.chunks_mut(HASH_LEN).zip(0_u32..) {
        let pad = Sha256::of(&[hash, &counter.to_be_bytes()]).0;
        chunk
            .iter_mut()
            .zip(pad)
            .for_each(|(byte, pad)| *byte ^= pad);
    }
    if let Some(first) = db.first_mut() {
        *first &= FIRST_BYTE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded() -> (Digest, [u8; RSA_LEN]) {
        let image = Digest::of(b"image");
        (image, emsa_pss_encode(&image, &[0x5A; 32]))
    }

    #[test]
    fn encoded_digest_verifies_and_another_does_not() {
        let (image, encoded) = encoded();
        assert_eq!(verify(&image, encoded), Ok(()));
        assert_eq!(verify(&Digest::of(b"other"), encoded), Err(BadSignature));
    }

    #[test]
    fn each_flipped_bit_of_the_encoding_is_refused() {
        let (image, encoded) = encoded();
        for bit in 0..RSA_LEN * 8 {
            let mut changed = encoded;
            changed[bit / 8] ^= 0x80 >> (bit % 8);
            assert_eq!(verify(&image, changed), Err(BadSignature), "bit {bit}");
        }
    }

    /// A data block that is wrong in one place but carries a hash that fits its salt: only the
    /// check of the padding stands against it.
    #[test]
    fn wrong_padding_is_refused_even_when_the_hash_fits() {
        let (image, encoded) = encoded();
        for place in [1, PADDING_LEN - 1, PADDING_LEN] {
            let mut changed = encoded;
            changed[place] ^= 2;
            assert_eq!(verify(&image, changed), Err(BadSignature), "byte {place}");
        }
    }
}
