//! Small images for an ESP32-C3: the twin decides what boots and runs no code.

use anyhow::{Context as _, Result};
use espseal_format::app_desc::AppDescriptor;
use espseal_format::chip::ChipId;
use espseal_format::units::{Digest, SecurityVersion};

/// Name of the product in the app descriptors.
const PROJECT: &str = "emulated";

/// An unsigned app of this version, different from every other in all its sectors.
pub(crate) fn app(version: &str, length: usize) -> Result<Vec<u8>> {
    let descriptor = AppDescriptor::new(PROJECT, version, SecurityVersion::new(0))
        .context("the app descriptor")?;
    let mut rodata = descriptor.encode().to_vec();
    let mut block = Digest::of(version.as_bytes());
    while rodata.len() < length {
        rodata.extend(block.0);
        block = Digest::of(&block.0);
    }
    image(&[(0x3C00_0020, &rodata), (0x3FC9_0000, &[0x5A; 400])])
}

/// An unsigned second-stage bootloader.
pub(crate) fn bootloader() -> Result<Vec<u8>> {
    image(&[(0x403C_C000, &[0x42; 6000])])
}

/// Lays segments out as `esptool elf2image` does, with checksum and SHA-256.
fn image(segments: &[(u32, &[u8])]) -> Result<Vec<u8>> {
    let mut image = vec![0xE9, u8::try_from(segments.len())?, 2, 0x20];
    image.extend(0x4038_0000_u32.to_le_bytes());
    image.extend([0xEE, 0, 0, 0]);
    image.extend(ChipId::Esp32C3.to_u16().to_le_bytes());
    image.extend([0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0, 1]);
    let mut sum = 0xEF;
    for (load, data) in segments {
        image.extend(load.to_le_bytes());
        image.extend(u32::try_from(data.len())?.to_le_bytes());
        image.extend(*data);
        sum = data.iter().fold(sum, |sum, byte| sum ^ byte);
    }
    image.resize(image.len() | 15, 0);
    image.push(sum);
    let digest = Digest::of(&image);
    image.extend(digest.0);
    Ok(image)
}
