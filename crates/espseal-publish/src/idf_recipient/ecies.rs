//! Whole files for unmodified ESP-IDF devices with the ECIES scheme: one for each device.
//!
//! The scheme derives the content key from the device's key, so that no two devices can share a
//! ciphertext. Each file is opened again, by other code than that which made it, before anybody gets
//! to see it: `espseal-crypto` seals, aws-lc agrees on the key once more from the finished bytes.

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use espseal_crypto::content::{self, ContentKey, Iv, Tag};
use espseal_crypto::ecies::{self, EphemeralKey, SealError};
use espseal_format::enc_img::{EciesExchange, EncImgHeader, LEN};
use espseal_format::units::{DeviceId, Digest, PublicKeyBytes};
use zeroize::Zeroizing;

use crate::authority::random;
use crate::blame::Blame;
use crate::enrolment::ecies::device_id;

/// Info of HKDF.
const INFO: &[u8] = b"_esp_enc_img_ecc";

/// A file for one device: 512 bytes of header, then the ciphertext.
#[derive(Debug)]
pub struct SealedFile {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its SHA-256.
    pub digest: Digest,
}

/// Seals an image for one device and opens the result once more.
///
/// # Errors
/// [`SealedFileError`].
pub fn seal_file(public_key: &PublicKeyBytes, image: &[u8]) -> Result<SealedFile, SealedFileError> {
    let device = device_id(public_key);
    let mut bytes = Vec::with_capacity(image.len().saturating_add(LEN));
    bytes.extend_from_slice(&[0; LEN]);
    bytes.extend_from_slice(image);
    let (head, body) = bytes.split_at_mut(LEN);
    let (header, ephemeral) = ecies::seal(&mut random(), public_key, body)
        .map_err(|cause| SealedFileError::Seal { device, cause })?;
    head.copy_from_slice(&header.encode());
    reopen(&bytes, &ephemeral, public_key, image).ok_or(SealedFileError::NotOpened { device })?;
    Ok(SealedFile {
        digest: Digest::of(&bytes),
        bytes,
    })
}

/// Opens a finished file from the sender's side and compares it with the image.
fn reopen(
    file: &[u8],
    ephemeral: &EphemeralKey,
    public_key: &PublicKeyBytes,
    image: &[u8],
) -> Option<()> {
    let (header, body) = file.split_first_chunk::<LEN>()?;
    let header = EncImgHeader::parse(header).ok()?;
    if u32::try_from(body.len()) != Ok(header.size()) {
        return None;
    }
    let exchange = EciesExchange::parse(&header.wrapped_key);
    let own = PrivateKey::from_private_key(&ECDH_P256, ephemeral.expose_secret()).ok()?;
    // The device reads the sender's public key from the header.
    let stated = own.compute_public_key().ok()?;
    if stated.as_ref().strip_prefix(&[4]) != Some(&exchange.ephemeral) {
        return None;
    }
    let peer = UnparsedPublicKey::new(&ECDH_P256, &public_key.0);
    let key = agree(&own, peer, (), |shared| {
        let mut key = Zeroizing::new([0; 32]);
        Salt::new(HKDF_SHA256, &exchange.salt)
            .extract(shared)
            .expand(&[INFO], KeyLength)
            .and_then(|okm| okm.fill(&mut *key))
            .map_err(|_| ())?;
        Ok(ContentKey::from_bytes(*key))
    })
    .ok()?;
    let mut opened = Zeroizing::new(body.to_vec());
    content::open(&key, &Iv(header.iv), &Tag(header.tag), &mut opened).ok()?;
    verify_slices_are_equal(&opened, image).ok()
}

/// Length of the key that HKDF gives.
struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        32
    }
}

/// Failure of sealing a file for one device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealedFileError {
    /// The device's key or the image does not fit.
    #[error("nothing was sealed for device {device}: {cause}; nothing was published")]
    Seal {
        /// The device.
        device: DeviceId,
        /// Why.
        cause: SealError,
    },
    /// The file does not open to the image.
    #[error(
        "the file sealed for device {device} does not open to the image it was made from; nothing \
         was published: test this machine's memory, then run it again"
    )]
    NotOpened {
        /// The device.
        device: DeviceId,
    },
    /// A stored body that was to be sealed for a new device does not open.
    #[error(
        "the stored body {body} does not open to what was published; expected the repository as \
         `espseal publish` left it: restore it from a backup"
    )]
    StoredBody {
        /// Digest of the body.
        body: Digest,
    },
}

impl SealedFileError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Seal { .. } => Blame::Refused,
            Self::NotOpened { .. } | Self::StoredBody { .. } => Blame::Io,
        }
    }
}

#[cfg(test)]
mod tests {
    use espseal_crypto::ecies::HmacKey;

    use super::*;

    fn public_key() -> PublicKeyBytes {
        let key = HmacKey::generate(&mut random()).device_key();
        key.unwrap().public_key()
    }

    #[test]
    fn whatever_is_wrong_with_a_file_is_noticed_before_it_leaves() {
        let (device, other, image) = (public_key(), public_key(), vec![0x5A; 5000]);
        let mut body = image.clone();
        let (header, ephemeral) = ecies::seal(&mut random(), &device, &mut body).unwrap();
        let file = [header.encode().as_slice(), &body].concat();
        let opens = |file: &[u8], device, image: &[u8]| reopen(file, &ephemeral, device, image);
        assert!(opens(&file, &device, &image).is_some());
        assert!(opens(&file, &other, &image).is_none(), "other device");
        assert!(
            opens(&file, &device, &[0x5A; 4999]).is_none(),
            "other image"
        );
        assert!(opens(&file[..4000], &device, &image).is_none(), "truncated");
        let fields = [0..4, 4..68, 68..100, 388..404, 404..408, 408..424, 512..600];
        for at in fields.into_iter().flatten() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(opens(&changed, &device, &image).is_none(), "byte {at}");
        }
    }

    #[test]
    fn file_has_header_and_body_and_is_named_by_its_digest() {
        let file = seal_file(&public_key(), &[7; 3000]).unwrap();
        assert_eq!(file.bytes.len(), 3512);
        assert_eq!(file.digest, Digest::of(&file.bytes));
        assert!(!file.bytes.windows(16).any(|window| window == [7; 16]));
    }
}
