//! ECDSA blocks and secure boot v1 as espsecure makes them: `vectors/secure-boot/README.md`.
#![allow(clippy::unwrap_used, reason = "whatever fails here fails the test")]

use espseal_crypto::es256::BadSignature;
use espseal_crypto::secure_boot::v1::{self, BadBootloaderDigest, BootloaderKey, WrongKeyLength};
use espseal_crypto::secure_boot::{PublicKey, VerifyError, verify_block};
use espseal_format::secure_boot_v1::{AppSignature, BootloaderDigest};
use espseal_format::signature_block::{
    BLOCK_LEN, BlockError, Curve, ImageDigests, SignatureBlock, SignatureScheme,
};
use espseal_format::units::{Digest, Digest384};

const ECDSA: &str = include_str!("../../../vectors/secure-boot/ecdsa.txt");
const V1: &str = include_str!("../../../vectors/secure-boot/v1.txt");
const APP: &[u8] = include_bytes!("../../../vectors/app-image/app.bin");

fn image() -> Vec<u8> {
    (0..4096_usize)
        .map(|i| (7 * i + 3).to_le_bytes()[0])
        .collect()
}

fn unhex<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

struct Vector {
    curve: Curve,
    block: [u8; BLOCK_LEN],
    key_digest: Digest,
}

fn vectors() -> Vec<Vector> {
    let lines = ECDSA.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            Vector {
                curve: match fields[0] {
                    "ecdsa192" => Curve::P192,
                    "ecdsa256" => Curve::P256,
                    _ => Curve::P384,
                },
                block: unhex(fields[1]),
                key_digest: Digest(unhex(fields[2])),
            }
        })
        .collect()
}

/// Where a block keeps its digest, its curve, its key and its signature.
fn places(curve: Curve) -> [std::ops::Range<usize>; 4] {
    let (digest, number) = match curve {
        Curve::P192 => (32, 24),
        Curve::P256 => (32, 32),
        Curve::P384 => (48, 48),
    };
    let key = 4 + digest + 1;
    let signature = key + 2 * number.max(32);
    [
        4..4 + digest,
        key - 1..key,
        key..key + 2 * number,
        signature..signature + 2 * number,
    ]
}

/// Repairs the CRC after a change.
fn mended(mut block: [u8; BLOCK_LEN]) -> [u8; BLOCK_LEN] {
    if let Err(BlockError::Crc { computed, .. }) = SignatureBlock::parse(&block) {
        block[1196..1200].copy_from_slice(&computed.to_le_bytes());
    }
    block
}

fn verify(block: &[u8; BLOCK_LEN], image: &ImageDigests) -> Result<Digest, VerifyError> {
    verify_block(&SignatureBlock::parse(block).unwrap(), image)
}

#[test]
fn blocks_made_by_espsecure_verify_and_name_their_key() {
    let digests = ImageDigests::of(&image());
    let mut curves = Vec::new();
    for vector in vectors() {
        assert_eq!(verify(&vector.block, &digests), Ok(vector.key_digest));
        let block = SignatureBlock::parse(&vector.block).unwrap();
        assert_eq!(block.scheme(), Some(SignatureScheme::Ecdsa(vector.curve)));
        assert_eq!(block.key_digest(), Some(vector.key_digest));
        assert_eq!(block.as_bytes(), &vector.block);
        curves.push(vector.curve);
    }
    let expected = [Curve::P192, Curve::P256, Curve::P384];
    assert_eq!(curves, expected.map(|curve| [curve; 2]).concat());
}

