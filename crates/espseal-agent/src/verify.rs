//! Decides whether the image that stands in a slot may be booted.
//!
//! Order: whole-image digest read from flash, structure and length, chip, secure-boot signature
//! against the unrevoked eFuse digests, app descriptor against the manifest. The same checks run
//! with chunk 0 still in RAM, so that an image that fails them never becomes bootable.

use espseal_format::app_desc::{self, AppDescriptor};
use espseal_format::chip::{self, ChipId, Mapping};
use espseal_format::image::{ImageError, ImageLayout};
use espseal_format::read::ReadAt;
use espseal_format::signature_block::SignatureSector;
use espseal_format::units::{CHUNK_SIZE, Digest, SECTOR_SIZE, SecurityVersion};

use crate::config::{Region, SignatureRule};
use crate::crypto::{Crypto, sha256_of};
use crate::error::{
    AgentError, BodyError, DescriptorField, DeviceError, FlashOperation, HardwareError,
};
use crate::flash::{Flash, FlashFaultKind};
use crate::medium::{Medium, SECTOR};
use crate::metadata::VerifiedManifest;
use crate::observer::Observer;
use crate::platform::{DIGEST_SLOTS, Slot};

/// Proof that a slot holds, completely, the image of a verified manifest: what activation takes.
///
/// Only [`approve`] makes one, after hashing the slot from its first byte to its last.
#[derive(Debug)]
pub(crate) struct CompleteSlot {
    slot: Slot,
    manifest: Digest,
}

impl CompleteSlot {
    pub(crate) const fn slot(&self) -> Slot {
        self.slot
    }

    /// SHA-256 of the manifest.
    pub(crate) const fn manifest(&self) -> Digest {
        self.manifest
    }
}

/// What an image is held against, besides its manifest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trust {
    pub(crate) chip: ChipId,
    pub(crate) digests: [Option<Digest>; DIGEST_SLOTS],
    pub(crate) rule: SignatureRule,
}

impl Trust {
    /// Refuses a device that could check no signature although it has to.
    pub(crate) fn ready(&self) -> Result<(), DeviceError> {
        if self.rule == SignatureRule::Required && !self.is_burnt() {
            return Err(DeviceError::NoBurntDigest);
        }
        Ok(())
    }

    fn is_burnt(&self) -> bool {
        self.digests.iter().any(Option::is_some)
    }
}

/// An image in a slot, its first chunk perhaps still in RAM.
pub(crate) struct SlotReader<'m, F, O> {
    pub(crate) medium: &'m mut Medium<F, O>,
    pub(crate) region: Region,
    pub(crate) length: u32,
    pub(crate) head: Option<&'m [u8; CHUNK_SIZE]>,
}

impl<F: Flash, O: Observer> ReadAt for SlotReader<'_, F, O> {
    type Error = HardwareError;

    fn read_at(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), HardwareError> {
        let outside = HardwareError::Flash {
            operation: FlashOperation::Read,
            at: self.region.offset,
            kind: FlashFaultKind::OutOfRange,
            code: 0,
        };
        let length = u32::try_from(buf.len()).map_err(|_| outside)?;
        offset
            .checked_add(length)
            .filter(|end| *end <= self.length)
            .ok_or(outside)?;
        let at = self.region.offset.checked_add(offset).ok_or(outside)?;
        self.medium.read(at, buf)?;
        if let Some(head) = self.head {
            let start = usize::try_from(offset).map_err(|_| outside)?;
            let lent = head.get(start..).unwrap_or_default();
            buf.iter_mut().zip(lent).for_each(|(to, from)| *to = *from);
        }
        Ok(())
    }

    fn len(&self) -> u32 {
        self.length
    }
}

/// Runs every check on an image; the reader decides whether chunk 0 comes from flash or RAM.
#[inline(never)]
pub(crate) fn check<R: ReadAt<Error = HardwareError>, C: Crypto>(
    image: &mut R,
    manifest: &VerifiedManifest<'_>,
    trust: &Trust,
    crypto: &mut C,
    scratch: &mut [u8; SECTOR_SIZE],
) -> Result<(), AgentError> {
    digest(image, manifest, crypto, scratch)?;
    let layout = ImageLayout::walk(image, scratch).map_err(|error| match error {
        ImageError::Read(error) => AgentError::Hardware(error),
        _ => AgentError::Body(BodyError::ImageStructure),
    })?;
    let (expected, found) = (trust.chip.to_u16(), layout.header.chip().to_u16());
    if expected != found {
        return Err(BodyError::ImageChip { expected, found }.into());
    }
    if let Some(mapping) = chip::mapping(trust.chip) {
        let page_size = page_size(image, mapping)?;
        if layout.check_mapping(mapping, page_size).is_err() {
            return Err(BodyError::ImageStructure.into());
        }
    }
    signature(image, &layout, trust, crypto, scratch)?;
    descriptor(image, manifest)
}

