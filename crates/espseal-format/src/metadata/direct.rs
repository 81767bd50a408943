//! Direct manifest: one release as ciphertext for one device's flash key and one slot.
//!
//! ```text
//! direct = { 1: product, 2: manifest, 3: device, 4: scheme, 5: crypt-config, 6: slot, 7: journal,
//!            8: probe, 9: image-length, 10: body, 11: [ 1*32 page ] }
//!
//! body   | chunk 0 | ... | chunk n-1 | probe A | probe B |        4096 bytes each
//!          encrypted for slot ...      journal + 0x2000, journal + 0x3000
//! ```
//!
//! A release's manifest says what the plaintext is and stays the same for everybody; this says
//! which raw bytes put it into one device's slot. The probes are chunk 0 once more, encrypted for
//! the two sectors of the journal that hold roots: the device writes one of them to the sector that
//! is not in use and reads it decrypted. What it then reads has the digest `probe` iff flash key,
//! scheme and partition table are the ones that the maker has in mind, which a device that cannot
//! read its own key learns in no other way; and it holds chunk 0 in plaintext, to check the whole
//! image before the slot begins with one.
//!
//! Source: `docs/protocol.md`, "Direct manifest".

use core::fmt;

use heapless::Vec;

use super::manifest::MAX_PAGES;
use super::{MetadataError, check_range};
use crate::body::BodyLayout;
use crate::cbor::{self, Document, EncodeError, Reader, Writer};
use crate::cose;
use crate::journal::RootLocation;
use crate::units::{ChunkIndex, DeviceId, Digest, FlashOffset, Product};

/// Longest signed direct manifest in bytes, as COSE.
pub const MAX_LEN: usize = 2048;
/// Chunks that follow the image's own: one probe for each sector that holds a root.
pub const PROBES: u32 = 2;

/// Describes the raw bytes that put one release into one slot of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectManifest {
    /// Product that it is for.
    pub product: Product,
    /// SHA-256 of the release's manifest.
    pub manifest: Digest,
    /// The one device whose flash key it is encrypted with.
    pub device: DeviceId,
    /// How it is encrypted.
    pub scheme: FlashScheme,
    /// First byte of the app slot that it is encrypted for.
    pub slot: FlashOffset,
    /// First byte of the journal that the probes are encrypted for.
    pub journal: FlashOffset,
    /// SHA-256 of what a probe reads as: the image's first 4096 bytes.
    pub probe: Digest,
    /// Bytes that go into the slot: the image, padded with 0xFF to whole sectors.
    pub image_length: u32,
    /// SHA-256 of the raw bytes, probes included; names them in the repository.
    pub body: Digest,
    /// SHA-256 of each page of the page file.
    pub pages: Vec<Digest, MAX_PAGES>,
}

/// How a chip's flash is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlashScheme {
    /// AES-256 with an address tweak, on the ESP32.
    Esp32 {
        /// Value of the eFuse `FLASH_CRYPT_CONFIG`, four bits.
        crypt_config: u8,
    },
    /// XTS-AES-128.
    Xts128,
    /// XTS-AES-256.
    Xts256,
}

impl FlashScheme {
    /// Number in a direct manifest.
    #[must_use]
    pub const fn to_u8(self) -> u8 {
        match self {
            Self::Esp32 { .. } => 0,
            Self::Xts128 => 1,
            Self::Xts256 => 2,
        }
    }

    /// Value of `FLASH_CRYPT_CONFIG`; zero for the schemes that have none.
    #[must_use]
    pub const fn crypt_config(self) -> u8 {
        match self {
            Self::Esp32 { crypt_config } => crypt_config,
            Self::Xts128 | Self::Xts256 => 0,
        }
    }

    /// Puts the two numbers of a direct manifest together.
    fn from_numbers(scheme: u8, crypt_config: u8) -> Result<Self, MetadataError> {
        check_range("direct.scheme", 0, 2, scheme.into())?;
        let (scheme, most) = match scheme {
            0 => (Self::Esp32 { crypt_config }, 0xF),
            1 => (Self::Xts128, 0),
            _ => (Self::Xts256, 0),
        };
        check_range("direct.crypt-config", 0, most, crypt_config.into())?;
        Ok(scheme)
    }
}

impl fmt::Display for FlashScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Esp32 { crypt_config } => write!(f, "ESP32 AES-256, config {crypt_config:#x}"),
            Self::Xts128 => f.write_str("XTS-AES-128"),
            Self::Xts256 => f.write_str("XTS-AES-256"),
        }
    }
}

impl DirectManifest {
    /// Nothing yet: something to [`parse_into`](Self::parse_into).
    pub const BLANK: Self = Self {
        product: Product([0; Product::LEN]),
        manifest: ZERO,
        device: DeviceId([0; Digest::LEN]),
        scheme: FlashScheme::Xts128,
        slot: FlashOffset::new(0),
        journal: FlashOffset::new(0),
        probe: ZERO,
        image_length: 0,
        body: ZERO,
        pages: Vec::new(),
    };