#[test]
fn block_built_from_espsecures_signature_is_espsecures_block() {
    let digests = ImageDigests::of(&image());
    for vector in vectors() {
        let [_, _, key, signature] = places(vector.curve);
        let number = key.len() / 2;
        let big_endian = |range: std::ops::Range<usize>| {
            let numbers = vector.block[range].chunks(number);
            numbers
                .flat_map(|number| number.iter().rev().copied())
                .collect::<Vec<u8>>()
        };
        let point = big_endian(key);
        let public = PublicKey::from_point(vector.curve, &point).unwrap();
        assert_eq!(public.digest(), vector.key_digest);
        let kept = match &public {
            PublicKey::P192(key) => key.coordinates().as_flattened().to_vec(),
            PublicKey::P256(key) => key.coordinates().as_flattened().to_vec(),
            PublicKey::P384(key) => key.coordinates().as_flattened().to_vec(),
            other => panic!("{other:?}"),
        };
        assert_eq!(kept, point);
        let signature = big_endian(signature);
        assert_eq!(public.build_block(&digests, &signature), Ok(vector.block));
        let other = ImageDigests::of(b"other");
        assert_eq!(public.build_block(&other, &signature), Err(BadSignature));
        let short = &signature[1..];
        assert_eq!(public.build_block(&digests, short), Err(BadSignature));
    }
}

