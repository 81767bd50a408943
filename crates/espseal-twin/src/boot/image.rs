//! Image verification as the bootloader does it, with its words.
//!
//! Written from the bootloader's rules and independent of `espseal_format::image`, so that the twin
//! would notice an image that our own parser reads differently.
//!
//! Source: ESP-IDF `components/bootloader_support/src/esp_image_format.c`, `bootloader_common_loader.c`.

use espseal_format::app_desc::AppDescriptor;
use espseal_format::chip::Chip;
use espseal_format::signature_block::{Curve, ImageDigests, SignatureScheme};
use espseal_format::units::{Digest, Digest384, FlashOffset};
use sha2::{Digest as _, Sha256};

use super::log::Log;
use super::signature::{self, Trusted};
use crate::bus::Bus;
use crate::efuse::Efuses;
use crate::nor::NorError;
use crate::power::PowerLost;

const TAG: &str = "esp_image";
const HASH_LEN: u32 = 32;
const APP_DESCRIPTOR_LEN: u32 = 256;
const MAX_SEGMENTS: u8 = 16;
/// Bytes of a v2 signature sector.
const SECTOR_LEN: u32 = 4096;
/// Bytes of a v1 signature: version, then the signature.
const V1_LEN: u32 = 68;
/// Bytes that are read at once.
const STEP: u32 = 0x1_0000;

/// A stretch of flash that should hold an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub offset: u32,
    pub size: u32,
}

/// What an image is checked against.
#[derive(Debug)]
pub(crate) struct Checks<'a> {
    pub model: &'static Chip,
    pub revision: u16,
    /// Version of the chip's eFuse blocks, `major * 100 + minor`; the ESP32 has none.
    pub block_version: Option<u16>,
    /// Whether eFuses lift the highest revision that an image allows.
    pub any_revision: bool,
    /// Whether they lift the highest version of the eFuse blocks.
    pub any_block_version: bool,
    pub kind: ImageKind,
    pub signature: SignatureCheck<'a>,
}

impl<'a> Checks<'a> {
    /// The checks for a chip with these eFuses.
    pub(crate) fn of(efuses: &Efuses, kind: ImageKind, signature: SignatureCheck<'a>) -> Self {
        Self {
            model: efuses.model(),
            revision: efuses.revision(),
            block_version: efuses.block_version(),
            any_revision: efuses.allows_any_revision(),
            any_block_version: efuses.allows_any_block_version(),
            kind,
            signature,
        }
    }
}

/// What kind of image is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImageKind {
    App,
    Bootloader,
}

/// Whose signature an image needs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SignatureCheck<'a> {
    /// Nobody's: the appended hash shows damage.
    None,
    /// One of these keys'.
    V2(&'a Trusted, SignatureScheme),
    /// The holder's of the key in the bootloader; apps only.
    V1(&'a [u8; 64]),
}

/// An image that verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Length with the appended hash, without a signature.
    pub image_len: u32,
    /// Length with its signature, if it has to have one.
    pub signed_len: u32,
    /// Digests of what a v2 signature covers.
    pub digests: Option<ImageDigests>,
}

/// Why an image was not loaded; the log says the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The image does not verify.
    Invalid,
    /// Power went.
    PowerLost,
}

impl From<NorError> for Refusal {
    fn from(error: NorError) -> Self {
        match error {
            NorError::PowerLost(PowerLost) => Self::PowerLost,
            _ => Self::Invalid,
        }
    }
}

/// Verifies the image in a partition.
pub(crate) fn verify_image(
    bus: &mut Bus<'_>,
    part: Part,
    checks: &Checks<'_>,
    log: &mut Log,
) -> Result<Verified, Refusal> {
    let mut walk = Walk {
        bus,
        log,
        part,
        at: part.offset,
        hasher: Sha256::new(),
        sum: 0xEF,
        mmu_page: checks.model.mapping.page_size,
    };
    let header = walk.header(checks)?;
    for index in 0..header.segments {
        walk.segment(index, checks)?;
    }
    walk.checksum()?;
    let image_len = walk.appended(&header, checks)?;
    let mut verified = Verified {
        image_len,
        signed_len: image_len,
        digests: None,
    };
    match (checks.signature, checks.kind) {
        (SignatureCheck::V2(trusted, scheme), _) => {
            verified.digests = Some(walk.signature_v2(&header, trusted, scheme)?);
            verified.signed_len = walk.at.wrapping_sub(part.offset);
        }
        (SignatureCheck::V1(key), ImageKind::App) => {
            walk.signature_v1(&header, key)?;
            verified.signed_len = walk.at.wrapping_sub(part.offset);
        }
        // Tools may have rewritten a bootloader's header: its hash says nothing.
        (_, ImageKind::Bootloader) => {}
        (SignatureCheck::None, ImageKind::App) if header.hash_appended => walk.simple_hash()?,
        (SignatureCheck::None, ImageKind::App) => {}
    }
    Ok(verified)
}