    /// As [`parse`](Self::parse), into memory of the caller, which holds anything after an error.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_into(&mut self, bytes: &[u8]) -> Result<(), MetadataError> {
        cbor::parse_into(self, bytes)
    }

    /// Parses a direct manifest.
    ///
    /// # Errors
    /// [`MetadataError`] unless the bytes are the one encoding of a valid direct manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetadataError> {
        cbor::parse(bytes)
    }

    /// Encodes the direct manifest to the start of `out` and returns its length.
    ///
    /// # Errors
    /// [`EncodeError`] when it is invalid or `out` is too small.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError<MetadataError>> {
        cbor::encode(self, out)
    }

    /// Returns how the raw bytes divide into chunks and pages, probes included.
    #[must_use]
    pub const fn layout(&self) -> BodyLayout {
        BodyLayout::new(self.image_length.saturating_add(PROBES * SECTOR))
    }

    /// Returns how many of the chunks go into the slot.
    #[must_use]
    pub const fn image_chunks(&self) -> u32 {
        self.image_length / SECTOR
    }

    /// Returns which chunk is the probe for a sector that holds a root; `None` for the built-in
    /// one, which lies in none.
    #[must_use]
    pub const fn probe_chunk(&self, sector: RootLocation) -> Option<ChunkIndex> {
        let behind = match sector {
            RootLocation::BuiltIn => return None,
            RootLocation::A => 0,
            RootLocation::B => 1,
        };
        Some(ChunkIndex::new(self.image_chunks().saturating_add(behind)))
    }

    /// Returns how many bytes of a slot an image of this length takes as a direct image; `None`
    /// when it does not fit any.
    #[must_use]
    pub const fn padded(plaintext_length: u32) -> Option<u32> {
        plaintext_length.checked_next_multiple_of(SECTOR)
    }
}

impl Document<'_> for DirectManifest {
    type Error = MetadataError;
    const NAME: &'static str = "direct";
    const LIMIT: usize = cose::max_sign1_payload(MAX_LEN);

    const BLANK: Self = Self::BLANK;

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), MetadataError> {
        reader.map("direct", 11);
        reader.key(1, "direct.product").copy_to(&mut self.product.0);
        reader
            .key(2, "direct.manifest")
            .copy_to(&mut self.manifest.0);
        reader.key(3, "direct.device").copy_to(&mut self.device.0);
        let scheme = reader.key(4, "direct.scheme").u8();
        let crypt_config = reader.key(5, "direct.crypt-config").u8();
        self.scheme = FlashScheme::from_numbers(scheme, crypt_config)?;
        self.slot = FlashOffset::new(reader.key(6, "direct.slot").u32());
        self.journal = FlashOffset::new(reader.key(7, "direct.journal").u32());
        reader.key(8, "direct.probe").copy_to(&mut self.probe.0);
        self.image_length = reader.key(9, "direct.image-length").u32();
        reader.key(10, "direct.body").copy_to(&mut self.body.0);
        let pages = reader.key(11, "direct.pages");
        pages.list(1, &mut self.pages, &ZERO, |page, reader| {
            reader.copy_to(&mut page.0);
            Ok(())
        })
    }

    fn check(&self) -> Result<(), MetadataError> {
        FlashScheme::from_numbers(self.scheme.to_u8(), self.scheme.crypt_config())?;
        aligned("direct.slot", self.slot.get())?;
        aligned("direct.journal", self.journal.get())?;
        let field = "direct.image-length";
        let most = BodyLayout::MAX_LENGTH.saturating_sub(PROBES * SECTOR);
        check_range(field, SECTOR.into(), most.into(), self.image_length.into())?;
        aligned(field, self.image_length)?;
        let (expected, found) = (self.layout().pages().into(), self.pages.len() as u64);
        if expected != found {
            return Err(MetadataError::Mismatch {
                field: "direct.pages",
                expected,
                found,
            });
        }
        Ok(())
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.map(11);
        writer.uint(1).bytes(&self.product.0);
        writer.uint(2).bytes(&self.manifest.0);
        writer.uint(3).bytes(&self.device.0);
        writer.uint(4).uint(self.scheme.to_u8().into());
        writer.uint(5).uint(self.scheme.crypt_config().into());
        writer.uint(6).uint(self.slot.get().into());
        writer.uint(7).uint(self.journal.get().into());
        writer.uint(8).bytes(&self.probe.0);
        writer.uint(9).uint(self.image_length.into());
        writer.uint(10).bytes(&self.body.0);
        writer.uint(11).array(self.pages.len());
        for page in &self.pages {
            writer.bytes(&page.0);
        }
    }
}

/// Bytes of a flash sector, which is also a chunk.
const SECTOR: u32 = 4096;
/// Digest that nothing has.
const ZERO: Digest = Digest([0; Digest::LEN]);

/// Demands whole sectors.
fn aligned(field: &'static str, found: u32) -> Result<(), MetadataError> {
    let expected = found & !SECTOR.wrapping_sub(1);
    if expected == found {
        return Ok(());
    }
    Err(MetadataError::Mismatch {
        field,
        expected: expected.into(),
        found: found.into(),
    })
}
