//! One app or bootloader image: everything that its bytes say about it.

use espseal_crypto::secure_boot::{VerifyError, verify_block};
use espseal_format::app_desc::{self, AppDescError, AppDescriptor};
use espseal_format::bootloader_desc::{self, BootloaderDescError, BootloaderDescriptor};
use espseal_format::chip::{ChipId, mapping};
use espseal_format::image::{
    HEADER_LEN, ImageError, ImageHeader, MAGIC, MAX_SEGMENTS, MappingError, Survey, app_padding,
    measure,
};
use espseal_format::read::{PastEnd, SliceReader};
use espseal_format::secure_boot_v1::{APP_SIGNATURE_LEN, AppSignature};
use espseal_format::signature_block::{
    BlockError, ImageDigests, MAX_BLOCKS, SignatureBlock, SignatureScheme, SignatureSector,
};
use espseal_format::units::{Digest, SECTOR_SIZE};

use super::flash::{Decrypting, Flash};

/// What an image's bytes say about it.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Structure, checksum and hash.
    pub survey: Survey,
    /// What kind of image it is.
    pub kind: Kind,
    /// The app descriptor, if there is one.
    pub app: Option<Result<AppDescriptor, AppDescError>>,
    /// The bootloader descriptor, if there is one.
    pub bootloader: Option<Result<BootloaderDescriptor, BootloaderDescError>>,
    /// Whether segments lie so that they can be mapped; `None` for a chip without a table.
    pub mapping: Option<Result<(), MappingError>>,
    /// Whether it ends on a page, as a signed app has to; `None` for a chip without a table.
    pub ends_on_page: Option<bool>,
    /// What stands in the places for signature blocks.
    pub signatures: [Signature; MAX_BLOCKS],
    /// Digest of what a signature covers, the image and its padding to a sector, if there is a
    /// signature.
    pub signed_digest: Option<Digest>,
    /// A signature of secure boot v1 right behind the image, and the digest that it is over.
    pub v1_signature: Option<(AppSignature, Digest)>,
    /// Bytes from the start of the image to the end of the file or partition.
    pub available: u32,
}

/// What kind of image it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something is mapped from flash, or there is an app descriptor.
    App,
    /// Everything is copied to RAM.
    Bootloader,
}

/// What stands in a place for a signature block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signature {
    /// Nothing.
    Absent,
    /// No block that counts.
    Unusable(BlockError),
    /// A block that verifies.
    Verified {
        /// How it was signed.
        scheme: SignatureScheme,
        /// Digest of its public key, as burnt in eFuse.
        key: Digest,
    },
    /// A block that does not verify.
    Wrong {
        /// How it was signed; `None` for a scheme that nobody knows.
        scheme: Option<SignatureScheme>,
        /// Digest of its public key.
        key: Option<Digest>,
        /// Why.
        cause: VerifyError,
    },
}

impl Inspection {
    /// Inspects an image at the start of plain bytes.
    ///
    /// # Errors
    /// What is wrong with its structure and where; a wrong checksum, hash or signature is no error
    /// but part of the result.
    pub fn of(bytes: &[u8]) -> Result<Self, ImageError<PastEnd>> {
        let length = measure(&mut SliceReader::new(bytes))?;
        Self::with_length(bytes, length, bytes.len())
    }

    /// Inspects an image at the start of encrypted flash; `None` without a key.
    #[must_use]
    pub fn of_encrypted(flash: &Flash<'_>) -> Option<Result<Self, ImageError<PastEnd>>> {
        if !flash.has_key() {
            return None;
        }
        let length = match measure(&mut Decrypting(*flash)) {
            Ok(length) => length,
            Err(error) => return Some(Err(error)),
        };
        let signed = (length as usize).next_multiple_of(SECTOR_SIZE);
        let bytes = flash.decrypt(signed + SECTOR_SIZE)?;
        Some(Self::with_length(&bytes, length, flash.raw().len()))
    }

    fn with_length(
        bytes: &[u8],
        length: u32,
        available: usize,
    ) -> Result<Self, ImageError<PastEnd>> {
        let image = bytes.get(..length as usize).unwrap_or(bytes);
        let survey = Survey::parse(image)?;
        let layout = &survey.layout;
        let table = mapping(layout.header.chip());
        let app = descriptor(image, app_desc::OFFSET)
            .map(AppDescriptor::parse)
            .filter(|parsed| !matches!(parsed, Err(AppDescError::Magic { .. })));
        let described = app.as_ref().and_then(|app| app.as_ref().ok());
        let page_size = table.map_or(0x1_0000, |table| table.page_size_of(described));
        let is_mapped = layout.segments.iter().any(|segment| {
            espseal_format::image::memories(layout.header.chip(), segment.load_addr).any(|memory| {
                use espseal_format::image::Memory;
                matches!(memory, Memory::Drom | Memory::Irom)
            })
        });
        let kind = match app.is_some() || is_mapped {
            true => Kind::App,
            false => Kind::Bootloader,
        };
        let bootloader = descriptor(image, bootloader_desc::OFFSET)
            .filter(|_| kind == Kind::Bootloader)
            .map(BootloaderDescriptor::parse)
            .filter(|parsed| !matches!(parsed, Err(BootloaderDescError::Magic { .. })));
        let (signatures, signed_digest) = signatures(bytes, layout.signed_len as usize);
        Ok(Self {
            kind,
            app,
            bootloader,
            mapping: table.map(|table| layout.check_mapping(table, page_size)),
            ends_on_page: table.map(|_| app_padding(layout, page_size).is_ok()),
            signatures,
            signed_digest,
            v1_signature: v1_signature(bytes, length as usize),
            available: u32::try_from(available).unwrap_or(u32::MAX),
            survey,
        })
    }