/// `bootloader_check_bootloader_validity`: whether the bootloader, which runs already, is for this chip.
pub(crate) fn bootloader_fits(
    bus: &mut Bus<'_>,
    checks: &Checks<'_>,
    log: &mut Log,
) -> Result<bool, Refusal> {
    let mut header = [0; 24];
    bus.read(checks.model.bootloader_offset, &mut header)?;
    let fits = fits_chip(&header, checks);
    if let Err(text) = &fits {
        log.error("boot_comm", text);
    }
    Ok(fits.is_ok())
}

/// `bootloader_common_check_chip_validity`: chip and revision of a header; what it logs when they differ.
fn fits_chip(header: &[u8; 24], checks: &Checks<'_>) -> Result<(), String> {
    let word = |at: usize| {
        let bytes = header.get(at..).and_then(<[u8]>::first_chunk).copied();
        u16::from_le_bytes(bytes.unwrap_or_default())
    };
    let (chip, min, max) = (word(12), word(15), word(17));
    let (own, revision) = (checks.model.id.to_u16(), checks.revision);
    if chip != own {
        return Err(format!("mismatch chip ID, expected {own}, found {chip}"));
    }
    let limited = checks.kind == ImageKind::App && max != 0 && max != u16::MAX;
    let (relation, required) = match () {
        () if revision < min => (">=", min),
        () if limited && revision > max && !checks.any_revision => ("<=", max),
        () => return Ok(()),
    };
    Err(format!(
        "chip revision check failed. Required {relation} v{}.{}, found v{}.{}.",
        required / 100,
        required % 100,
        revision / 100,
        revision % 100
    ))
}

/// The fields of the header that matter later.
struct Header {
    segments: u8,
    hash_appended: bool,
}

/// Position in an image, with what was computed so far.
struct Walk<'a, 'b> {
    bus: &'a mut Bus<'b>,
    log: &'a mut Log,
    part: Part,
    at: u32,
    hasher: Sha256,
    sum: u8,
    mmu_page: u32,
}

impl Walk<'_, '_> {
    fn header(&mut self, checks: &Checks<'_>) -> Result<Header, Refusal> {
        let header: [u8; 24] = self.take()?;
        self.hasher.update(header);
        let [magic, segments, ..] = header;
        let [.., hash_appended] = header;
        if magic != 0xE9 {
            let text = "has invalid magic byte (nothing flashed here?)";
            return self.fail(TAG, format!("image at {:#x} {text}", self.part.offset));
        }
        if let Err(text) = fits_chip(&header, checks) {
            return self.fail("boot_comm", text);
        }
        if segments > MAX_SEGMENTS {
            let at = self.part.offset;
            return self.fail(
                TAG,
                format!("image at {at:#x} segment count {segments} exceeds max {MAX_SEGMENTS}"),
            );
        }
        Ok(Header {
            segments,
            hash_appended: hash_appended != 0,
        })
    }

