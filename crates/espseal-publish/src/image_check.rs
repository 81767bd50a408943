//! What an image must be before it may be released to a fleet.

use std::path::{Path, PathBuf};

use espseal_crypto::secure_boot::verify_block;
use espseal_format::app_desc::{self, AppDescError, AppDescriptor};
use espseal_format::chip::ChipId;
use espseal_format::image::{ImageError, ImageLayout, MappingError, PaddingError, app_padding};
use espseal_format::read::PastEnd;
use espseal_format::signature_block::{ImageDigests, SignatureScheme, SignatureSector};
use espseal_format::units::{Digest, SECTOR_SIZE, SecurityVersion};

use crate::blame::Blame;
use crate::files::{self, FileError};
use crate::project::{Fleet, names};

/// Largest image that is read: the flash cache reaches 16 MB.
const LARGEST_IMAGE: u64 = 16 << 20;

/// A signed app image that passed every check for its fleet.
#[derive(Debug)]
pub struct CheckedImage {
    bytes: Vec<u8>,
    descriptor: AppDescriptor,
    chip: ChipId,
    scheme: SignatureScheme,
    keys: Vec<Digest>,
}

impl CheckedImage {
    /// The whole signed image, signature sector included.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its app descriptor.
    #[must_use]
    pub fn descriptor(&self) -> &AppDescriptor {
        &self.descriptor
    }

    /// Chip it is built for.
    #[must_use]
    pub fn chip(&self) -> ChipId {
        self.chip
    }

    /// How it is signed.
    #[must_use]
    pub fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    /// Digests of the keys that signed it.
    #[must_use]
    pub fn signing_keys(&self) -> &[Digest] {
        &self.keys
    }
}

/// Reads an image file and finds the chip it is built for, without any further check.
///
/// # Errors
/// [`ImageRefused::File`] or [`ImageRefused::Image`].
pub fn read_image(path: &Path) -> Result<(Vec<u8>, ChipId), ImageRefused> {
    let bytes = files::read(path, "an app image", LARGEST_IMAGE)?;
    let layout = ImageLayout::parse(&bytes).map_err(|cause| ImageRefused::Image {
        path: path.into(),
        cause,
    })?;
    Ok((bytes, layout.header.chip()))
}

/// Checks an image against the fleet it is for.
///
/// `current` is the secure version of the release that the image follows.
///
/// # Errors
/// [`ImageRefused`] for the first check that says no.
pub fn check_image(
    path: &Path,
    bytes: Vec<u8>,
    fleet: &Fleet,
    current: Option<SecurityVersion>,
) -> Result<CheckedImage, ImageRefused> {
    let path = || PathBuf::from(path);
    let layout = ImageLayout::parse(&bytes).map_err(|cause| ImageRefused::Image {
        path: path(),
        cause,
    })?;
    let chip = layout.header.chip();
    if chip != fleet.chip.id {
        return Err(ImageRefused::Chip {
            path: path(),
            found: chip,
            expected: fleet.chip.id,
        });
    }
    let (scheme, keys) = check_signature(&path, &bytes, &layout, fleet)?;
    let descriptor = read_descriptor(&path, &bytes)?;
    let page_size = fleet.chip.mapping.page_size_of(Some(&descriptor));
    app_padding(&layout, page_size).map_err(|cause| ImageRefused::Padding {
        path: path(),
        cause,
    })?;
    layout
        .check_mapping(fleet.chip.mapping, page_size)
        .map_err(|cause| ImageRefused::Mapping {
            path: path(),
            cause,
        })?;
    let slot = fleet.smallest_slot();
    if bytes.len() as u64 > u64::from(slot) {
        return Err(ImageRefused::TooLarge {
            path: path(),
            found: bytes.len(),
            slot,
        });
    }
    let found = descriptor.secure_version();
    if found.get() > u32::from(fleet.secure_version_bits) {
        return Err(ImageRefused::SecureVersionTooHigh {
            path: path(),
            found,
            bits: fleet.secure_version_bits,
        });
    }
    if let Some(current) = current
        && found < current
    {
        return Err(ImageRefused::SecureVersionLower {
            path: path(),
            found,
            current,
        });
    }
    Ok(CheckedImage {
        bytes,
        descriptor,
        chip,
        scheme,
        keys,
    })
}

fn check_signature(
    path: &dyn Fn() -> PathBuf,
    bytes: &[u8],
    layout: &ImageLayout,
    fleet: &Fleet,
) -> Result<(SignatureScheme, Vec<Digest>), ImageRefused> {
    let signed = layout.signed_len as usize;
    let expected = signed.saturating_add(SECTOR_SIZE);
    if bytes.len() <= signed {
        return Err(ImageRefused::Unsigned { path: path() });
    }
    let (content, rest) = bytes.split_at_checked(signed).unwrap_or((bytes, &[]));
    let sector: &[u8; SECTOR_SIZE] = rest.try_into().map_err(|_| ImageRefused::Length {
        path: path(),
        found: bytes.len(),
        expected,
    })?;
    let image = ImageDigests::of(content);
    let sector = SignatureSector::parse(sector);
    let mut keys = Vec::new();
    let mut schemes = Vec::new();
    for (place, block) in sector.blocks() {
        schemes.extend(block.scheme());
        let key = verify_block(&block, &image).map_err(|_| ImageRefused::Signature {
            path: path(),
            place,
        })?;
        keys.push(key);
    }
    let Some(scheme) = schemes.first().copied() else {
        return Err(ImageRefused::Unsigned { path: path() });
    };
    let wished = fleet.wished_scheme();
    let fits = |scheme: &SignatureScheme| {
        fleet.chip.verifies(*scheme) && wished.is_none_or(|wished| wished == *scheme)
    };
    if let Some(found) = schemes.iter().find(|scheme| !fits(scheme)) {
        return Err(ImageRefused::Scheme {
            path: path(),
            chip: fleet.chip.id,
            found: *found,
            expected: match wished {
                Some(wished) => wished.to_string(),
                None => names(fleet.chip.signature_schemes().iter()),
            },
        });
    }
    let burnt = &fleet.secure_boot_digests;
    if fleet.has_secure_boot() && !keys.iter().any(|key| burnt.contains(key)) {
        return Err(ImageRefused::ForeignKey {
            path: path(),
            chip: fleet.chip.id,
            found: names(keys.iter()),
            expected: names(burnt.iter()),
        });
    }
    Ok((scheme, keys))
}

