//! The nonce of a deterministic signature: HMAC_DRBG over private key and digest.
//!
//! For P-256 with SHA-256 the order has as many bits as the hash, so that `bits2int` takes the
//! whole output and one output is one candidate.
//!
//! Source: RFC 6979 sections 2.3 and 3.2.

use espseal_format::units::Digest;
use p256::elliptic_curve::ops::Reduce;
use p256::{FieldBytes, NonZeroScalar, Scalar, SecretKey};
use zeroize::Zeroizing;

use crate::hmac::hmac;

/// Generates candidates until one lies in `[1, n-1]`; the first does but for one in 2^32.
#[inline(never)]
pub(super) fn derive(secret: &SecretKey, digest: &Digest) -> Zeroizing<NonZeroScalar> {
    let private = Zeroizing::new(<[u8; 32]>::from(secret.to_bytes()));
    let reduced = <Scalar as Reduce<FieldBytes>>::reduce(&digest.0.into());
    let reduced: [u8; 32] = reduced.to_bytes().into();
    let mut value = Zeroizing::new([1; 32]);
    let mut key = Zeroizing::new([0; 32]);
    for separator in [0, 1] {
        key = hmac(&key, &[&*value, &[separator], &*private, &reduced]);
        value = hmac(&key, &[&*value]);
    }
    loop {
        value = hmac(&key, &[&*value]);
        if let Ok(nonce) = SecretKey::from_bytes((&*value).into()) {
            return Zeroizing::new(nonce.to_nonzero_scalar());
        }
        key = hmac(&key, &[&*value, &[0]]);
        value = hmac(&key, &[&*value]);
    }
}
