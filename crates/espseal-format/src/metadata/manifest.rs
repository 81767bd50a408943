//! Manifest: everything a device has to know about one release before it erases anything.
//!
//! ```text
//! manifest = { 1: product, 2: vendor, 3: class, 4: chip, 5: project, 6: version,
//!              7: secure-version, 8: min-seq, 9: expires, 10: [ 1 component ] }
//! component = { 1: kind, 2: plaintext-length, 3: plaintext, 4: body-length, 5: body, 6: iv,
//!               7: tag, 8: commitment, 9: [ 1*32 page ] }
//! ```
//!
//! Source: `docs/protocol.md`, "Manifest".

use heapless::{String, Vec};

use super::{MetadataError, check_range};
use crate::body::BodyLayout;
use crate::cbor::{self, CborError, Document, EncodeError, Reader, Writer};
use crate::chip::ChipId;
use crate::units::{Digest, Product, SecurityVersion};

/// Most pages of a body: 16 MiB.
pub const MAX_PAGES: usize = 32;
/// Longest project or version text in bytes; the app descriptor has a NUL after 31.
pub const MAX_TEXT: usize = 31;
/// Longest manifest in bytes.
pub const MAX_LEN: usize = 2048;

/// Maker of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VendorId(pub [u8; 16]);

/// Hardware class that the release runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClassId(pub [u8; 16]);

/// Describes one release; `releases` names it by its SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Product that it is for.
    pub product: Product,
    /// Maker of the devices that it is for.
    pub vendor: VendorId,
    /// Hardware class that it is for.
    pub class: ClassId,
    /// Chip that it is built for.
    pub chip: ChipId,
    /// Project name, as in the app descriptor.
    pub project: String<MAX_TEXT>,
    /// Version, as in the app descriptor.
    pub version: String<MAX_TEXT>,
    /// Anti-rollback version, as in the app descriptor.
    pub secure_version: SecurityVersion,
    /// Lowest installed `seq` of the same generation that may update to it; 0 means any.
    pub min_seq: u64,
    /// When a device with a clock refuses it, in seconds since 1970.
    pub expires: u64,
    /// What is installed.
    pub component: Component,
}

/// One sealed image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// What the image is.
    pub kind: ComponentKind,
    /// Length of the signed image in bytes, signature sector included.
    pub plaintext_length: u32,
    /// SHA-256 of the signed image.
    pub plaintext: Digest,
    /// Length of the ciphertext in bytes, equal to that of the plaintext.
    pub body_length: u32,
    /// SHA-256 of the ciphertext; names the body in the repository.
    pub body: Digest,
    /// Initialisation vector of AES-256-GCM.
    pub iv: [u8; 16],
    /// Authentication tag of AES-256-GCM.
    pub tag: [u8; 16],
    /// `SHA-256("espseal/v1/cek-commit\0" || body digest || CEK)`.
    pub commitment: Digest,
    /// SHA-256 of each page of the page file.
    pub pages: Vec<Digest, MAX_PAGES>,
}

/// What an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ComponentKind {
    /// An application for an OTA slot.
    App,
}

impl Manifest {
    /// Nothing yet: something to [`parse_into`](Self::parse_into).
    pub const BLANK: Self = Self {
        product: Product([0; Product::LEN]),
        vendor: VendorId([0; 16]),
        class: ClassId([0; 16]),
        chip: ChipId::Esp32,
        project: String::new(),
        version: String::new(),
        secure_version: SecurityVersion::new(0),
        min_seq: 0,
        expires: 0,
        component: Component {
            kind: ComponentKind::App,
            plaintext_length: 0,
            plaintext: ZERO,
            body_length: 0,
            body: ZERO,
            iv: [0; 16],
            tag: [0; 16],
            commitment: ZERO,
            pages: Vec::new(),
        },
    };

    /// As [`parse`](Self::parse), into memory of the caller, which holds anything after an error.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_into(&mut self, bytes: &[u8]) -> Result<(), MetadataError> {
        cbor::parse_into(self, bytes)
    }

    /// Parses a manifest.
    ///
    /// # Errors
    /// [`MetadataError`] unless the bytes are the one encoding of a valid manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetadataError> {
        cbor::parse(bytes)
    }

    /// Encodes the manifest to the start of `out` and returns its length.
    ///
    /// # Errors
    /// [`EncodeError`] when the manifest is invalid or `out` is too small.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError<MetadataError>> {
        cbor::encode(self, out)
    }
}

impl Component {
    /// Returns how the body divides into chunks and pages.
    #[must_use]
    pub const fn layout(&self) -> BodyLayout {
        BodyLayout::new(self.body_length)
    }
}

