//! Small images that a chip's ROM and bootloader accept, for rehearsing where there is no real one.
//!
//! The twin decides and runs no code, so an image needs headers, segments in the right places, a
//! checksum and a hash, and an app a descriptor; what its segments hold does not matter.
//!
//! Source: ESP-IDF `esp_app_format.h`, `esp_app_desc.h`.

use espseal_format::app_desc::AppDescriptor;
use espseal_format::chip::{Chip, chip_for};
use espseal_format::image::ImageHeader;
use espseal_format::units::{Digest, SecurityVersion};

/// Flash size 16 MB in the header, so that no table is too large for it.
const FLASH_16_MB: u8 = 0x40;

/// A bootloader that a ROM loads.
#[must_use]
pub fn bootloader(chip: &Chip) -> Vec<u8> {
    image(chip, &[(first_ram(chip), vec![0x42; 6000])])
}

/// An app with this name and secure version, one segment mapped from flash and one in RAM.
#[must_use]
pub fn app(chip: &Chip, version: &str, secure_version: SecurityVersion) -> Vec<u8> {
    let mut rodata = vec![0xA5; 5000];
    let descriptor = AppDescriptor::new("rehearsal", version, secure_version);
    if let (Some(place), Some(descriptor)) = (rodata.first_chunk_mut(), descriptor) {
        *place = descriptor.encode();
    }
    image(
        chip,
        &[
            (first_mapped(chip).saturating_add(0x20), rodata),
            (first_ram(chip), version.bytes().cycle().take(400).collect()),
        ],
    )
}

/// The table of the silicon that an image is built for, by its header; `None` for no image of a known chip.
#[must_use]
pub fn silicon(image: &[u8]) -> Option<&'static Chip> {
    let header = ImageHeader::from_bytes(*image.first_chunk()?);
    let (lowest, highest) = (
        header.min_chip_rev_full.get(),
        header.max_chip_rev_full.get(),
    );
    chip_for(header.chip(), lowest, highest)
}

/// Builds an image of these segments, with checksum and hash.
fn image(chip: &Chip, segments: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let entry = first_ram(chip);
    let count = u8::try_from(segments.len()).unwrap_or(u8::MAX);
    let mut image = vec![0xE9, count, 2, FLASH_16_MB];
    image.extend(entry.to_le_bytes());
    image.extend([0xEE, 0, 0, 0]);
    image.extend(chip.id.to_u16().to_le_bytes());
    let highest = match chip.revisions.end {
        u16::MAX => u16::MAX,
        end => end.saturating_sub(1),
    };
    image.push(0);
    image.extend(chip.revisions.start.to_le_bytes());
    image.extend(highest.to_le_bytes());
    image.extend([0, 0, 0, 0, 1]);
    let mut sum = 0xEF;
    for (load, data) in segments {
        image.extend(load.to_le_bytes());
        image.extend(u32::try_from(data.len()).unwrap_or(0).to_le_bytes());
        image.extend(data);
        sum = data.iter().fold(sum, |sum, byte| sum ^ byte);
    }
    image.resize(image.len() | 15, 0);
    image.push(sum);
    let digest = Digest::of(&image);
    image.extend(digest.0);
    image
}

/// RAM that a segment can be loaded to: the start of the largest stretch.
fn first_ram(chip: &Chip) -> u32 {
    let largest = chip.ram.iter().max_by_key(|range| range.end - range.start);
    largest.map_or(0, |range| range.start)
}

/// An address that maps flash, on a page of any size.
fn first_mapped(chip: &Chip) -> u32 {
    let mut ranges = chip.mapping.ranges.iter();
    ranges.next().map_or(0, |range| range.start)
}
