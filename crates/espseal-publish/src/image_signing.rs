//! Signs app and bootloader images for secure boot v2.

use std::path::{Path, PathBuf};

use espseal_crypto::secure_boot::{RsaPssSigner, build_block};
use espseal_format::app_desc::{self, AppDescriptor};
use espseal_format::chip::{self, ChipId};
use espseal_format::image::{
    ImageError, ImageLayout, PaddingError, app_padding, pad_to_sector, secure_pad_v2,
};
use espseal_format::read::PastEnd;
use espseal_format::signature_block::{SignatureBlock, SignatureSector};
use espseal_format::units::Digest;

use crate::blame::Blame;
use crate::keys::KeyError;

/// What kind of image is signed: the two are padded differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageKind {
    /// An app: padded to an MMU page with a segment of zeros.
    App,
    /// A second-stage bootloader: padded to 4 KB with 0xFF.
    Bootloader,
}

/// A freshly signed image.
#[derive(Debug)]
pub struct SignedImage {
    /// Image, padding and signature sector.
    pub bytes: Vec<u8>,
    /// Chip it is built for.
    pub chip: ChipId,
    /// Digest of the key, as burnt in eFuse.
    pub key: Digest,
    /// Bytes of padding that were added before signing.
    pub padding: usize,
}

/// Pads and signs an image.
///
/// # Errors
/// [`SignError`] when the bytes are no unsigned image or the key does not sign.
pub fn sign_image<S: RsaPssSigner<Error = KeyError>>(
    path: &Path,
    image: &[u8],
    kind: ImageKind,
    key: &S,
) -> Result<SignedImage, SignError> {
    let layout = ImageLayout::parse(image).map_err(|cause| SignError::Image {
        path: path.into(),
        cause,
    })?;
    let id = layout.header.chip();
    let chip = chip::chip(id).ok_or_else(|| SignError::UnknownChip {
        path: path.into(),
        found: id,
    })?;
    let end = layout.image_len as usize;
    let rest = image.get(end..).unwrap_or_default();
    if rest.iter().any(|byte| *byte != 0xFF) {
        return Err(SignError::SignedAlready {
            path: path.into(),
            end,
            surplus: rest.len(),
        });
    }
    let failed = |cause| SignError::Padding {
        path: path.into(),
        cause,
    };
    let descriptor = image
        .get(app_desc::OFFSET as usize..)
        .and_then(<[u8]>::first_chunk)
        .and_then(|bytes| AppDescriptor::parse(bytes).ok());
    let page_size = chip.mapping.page_size_of(descriptor.as_ref());
    let room = (page_size as usize).saturating_mul(2);
    let mut bytes = image.get(..end).unwrap_or_default().to_vec();
    bytes.resize(end.saturating_add(room), 0);
    let length = match kind {
        ImageKind::App => secure_pad_v2(&mut bytes, &layout, page_size).map_err(failed)?,
        ImageKind::Bootloader => pad_to_sector(&mut bytes, end).map_err(failed)?,
    };
    bytes.truncate(length);
    if kind == ImageKind::App {
        let padded = ImageLayout::parse(&bytes).map_err(|cause| SignError::Image {
            path: path.into(),
            cause,
        })?;
        app_padding(&padded, page_size).map_err(failed)?;
    }
    let public = key.public_key();
    let signature = key.sign(&bytes)?;
    let block =
        build_block(&public, &Digest::of(&bytes), &signature).map_err(|_| KeyError::Signing)?;
    let digest = block.key_digest();
    let sector = SignatureSector::encode([Some(SignatureBlock::Rsa(&block)), None, None]);
    bytes.extend_from_slice(&sector);
    Ok(SignedImage {
        bytes,
        chip: id,
        key: digest,
        padding: length.saturating_sub(end),
    })
}

/// Why an image is not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The bytes are no whole image.
    #[error("{}: {cause}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        cause: ImageError<PastEnd>,
    },
    /// The chip has no table.
    #[error(
        "{} is built for {found}; expected a chip this espseal has a table for: esp32, esp32c3",
        path.display()
    )]
    UnknownChip {
        /// The file.
        path: PathBuf,
        /// Chip of the image.
        found: ChipId,
    },
    /// Something follows the image.
    #[error(
        "{}: the image ends at {end:#x}, but {surplus} more bytes follow; expected an unsigned \
         image: take the one the build made before signing",
        path.display()
    )]
    SignedAlready {
        /// The file.
        path: PathBuf,
        /// Where the image ends.
        end: usize,
        /// Bytes after it.
        surplus: usize,
    },
    /// The image cannot be padded.
    #[error("{}: {cause}", path.display())]
    Padding {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: PaddingError,
    },
    /// The key does not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl SignError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Key(error) => error.blame(),
            _ => Blame::Refused,
        }
    }
}
