//! Signs app and bootloader images for secure boot v2, with one to three keys.
//!
//! A chip boots an image when one of its signatures is by a key that is burnt and not revoked: a
//! second signature carries a fleet from one key to the next.

use std::path::{Path, PathBuf};

use espseal_format::app_desc::{self, AppDescriptor};
use espseal_format::chip::{self, Chip, ChipId};
use espseal_format::image::{
    ImageError, ImageLayout, PaddingError, app_padding, pad_to_sector, secure_pad_v2,
};
use espseal_format::read::PastEnd;
use espseal_format::signature_block::SignatureScheme;
use espseal_format::units::{Digest, SECTOR_SIZE};

use crate::blame::Blame;
use crate::data_signing::{DataError, DataToSign, Padding, SignedData};
use crate::secure_boot_key::ImageSigner;

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
    /// Digests of the keys that signed it, as burnt in eFuse.
    pub keys: Vec<Digest>,
    /// Bytes of padding that were added before signing.
    pub padding: usize,
}

/// Pads and signs an image.
///
/// # Errors
/// [`SignError`] when the bytes are no unsigned image, the chip does not verify such signatures, or
/// a key does not sign.
pub fn sign_image(
    path: &Path,
    image: &[u8],
    kind: ImageKind,
    keys: &[&dyn ImageSigner],
) -> Result<SignedImage, SignError> {
    let (layout, chip) = parse(path, image)?;
    let end = layout.image_len as usize;
    let rest = image.get(end..).unwrap_or_default();
    if rest.iter().any(|byte| *byte != 0xFF) {
        return Err(SignError::SignedAlready {
            path: path.into(),
            end,
            surplus: rest.len(),
        });
    }
    // What runs from flash is an app; a bootloader runs before the flash is mapped.
    let mut addresses = layout.segments.iter().map(|segment| segment.load_addr);
    let is_app = addresses.any(|address| chip.mapping.is_mapped(address));
    if is_app != (kind == ImageKind::App) {
        return Err(SignError::OtherKind {
            path: path.into(),
            expected: kind,
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
    let data = DataToSign::unsigned(&bytes);
    let padding = length.saturating_sub(end);
    add_signatures(path, (bytes, data), chip, keys, padding)
}

/// Adds signatures to a signed image: the way from one key to the next.
///
/// # Errors
/// [`SignError`] when a signature that is there does not verify, a key has signed already, the chip
/// does not verify such signatures or that many, or a key does not sign.
pub fn append_signatures(
    path: &Path,
    image: &[u8],
    keys: &[&dyn ImageSigner],
) -> Result<SignedImage, SignError> {
    let (layout, chip) = parse(path, image)?;
    let expected = (layout.signed_len as usize).saturating_add(SECTOR_SIZE);
    let unsound = || SignError::Unsound { path: path.into() };
    if image.len() != expected {
        return Err(unsound());
    }
    let signed = SignedData::parse(image, Padding::ToSector).map_err(|_| unsound())?;
    let mut present = Vec::new();
    for (_, place) in signed.blocks() {
        place.verified.map_err(|_| unsound())?;
        present.push(place.key);
    }
    let added = keys.iter().map(|key| key.public_key().digest());
    if let Some(key) = added.into_iter().find(|key| present.contains(key)) {
        return Err(SignError::SameKey {
            path: path.into(),
            key,
        });
    }
    let (content, sector) = image.split_last_chunk().ok_or_else(unsound)?;
    let data = DataToSign::signed(content, sector);
    if data.signatures() == 0 || data.signatures() != present.len() {
        return Err(unsound());
    }
    let mut image = add_signatures(path, (content.to_vec(), data), chip, keys, 0)?;
    present.append(&mut image.keys);
    image.keys = present;
    Ok(image)
}

/// Reads an image and finds the table of its chip.
fn parse(path: &Path, image: &[u8]) -> Result<(ImageLayout, &'static Chip), SignError> {
    let layout = ImageLayout::parse(image).map_err(|cause| SignError::Image {
        path: path.into(),
        cause,
    })?;
    let id = layout.header.chip();
    let lowest = layout.header.min_chip_rev_full.get();
    let highest = layout.header.max_chip_rev_full.get();
    let chip = chip::chip_for(id, lowest, highest).ok_or_else(|| SignError::UnknownChip {
        path: path.into(),
        found: id,
    })?;
    Ok((layout, chip))
}

fn add_signatures(
    path: &Path,
    (mut bytes, mut data): (Vec<u8>, DataToSign),
    chip: &Chip,
    keys: &[&dyn ImageSigner],
    padding: usize,
) -> Result<SignedImage, SignError> {
    for key in keys {
        let scheme = key.public_key().scheme();
        if !chip.verifies(scheme) {
            return Err(SignError::Scheme {
                path: path.into(),
                chip: chip.id,
                scheme,
            });
        }
    }
    let wanted = data.signatures().saturating_add(keys.len());
    if wanted > usize::from(chip.signature_blocks) {
        return Err(SignError::TooMany {
            path: path.into(),
            chip: chip.id,
            found: wanted,
            limit: chip.signature_blocks,
        });
    }
    data.sign(keys, &mut bytes.as_slice())?;
    bytes.extend_from_slice(&data.sector());
    Ok(SignedImage {
        bytes,
        chip: chip.id,
        keys: keys.iter().map(|key| key.public_key().digest()).collect(),
        padding,
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
        "{} is built for {found}; expected a chip this espseal has a table for: an ESP32, S2, S3, \
         C2, C3, C5, C6, C61, H2 or P4",
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
    /// An app was taken for a bootloader, or a bootloader for an app.
    #[error("{} {}", path.display(), other_kind(*expected))]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// What it was said to be.
        expected: ImageKind,
    },
    /// The image cannot be padded.
    #[error("{}: {cause}", path.display())]
    Padding {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: PaddingError,
    },
    /// The chip does not verify such signatures.
    #[error(
        "{} is built for {chip}, whose secure boot v2 does not verify {scheme}; sign with a key of \
         another scheme",
        path.display()
    )]
    Scheme {
        /// The file.
        path: PathBuf,
        /// Its chip.
        chip: ChipId,
        /// Scheme of the key.
        scheme: SignatureScheme,
    },
    /// The chip looks at fewer signatures.
    #[error(
        "{} would have {found} signatures; {chip} looks at the first {limit} only: use fewer keys",
        path.display()
    )]
    TooMany {
        /// The file.
        path: PathBuf,
        /// Its chip.
        chip: ChipId,
        /// Signatures that were asked for.
        found: usize,
        /// Signatures that the chip looks at.
        limit: u8,
    },
    /// What is to get another signature is not signed soundly.
    #[error(
        "{} has no signature sector whose signatures all verify; expected a signed image: sign the \
         unsigned one with all keys instead",
        path.display()
    )]
    Unsound {
        /// The file.
        path: PathBuf,
    },
    /// A key has signed already.
    #[error("{} is signed with key {key} already; add another key", path.display())]
    SameKey {
        /// The file.
        path: PathBuf,
        /// Digest of the key.
        key: Digest,
    },
    /// A key does not sign.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// What is found and what to do where an image is not of this kind.
const fn other_kind(expected: ImageKind) -> &'static str {
    match expected {
        ImageKind::App => {
            "has no segment that runs from flash, as every app has; expected an app: if it is a \
             second-stage bootloader, give it with --bootloader"
        }
        ImageKind::Bootloader => {
            "has a segment that runs from flash, as no bootloader has; expected a second-stage \
             bootloader: if it is an app, do not give it with --bootloader"
        }
    }
}

impl SignError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Data(error) => error.blame(),
            _ => Blame::Refused,
        }
    }
}
