//! Secure boot blocks made by espsecure, and blocks of ours that espsecure accepts.
#![allow(clippy::unwrap_used, reason = "whatever fails here fails the test")]

use std::path::{Path, PathBuf};

use espseal_crypto::es256::BadSignature;
use espseal_crypto::secure_boot::{
    InvalidRsaKey, RSA_LEN, RsaPublicKey, VerifyError, build_block, emsa_pss_encode, verify_rsa,
};
use espseal_format::signature_block::{RsaSignatureBlock, SignatureBlock, SignatureSector};
use espseal_format::units::Digest;

fn image() -> Vec<u8> {
    (0..4096_usize)
        .map(|i| (7 * i + 3).to_le_bytes()[0])
        .collect()
}

fn unhex<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn lines(kind: &str) -> impl Iterator<Item = Vec<&'static str>> + '_ {
    let text = include_str!("../../../vectors/secure-boot/vectors.txt");
    text.lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(move |fields| fields[0] == kind)
}

fn first_block() -> (RsaSignatureBlock, Digest) {
    let bytes = unhex(lines("block").next().unwrap()[1]);
    (
        *RsaSignatureBlock::parse(&bytes).unwrap(),
        Digest::of(&image()),
    )
}

#[test]
fn blocks_made_by_espsecure_verify_and_name_their_key() {
    let digest = Digest::of(&image());
    let mut count = 0;
    for fields in lines("block") {
        let bytes = unhex(fields[1]);
        let block = RsaSignatureBlock::parse(&bytes).unwrap();
        assert_eq!(verify_rsa(block, &digest), Ok(Digest(unhex(fields[2]))));
        count += 1;
    }
    assert_eq!(count, 2);
}

#[test]
fn block_built_from_espsecures_signature_is_espsecures_block() {
    let (block, digest) = first_block();
    let reversed = |number: &[u8; RSA_LEN]| {
        let mut number = *number;
        number.reverse();
        number
    };
    let key = RsaPublicKey::new(&reversed(&block.n), block.e.get()).unwrap();
    assert_eq!(
        build_block(&key, &digest, &reversed(&block.signature)),
        Ok(block)
    );
    assert_eq!(
        build_block(&key, &Digest::of(b"other"), &reversed(&block.signature)),
        Err(BadSignature)
    );
}

#[test]
fn each_corrupted_byte_of_a_block_is_refused_by_the_check_that_is_for_it() {
    let (block, digest) = first_block();
    let mut count = 0;
    let mut refused = |changed: RsaSignatureBlock, expected: &dyn Fn(VerifyError) -> bool| {
        let error = verify_rsa(&changed, &digest).unwrap_err();
        assert!(expected(error), "{error}");
        count += 1;
    };
    for byte in 0..32 {
        let mut changed = block;
        changed.image_digest[byte] ^= 1;
        refused(changed, &|e| matches!(e, VerifyError::ImageDigest { .. }));
    }
    for byte in 0..RSA_LEN {
        let mut changed = block;
        changed.n[byte] ^= 0x80;
        refused(changed, &|e| match byte {
            383 => e == VerifyError::PublicKey(InvalidRsaKey::ModulusTooShort),
            _ => e == VerifyError::MontgomeryR,
        });
        let mut changed = block;
        changed.r[byte] ^= 1;
        refused(changed, &|e| e == VerifyError::MontgomeryR);
        let mut changed = block;
        changed.signature[byte] ^= 1;
        refused(changed, &|e| e == VerifyError::Signature);
    }
    for bit in 1..32 {
        let mut changed = block;
        changed.e = (block.e.get() ^ (1 << bit)).into();
        refused(changed, &|e| match bit {
            16 => e == VerifyError::PublicKey(InvalidRsaKey::Exponent { found: 1 }),
            _ => e == VerifyError::Signature,
        });
    }
    for bit in 0..32 {
        let mut changed = block;
        changed.m_prime = (block.m_prime.get() ^ (1 << bit)).into();
        refused(changed, &|e| matches!(e, VerifyError::MPrime { .. }));
    }
    assert_eq!(count, 32 + 3 * 384 + 31 + 32);
}

#[test]
fn image_other_than_the_signed_one_is_refused() {
    let (block, digest) = first_block();
    let other = Digest::of(b"other");
    assert_eq!(
        verify_rsa(&block, &other),
        Err(VerifyError::ImageDigest {
            expected: digest,
            found: other
        })
    );
    // With the digest in the block changed as well, the signature stands against it.
    let mut changed = block;
    changed.image_digest = other.0;
    assert_eq!(verify_rsa(&changed, &other), Err(VerifyError::Signature));
}

