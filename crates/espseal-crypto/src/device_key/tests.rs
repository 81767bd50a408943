//! Two independent keys from one eFuse key, and round trips.

extern crate std;
use std::format;
use std::vec::Vec;

use hkdf::hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::*;
use crate::es256::verify_prehash;
use crate::test_rng::TestRng;

const PRODUCT: Product = Product([1; 16]);

/// What the HMAC peripheral computes with an eFuse key of 32 bytes.
fn peripheral(message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&[0x42; 32]).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[test]
fn keys_from_the_efuse_are_stable_and_independent() {
    let mut messages = Vec::new();
    let key = SoftwareDeviceKey::derive(|message| {
        messages.push(message.to_vec());
        Ok::<_, ()>(peripheral(message))
    })
    .unwrap();
    assert_eq!(
        messages,
        [
            &b"espseal/v1/device-epoch-key\0"[..],
            b"espseal/v1/device-report-key\0"
        ]
    );
    assert_ne!(*key.public_key(), key.report_key());
    let again = SoftwareDeviceKey::derive(|message| Ok::<_, ()>(peripheral(message))).unwrap();
    assert_eq!(*again.expose_secret(), *key.expose_secret());
}

#[test]
fn failure_of_the_peripheral_is_passed_on() {
    let result = SoftwareDeviceKey::derive(|_| Err("no key in BLOCK_KEY3"));
    assert_eq!(
        result.map(|_| ()),
        Err(DeriveError::Hmac("no key in BLOCK_KEY3"))
    );
}

#[test]
fn stored_keys_open_and_sign_as_before() {
    let mut rng = TestRng::new(5);
    let key = SoftwareDeviceKey::generate(&mut rng);
    let stored = SoftwareDeviceKey::from_bytes(&key.expose_secret()).unwrap();
    assert_eq!(stored.device_id(), key.device_id());
    assert_eq!(stored.device_id(), DeviceId::of(key.public_key()));

    let epoch_key = EpochKey::generate(&mut rng);
    let entry = epoch_key
        .wrap_for(key.public_key(), &PRODUCT, 1, 2, &mut rng)
        .unwrap();
    let opened = stored.open_epoch_key(&PRODUCT, 1, 2, &entry).unwrap();
    assert_eq!(opened.expose_secret(), epoch_key.expose_secret());

    let digest = Digest::of(b"report");
    let signature = stored.sign_report(&digest).unwrap();
    assert_eq!(
        verify_prehash(&key.report_key(), &digest, &signature),
        Ok(())
    );
    assert!(verify_prehash(key.public_key(), &digest, &signature).is_err());
}

#[test]
fn zero_scalars_are_refused_in_either_place() {
    let key = SoftwareDeviceKey::generate(&mut TestRng::new(6)).expose_secret();
    for place in [0..32, 32..64] {
        let mut bytes = *key;
        bytes[place].fill(0);
        assert!(SoftwareDeviceKey::from_bytes(&bytes).is_err());
    }
}

#[test]
fn debug_output_holds_no_key_bytes() {
    let key = SoftwareDeviceKey::generate(&mut TestRng::new(7));
    assert_eq!(
        format!("{key:?}"),
        "SoftwareDeviceKey { epoch: DevicePrivateKey(..), report: SigningKey(..) }"
    );
}