#[test]
fn each_corrupted_bit_of_a_block_is_refused_by_the_check_that_is_for_it() {
    let digests = ImageDigests::of(&image());
    let mut refused = 0;
    for vector in vectors().into_iter().step_by(2) {
        let [digest, curve, key, signature] = places(vector.curve);
        for bit in (digest.start * 8..signature.end * 8).step_by(3) {
            let mut changed = vector.block;
            changed[bit / 8] ^= 1 << (bit % 8);
            let found = verify(&mended(changed), &digests);
            let byte = bit / 8;
            let fits = |error| match byte {
                _ if digest.contains(&byte) => matches!(
                    error,
                    VerifyError::ImageDigest { .. } | VerifyError::ImageDigest384 { .. }
                ),
                // A flipped bit of P-192 is P-256 or nothing, and the key no point of it.
                _ if curve.contains(&byte) => {
                    matches!(
                        error,
                        VerifyError::Scheme { version: 3 } | VerifyError::Point
                    )
                }
                _ if key.contains(&byte) => error == VerifyError::Point,
                _ => error == VerifyError::Signature,
            };
            match found {
                // The zeros after P-192's numbers are not part of the key that verifies, but of
                // the digest that eFuses hold.
                Ok(key) if vector.curve == Curve::P192 && byte < 101 => {
                    assert_ne!(key, vector.key_digest, "bit {bit}");
                }
                Ok(_) => assert!(vector.curve == Curve::P192 && byte >= 149, "bit {bit}"),
                Err(error) => {
                    assert!(fits(error), "{} bit {bit}: {error}", vector.curve);
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn image_other_than_the_signed_one_is_refused() {
    let other = ImageDigests::of(b"other");
    for vector in vectors() {
        let error = verify(&vector.block, &other).unwrap_err();
        match vector.curve {
            Curve::P384 => assert_eq!(
                error,
                VerifyError::ImageDigest384 {
                    expected: ImageDigests::of(&image()).sha384,
                    found: other.sha384
                }
            ),
            _ => assert_eq!(
                error,
                VerifyError::ImageDigest {
                    expected: Digest::of(&image()),
                    found: other.sha256
                }
            ),
        }
        // With the digest in the block changed as well, the signature stands against it.
        let [digest, ..] = places(vector.curve);
        let mut changed = vector.block;
        match vector.curve {
            Curve::P384 => changed[digest].copy_from_slice(&other.sha384.0),
            _ => changed[digest].copy_from_slice(&other.sha256.0),
        }
        assert_eq!(
            verify(&mended(changed), &other),
            Err(VerifyError::Signature)
        );
    }
}

#[test]
fn r_and_s_of_zero_or_all_ones_are_refused() {
    let digests = ImageDigests::of(&image());
    for vector in vectors() {
        let [_, _, _, signature] = places(vector.curve);
        let number = signature.len() / 2;
        for half in [0, number] {
            for byte in [0x00, 0xFF] {
                let mut changed = vector.block;
                changed[signature.start + half..][..number].fill(byte);
                let found = verify(&mended(changed), &digests);
                assert_eq!(found, Err(VerifyError::Signature));
            }
        }
    }
}

#[test]
fn blocks_of_schemes_that_nobody_defines_are_refused() {
    let digests = ImageDigests::of(&image());
    let good = &vectors()[2].block;
    for (place, value) in [(1, 1), (1, 4), (2, 1), (2, 2), (36, 0), (36, 3), (36, 255)] {
        let mut changed = *good;
        changed[place] = value;
        let changed = mended(changed);
        let block = SignatureBlock::parse(&changed).unwrap();
        assert_eq!(block, SignatureBlock::Unknown(&changed));
        let version = changed[1];
        assert_eq!(
            verify_block(&block, &digests),
            Err(VerifyError::Scheme { version })
        );
    }
}

#[test]
fn the_sha_384_of_an_image_is_what_the_standard_says() {
    // FIPS 180-4, "abc".
    let expected = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163\
                    1a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7";
    assert_eq!(ImageDigests::of(b"abc").sha384, Digest384(unhex(expected)));
}

fn v1_lines(kind: &str) -> impl Iterator<Item = Vec<&'static str>> + '_ {
    V1.lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(move |fields| fields[0] == kind)
}

#[test]
fn apps_signed_by_espsecure_for_version_1_verify_and_no_others() {
    let digest = Digest::of(&image());
    let mut count = 0;
    for fields in v1_lines("app") {
        let key: [u8; 64] = unhex(fields[1]);
        let file = [image(), hex::decode(fields[2]).unwrap()].concat();
        let (signed, signature) = AppSignature::split(&file).unwrap();
        assert_eq!(signed, image());
        assert_eq!(v1::verify_app(&key, &digest, signature), Ok(()));
        let other = Digest::of(b"other");
        assert_eq!(v1::verify_app(&key, &other, signature), Err(BadSignature));
        for bit in (0..512).step_by(5) {
            let mut changed = signature.signature;
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = AppSignature::new(changed);
            assert_eq!(v1::verify_app(&key, &digest, &changed), Err(BadSignature));
            let mut other_key = key;
            other_key[bit / 8] ^= 1 << (bit % 8);
            let result = v1::verify_app(&other_key, &digest, signature);
            assert_eq!(result, Err(BadSignature));
        }
        count += 1;
    }
    assert_eq!(count, 2);
}

#[test]
fn digests_of_bootloaders_are_those_of_espsecure() {
    let bytes = [APP.to_vec(), image()].concat();
    let mut count = 0;
    for fields in v1_lines("bootloader") {
        let file = hex::decode(fields[1]).unwrap();
        let key = BootloaderKey::from_file(&file).unwrap();
        let bootloader = &bytes[..fields[3].parse().unwrap()];
        let expected = BootloaderDigest {
            iv: unhex(fields[2]),
            digest: unhex(fields[4]),
        };
        assert_eq!(key.digest(&expected.iv, bootloader), expected);
        assert_eq!(key.verify(&expected, bootloader), Ok(()));

        let burnt: Vec<u8> = file.iter().rev().copied().collect();
        let from_efuse = BootloaderKey::from_efuse(&burnt).unwrap();
        assert_eq!(from_efuse.verify(&expected, bootloader), Ok(()));

        let refused = Err(BadBootloaderDigest);
        let mut changed = bootloader.to_vec();
        changed[100] ^= 1;
        assert_eq!(key.verify(&expected, &changed), refused);
        for place in 0..192 {
            let mut changed = expected.encode();
            changed[place] ^= 1;
            let changed = BootloaderDigest::parse(&changed);
            assert_eq!(key.verify(changed, bootloader), refused, "byte {place}");
        }
        count += 1;
    }
    assert_eq!(count, 18);
}

#[test]
fn keys_of_other_lengths_are_refused() {
    for length in [0, 16, 23, 25, 31, 33, 64] {
        let bytes = vec![1; length];
        assert!(matches!(
            BootloaderKey::from_file(&bytes),
            Err(WrongKeyLength)
        ));
        assert!(matches!(
            BootloaderKey::from_efuse(&bytes),
            Err(WrongKeyLength)
        ));
    }
}