impl Document<'_> for Manifest {
    type Error = MetadataError;
    const NAME: &'static str = "manifest";
    const LIMIT: usize = MAX_LEN;

    const BLANK: Self = Self::BLANK;

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), MetadataError> {
        reader.map("manifest", 10);
        reader
            .key(1, "manifest.product")
            .copy_to(&mut self.product.0);
        reader.key(2, "manifest.vendor").copy_to(&mut self.vendor.0);
        reader.key(3, "manifest.class").copy_to(&mut self.class.0);
        self.chip = ChipId::from_u16(reader.key(4, "manifest.chip").u16());
        let project = reader.key(5, "manifest.project");
        read_text(project, "manifest.project", &mut self.project)?;
        let version = reader.key(6, "manifest.version");
        read_text(version, "manifest.version", &mut self.version)?;
        self.secure_version = SecurityVersion::new(reader.key(7, "manifest.secure-version").u32());
        self.min_seq = reader.key(8, "manifest.min-seq").u64();
        self.expires = reader.key(9, "manifest.expires").u64();
        let field = "manifest.components";
        reader.key(10, field).array(field, 1);
        self.component.read(reader)
    }

    fn check(&self) -> Result<(), MetadataError> {
        check_text("manifest.project", &self.project)?;
        check_text("manifest.version", &self.version)?;
        self.component.check()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.map(10);
        writer.uint(1).bytes(&self.product.0);
        writer.uint(2).bytes(&self.vendor.0);
        writer.uint(3).bytes(&self.class.0);
        writer.uint(4).uint(self.chip.to_u16().into());
        writer.uint(5).text(&self.project);
        writer.uint(6).text(&self.version);
        writer.uint(7).uint(self.secure_version.get().into());
        writer.uint(8).uint(self.min_seq);
        writer.uint(9).uint(self.expires);
        writer.uint(10).array(1);
        self.component.write(writer);
    }
}

impl Component {
    #[inline(never)]
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), MetadataError> {
        reader.map("component", 9);
        self.kind = match reader.key(1, "component.kind").u8() {
            0 => ComponentKind::App,
            found => {
                return Err(MetadataError::Range {
                    field: "component.kind",
                    min: 0,
                    max: 0,
                    found: found.into(),
                });
            }
        };
        self.plaintext_length = reader.key(2, "component.plaintext-length").u32();
        reader
            .key(3, "component.plaintext")
            .copy_to(&mut self.plaintext.0);
        self.body_length = reader.key(4, "component.body-length").u32();
        reader.key(5, "component.body").copy_to(&mut self.body.0);
        reader.key(6, "component.iv").copy_to(&mut self.iv);
        reader.key(7, "component.tag").copy_to(&mut self.tag);
        reader
            .key(8, "component.commitment")
            .copy_to(&mut self.commitment.0);
        let pages = reader.key(9, "component.pages");
        pages.list(1, &mut self.pages, &ZERO, |page, reader| {
            reader.copy_to(&mut page.0);
            Ok(())
        })
    }

    fn check(&self) -> Result<(), MetadataError> {
        let plaintext = self.plaintext_length.into();
        let field = "component.plaintext-length";
        check_range(field, 1, BodyLayout::MAX_LENGTH.into(), plaintext)?;
        check_equal("component.body-length", plaintext, self.body_length.into())?;
        check_equal(
            "component.pages",
            self.layout().pages().into(),
            self.pages.len() as u64,
        )
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.map(9);
        writer.uint(1).uint(match self.kind {
            ComponentKind::App => 0,
        });
        writer.uint(2).uint(self.plaintext_length.into());
        writer.uint(3).bytes(&self.plaintext.0);
        writer.uint(4).uint(self.body_length.into());
        writer.uint(5).bytes(&self.body.0);
        writer.uint(6).bytes(&self.iv);
        writer.uint(7).bytes(&self.tag);
        writer.uint(8).bytes(&self.commitment.0);
        writer.uint(9).array(self.pages.len());
        for page in &self.pages {
            writer.bytes(&page.0);
        }
    }
}

/// Digest that nothing has.
const ZERO: Digest = Digest([0; Digest::LEN]);

/// Reads a text of the app descriptor.
#[inline(never)]
fn read_text(
    reader: &mut Reader<'_>,
    field: &'static str,
    out: &mut String<MAX_TEXT>,
) -> Result<(), MetadataError> {
    let text = reader.text(0, MAX_TEXT);
    out.clear();
    out.push_str(text).map_err(|_| {
        CborError::Length {
            field,
            min: 0,
            max: MAX_TEXT,
            found: text.len(),
        }
        .into()
    })
}

/// Refuses control characters: a NUL would end the text in the app descriptor, and a person
/// reads the rest in a terminal.
fn check_text(field: &'static str, text: &str) -> Result<(), MetadataError> {
    match text.chars().find(|c| c.is_control()) {
        Some(found) => Err(MetadataError::Character { field, found }),
        None => Ok(()),
    }
}

/// Refuses a number that differs from what another field asks for.
fn check_equal(field: &'static str, expected: u64, found: u64) -> Result<(), MetadataError> {
    if expected == found {
        return Ok(());
    }
    Err(MetadataError::Mismatch {
        field,
        expected,
        found,
    })
}
