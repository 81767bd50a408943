//! Against the `hpke` crate, which shares no code above the primitives.

extern crate std;

use ::hpke::aead::{AeadTag, AesGcm256};
use ::hpke::inout::InOutBuf;
use ::hpke::kdf::HkdfSha256;
use ::hpke::kem::DhP256HkdfSha256;
use ::hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use rand_core::Rng as _;

use super::*;
use crate::test_rng::TestRng;

type PrivateKey = <DhP256HkdfSha256 as Kem>::PrivateKey;
type PublicKey = <DhP256HkdfSha256 as Kem>::PublicKey;
type EncappedKey = <DhP256HkdfSha256 as Kem>::EncappedKey;

const PRODUCT: Product = Product([7; 16]);
const ROUNDS: u32 = 32;

#[test]
fn key_pairs_are_those_of_the_hpke_crate() {
    let mut rng = TestRng::new(31);
    for _ in 0..ROUNDS {
        let mut ikm = [0; 32];
        rng.fill_bytes(&mut ikm);
        let own = DevicePrivateKey::from_ikm(&ikm);
        let (private, public) = DhP256HkdfSha256::derive_keypair(&ikm);
        assert_eq!(own.expose_secret()[..], private.to_bytes()[..]);
        assert_eq!(own.public_key().0[..], public.to_bytes()[..]);
    }
}

#[test]
fn what_is_sealed_here_the_hpke_crate_opens() {
    let mut rng = TestRng::new(32);
    for round in 0..ROUNDS {
        let device = DevicePrivateKey::generate(&mut rng);
        let key = EpochKey::generate(&mut rng);
        let entry = seal(&key, device.public_key(), &PRODUCT, round, 5, &mut rng).unwrap();
        let (message, tag) = entry.ciphertext.split_at(32);
        let mut opened = [0; 32];
        opened.copy_from_slice(message);
        ::hpke::single_shot_open_inout_detached::<AesGcm256, HkdfSha256, DhP256HkdfSha256>(
            &OpModeR::Base,
            &PrivateKey::from_bytes(&*device.expose_secret()).unwrap(),
            &EncappedKey::from_bytes(&entry.enc).unwrap(),
            &epoch_info(&PRODUCT, round, 5, &device.device_id()),
            InOutBuf::from(&mut opened[..]),
            &[],
            &AeadTag::<AesGcm256>::from_bytes(tag).unwrap(),
        )
        .unwrap();
        assert_eq!(opened, key.0);
    }
}

#[test]
fn what_the_hpke_crate_seals_opens_here() {
    let mut rng = TestRng::new(33);
    for round in 0..ROUNDS {
        let device = DevicePrivateKey::generate(&mut rng);
        let key = EpochKey::generate(&mut rng);
        let mut entry = ShardEntry {
            device: device.device_id(),
            enc: [0; 65],
            ciphertext: [0; 48],
        };
        let (message, tag) = entry.ciphertext.split_at_mut(32);
        message.copy_from_slice(&key.0);
        let (enc, sealed) = ::hpke::single_shot_seal_inout_detached_with_rng::<
            AesGcm256,
            HkdfSha256,
            DhP256HkdfSha256,
        >(
            &OpModeS::Base,
            &PublicKey::from_bytes(&device.public_key().0).unwrap(),
            &epoch_info(&PRODUCT, 1, round, &device.device_id()),
            InOutBuf::from(message),
            &[],
            &mut rng,
        )
        .unwrap();
        sealed.write_exact(tag);
        enc.write_exact(&mut entry.enc);
        assert_eq!(open(&device, &PRODUCT, 1, round, &entry).unwrap().0, key.0);
    }
}

/// One of them on the curve's twist, where a Diffie-Hellman would leak the scalar bit by bit.
#[test]
fn encapsulated_keys_that_are_no_points_are_refused() {
    let mut rng = TestRng::new(34);
    let device = DevicePrivateKey::generate(&mut rng);
    let key = EpochKey::generate(&mut rng);
    let good = seal(&key, device.public_key(), &PRODUCT, 1, 1, &mut rng).unwrap();
    let mut off_curve = good;
    off_curve.enc[64] ^= 1;
    let mut compressed_form = good;
    compressed_form.enc[0] = 2;
    let mut zero = good;
    zero.enc = [0; 65];
    zero.enc[0] = 4;
    for entry in [off_curve, compressed_form, zero] {
        let result = open(&device, &PRODUCT, 1, 1, &entry);
        assert_eq!(result.map(|_| ()), Err(OpenFailed));
    }
}