    fn segment(&mut self, index: u8, checks: &Checks<'_>) -> Result<(), Refusal> {
        let header: [u8; 8] = self.take()?;
        self.hasher.update(header);
        let [a, b, c, d, e, f, g, h] = header;
        let load = u32::from_le_bytes([a, b, c, d]);
        let length = u32::from_le_bytes([e, f, g, h]);
        if length % 4 != 0 || length >= 0x100_0000 {
            return self.fail(TAG, format!("invalid segment length {length:#x}"));
        }
        if index == 0 && checks.kind == ImageKind::App {
            self.descriptor(length, checks)?;
        }
        let (mapped, at) = (checks.model.is_mapped(load), self.at);
        if mapped && at.checked_rem(self.mmu_page) != load.checked_rem(self.mmu_page) {
            let text =
                format!("Segment {index} load address {load:#010x}, doesn't match data {at:#010x}");
            return self.fail(TAG, text);
        }
        let loaded = !mapped && load >= 0x1000_0000;
        let action = if loaded {
            "load"
        } else if mapped {
            "map"
        } else {
            ""
        };
        self.log.info(
            TAG,
            format!("segment {index}: paddr={at:08x} vaddr={load:08x} size={length:05x}h ({length:6}) {action}"),
        );
        if loaded && length > 0 && !checks.model.is_loadable(load, length) {
            let end = load.wrapping_add(length);
            let text =
                format!("Segment {index} {load:#010x}-{end:#010x} invalid: bad load address range");
            return self.fail(TAG, text);
        }
        let mut left = length;
        while left > 0 {
            let step = left.min(STEP);
            let data = self.take_vec(step)?;
            self.hasher.update(&data);
            self.sum = data.iter().fold(self.sum, |sum, byte| sum ^ byte);
            left -= step;
        }
        Ok(())
    }

    /// Checks what the app descriptor at the start of the first segment asks of the chip.
    fn descriptor(&mut self, length: u32, checks: &Checks<'_>) -> Result<(), Refusal> {
        if length < APP_DESCRIPTOR_LEN {
            let text = format!("Segment 0: length {length:#x} is too short for app description");
            return self.fail(TAG, text);
        }
        let mut descriptor = [0; 256];
        self.bus.read(FlashOffset::new(self.at), &mut descriptor)?;
        let word = |at: usize| {
            let bytes = descriptor.get(at..).and_then(<[u8]>::first_chunk).copied();
            u16::from_le_bytes(bytes.unwrap_or_default())
        };
        let mapping = checks.model.mapping;
        // The bootloader looks at the magic word and at numbers, not at the texts between them.
        let mut numbers = descriptor;
        if let Some(texts) = numbers.get_mut(16..176) {
            texts.fill(0);
        }
        let parsed = AppDescriptor::parse(&numbers).ok();
        if !mapping.other_page_sizes.is_empty() {
            if parsed.is_none() {
                return self.fail(TAG, "Failed to fetch app description header!".into());
            }
            self.mmu_page = mapping.page_size_of(parsed.as_ref());
        }
        // Whatever stands there, a descriptor or not.
        let Some(version) = checks.block_version else {
            return Ok(());
        };
        let (min, max) = (word(176), word(178));
        let is_set = |revision: u16| revision != 0 && revision != u16::MAX;
        let limit = match () {
            () if is_set(min) && version < min => Some((">=", min)),
            () if is_set(max) && version > max && !checks.any_block_version => Some(("<=", max)),
            () => None,
        };
        if let Some((relation, required)) = limit {
            let text = format!(
                "Image requires efuse blk rev {relation} v{}.{}, but chip is v{}.{}",
                required / 100,
                required % 100,
                version / 100,
                version % 100
            );
            return self.fail("boot_comm", text);
        }
        Ok(())
    }

    /// Reads the padding whose last byte, at the end of a 16-byte block, is the checksum.
    fn checksum(&mut self) -> Result<(), Refusal> {
        let length = self.at.wrapping_sub(self.part.offset);
        let padding = self.take_vec(16 - length % 16)?;
        self.hasher.update(&padding);
        let (stored, sum) = (padding.last().copied().unwrap_or(0), self.sum);
        if stored != sum {
            return self.fail(
                TAG,
                format!("Checksum failed. Calculated {sum:#x} read {stored:#x}"),
            );
        }
        Ok(())
    }

    /// Checks that the image fits its partition; gives its length with the appended hash.
    fn appended(&mut self, header: &Header, checks: &Checks<'_>) -> Result<u32, Refusal> {
        let body = self.at.wrapping_sub(self.part.offset);
        let end = body.saturating_add(if header.hash_appended { HASH_LEN } else { 0 });
        let full = match (checks.signature, checks.kind) {
            (SignatureCheck::V2(..), _) => {
                end.next_multiple_of(SECTOR_LEN).saturating_add(SECTOR_LEN)
            }
            (SignatureCheck::V1(_), ImageKind::App) => end.saturating_add(V1_LEN),
            _ => end,
        };
        if full > self.part.size {
            let size = self.part.size;
            return self.fail(
                TAG,
                format!("Image length {full} doesn't fit in partition length {size}"),
            );
        }
        Ok(end)
    }

