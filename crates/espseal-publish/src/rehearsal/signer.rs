//! Signing for a rehearsal: what strangers do, and sectors with chosen blocks.

use std::cell::OnceCell;

use espseal_format::image::ImageLayout;
use espseal_format::signature_block::{
    Curve, ImageDigests, MAX_BLOCKS, SignatureBlock, SignatureScheme, SignatureSector,
};
use espseal_format::units::{Digest, SECTOR_SIZE};

use crate::keys::KeyError;
use crate::secure_boot_key::{ImageSigner, SecureBootKey};

/// Keys that no product knows, one a scheme, made once in a run.
#[derive(Debug, Default)]
pub struct Strangers {
    rsa: OnceCell<SecureBootKey>,
    ecdsa: [OnceCell<SecureBootKey>; 3],
}

impl Strangers {
    /// The stranger's key of a scheme.
    ///
    /// # Errors
    /// [`KeyError::Generation`], or [`KeyError::File`] when there is no temporary folder.
    pub fn key(&self, scheme: SignatureScheme) -> Result<&SecureBootKey, KeyError> {
        let [p192, p256, p384] = &self.ecdsa;
        let cell = match scheme {
            SignatureScheme::Rsa3072 => &self.rsa,
            SignatureScheme::Ecdsa(Curve::P192) => p192,
            SignatureScheme::Ecdsa(Curve::P256) => p256,
            SignatureScheme::Ecdsa(Curve::P384) => p384,
        };
        match cell.get() {
            Some(key) => Ok(key),
            None => {
                let made = passing_key(scheme)?;
                Ok(cell.get_or_init(|| made))
            }
        }
    }
}

/// Makes a key whose file is gone at once.
///
/// # Errors
/// [`KeyError::Generation`], or [`KeyError::File`] when there is no temporary folder.
pub fn passing_key(scheme: SignatureScheme) -> Result<SecureBootKey, KeyError> {
    let folder = tempfile::tempdir().map_err(|_| KeyError::Generation)?;
    SecureBootKey::create(&folder.path().join("key.pem"), scheme)
}

/// Appends the signature sector of one to three keys to an image that ends on a sector.
///
/// # Errors
/// [`KeyError::Signing`].
pub fn append_sector(image: &[u8], signers: &[&dyn ImageSigner]) -> Result<Vec<u8>, KeyError> {
    let digests = ImageDigests::of(image);
    let mut blocks = Vec::new();
    for signer in signers.iter().take(MAX_BLOCKS) {
        blocks.push(signer.sign_block(&digests)?);
    }
    let mut places = [None; MAX_BLOCKS];
    for (place, bytes) in places.iter_mut().zip(&blocks) {
        *place = SignatureBlock::parse(bytes).ok();
    }
    Ok([image, &SignatureSector::encode(places)].concat())
}

/// Pads an image with 0xFF to a whole sector.
#[must_use]
pub fn padded(image: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    image.resize(image.len().next_multiple_of(SECTOR_SIZE), 0xFF);
    image
}

/// Appends the signature of secure boot v1 to an app.
///
/// # Errors
/// [`KeyError::NotP256`], [`KeyError::Signing`].
pub fn append_v1(image: &[u8], signer: &SecureBootKey) -> Result<Vec<u8>, KeyError> {
    let signature = signer.sign_v1(&Digest::of(image))?;
    Ok([image, &signature.encode()].concat())
}

/// The image without what follows it, such as a signature; `None` when the bytes are no image.
#[must_use]
pub fn bare_image(image: &[u8]) -> Option<&[u8]> {
    let length = ImageLayout::parse(image).ok()?.image_len;
    image.get(..usize::try_from(length).ok()?)
}
