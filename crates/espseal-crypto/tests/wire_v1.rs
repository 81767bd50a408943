//! Cryptography of protocol 1 against frozen vectors.
//!
//! The bytes were written by `vectors/protocol-v1/make.py` from `docs/protocol.md` with OpenSSL,
//! not by this code. If a test in this file fails, do not change the test: the protocol changed.
#![allow(clippy::unwrap_used, reason = "whatever fails here fails the test")]

use espseal_crypto::content::{self, BodyKeystream, ContentKey, Iv, Tag};
use espseal_crypto::cose::{SignatureOf, verify_sign1, verify_threshold};
use espseal_crypto::cose::{VerifyError, digest, digest1, sign, sign1};
use espseal_crypto::epoch::{self, DevicePrivateKey, EpochKey};
use espseal_crypto::es256::{self, SigningKey};
use espseal_format::cose::{Role, Sign, Sign1};
use espseal_format::units::{Digest, Product, PublicKeyBytes};
use espseal_format::wrap::{BodyWrap, ShardEntry, find_in_shard};
use serde_json::Value;

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("../../../vectors/protocol-v1/", $name))
    };
}

fn vectors() -> Value {
    serde_json::from_slice(file!("crypto.json")).unwrap()
}

fn bytes<const N: usize>(value: &Value) -> [u8; N] {
    hex::decode(value.as_str().unwrap())
        .unwrap()
        .try_into()
        .unwrap()
}

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

fn product() -> Product {
    Product(bytes(&vectors()["epoch"]["product"]))
}

fn key(name: &str) -> SigningKey {
    SigningKey::from_bytes(&bytes(&vectors()["keys"][name]["private"])).unwrap()
}

#[test]
fn body_opens_and_commitment_holds() {
    let content = &vectors()["content"];
    let cek = ContentKey::from_bytes(bytes(&content["cek"]));
    let (iv, tag) = (Iv(bytes(&content["iv"])), Tag(bytes(&content["tag"])));
    let sealed = file!("body.bin");
    let digest = Digest::of(sealed);
    assert_eq!(digest.0, bytes(&content["body_sha256"]));

    let mut body = *sealed;
    content::open(&cek, &iv, &tag, &mut body).unwrap();
    assert_eq!(Digest::of(&body).0, bytes(&content["plaintext_sha256"]));
    let mut second_chunk = sealed[4096..].to_vec();
    BodyKeystream::new(&cek, &iv).apply(4096, &mut second_chunk);
    assert_eq!(second_chunk, body[4096..]);

    let commitment = Digest(bytes(&content["commitment"]));
    assert_eq!(content::commitment(&digest, &cek), commitment);
    assert_eq!(
        content::verify_commitment(&commitment, &digest, &cek),
        Ok(())
    );
}

#[test]
fn epoch_key_commits_and_wraps_the_content_key() {
    let (all, product) = (vectors(), product());
    let epoch = &all["epoch"];
    let (group, number) = (number(&epoch["group"]), number(&epoch["epoch"]));
    let ek = EpochKey::from_bytes(bytes(&epoch["ek"]));
    let commitment = Digest(bytes(&epoch["commitment"]));
    assert_eq!(ek.commitment(&product, group, number), commitment);

    let kek = ek.kek(&product, group, number, &Digest::of(file!("body.bin")));
    let wrap = BodyWrap(*file!("body.kw"));
    assert_eq!(wrap.0, bytes(&epoch["body_wrap"]));
    let cek = kek.unwrap_key(&wrap).unwrap();
    assert_eq!(*cek.expose_secret(), bytes(&all["content"]["cek"]));
    assert_eq!(kek.wrap(&cek), wrap);
}

#[test]
fn each_device_opens_its_entry_of_the_shard() {
    let (all, product) = (vectors(), product());
    let epoch = &all["epoch"];
    let (group, number) = (number(&epoch["group"]), number(&epoch["epoch"]));
    let wraps = all["hpke"].as_array().unwrap();
    assert_eq!(wraps.len(), 3);
    for wrap in wraps {
        let device = DevicePrivateKey::from_bytes(&bytes(&wrap["device_private"])).unwrap();
        assert_eq!(device.public_key().0, bytes(&wrap["device_public"]));
        assert_eq!(device.device_id().0, bytes(&wrap["device_id"]));
        let entry = find_in_shard(file!("epoch.shard"), &device.device_id()).unwrap();
        let expected = ShardEntry {
            device: device.device_id(),
            enc: bytes(&wrap["enc"]),
            ciphertext: bytes(&wrap["ciphertext"]),
        };
        assert_eq!(entry, Some(expected));
        let opened = epoch::open(&device, &product, group, number, &expected).unwrap();
        assert_eq!(*opened.expose_secret(), bytes(&epoch["ek"]));
    }
}

