//! Sealing against OpenSSL, and every way in which a body must not open.

extern crate std;
use std::format;
use std::vec::Vec;

use super::*;
use crate::test_rng::TestRng;

struct Vector {
    name: &'static str,
    key: ContentKey,
    iv: Iv,
    plaintext: Vec<u8>,
    ciphertext: Vec<u8>,
    tag: Tag,
}

fn vectors() -> Vec<Vector> {
    let text = include_str!("../../../../vectors/aes-gcm/vectors.txt");
    let unhex = |field: &str| hex::decode(field.trim_matches('-')).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            Vector {
                name: fields[0],
                key: ContentKey(unhex(fields[1]).try_into().unwrap()),
                iv: Iv(unhex(fields[2]).try_into().unwrap()),
                plaintext: unhex(fields[3]),
                ciphertext: unhex(fields[4]),
                tag: Tag(unhex(fields[5]).try_into().unwrap()),
            }
        })
        .collect()
}

#[test]
fn ciphertext_and_tag_are_those_of_openssl() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 14);
    for vector in vectors {
        let mut body = vector.plaintext.clone();
        let tag = BodyKeystream::new(&vector.key, &vector.iv).seal(&mut body, gcm::ghash_bulk);
        assert_eq!(body, vector.ciphertext, "{}", vector.name);
        assert_eq!(tag.0, vector.tag.0, "{}", vector.name);
        open(&vector.key, &vector.iv, &tag, &mut body).unwrap();
        assert_eq!(body, vector.plaintext, "{}", vector.name);
    }
}

#[test]
fn keystream_gives_any_stretch_alone_even_across_the_counter_wrap() {
    for vector in vectors() {
        let keystream = BodyKeystream::new(&vector.key, &vector.iv);
        let len = vector.plaintext.len();
        for start in (0..len).step_by(if len > 300 { 97 } else { 1 }) {
            for stretch in [1, 16, 33, 4096] {
                let end = (start + stretch).min(len);
                let mut piece = vector.ciphertext[start..end].to_vec();
                keystream.apply(u32::try_from(start).unwrap(), &mut piece);
                assert_eq!(
                    piece,
                    vector.plaintext[start..end],
                    "{} {start}",
                    vector.name
                );
            }
        }
    }
}

/// The `ctr` crate, counting in 32 bits from J0 + 1, at places and lengths around the batches.
#[test]
fn keystream_is_that_of_the_ctr_crate_wherever_a_stretch_begins() {
    use ctr::cipher::{KeyIvInit as _, StreamCipher as _, StreamCipherSeek as _};
    let (key, iv) = (ContentKey([3; 32]), Iv([0xF1; 16]));
    let keystream = BodyKeystream::new(&key, &iv);
    let first = keystream.pre_counter() + 1;
    let mut compared = 0;
    for start in (0..40).chain([127, 128, 4095, 4096, 1 << 31, (1 << 31) + 5]) {
        for length in (0..40).chain([127, 128, 129, 255, 257, 1000]) {
            let mut own = std::vec![0x5A; length];
            let mut oracle = own.clone();
            keystream.apply(start, &mut own);
            let mut stream =
                ctr::Ctr32BE::<aes::Aes256>::new(&key.0.into(), &first.to_be_bytes().into());
            stream.seek(start);
            stream.apply_keystream(&mut oracle);
            assert_eq!(own, oracle, "{length} bytes at {start}");
            compared += 1;
        }
    }
    std::println!("{compared} stretches compared");
}

#[test]
fn keystream_reaches_the_end_of_a_4_gib_body() {
    use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
    for vector in vectors() {
        // J0 is where the keystream would stand one block before its start.
        let keystream = BodyKeystream::new(&vector.key, &vector.iv);
        let [fixed @ .., a, b, c, d] = keystream.pre_counter().to_be_bytes();
        let low = u32::from_be_bytes([a, b, c, d]).wrapping_add(0x1000_0000);
        let mut expected = [0; 16];
        expected[..12].copy_from_slice(&fixed);
        expected[12..].copy_from_slice(&low.to_be_bytes());
        aes::Aes256::new((&vector.key.0).into()).encrypt_block((&mut expected).into());
        let mut last_block = [0; 16];
        keystream.apply(0xFFFF_FFF0, &mut last_block);
        assert_eq!(last_block, expected, "{}", vector.name);
        let mut last_byte = [0; 1];
        keystream.apply(u32::MAX, &mut last_byte);
        assert_eq!(last_byte[0], expected[15]);
    }
}

