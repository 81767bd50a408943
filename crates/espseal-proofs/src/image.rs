//! Small app images and bootloaders that ESP-IDF's boot chain would start.

use espseal_format::app_desc::AppDescriptor;
use espseal_format::chip::ChipId;
use espseal_format::signature_block::{SignatureBlock, SignatureSector};
use espseal_format::units::{Digest, SECTOR_SIZE, SecurityVersion};

use crate::rsa::RsaKey;

/// What an app image says about itself.
#[derive(Clone, Copy)]
pub(crate) struct App {
    pub(crate) chip: ChipId,
    pub(crate) version: &'static str,
    pub(crate) secure_version: u32,
    /// Length of the image before it is padded and signed, in bytes.
    pub(crate) length: usize,
    pub(crate) signer: Option<RsaKey>,
}

/// Name that every app of these proofs has.
pub(crate) const PROJECT: &str = "proof";

impl App {
    /// The image: one mapped segment, checksum, hash, and a signature sector where it is signed.
    pub(crate) fn build(&self) -> Vec<u8> {
        let version = SecurityVersion::new(self.secure_version);
        let descriptor = AppDescriptor::new(PROJECT, self.version, version).unwrap();
        let mut data = descriptor.encode().to_vec();
        // Header, segment header, checksum block and hash take the rest.
        noise(self.version, &mut data, self.length - 24 - 8 - 16 - 32);
        let load = match self.chip {
            ChipId::Esp32 => 0x3F40_0020,
            _ => 0x3C00_0020,
        };
        signed(image(self.chip, load, &data), self.signer)
    }
}

/// A bootloader for a flash chip of `size_nibble` (0 is 1 MB, 2 is 4 MB).
pub(crate) fn bootloader(chip: ChipId, size_nibble: u8, signer: Option<RsaKey>) -> Vec<u8> {
    let load = match chip {
        ChipId::Esp32 => 0x4007_8000,
        _ => 0x403C_C000,
    };
    let mut data = Vec::new();
    noise("bootloader", &mut data, 2000);
    let mut image = image(chip, load, &data);
    image.truncate(image.len() - 32);
    image[3] = size_nibble << 4;
    let hash = Digest::of(&image);
    image.extend(hash.0);
    signed(image, signer)
}

/// Fills up with bytes that differ from version to version and from place to place.
fn noise(seed: &str, data: &mut Vec<u8>, length: usize) {
    let mut block = Digest::of(seed.as_bytes());
    while data.len() < length {
        block = Digest::of(&block.0);
        data.extend(block.0);
    }
    data.truncate(length & !3);
}

fn image(chip: ChipId, load: u32, data: &[u8]) -> Vec<u8> {
    let mut image = vec![0xE9, 1, 2, 0];
    image.extend(0x4008_0000_u32.to_le_bytes());
    image.extend([0xEE, 0, 0, 0]);
    image.extend(chip.to_u16().to_le_bytes());
    image.extend([0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0, 1]);
    image.extend(load.to_le_bytes());
    image.extend((data.len() as u32).to_le_bytes());
    image.extend(data);
    let sum = data.iter().fold(0xEF, |sum, byte| sum ^ byte);
    image.resize((image.len() | 15) + 1, 0);
    *image.last_mut().unwrap() = sum;
    let hash = Digest::of(&image);
    image.extend(hash.0);
    image
}

/// Pads to a sector and appends the signature sector.
fn signed(mut image: Vec<u8>, signer: Option<RsaKey>) -> Vec<u8> {
    let Some(signer) = signer else {
        return image;
    };
    image.resize(image.len().next_multiple_of(SECTOR_SIZE), 0xFF);
    let block = signer.sign(&Digest::of(&image));
    let blocks = [Some(SignatureBlock::Rsa(&block)), None, None];
    image.extend_from_slice(&SignatureSector::encode(blocks));
    image
}
