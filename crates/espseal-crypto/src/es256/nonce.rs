//! The nonce of a deterministic signature: HMAC_DRBG over private key and digest.
//!
//! For P-256 with SHA-256 the order has as many bits as the hash, so that `bits2int` takes the
//! whole output and one output is one candidate.
//!
//! Source: RFC 6979 sections 2.3 and 3.2.

use espseal_format::units::Digest;
use zeroize::Zeroizing;

use crate::hmac::hmac;
use crate::nist_p256::{Scalar, SecretScalar};

/// Generates candidates until one lies in `[1, n-1]`; the first does but for one in 2^32.
#[inline(never)]
pub(super) fn derive(secret: &SecretScalar, digest: &Digest) -> SecretScalar {
    let private = Zeroizing::new(secret.get().to_be_bytes());
    let reduced = Scalar::reduced(&digest.0).to_be_bytes();
    let mut value = Zeroizing::new([1; 32]);
    let mut key = Zeroizing::new([0; 32]);
    for separator in [0, 1] {
        key = hmac(&key, &[&*value, &[separator], &*private, &reduced]);
        value = hmac(&key, &[&*value]);
    }
    loop {
        value = hmac(&key, &[&*value]);
        if let Some(nonce) = SecretScalar::from_be_bytes(&value) {
            return nonce;
        }
        key = hmac(&key, &[&*value, &[0]]);
        value = hmac(&key, &[&*value]);
    }
}
