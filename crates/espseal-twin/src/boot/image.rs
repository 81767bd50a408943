//! Image verification as the bootloader does it, with its words.
//!
//! Written from the bootloader's rules and independent of `espseal_format::image`, so that the twin
//! would notice an image that our own parser reads differently.
//!
//! Source: ESP-IDF `components/bootloader_support/src/esp_image_format.c`, `bootloader_common_loader.c`.

use espseal_format::chip::Chip;
use espseal_format::units::{Digest, FlashOffset, SECTOR_SIZE};
use sha2::{Digest as _, Sha256};

use super::log::Log;
use super::signature::{self, Trusted};
use crate::bus::Bus;
use crate::nor::NorError;
use crate::power::PowerLost;

const TAG: &str = "esp_image";
const HASH_LEN: u32 = 32;
const APP_DESCRIPTOR_LEN: u32 = 256;
const MAX_SEGMENTS: u8 = 16;
const MMU_PAGE: u32 = 0x1_0000;
const SIGNATURE_LEN: u32 = 3 * 1216;

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
    /// Trusted keys when signatures are verified.
    pub signature: Option<&'a Trusted>,
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

/// Verifies the app image in a partition; gives its length, without a signature.
pub(crate) fn verify_app(
    bus: &mut Bus<'_>,
    part: Part,
    checks: &Checks<'_>,
    log: &mut Log,
) -> Result<u32, Refusal> {
    let mut walk = Walk {
        bus,
        log,
        part,
        at: part.offset,
        hasher: Sha256::new(),
        sum: 0xEF,
    };
    let header = walk.header(checks)?;
    for index in 0..header.segments {
        walk.segment(index, checks)?;
    }
    walk.checksum()?;
    let length = walk.appended(&header, checks)?;
    match checks.signature {
        Some(trusted) => walk.signature(&header, trusted)?,
        None if header.hash_appended => walk.simple_hash()?,
        None => {}
    }
    Ok(length)
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
        let word = |at: usize| {
            let bytes = header.get(at..).and_then(<[u8]>::first_chunk).copied();
            u16::from_le_bytes(bytes.unwrap_or_default())
        };
        let (chip, min, max) = (word(12), word(15), word(17));
        let (own, revision) = (checks.model.id.to_u16(), checks.revision);
        if chip != own {
            return self.fail(
                "boot_comm",
                format!("mismatch chip ID, expected {own}, found {chip}"),
            );
        }
        let limit = match () {
            () if revision < min => Some((">=", min)),
            () if max != 0 && max != u16::MAX && revision > max => Some(("<=", max)),
            () => None,
        };
        if let Some((relation, required)) = limit {
            let text = format!(
                "chip revision check failed. Required {relation} v{}.{}, found v{}.{}.",
                required / 100,
                required % 100,
                revision / 100,
                revision % 100
            );
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
        if index == 0 && length < APP_DESCRIPTOR_LEN {
            let text = format!("Segment 0: length {length:#x} is too short for app description");
            return self.fail(TAG, text);
        }
        let (mapped, at) = (checks.model.is_mapped(load), self.at);
        if mapped && at % MMU_PAGE != load % MMU_PAGE {
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
            let step = left.min(MMU_PAGE);
            let data = self.take_vec(step)?;
            self.hasher.update(&data);
            self.sum = data.iter().fold(self.sum, |sum, byte| sum ^ byte);
            left -= step;
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
        let full = match checks.signature {
            Some(_) => end.next_multiple_of(sector()).saturating_add(SIGNATURE_LEN),
            None => end,
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
    fn signature(&mut self, header: &Header, trusted: &Trusted) -> Result<(), Refusal> {
        self.log.info(TAG, "Verifying image signature...");
        let mut simple = None;
        if header.hash_appended {
            let computed: [u8; 32] = self.hasher.clone().finalize().into();
            let stored: [u8; 32] = self.take()?;
            self.hasher.update(stored);
            simple = Some(stored == computed);
        }
        let length = self.at.wrapping_sub(self.part.offset);
        let padding = self.take_vec(length.next_multiple_of(sector()) - length)?;
        self.hasher.update(&padding);
        let digest = Digest(self.hasher.clone().finalize().into());
        let block = self.take_vec(sector())?;
        if signature::verify_app(&block, &digest, trusted, self.log).is_err() {
            self.log
                .error(TAG, "Secure boot signature verification failed");
            self.log
                .info(TAG, "Calculating simple hash to check for corruption...");
            let text = match simple {
                Some(true) => "image valid, signature bad",
                Some(false) | None => "image corrupted on flash",
            };
            self.log.warning(TAG, text);
            return Err(Refusal::Invalid);
        }
        Ok(())
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

fn sector() -> u32 {
    u32::try_from(SECTOR_SIZE).unwrap_or(0x1000)
}