    /// What is damaged: checksum, hash, a segment's place.
    pub fn damage(&self) -> impl Iterator<Item = Damage> + '_ {
        let checksum = Some(self.survey.checksum).filter(|checksum| !checksum.holds());
        let hash = self.survey.hash.filter(|hash| !hash.holds());
        let checksum = checksum.map(|checksum| {
            Damage::Image(ImageError::Checksum {
                offset: checksum.offset,
                computed: checksum.computed,
                stored: checksum.stored,
            })
        });
        let hash = hash.map(|hash| {
            Damage::Image(ImageError::Hash {
                offset: hash.offset,
                computed: hash.computed,
                stored: hash.stored,
            })
        });
        let mapping = self.mapping.and_then(Result::err).map(Damage::Mapping);
        checksum.into_iter().chain(hash).chain(mapping)
    }

    /// Whether checksum, hash and mapping are in order and no signature is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage().next().is_none()
            && !self
                .signatures
                .iter()
                .any(|signature| matches!(signature, Signature::Wrong { .. }))
    }

    /// Digests of the keys whose signatures verify.
    pub fn signing_keys(&self) -> impl Iterator<Item = Digest> + '_ {
        self.signatures
            .iter()
            .filter_map(|signature| match signature {
                Signature::Verified { key, .. } => Some(*key),
                _ => None,
            })
    }

    /// Whether something that looks like a signature follows the image.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.signatures.iter().any(|signature| {
            !matches!(
                signature,
                Signature::Absent | Signature::Unusable(BlockError::Magic { .. })
            )
        })
    }
}

/// One thing that is damaged in an image whose structure holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Checksum or hash.
    Image(ImageError<PastEnd>),
    /// A segment lies where it cannot be mapped.
    Mapping(MappingError),
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Image(error) => error.fmt(f),
            Self::Mapping(error) => error.fmt(f),
        }
    }
}

/// Reads the chip out of bytes that can only be an image header; `None` for anything else.
///
/// Chance makes one out of noise once in some hundred million times.
#[must_use]
pub fn is_header(bytes: &[u8]) -> Option<ChipId> {
    let header = ImageHeader::from_bytes(*bytes.first_chunk::<HEADER_LEN>()?);
    let known = !matches!(header.chip(), ChipId::Unknown(_));
    let segments = 1..=MAX_SEGMENTS;
    let plausible = header.magic == MAGIC
        && segments.contains(&usize::from(header.segment_count))
        && header.spi_mode <= 5
        && header.hash_appended <= 1;
    (known && plausible).then(|| header.chip())
}

/// Bytes of a descriptor in an image.
fn descriptor<const N: usize>(image: &[u8], offset: u32) -> Option<&[u8; N]> {
    image.get(offset as usize..)?.first_chunk()
}

/// Looks at the sector behind the signed part.
fn signatures(bytes: &[u8], signed_len: usize) -> ([Signature; MAX_BLOCKS], Option<Digest>) {
    let absent = [Signature::Absent; MAX_BLOCKS];
    let Some((content, rest)) = bytes.split_at_checked(signed_len) else {
        return (absent, None);
    };
    let Some(sector) = rest.first_chunk::<SECTOR_SIZE>() else {
        return (absent, None);
    };
    let sector = SignatureSector::parse(sector);
    if sector.blocks().next().is_none() {
        let empty = |place: &Result<SignatureBlock<'_>, BlockError>| match place {
            Err(BlockError::Absent) | Ok(_) => Signature::Absent,
            Err(error) => Signature::Unusable(*error),
        };
        return (sector.places().each_ref().map(empty), None);
    }
    let image = ImageDigests::of(content);
    let look = |place: &Result<SignatureBlock<'_>, BlockError>| match place {
        Err(BlockError::Absent) => Signature::Absent,
        Err(error) => Signature::Unusable(*error),
        Ok(block) => match (verify_block(block, &image), block.scheme()) {
            (Ok(key), Some(scheme)) => Signature::Verified { scheme, key },
            (Err(cause), scheme) => Signature::Wrong {
                scheme,
                key: block.key_digest(),
                cause,
            },
            (Ok(_), None) => Signature::Absent,
        },
    };
    let [first, second, third] = sector.places();
    let looked = [look(first), look(second), look(third)];
    (looked, Some(image.sha256))
}

/// Finds a signature of secure boot v1: four zero bytes and 64 that are neither erased nor zero.
fn v1_signature(bytes: &[u8], length: usize) -> Option<(AppSignature, Digest)> {
    let (image, rest) = bytes.split_at_checked(length)?;
    let (_, signature) = AppSignature::split(rest.get(..APP_SIGNATURE_LEN)?).ok()?;
    let filled = |byte: u8| signature.signature.iter().all(|found| *found == byte);
    (!filled(0) && !filled(0xFF)).then(|| (*signature, Digest::of(image)))
}
