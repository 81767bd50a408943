//! Small app images that ESP-IDF's bootloader would start.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use espseal_format::app_desc::AppDescriptor;
use espseal_format::image::{ImageHeader, SegmentHeader};
use espseal_format::signature_block::{SignatureBlock, SignatureSector};
use espseal_format::units::{Digest, SECTOR_SIZE, SecurityVersion};

use super::rsa::RsaKey;

/// What an image says about itself.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct App {
    pub(crate) project: &'static str,
    pub(crate) version: &'static str,
    pub(crate) secure_version: u32,
    pub(crate) chip_id: u16,
    /// Where the one segment, at offset 32 of the image, is loaded or mapped to.
    pub(crate) load_addr: u32,
    /// Whole chunks of code, without the signature sector.
    pub(crate) chunks: usize,
    pub(crate) signer: Option<RsaKey>,
}

impl App {
    /// The image, signed and padded; built once, since signing takes its time.
    pub(crate) fn build(&self) -> Vec<u8> {
        static BUILT: LazyLock<Mutex<HashMap<App, Vec<u8>>>> = LazyLock::new(Mutex::default);
        let known = BUILT.lock().unwrap().get(self).cloned();
        known.unwrap_or_else(|| {
            let image = self.build_anew();
            BUILT.lock().unwrap().insert(self.clone(), image.clone());
            image
        })
    }

    fn build_anew(&self) -> Vec<u8> {
        let mut image = self.unsigned();
        if let Some(signer) = self.signer {
            while !image.len().is_multiple_of(SECTOR_SIZE) {
                image.push(0xFF);
            }
            let block = signer.sign(&Digest::of(&image));
            let blocks = [Some(SignatureBlock::Rsa(&block)), None, None];
            image.extend_from_slice(&SignatureSector::encode(blocks));
        }
        image
    }

    fn unsigned(&self) -> Vec<u8> {
        let secure_version = SecurityVersion::new(self.secure_version);
        let descriptor = AppDescriptor::new(self.project, self.version, secure_version)
            .unwrap()
            .encode();
        // Header, segment header, data, checksum block and hash fill whole chunks.
        let length = self.chunks * SECTOR_SIZE - 24 - 8 - 16 - 32 + 8;
        let mut data = descriptor.to_vec();
        let mut x = Digest::of(self.version.as_bytes()).0[0];
        while data.len() < length {
            x = x.wrapping_mul(181).wrapping_add(101);
            data.push(x ^ (data.len() >> 8) as u8);
        }
        self.around(&data)
    }

    /// The image of one segment that holds `data`.
    pub(crate) fn around(&self, data: &[u8]) -> Vec<u8> {
        let mut header = ImageHeader::from_bytes([0; 24]);
        header.magic = 0xE9;
        header.segment_count = 1;
        header.chip_id = self.chip_id.into();
        header.hash_appended = 1;
        let segment = SegmentHeader {
            load_addr: self.load_addr.into(),
            data_len: (data.len() as u32).into(),
        };
        let mut image = header.encode().to_vec();
        image.extend_from_slice(&segment.load_addr.get().to_le_bytes());
        image.extend_from_slice(&segment.data_len.get().to_le_bytes());
        image.extend_from_slice(data);
        while image.len() % 16 != 15 {
            image.push(0);
        }
        image.push(data.iter().fold(0xEF, |sum, byte| sum ^ byte));
        let hash = Digest::of(&image);
        image.extend_from_slice(&hash.0);
        image
    }
}