    fn simple_hash(&mut self) -> Result<(), Refusal> {
        let stored: [u8; 32] = self.take()?;
        let computed: [u8; 32] = self.hasher.clone().finalize().into();
        if stored != computed {
            return self.fail(TAG, "Image hash failed - image is corrupt".into());
        }
        Ok(())
    }

    /// Hashes on to the end of the sector and verifies the signature sector behind it.
    /// Verifies the ECDSA signature that follows the image, as secure boot v1 has it.
    fn signature_v1(&mut self, header: &Header, key: &[u8; 64]) -> Result<(), Refusal> {
        let simple = self.hash_before_signature(header)?;
        let digest = Digest(self.hasher.clone().finalize().into());
        let block: [u8; 68] = self.take()?;
        match signature::verify_app_v1(&block, &digest, key, self.log) {
            Ok(()) => Ok(()),
            Err(_) => self.bad_signature(simple),
        }
    }

    fn signature_v2(
        &mut self,
        header: &Header,
        trusted: &Trusted,
        scheme: SignatureScheme,
    ) -> Result<ImageDigests, Refusal> {
        let simple = self.hash_before_signature(header)?;
        let length = self.at.wrapping_sub(self.part.offset);
        let padding = self.take_vec(length.next_multiple_of(SECTOR_LEN) - length)?;
        self.hasher.update(&padding);
        let sha384 = match scheme {
            SignatureScheme::Ecdsa(Curve::P384) => {
                let length = usize::try_from(self.at.wrapping_sub(self.part.offset)).unwrap_or(0);
                let mut signed = vec![0; length];
                self.bus
                    .read(FlashOffset::new(self.part.offset), &mut signed)?;
                ImageDigests::of(&signed).sha384
            }
            _ => Digest384([0; 48]),
        };
        let digests = ImageDigests {
            sha256: Digest(self.hasher.clone().finalize().into()),
            sha384,
        };
        let block = self.take_vec(SECTOR_LEN)?;
        match signature::verify_app(&block, &digests, trusted, scheme, self.log) {
            Ok(()) => Ok(digests),
            Err(_) => self.bad_signature(simple),
        }
    }

    /// Hashes the appended hash, too, since the signature covers it; says whether it is right.
    fn hash_before_signature(&mut self, header: &Header) -> Result<bool, Refusal> {
        self.log.info(TAG, "Verifying image signature...");
        if !header.hash_appended {
            return Ok(false);
        }
        let computed: [u8; 32] = self.hasher.clone().finalize().into();
        let stored: [u8; 32] = self.take()?;
        self.hasher.update(stored);
        Ok(stored == computed)
    }

    fn bad_signature<T>(&mut self, simple: bool) -> Result<T, Refusal> {
        self.log
            .error(TAG, "Secure boot signature verification failed");
        self.log
            .info(TAG, "Calculating simple hash to check for corruption...");
        let text = match simple {
            true => "image valid, signature bad",
            false => "image corrupted on flash",
        };
        self.log.warning(TAG, text);
        Err(Refusal::Invalid)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let mut bytes = [0; N];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    fn take_vec(&mut self, length: u32) -> Result<Vec<u8>, Refusal> {
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| Refusal::Invalid)?];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), Refusal> {
        let result = self.bus.read(FlashOffset::new(self.at), bytes);
        if let Err(NorError::OutOfBounds { offset, .. }) = &result {
            self.log.error(
                TAG,
                format!("bootloader_flash_read failed at {:#010x}", offset.get()),
            );
        }
        result?;
        self.at = u32::try_from(bytes.len())
            .ok()
            .and_then(|length| self.at.checked_add(length))
            .ok_or(Refusal::Invalid)?;
        Ok(())
    }

    fn fail<T>(&mut self, tag: &'static str, text: String) -> Result<T, Refusal> {
        self.log.error(tag, text);
        Err(Refusal::Invalid)
    }
}
