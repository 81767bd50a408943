//! ES256: ECDSA over P-256 with SHA-256 (RFC 9053 section 2.1, FIPS 186-5 section 6).
//!
//! Strict where the standards are: `r` and `s` outside `[1, n-1]` and keys that are not an
//! uncompressed point on the curve are refused (FIPS 186-5 section 6.4.2, SP 800-186 appendix D).
//! A high `s` is accepted, as RFC 9053 asks for no canonical form; nothing here compares
//! signatures as identities.
//!
//! Signing is deterministic (RFC 6979): a weak random number generator cannot leak the key.

use espseal_format::units::{Digest, KeyId, PublicKeyBytes};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::nist_p256::{Point, Scalar, SecretScalar};

mod nonce;

/// Bytes of a signature, `r || s`.
pub const SIGNATURE_LEN: usize = 64;

/// Checks a signature over a SHA-256 digest.
///
/// # Errors
/// [`BadSignature`] when the key is not a point on the curve, `r` or `s` is out of range, or the
/// signature does not verify.
#[inline(never)]
pub fn verify_prehash(
    key: &PublicKeyBytes,
    digest: &Digest,
    signature: &[u8; SIGNATURE_LEN],
) -> Result<(), BadSignature> {
    let key = point(key).ok_or(BadSignature)?;
    let (halves, _) = signature.as_chunks::<32>();
    let [r, s] = halves else {
        return Err(BadSignature);
    };
    let [Some(r), Some(s)] = [r, s].map(Scalar::from_be_bytes) else {
        return Err(BadSignature);
    };
    let inverse = s.inverse();
    let of_generator = Scalar::reduced(&digest.0).times(&inverse);
    let of_key = r.times(&inverse);
    let sum = Point::combination([(&of_generator, &Point::GENERATOR), (&of_key, &key)]);
    // The point at infinity has zeros for coordinates, and r is not zero.
    let [x, _] = sum.coordinates();
    if Scalar::reduced(&x) == r {
        Ok(())
    } else {
        Err(BadSignature)
    }
}

/// A private signing key of a role or of a device's reports.
///
/// Wiped when dropped.
pub struct SigningKey {
    secret: SecretScalar,
    public: PublicKeyBytes,
}

redacted_debug!(SigningKey);

impl SigningKey {
    /// Takes a private scalar, 32 bytes big-endian.
    ///
    /// # Errors
    /// [`InvalidPrivateKey`] when the scalar is not in `[1, n-1]`.
    pub fn from_bytes(scalar: &[u8; 32]) -> Result<Self, InvalidPrivateKey> {
        SecretScalar::from_be_bytes(scalar)
            .map(Self::new)
            .ok_or(InvalidPrivateKey)
    }

    /// Draws a key.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut candidate = Zeroizing::new([0; 32]);
        loop {
            rng.fill_bytes(&mut *candidate);
            if let Ok(key) = Self::from_bytes(&candidate) {
                return key;
            }
        }
    }

    fn new(secret: SecretScalar) -> Self {
        let public = public_key(&secret);
        Self { secret, public }
    }

    /// Returns the private scalar, for a key file.
    #[must_use]
    pub fn expose_secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.get().to_be_bytes())
    }

    /// Returns the public half.
    #[must_use]
    pub const fn public_key(&self) -> PublicKeyBytes {
        self.public
    }

    /// Returns the name of the key in a COSE header.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        KeyId::of(&self.public)
    }

    /// Signs a SHA-256 digest.
    ///
    /// # Errors
    /// [`SigningFailed`] never in practice: the nonce of RFC 6979 would have to be degenerate.
    #[inline(never)]
    pub fn sign_prehash(&self, digest: &Digest) -> Result<[u8; SIGNATURE_LEN], SigningFailed> {
        let nonce = nonce::derive(&self.secret, digest);
        let [x, _] = Point::GENERATOR.multiple(nonce.get()).coordinates();
        let r = Scalar::reduced(&x);
        // s = (digest + r * secret) / nonce
        let product = Zeroizing::new(r.times(self.secret.get()));
        let sum = Zeroizing::new(product.plus(&Scalar::reduced(&digest.0)));
        let s = Zeroizing::new(nonce.get().inverse()).times(&sum);
        let mut signature = [0; SIGNATURE_LEN];
        for (place, number) in signature.as_chunks_mut::<32>().0.iter_mut().zip([r, s]) {
            *place = number.to_be_bytes();
            // Neither may be zero.
            Scalar::from_be_bytes(place).ok_or(SigningFailed)?;
        }
        Ok(signature)
    }
}

/// Parses an uncompressed point; `None` when it is in another form or not on the curve.
pub(crate) fn point(key: &PublicKeyBytes) -> Option<Point> {
    let [0x04, coordinates @ ..] = &key.0 else {
        return None;
    };
    let ([x, y], []) = coordinates.as_chunks::<32>() else {
        return None;
    };
    Point::from_coordinates(x, y)
}

