//! Tests of signing keys and their files.

use espseal_crypto::secure_boot::verify_block;
use espseal_format::signature_block::{Curve, SignatureBlock};

use super::*;
use crate::files::FileError;

const SCHEMES: [SignatureScheme; 4] = [
    SignatureScheme::Rsa3072,
    SignatureScheme::Ecdsa(Curve::P192),
    SignatureScheme::Ecdsa(Curve::P256),
    SignatureScheme::Ecdsa(Curve::P384),
];

#[test]
fn a_new_key_of_each_scheme_signs_blocks_that_verify_and_name_it() {
    let folder = tempfile::tempdir().unwrap();
    let image = ImageDigests::of(b"image");
    for scheme in SCHEMES {
        let path = folder.path().join(scheme.to_string());
        let key = SecureBootKey::create(&path, scheme).unwrap();
        assert_eq!(key.public_key().scheme(), scheme);
        let block = key.sign_block(&image).unwrap();
        let parsed = SignatureBlock::parse(&block).unwrap();
        assert_eq!(verify_block(&parsed, &image), Ok(key.digest()));
        let again = SecureBootKey::load(&path).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        let pem = encode_public_key(&key.public_key()).unwrap();
        let public = read_public_key(&path, pem.as_bytes()).unwrap();
        assert_eq!(public, key.public_key());
        assert!(matches!(
            SecureBootKey::create(&path, scheme),
            Err(KeyError::File(FileError::Exists { .. }))
        ));
    }
}

#[test]
fn two_signatures_over_one_image_have_different_nonces() {
    let folder = tempfile::tempdir().unwrap();
    let image = ImageDigests::of(b"image");
    for scheme in SCHEMES {
        let key = SecureBootKey::create(&folder.path().join(scheme.to_string()), scheme).unwrap();
        assert_ne!(
            key.sign(&image).unwrap(),
            key.sign(&image).unwrap(),
            "{scheme}"
        );
    }
}

/// RFC 6979 appendix A.2.5, message "sample" with SHA-256.
#[test]
fn version_1_signatures_are_those_of_rfc_6979() {
    let scalar = [
        0xC9, 0xAF, 0xA9, 0xD8, 0x45, 0xBA, 0x75, 0x16, 0x6B, 0x5C, 0x21, 0x57, 0x67, 0xB1, 0xD6,
        0x93, 0x4E, 0x50, 0xC3, 0xDB, 0x36, 0xE8, 0x9B, 0x12, 0x7B, 0x8A, 0x62, 0x2B, 0x12, 0x0F,
        0x67, 0x21,
    ];
    let private = Private::Ecdsa(ecdsa::EcdsaKey::from_scalar(Curve::P256, &scalar).unwrap());
    let public = private.public_key(Path::new("key")).unwrap();
    let key = SecureBootKey { private, public };
    let signature = key.sign_v1(&Digest::of(b"sample")).unwrap();
    assert_eq!(signature.signature[..4], [0xEF, 0xD4, 0x8B, 0x2A]);
    assert_eq!(signature.signature[60..], [0x84, 0x3A, 0xCD, 0xA8]);
    assert_eq!(*key.private_digest().unwrap(), Digest::of(&scalar).0);
}

#[test]
fn scalars_outside_the_curve_are_refused() {
    for curve in [Curve::P192, Curve::P256, Curve::P384] {
        let length = curve.number_len();
        for scalar in [
            vec![0; length],
            vec![0xFF; length],
            vec![1; length - 1],
            vec![1; length + 1],
        ] {
            assert!(
                ecdsa::EcdsaKey::from_scalar(curve, &scalar).is_none(),
                "{curve}"
            );
        }
    }
}

#[test]
fn a_key_whose_public_half_is_anothers_is_refused() {
    let one = ecdsa::EcdsaKey::generate(Curve::P256).unwrap();
    let other = ecdsa::EcdsaKey::generate(Curve::P256).unwrap();
    let text = pem::encode_ecdsa(&one).unwrap();
    let block = ::pem::parse(text.as_bytes()).unwrap();
    let place = block.contents().len() - 64;
    let mut der = block.contents().to_vec();
    der[place..].copy_from_slice(&other.point()[1..]);
    let mixed = ::pem::encode(&::pem::Pem::new("EC PRIVATE KEY", der));
    let refused = SecureBootKey::from_pem(Path::new("key"), mixed.as_bytes());
    assert!(matches!(refused, Err(KeyError::Damaged { .. })));
}

#[test]
fn other_keys_than_p_256_do_not_sign_for_version_1() {
    let folder = tempfile::tempdir().unwrap();
    for scheme in [SCHEMES[0], SCHEMES[1], SCHEMES[3]] {
        let key = SecureBootKey::create(&folder.path().join(scheme.to_string()), scheme).unwrap();
        let refused = key.sign_v1(&Digest::of(b"image"));
        assert!(matches!(refused, Err(KeyError::NotP256)));
        assert!(matches!(key.private_digest(), Err(KeyError::NotP256)));
    }
}

#[test]
fn debug_output_holds_no_key_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let key = SecureBootKey::create(&folder.path().join("key"), SCHEMES[2]).unwrap();
    assert_eq!(format!("{key:?}"), "SecureBootKey(ECDSA P-256, private)");
}
