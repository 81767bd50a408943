//! HMAC-SHA256, from which HKDF, HPKE's key schedule and RFC 6979 are made here.
//!
//! Every key in this crate has 32 bytes and no output is longer, so that HKDF-Extract is one HMAC
//! and HKDF-Expand is one HMAC with the block number 1 behind its info (RFC 5869 section 2). One
//! function serves them all: instances of the generic `hmac` and `hkdf` crates for each of them
//! take 6 KB of a device's flash.
//!
//! Source: RFC 2104 section 2.

use espseal_format::sha256::Sha256;
use zeroize::Zeroizing;

/// Bytes of a key and of an output.
pub(crate) const LEN: usize = 32;
/// Bytes of a SHA-256 block, to which the key is filled up with zeros.
const BLOCK_LEN: usize = 64;
const INNER: u8 = 0x36;
const OUTER: u8 = 0x5C;

/// Computes the MAC of pieces as if they were one message.
#[inline(never)]
pub(crate) fn hmac(key: &[u8; LEN], message: &[&[u8]]) -> Zeroizing<[u8; LEN]> {
    let mut pad = Zeroizing::new([INNER; BLOCK_LEN]);
    pad.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
    let mut inner = Sha256::new();
    inner.update(&*pad);
    message.iter().for_each(|piece| inner.update(piece));
    let inner = Zeroizing::new(inner.finish().0);
    pad.iter_mut().for_each(|pad| *pad ^= INNER ^ OUTER);
    Zeroizing::new(Sha256::of(&[&*pad, &*inner]).0)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use ::hkdf::hmac::{Hmac, KeyInit as _, Mac as _};

    use super::*;
    use crate::test_rng::TestRng;
    use rand_core::Rng as _;

    /// RFC 4231 sections 4.2 and 4.3; shorter keys are filled up with zeros there, too.
    #[test]
    fn mac_is_that_of_rfc_4231() {
        for (start, message, mac) in [
            (
                &[0x0B; 20][..],
                &b"Hi There"[..],
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
        ] {
            let mut key = [0; LEN];
            key[..start.len()].copy_from_slice(start);
            assert_eq!(hex::encode(*hmac(&key, &[message])), mac);
        }
    }

    #[test]
    fn mac_is_that_of_the_hmac_crate_however_the_message_is_cut() {
        let mut rng = TestRng::new(1);
        let mut key = [0; LEN];
        let mut message = [0; 200];
        for length in 0..message.len() {
            rng.fill_bytes(&mut key);
            rng.fill_bytes(&mut message);
            let message = &message[..length];
            let mut oracle = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
            oracle.update(message);
            let pieces: Vec<_> = message.chunks(1 + length / 3).collect();
            assert_eq!(hmac(&key, &pieces)[..], oracle.finalize().into_bytes()[..]);
        }
    }
}