/// Computes the public half of a private key, in constant time.
#[inline(never)]
pub(crate) fn public_key(secret: &SecretScalar) -> PublicKeyBytes {
    let coordinates = Point::GENERATOR.multiple(secret.get()).coordinates();
    let mut bytes = PublicKeyBytes([0x04; PublicKeyBytes::LEN]);
    let places = bytes.0.iter_mut().skip(1);
    places
        .zip(coordinates.as_flattened())
        .for_each(|(to, from)| *to = *from);
    bytes
}

failure!(
    /// A signature does not verify.
    BadSignature,
    "the signature does not verify"
);

failure!(
    /// A private scalar is zero or not below the order of the curve.
    InvalidPrivateKey,
    "the private key is not in the range 1 to n-1 of P-256"
);

failure!(
    /// The signing operation failed.
    SigningFailed,
    "signing failed"
);

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;

    use super::*;
    use crate::test_rng::TestRng;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

    /// RFC 6979 appendix A.2.5, message "sample" with SHA-256.
    #[test]
    fn signature_is_the_deterministic_one_of_rfc_6979() {
        let scalar = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
        let signature = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
                         f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
        let key = SigningKey::from_bytes(&bytes(scalar)).unwrap();
        let digest = Digest::of(b"sample");
        assert_eq!(key.sign_prehash(&digest).unwrap(), bytes(signature));
        assert_eq!(*key.expose_secret(), bytes(scalar));
    }

    #[test]
    fn signature_verifies_under_its_key_and_digest_alone() {
        let mut rng = TestRng::new(1);
        let (key, other) = (
            SigningKey::generate(&mut rng),
            SigningKey::generate(&mut rng),
        );
        let digest = Digest::of(b"message");
        let signature = key.sign_prehash(&digest).unwrap();
        assert_eq!(
            verify_prehash(&key.public_key(), &digest, &signature),
            Ok(())
        );
        let refused = [
            verify_prehash(&other.public_key(), &digest, &signature),
            verify_prehash(&key.public_key(), &Digest::of(b"other"), &signature),
        ];
        assert_eq!(refused, [Err(BadSignature); 2]);
    }

    #[test]
    fn signature_with_the_upper_s_is_accepted() {
        let key = SigningKey::generate(&mut TestRng::new(2));
        let digest = Digest::of(b"message");
        let signature = key.sign_prehash(&digest).unwrap();
        let parsed = p256::ecdsa::Signature::from_slice(&signature).unwrap();
        let (r, s) = parsed.split_scalars();
        let flipped = p256::ecdsa::Signature::from_scalars(*r, -*s).unwrap();
        let flipped = flipped.to_bytes().into();
        assert_ne!(signature, flipped);
        assert_eq!(verify_prehash(&key.public_key(), &digest, &flipped), Ok(()));
    }

    #[test]
    fn r_and_s_of_zero_or_from_n_on_are_refused() {
        let key = SigningKey::generate(&mut TestRng::new(3));
        let digest = Digest::of(b"message");
        let good = key.sign_prehash(&digest).unwrap();
        for half in [0..32, 32..64] {
            for number in [[0; 32], bytes(ORDER), [0xFF; 32]] {
                let mut signature = good;
                signature[half.clone()].copy_from_slice(&number);
                let result = verify_prehash(&key.public_key(), &digest, &signature);
                assert_eq!(result, Err(BadSignature));
            }
        }
    }

    #[test]
    fn keys_that_are_no_uncompressed_points_on_the_curve_are_refused() {
        let key = SigningKey::generate(&mut TestRng::new(4));
        let digest = Digest::of(b"message");
        let signature = key.sign_prehash(&digest).unwrap();
        let good = key.public_key();
        for tag in (0..=u8::MAX).filter(|tag| *tag != 4) {
            let mut other_form = good;
            other_form.0[0] = tag;
            let result = verify_prehash(&other_form, &digest, &signature);
            assert_eq!(result, Err(BadSignature), "tag {tag}");
        }
        let mut off_curve = good;
        off_curve.0[64] ^= 1;
        let mut infinity = PublicKeyBytes([0; 65]);
        infinity.0[0] = 4;
        for point in [off_curve, infinity] {
            assert_eq!(
                verify_prehash(&point, &digest, &signature),
                Err(BadSignature)
            );
        }
    }

    #[test]
    fn private_scalars_outside_1_to_n_minus_1_are_refused() {
        for scalar in [[0; 32], bytes(ORDER), [0xFF; 32]] {
            assert!(SigningKey::from_bytes(&scalar).is_err());
        }
    }

    #[test]
    fn debug_output_holds_no_key_bytes() {
        let key = SigningKey::generate(&mut TestRng::new(5));
        assert_eq!(format!("{key:?}"), "SigningKey(..)");
    }
}