#[test]
fn key_pair_is_derived_from_keying_material() {
    let pair = &vectors()["derive_key_pair"];
    let device = DevicePrivateKey::from_ikm(&bytes(&pair["ikm"]));
    assert_eq!(*device.expose_secret(), bytes(&pair["private"]));
    assert_eq!(device.public_key().0, bytes(&pair["public"]));
}

#[test]
fn signatures_verify_with_either_s() {
    let all = vectors();
    let signatures = all["es256"].as_array().unwrap();
    assert_eq!(signatures.len(), 6);
    for case in signatures {
        let key = PublicKeyBytes(bytes(&case["public"]));
        let covered = hex::decode(case["to_be_signed"].as_str().unwrap()).unwrap();
        let digest = Digest(bytes(&case["digest"]));
        assert_eq!(Digest::of(&covered), digest);
        for form in ["signature", "signature_with_other_s"] {
            let result = es256::verify_prehash(&key, &digest, &bytes(&case[form]));
            assert_eq!(result, Ok(()), "{} {form}", case["name"]);
        }
    }
}

/// ECDSA by RFC 6979 makes signatures reproducible: ours are those of OpenSSL.
#[test]
fn single_signer_envelopes_verify_and_are_signed_again_byte_for_byte() {
    let documents: [(Role, &str, [&[u8]; 3]); 4] = [
        (
            Role::Releases,
            "releases",
            [
                file!("releases.cose"),
                file!("releases.tbs"),
                file!("releases.pub"),
            ],
        ),
        (
            Role::Now,
            "now",
            [file!("now.cose"), file!("now.tbs"), file!("now.pub")],
        ),
        (
            Role::Direct,
            "releases",
            [
                file!("direct.cose"),
                file!("direct.tbs"),
                file!("releases.pub"),
            ],
        ),
        (
            Role::Report,
            "report",
            [
                file!("report.cose"),
                file!("report.tbs"),
                file!("report.pub"),
            ],
        ),
    ];
    for (role, name, [envelope, covered, public]) in documents {
        let document = Sign1::parse(envelope).unwrap();
        let keys = [PublicKeyBytes(public.try_into().unwrap())];
        assert_eq!(
            verify_sign1(&document, role, &product(), &keys),
            Ok(()),
            "{name}"
        );
        let digest = digest1(role, &product(), document.kid, document.payload);
        assert_eq!(digest, Digest::of(covered), "{name}");

        let signed = sign1(&key(name), role, &product(), document.payload).unwrap();
        let mut again = [0; 2048];
        let len = signed
            .envelope(document.payload)
            .encode(&mut again)
            .unwrap();
        assert_eq!(&again[..len], envelope, "{name}");
    }
}

#[test]
fn root_verifies_by_threshold_and_is_signed_again_byte_for_byte() {
    let document = Sign::parse(file!("root.cose")).unwrap();
    let covered: [&[u8]; 2] = [file!("root-0.tbs"), file!("root-1.tbs")];
    for (signature, covered) in document.signatures.iter().zip(covered) {
        let digest = digest(Role::Root, &product(), signature.kid, document.payload);
        assert_eq!(digest, Digest::of(covered));
    }
    let keys = [
        file!("root-a.pub"),
        file!("root-b.pub"),
        file!("root-c.pub"),
    ]
    .map(|key| PublicKeyBytes(*key));
    assert_eq!(verify_threshold(&document, &product(), &keys, 2), Ok(()));
    let missing = VerifyError::Threshold {
        threshold: 3,
        found: 2,
    };
    assert_eq!(
        verify_threshold(&document, &product(), &keys, 3),
        Err(missing)
    );

    let signatures: Vec<SignatureOf> = ["root-a", "root-b", "root-c"]
        .map(key)
        .iter()
        .filter(|key| document.signatures.iter().any(|s| s.kid == key.key_id()))
        .map(|key| sign(key, &product(), document.payload).unwrap())
        .collect();
    let again = SignatureOf::threshold_envelope(&signatures, document.payload).unwrap();
    let mut encoded = [0; 2048];
    let len = again.encode(&mut encoded).unwrap();
    assert_eq!(&encoded[..len], file!("root.cose"));
}
