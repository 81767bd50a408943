//! Headers that let unmodified ESP-IDF devices open the one stored body.
//!
//! `esp_encrypted_img` with the RSA scheme reads a 512-byte header, then the body. Of the header
//! only bytes 4..388, the content key wrapped with RSA-3072 and PKCS#1 v1.5 (RFC 8017 section
//! 7.2), depend on the device; so the server stores one header a device and one body for all.

pub mod ecies;

use aws_lc_rs::rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey};
use espseal_crypto::content::{self, ContentKey};
use espseal_format::enc_img::{EncImgHeader, LEN};
use espseal_format::units::{DeviceId, Digest};

use crate::authority::random;
use crate::blame::Blame;
use crate::seal::SealedBody;

/// What a header needs to know about a body.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Content key.
    pub key: &'a ContentKey,
    /// Initialisation vector.
    pub iv: [u8; 16],
    /// Authentication tag.
    pub tag: [u8; 16],
    /// Length of the body in bytes.
    pub length: u32,
}

impl<'a> Opening<'a> {
    /// What a header needs to know about a body that was just sealed, of this length in bytes.
    #[must_use]
    pub const fn of(sealed: &'a SealedBody, length: u32) -> Self {
        Self {
            key: &sealed.key,
            iv: sealed.iv.0,
            tag: sealed.tag.0,
            length,
        }
    }
}

/// Makes the header of one device for one body.
///
/// # Errors
/// [`HeaderError`] when the key is not RSA-3072 or does not encrypt.
pub fn header(
    device: DeviceId,
    public_key: &[u8],
    opening: &Opening<'_>,
) -> Result<[u8; LEN], HeaderError> {
    let refused = || HeaderError { device };
    let key = PublicEncryptingKey::from_der(public_key)
        .and_then(|key| Pkcs1PublicEncryptingKey::new(key).map_err(Into::into))
        .map_err(|_| refused())?;
    let mut wrapped = [0; 384];
    if key.ciphertext_size() != wrapped.len() {
        return Err(refused());
    }
    key.encrypt(opening.key.expose_secret(), &mut wrapped)
        .map_err(|_| refused())?;
    Ok(EncImgHeader::new(wrapped, opening.iv, opening.length, opening.tag).encode())
}

/// Seals a file for one ESP-IDF device: header, then body, as `esp_encrypted_img` downloads it.
///
/// # Errors
/// [`HeaderError`] when the key is not RSA-3072 or does not encrypt, or when the file is 4 GiB or
/// longer, which the header cannot say.
pub fn seal_for(public_key: &[u8], mut plaintext: Vec<u8>) -> Result<Vec<u8>, HeaderError> {
    let device = DeviceId(Digest::of(public_key).0);
    let length = u32::try_from(plaintext.len()).map_err(|_| HeaderError { device })?;
    let sealed = content::seal(&mut random(), &mut plaintext);
    let (key, iv, tag) = (&sealed.key, sealed.iv.0, sealed.tag.0);
    let header = header(
        device,
        public_key,
        &Opening {
            key,
            iv,
            tag,
            length,
        },
    )?;
    plaintext.splice(0..0, header);
    Ok(plaintext)
}

/// A device's RSA key does not take the content key.
#[derive(Debug, thiserror::Error)]
#[error(
    "the content key could not be wrapped for device {device}; expected an RSA-3072 key: revoke the \
     device and enrol a new key"
)]
pub struct HeaderError {
    /// The device.
    pub device: DeviceId,
}

impl HeaderError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        Blame::Refused
    }
}