#[test]
fn changed_body_tag_key_or_iv_is_refused_and_leaves_the_buffer_unchanged() {
    let mut rng = TestRng::new(1);
    let plaintext = *b"a body that is longer than two AES blocks";
    let mut sealed_body = plaintext;
    let sealed = seal(&mut rng, &mut sealed_body);
    let refused = |key: &ContentKey, iv: &Iv, tag: &Tag, body: &[u8]| {
        let mut buffer = body.to_vec();
        assert_eq!(open(key, iv, tag, &mut buffer), Err(AuthenticationFailed));
        assert_eq!(buffer, body);
    };
    for bit in 0..sealed_body.len() * 8 {
        let mut body = sealed_body;
        body[bit / 8] ^= 1 << (bit % 8);
        refused(&sealed.key, &sealed.iv, &sealed.tag, &body);
    }
    for bit in 0..128 {
        let mut tag = sealed.tag;
        tag.0[bit / 8] ^= 1 << (bit % 8);
        refused(&sealed.key, &sealed.iv, &tag, &sealed_body);
        let mut iv = sealed.iv;
        iv.0[bit / 8] ^= 1 << (bit % 8);
        refused(&sealed.key, &iv, &sealed.tag, &sealed_body);
    }
    refused(&ContentKey([7; 32]), &sealed.iv, &sealed.tag, &sealed_body);
    refused(&sealed.key, &sealed.iv, &sealed.tag, &sealed_body[..40]);
    let mut body = sealed_body;
    open(&sealed.key, &sealed.iv, &sealed.tag, &mut body).unwrap();
    assert_eq!(body, plaintext);
}

#[test]
fn each_body_gets_a_key_and_an_iv_of_its_own() {
    let mut rng = TestRng::new(2);
    let one = seal(&mut rng, &mut []);
    let other = seal(&mut rng, &mut []);
    assert_ne!(one.key.0, other.key.0);
    assert_ne!(one.iv, other.iv);
    assert_ne!(one.key.0, [0; 32]);
    assert_ne!(one.iv.0, [0; 16]);
}

#[test]
fn commitment_is_over_label_body_digest_and_key() {
    let key = ContentKey([0x11; 32]);
    let body = Digest([0x22; 32]);
    let mut preimage = b"espseal/v1/cek-commit\0".to_vec();
    preimage.extend([0x22; 32]);
    preimage.extend([0x11; 32]);
    assert_eq!(commitment(&body, &key), Digest::of(&preimage));
}

#[test]
fn commitment_to_another_key_or_body_is_refused() {
    let (key, body) = (ContentKey([1; 32]), Digest([2; 32]));
    let expected = commitment(&body, &key);
    assert_eq!(verify_commitment(&expected, &body, &key), Ok(()));
    let mut other_key = ContentKey([1; 32]);
    other_key.0[31] ^= 1;
    assert_eq!(
        verify_commitment(&expected, &body, &other_key),
        Err(CommitmentMismatch)
    );
    assert_eq!(
        verify_commitment(&expected, &Digest([3; 32]), &key),
        Err(CommitmentMismatch)
    );
    for byte in [0, 15, 31] {
        let mut changed = expected;
        changed.0[byte] ^= 0x80;
        assert_eq!(
            verify_commitment(&changed, &body, &key),
            Err(CommitmentMismatch)
        );
    }
}

#[test]
fn debug_output_holds_no_key_bytes() {
    let sealed = seal(&mut TestRng::new(3), &mut []);
    let text = format!("{sealed:?}");
    assert!(text.contains("ContentKey(..)"), "{text}");
    let keystream = BodyKeystream::new(&sealed.key, &sealed.iv);
    assert_eq!(format!("{keystream:?}"), "BodyKeystream(..)");
}
