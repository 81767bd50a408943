//! `PRE_ENCRYPTED_OTA_USE_ECIES`: from eFuse key and header to the content key.
//!
//! Written after the device's source and on another library than `espseal_crypto::ecies`, so that the
//! two check each other.
//!
//! Source: `esp_encrypted_img.c` (`derive_gcm_key`, `compute_ecc_key_with_hmac`),
//! `esp_encrypted_img_utilities.c` (`esp_encrypted_img_pbkdf2_hmac_sha256`).

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use espseal_crypto::content::ContentKey;
use zeroize::Zeroizing;

use super::DecryptError;
use crate::efuse::HmacPeripheral;

/// `pbkdf2_salt`.
const PBKDF2_SALT: [u8; 32] = [
    0x0e, 0x21, 0x60, 0x64, 0x2d, 0xae, 0x76, 0xd3, 0x34, 0x48, 0xe4, 0x3d, 0x77, 0x20, 0x12, 0x3d,
    0x9f, 0x3b, 0x1e, 0xce, 0xb8, 0x8e, 0x57, 0x3a, 0x4e, 0x8f, 0x7f, 0xb9, 0x4f, 0xf0, 0xc8, 0x69,
];
/// `PBKDF2_ITERATIONS`.
const PBKDF2_ITERATIONS: u32 = 2048;
/// `HKDF_INFO_SIZE` bytes, without a terminating zero.
const HKDF_INFO: &[u8; 16] = b"_esp_enc_img_ecc";
/// `SERVER_ECC_KEY_LEN`.
const SERVER_KEY: usize = 64;
/// `KDF_SALT_SIZE`.
const KDF_SALT: usize = 32;

/// The device's private scalar, big-endian, in range or not.
pub(super) fn scalar(peripheral: &HmacPeripheral) -> Zeroizing<[u8; 32]> {
    let mut input = PBKDF2_SALT.to_vec();
    input.extend([0, 0, 0, 1]);
    let mut md1 = peripheral.calculate(&input);
    let mut work = Zeroizing::new(*md1);
    for _ in 1..PBKDF2_ITERATIONS {
        md1 = peripheral.calculate(&*md1);
        for (work, byte) in work.iter_mut().zip(md1.iter()) {
            *work ^= byte;
        }
    }
    work
}

/// `derive_gcm_key` on bytes 4..388 of a header.
///
/// It returns success when the scalar is no private key, since it looks at another variable than the
/// one that holds the error; the content key of the handle is zero then.
pub(super) fn content_key(scalar: &[u8; 32], wrapped: &[u8]) -> Result<ContentKey, DecryptError> {
    let (server_key, rest) = wrapped
        .split_at_checked(SERVER_KEY)
        .ok_or(DecryptError::Derive)?;
    let salt = rest.get(..KDF_SALT).ok_or(DecryptError::Derive)?;
    let point = [&[4], server_key].concat();
    let peer = UnparsedPublicKey::new(&ECDH_P256, point);
    let Ok(own) = PrivateKey::from_private_key(&ECDH_P256, scalar) else {
        return Ok(ContentKey::from_bytes([0; 32]));
    };
    agree(&own, peer, DecryptError::Derive, |shared| {
        let mut key = Zeroizing::new([0; 32]);
        Salt::new(HKDF_SHA256, salt)
            .extract(shared)
            .expand(&[HKDF_INFO], KeyLength)
            .and_then(|okm| okm.fill(&mut *key))
            .map_err(|_| DecryptError::Derive)?;
        Ok(ContentKey::from_bytes(*key))
    })
}

/// `GCM_KEY_SIZE`.
struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order of the curve, big-endian.
    const ORDER: [u8; 32] = [
        0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xBC,
        0xE6, 0xFA, 0xAD, 0xA7, 0x17, 0x9E, 0x84, 0xF3, 0xB9, 0xCA, 0xC2, 0xFC, 0x63, 0x25, 0x51,
    ];

    fn header() -> Vec<u8> {
        let own = PrivateKey::generate(&ECDH_P256).unwrap();
        let mut wrapped = own.compute_public_key().unwrap().as_ref()[1..].to_vec();
        wrapped.resize(384, 0);
        wrapped
    }

    #[test]
    fn scalar_that_is_no_private_key_gives_a_key_of_zeros() {
        for scalar in [[0; 32], ORDER, [0xFF; 32]] {
            let key = content_key(&scalar, &header()).unwrap();
            assert_eq!(key.expose_secret(), &[0; 32]);
        }
        let key = content_key(&[1; 32], &header()).unwrap();
        assert_ne!(key.expose_secret(), &[0; 32]);
    }

    #[test]
    fn point_off_the_curve_gives_no_key() {
        let mut wrapped = header();
        wrapped[63] ^= 1;
        let refused = content_key(&[1; 32], &wrapped).map(|_| ());
        assert_eq!(refused, Err(DecryptError::Derive));
    }
}