fn read_descriptor(
    path: &dyn Fn() -> PathBuf,
    bytes: &[u8],
) -> Result<AppDescriptor, ImageRefused> {
    let at = app_desc::OFFSET as usize;
    let descriptor = bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .ok_or_else(|| ImageRefused::NoDescriptor { path: path() })?;
    AppDescriptor::parse(descriptor).map_err(|cause| match cause {
        AppDescError::Magic { .. } => ImageRefused::NoDescriptor { path: path() },
        cause => ImageRefused::Descriptor {
            path: path(),
            cause,
        },
    })
}

/// Why an image is not released.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageRefused {
    /// The bytes are no whole image.
    #[error("{}: {cause}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        cause: ImageError<PastEnd>,
    },
    /// The image is for another chip.
    #[error(
        "{} is built for {found}; expected {expected}: choose the image of that chip, or --chip",
        path.display()
    )]
    Chip {
        /// The file.
        path: PathBuf,
        /// Chip of the image.
        found: ChipId,
        /// Chip of the fleet.
        expected: ChipId,
    },
    /// The image does not end where a signed app has to.
    #[error("{}: {cause}", path.display())]
    Padding {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: PaddingError,
    },
    /// A segment cannot be mapped.
    #[error("{}: {cause}", path.display())]
    Mapping {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: MappingError,
    },
    /// There is no signature.
    #[error(
        "{} has no secure boot v2 signature; expected a signature sector after the image: \
         `espseal sign` makes one",
        path.display()
    )]
    Unsigned {
        /// The file.
        path: PathBuf,
    },
    /// The signature sector is cut short, or something follows it.
    #[error(
        "{} has {found} bytes; expected {expected}, image and signature sector: it was cut short or \
         something was appended, sign or fetch it again",
        path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: usize,
        /// Length of image and signature sector.
        expected: usize,
    },
    /// A signature does not verify.
    #[error(
        "{}: signature block {place} does not verify; expected a signature over exactly this \
         image: sign it again",
        path.display()
    )]
    Signature {
        /// The file.
        path: PathBuf,
        /// Number of the block.
        place: usize,
    },
    /// The ROM does not verify such signatures, or this fleet's eFuses ask for others.
    #[error(
        "{} is signed with {found}; the {chip} fleet verifies {expected}: sign with such a key",
        path.display()
    )]
    Scheme {
        /// The file.
        path: PathBuf,
        /// Chip of the fleet.
        chip: ChipId,
        /// Scheme of a signature.
        found: SignatureScheme,
        /// Schemes that would do.
        expected: String,
    },
    /// No device would boot it.
    #[error(
        "{} is signed with key {found}; the eFuses of the {chip} fleet hold {expected}: no device \
         would boot it, sign with a key of the fleet",
        path.display()
    )]
    ForeignKey {
        /// The file.
        path: PathBuf,
        /// Chip of the fleet.
        chip: ChipId,
        /// Keys that signed.
        found: String,
        /// Keys in the eFuses.
        expected: String,
    },
    /// The image does not fit every slot.
    #[error(
        "{} has {found} bytes; expected at most {slot}, the smallest app slot of the partition \
         table: shrink the image, slots cannot grow in the field",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: usize,
        /// Smallest slot.
        slot: u32,
    },
    /// There is no app descriptor.
    #[error(
        "{} has no app descriptor at offset 0x20; expected one with version and secure version: \
         build it with ESP-IDF's esp_app_format or esp-bootloader-esp-idf's esp_app_desc!",
        path.display()
    )]
    NoDescriptor {
        /// The file.
        path: PathBuf,
    },
    /// The app descriptor is malformed.
    #[error("{}: {cause}", path.display())]
    Descriptor {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: AppDescError,
    },
    /// No eFuse can count that far.
    #[error(
        "{} has secure version {found}; expected at most {bits}, the bits of the eFuse counter: \
         no device could ever confirm it",
        path.display()
    )]
    SecureVersionTooHigh {
        /// The file.
        path: PathBuf,
        /// Its secure version.
        found: SecurityVersion,
        /// Bits of the counter.
        bits: u8,
    },
    /// Devices that ran the current release refuse it.
    #[error(
        "{} has secure version {found}; expected at least {current}, that of the current release: \
         devices with anti-rollback would not boot it",
        path.display()
    )]
    SecureVersionLower {
        /// The file.
        path: PathBuf,
        /// Its secure version.
        found: SecurityVersion,
        /// That of the current release.
        current: SecurityVersion,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl ImageRefused {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::File(FileError::Empty { .. } | FileError::TooLarge { .. }) => Blame::Refused,
            Self::File(_) => Blame::Io,
            _ => Blame::Refused,
        }
    }
}