/// Bytes in the MMU pages that the image is built for.
#[inline(never)]
fn page_size<R: ReadAt<Error = HardwareError>>(
    image: &mut R,
    mapping: &Mapping,
) -> Result<u32, HardwareError> {
    let descriptor = AppDescriptor::parse(&descriptor_bytes(image)?);
    Ok(mapping.page_size_of(descriptor.ok().as_ref()))
}

/// The bytes of an image where its app descriptor lies; zeros, which are none, of a shorter image.
#[inline(never)]
fn descriptor_bytes<R: ReadAt<Error = HardwareError>>(
    image: &mut R,
) -> Result<[u8; app_desc::LEN], HardwareError> {
    let mut bytes = [0; app_desc::LEN];
    if image.len() >= app_desc::END {
        image.read_at(app_desc::OFFSET, &mut bytes)?;
    }
    Ok(bytes)
}

/// Compares the digest of the whole image with the signed one.
#[inline(never)]
pub(crate) fn digest<R: ReadAt<Error = HardwareError>, C: Crypto>(
    image: &mut R,
    manifest: &VerifiedManifest<'_>,
    crypto: &mut C,
    scratch: &mut [u8; SECTOR_SIZE],
) -> Result<(), AgentError> {
    let length = image.len();
    let expected = manifest.component().plaintext;
    let found = sha256_of(image, length, crypto, scratch)?;
    if found != expected {
        return Err(BodyError::ImageDigest { expected, found }.into());
    }
    Ok(())
}

/// Hashes a slot from first byte to last and hands out the token for activation.
pub(crate) fn approve<F: Flash, O: Observer, C: Crypto>(
    image: &mut SlotReader<'_, F, O>,
    manifest: &VerifiedManifest<'_>,
    slot: Slot,
    crypto: &mut C,
    scratch: &mut [u8; SECTOR_SIZE],
) -> Result<CompleteSlot, AgentError> {
    // The token is about flash, not about RAM.
    image.head = None;
    digest(image, manifest, crypto, scratch)?;
    Ok(CompleteSlot {
        slot,
        manifest: manifest.digest(),
    })
}

/// The secure version of the image in `region`; zero where there is no app descriptor.
#[inline(never)]
pub(crate) fn secure_version<F: Flash, O: Observer>(
    medium: &mut Medium<F, O>,
    region: Region,
) -> Result<SecurityVersion, HardwareError> {
    let mut image = SlotReader {
        medium,
        region,
        length: region.size,
        head: None,
    };
    let descriptor = AppDescriptor::parse(&descriptor_bytes(&mut image)?);
    Ok(descriptor.map_or(SecurityVersion::new(0), |found| found.secure_version()))
}

/// Demands that the image ends where the manifest says and that a burnt key signed it.
#[inline(never)]
fn signature<R: ReadAt<Error = HardwareError>, C: Crypto>(
    image: &mut R,
    layout: &ImageLayout,
    trust: &Trust,
    crypto: &mut C,
    scratch: &mut [u8; SECTOR_SIZE],
) -> Result<(), AgentError> {
    let expected = image.len();
    let sector = layout.signed_len;
    if layout.image_len == expected {
        return if trust.is_burnt() {
            Err(BodyError::Unsigned.into())
        } else {
            Ok(())
        };
    }
    if sector.checked_add(SECTOR) != Some(expected) {
        return Err(BodyError::ImageLength {
            expected,
            found: layout.image_len,
        }
        .into());
    }
    if !trust.is_burnt() {
        return Ok(());
    }
    let signed = crypto.image_digest(image, sector, scratch)?;
    image.read_at(sector, scratch)?;
    let blocks = SignatureSector::parse(scratch);
    if blocks.blocks().next().is_none() {
        return Err(BodyError::Unsigned.into());
    }
    for (_, block) in blocks.blocks() {
        // The cheap question first: most blocks of a rotated key set are not this device's. A block
        // of an unknown scheme has no key digest, which must not match a blank slot.
        let key = block.key_digest();
        let known = key.is_some() && trust.digests.contains(&key);
        if known && crypto.verify_block(&block, &signed) {
            return Ok(());
        }
    }
    Err(BodyError::UnknownSigner.into())
}

/// Compares the app descriptor with what the manifest says about the image.
#[inline(never)]
fn descriptor<R: ReadAt<Error = HardwareError>>(
    image: &mut R,
    manifest: &VerifiedManifest<'_>,
) -> Result<(), AgentError> {
    let differ = |field| AgentError::Body(BodyError::Descriptor { field });
    let found = AppDescriptor::parse(&descriptor_bytes(image)?);
    let found = found.map_err(|_| differ(DescriptorField::Magic))?;
    let manifest = manifest.get();
    if found.project() != manifest.project.as_str() {
        return Err(differ(DescriptorField::Project));
    }
    if found.version() != manifest.version.as_str() {
        return Err(differ(DescriptorField::Version));
    }
    if found.secure_version() != manifest.secure_version {
        return Err(differ(DescriptorField::SecureVersion));
    }
    Ok(())
}
