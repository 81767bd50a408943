//! Who may sign what, and who may not.

extern crate std;
use std::vec::Vec;

use super::*;
use crate::test_rng::TestRng;

const PRODUCT: Product = Product([1; 16]);
const OTHER_PRODUCT: Product = Product([2; 16]);
const PAYLOAD: &[u8] = b"payload";

fn key(seed: u64) -> SigningKey {
    SigningKey::generate(&mut TestRng::new(seed))
}

fn publics(keys: &[SigningKey]) -> Vec<PublicKeyBytes> {
    keys.iter().map(SigningKey::public_key).collect()
}

#[test]
fn signed_document_verifies_for_its_role_product_and_payload_alone() {
    let keys = [key(1), key(2)];
    let public = publics(&keys);
    let signed = sign1(&keys[1], Role::Releases, &PRODUCT, PAYLOAD).unwrap();
    let document = signed.envelope(PAYLOAD);
    assert_eq!(
        verify_sign1(&document, Role::Releases, &PRODUCT, &public),
        Ok(())
    );
    for role in [Role::Root, Role::Now, Role::Report] {
        assert_eq!(
            verify_sign1(&document, role, &PRODUCT, &public),
            Err(VerifyError::Signature)
        );
    }
    assert_eq!(
        verify_sign1(&document, Role::Releases, &OTHER_PRODUCT, &public),
        Err(VerifyError::Signature)
    );
    assert_eq!(
        verify_sign1(
            &signed.envelope(b"other"),
            Role::Releases,
            &PRODUCT,
            &public
        ),
        Err(VerifyError::Signature)
    );
}

#[test]
fn key_outside_the_role_is_refused_whatever_id_it_claims() {
    let role_key = key(1);
    let stranger = key(3);
    let public = [role_key.public_key()];
    let signed = sign1(&stranger, Role::Now, &PRODUCT, PAYLOAD).unwrap();
    assert_eq!(
        verify_sign1(&signed.envelope(PAYLOAD), Role::Now, &PRODUCT, &public),
        Err(VerifyError::UnknownKey {
            found: stranger.key_id()
        })
    );
    let kid = role_key.key_id();
    let signature = stranger
        .sign_prehash(&digest1(Role::Now, &PRODUCT, kid, PAYLOAD))
        .unwrap();
    let claimed = SignatureOf { kid, signature };
    assert_eq!(
        verify_sign1(&claimed.envelope(PAYLOAD), Role::Now, &PRODUCT, &public),
        Err(VerifyError::Signature)
    );
    assert!(verify_sign1(&claimed.envelope(PAYLOAD), Role::Now, &PRODUCT, &[]).is_err());
}

#[test]
fn key_id_is_part_of_what_is_signed() {
    let signer = key(1);
    let public = [signer.public_key()];
    let wrong_id = digest1(Role::Now, &PRODUCT, KeyId([0; 8]), PAYLOAD);
    let claimed = SignatureOf {
        kid: signer.key_id(),
        signature: signer.sign_prehash(&wrong_id).unwrap(),
    };
    assert_eq!(
        verify_sign1(&claimed.envelope(PAYLOAD), Role::Now, &PRODUCT, &public),
        Err(VerifyError::Signature)
    );
}

#[test]
fn each_flipped_bit_of_a_signature_is_refused() {
    let signer = key(1);
    let public = [signer.public_key()];
    let signed = sign1(&signer, Role::Now, &PRODUCT, PAYLOAD).unwrap();
    for bit in 0..SIGNATURE_LEN * 8 {
        let mut changed = signed;
        changed.signature[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            verify_sign1(&changed.envelope(PAYLOAD), Role::Now, &PRODUCT, &public),
            Err(VerifyError::Signature),
            "bit {bit}"
        );
    }
}