#[test]
fn signatures_by_openssl_verify_only_in_range_and_with_the_right_padding() {
    let digest = Digest::of(&image());
    let mut accepted = Vec::new();
    let mut refused = Vec::new();
    for fields in lines("pss") {
        let exponent = u32::from_str_radix(fields[3], 16).unwrap();
        let key = RsaPublicKey::new(&unhex(fields[2]), exponent).unwrap();
        match key.verify_pss(&digest, &unhex(fields[4])) {
            Ok(()) => accepted.push(fields[1]),
            Err(BadSignature) => refused.push(fields[1]),
        }
    }
    assert_eq!(accepted, ["good", "exponent-3"]);
    assert_eq!(
        refused,
        ["alias", "salt-0", "salt-20", "salt-64", "pkcs1-v1.5"]
    );
}

#[test]
fn keys_of_another_shape_are_refused() {
    let modulus: [u8; RSA_LEN] = unhex(lines("pss").next().unwrap()[2]);
    for found in [0, 1, 2, 4, 65536] {
        let result = RsaPublicKey::new(&modulus, found);
        assert_eq!(result, Err(InvalidRsaKey::Exponent { found }));
    }
    let mut even = modulus;
    even[383] &= 0xFE;
    assert_eq!(
        RsaPublicKey::new(&even, 65537),
        Err(InvalidRsaKey::ModulusEven)
    );
    let mut short = modulus;
    short[0] &= 0x7F;
    assert_eq!(
        RsaPublicKey::new(&short, 65537),
        Err(InvalidRsaKey::ModulusTooShort)
    );
}

/// Performs the private operation on a number, with a key that espsecure made.
const RAW_RSA: &str = "
import sys
from cryptography.hazmat.primitives.serialization import load_pem_private_key
private = load_pem_private_key(open(sys.argv[1], 'rb').read(), None).private_numbers()
public = private.public_numbers
print(f'{public.n:0768x} {public.e} {pow(int(sys.argv[2], 16), private.d, public.n):0768x}')
";

fn espsecure(arguments: &[&str], files: &[&PathBuf]) -> String {
    oracles::run(oracles::tool("espsecure").args(arguments).args(files))
}

/// A fresh key by espsecure, our encoding, Python's private operation, our block: espsecure says
/// that the image is signed, and burns the digest that we compute.
#[test]
fn image_signed_with_our_encoding_and_block_verifies_in_a_live_espsecure() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("espseal-crypto");
    std::fs::create_dir_all(&folder).unwrap();
    let [key_file, signed_file, digest_file] =
        ["key.pem", "signed.bin", "digest.bin"].map(|name| folder.join(name));
    let _ = std::fs::remove_file(&key_file);
    espsecure(
        &["generate-signing-key", "-v", "2", "-s", "rsa3072"],
        &[&key_file],
    );

    let digest = Digest::of(&image());
    let encoded = hex::encode(emsa_pss_encode(&digest, &[0x5A; 32]));
    let mut python = oracles::python();
    let answer = oracles::run(python.args(["-c", RAW_RSA]).arg(&key_file).arg(encoded));
    let fields: Vec<_> = answer.split_whitespace().collect();
    let key = RsaPublicKey::new(&unhex(fields[0]), fields[1].parse().unwrap()).unwrap();
    let block = build_block(&key, &digest, &unhex(fields[2])).unwrap();

    let sector = SignatureSector::encode([Some(SignatureBlock::Rsa(&block)), None, None]);
    std::fs::write(&signed_file, [image(), sector.to_vec()].concat()).unwrap();
    let key_path = key_file.to_str().unwrap();
    let said = espsecure(
        &["verify-signature", "-v", "2", "-k", key_path],
        &[&signed_file],
    );
    assert!(
        said.contains("Signature block 0 verification successful"),
        "{said}"
    );

    let digest_path = digest_file.to_str().unwrap();
    espsecure(
        &["digest-sbv2-public-key", "-k", key_path, "-o", digest_path],
        &[],
    );
    let burnt = std::fs::read(&digest_file).unwrap();
    assert_eq!(verify_rsa(&block, &digest).unwrap().0[..], burnt);
}