#[test]
fn threshold_counts_distinct_keys_of_the_role_that_signed() {
    let keys = [key(1), key(2), key(3)];
    let public = publics(&keys);
    let signatures: Vec<_> = keys[..2]
        .iter()
        .map(|key| sign(key, &PRODUCT, PAYLOAD).unwrap())
        .collect();
    let document = SignatureOf::threshold_envelope(&signatures, PAYLOAD).unwrap();
    for threshold in [1, 2] {
        assert_eq!(
            verify_threshold(&document, &PRODUCT, &public, threshold),
            Ok(())
        );
    }
    let refused = |document: &Sign<'_>, product, keys: &[_], threshold, found| {
        assert_eq!(
            verify_threshold(document, product, keys, threshold),
            Err(VerifyError::Threshold { threshold, found })
        );
    };
    refused(&document, &PRODUCT, &public, 3, 2);
    refused(&document, &PRODUCT, &public[..1], 2, 1);
    refused(&document, &OTHER_PRODUCT, &public, 1, 0);
    let other = SignatureOf::threshold_envelope(&signatures, b"other").unwrap();
    refused(&other, &PRODUCT, &public, 1, 0);
}

#[test]
fn key_listed_or_signing_twice_counts_once() {
    let signer = key(1);
    let public = signer.public_key();
    let signed = sign(&signer, &PRODUCT, PAYLOAD).unwrap();
    let twice = [signed, signed];
    let document = SignatureOf::threshold_envelope(&twice, PAYLOAD).unwrap();
    assert_eq!(
        verify_threshold(&document, &PRODUCT, &[public, public], 2),
        Err(VerifyError::Threshold {
            threshold: 2,
            found: 1
        })
    );
}

/// The key id is a protected header (RFC 9052 section 3): under another id it is another message.
#[test]
fn signature_under_another_key_id_does_not_count() {
    let signer = key(1);
    let mut signed = [sign(&signer, &PRODUCT, PAYLOAD).unwrap()];
    signed[0].kid = key(2).key_id();
    let document = SignatureOf::threshold_envelope(&signed, PAYLOAD).unwrap();
    assert_eq!(
        verify_threshold(&document, &PRODUCT, &[signer.public_key()], 1),
        Err(VerifyError::Threshold {
            threshold: 1,
            found: 0
        })
    );
}

#[test]
fn threshold_of_zero_is_never_met() {
    let signer = key(1);
    let signed = [sign(&signer, &PRODUCT, PAYLOAD).unwrap()];
    let document = SignatureOf::threshold_envelope(&signed, PAYLOAD).unwrap();
    for keys in [&[][..], &[signer.public_key()]] {
        assert!(verify_threshold(&document, &PRODUCT, keys, 0).is_err());
    }
}

#[test]
fn signatures_by_strangers_are_ignored() {
    let (ours, stranger) = (key(1), key(4));
    let signatures = [&ours, &stranger].map(|key| sign(key, &PRODUCT, PAYLOAD).unwrap());
    let document = SignatureOf::threshold_envelope(&signatures, PAYLOAD).unwrap();
    let public = [ours.public_key()];
    assert_eq!(verify_threshold(&document, &PRODUCT, &public, 1), Ok(()));
}

/// A COSE_Sign1 signature over a root would otherwise be one signature of a COSE_Sign.
#[test]
fn sign1_signature_does_not_serve_in_a_threshold() {
    let signer = key(1);
    let signed = [sign1(&signer, Role::Root, &PRODUCT, PAYLOAD).unwrap()];
    let document = SignatureOf::threshold_envelope(&signed, PAYLOAD).unwrap();
    assert!(verify_threshold(&document, &PRODUCT, &[signer.public_key()], 1).is_err());
}

#[test]
fn envelopes_are_what_the_format_parses() {
    let mut signatures = Vec::new();
    for seed in 0..10 {
        signatures.push(sign(&key(seed), &PRODUCT, PAYLOAD).unwrap());
    }
    let mut bytes = [0; 2048];
    let document = SignatureOf::threshold_envelope(&signatures, PAYLOAD).unwrap();
    let len = document.encode(&mut bytes).unwrap();
    assert_eq!(Sign::parse(&bytes[..len]).unwrap(), document);
    let too_many = [&signatures[..], &signatures[..1]].concat();
    assert_eq!(SignatureOf::threshold_envelope(&too_many, PAYLOAD), None);

    let document = signatures[0].envelope(PAYLOAD);
    let len = document.encode(&mut bytes).unwrap();
    assert_eq!(Sign1::parse(&bytes[..len]).unwrap(), document);
}
