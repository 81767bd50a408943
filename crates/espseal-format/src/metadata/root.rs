//! Root: which keys hold which role, from which generation on.
//!
//! ```text
//! root = { 1: product, 2: version, 3: expires, 4: max-time,
//!          5: role (root), 6: role (releases), 7: role (now) }
//! role = { 1: threshold, 2: [ 1*5 public-key ], 3: gen }
//! ```
//!
//! Source: `docs/protocol.md`, "Root"; The Update Framework specification, section 4.3.

use heapless::Vec;

use super::{MetadataError, check_ascending, check_range};
use crate::cbor::{self, Document, EncodeError, Reader, Writer};
use crate::units::{KeyId, Product, PublicKeyBytes};

/// Most public keys that a role has.
pub const MAX_KEYS: usize = 5;
/// Longest root in bytes, as COSE_Sign.
pub const MAX_LEN: usize = 2048;

/// Assigns keys to roles; everything else is trusted because of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Product whose roles these are.
    pub product: Product,
    /// Counts from 1; the next root has exactly one more.
    pub version: u32,
    /// When a host refuses this root, in seconds since 1970.
    pub expires: u64,
    /// Latest time that `now` may claim, in seconds since 1970.
    pub max_time: u64,
    /// Keys that sign the next root; its generation is always 0.
    pub root: RoleKeys,
    /// Keys that sign `releases`.
    pub releases: RoleKeys,
    /// Keys that sign `now`.
    pub now: RoleKeys,
}

/// The keys of one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleKeys {
    /// How many distinct keys have to sign.
    pub threshold: u8,
    /// Keys of the role, ascending and distinct.
    pub keys: Vec<PublicKeyBytes, MAX_KEYS>,
    /// Generation that the role's documents carry.
    pub generation: u32,
}

impl RoleKeys {
    /// Returns the role's key of that name; `None` when the role has no such key.
    #[must_use]
    pub fn key(&self, id: KeyId) -> Option<&PublicKeyBytes> {
        self.keys.iter().find(|key| KeyId::of(key) == id)
    }
}

impl Root {
    /// No root yet: something to [`parse_into`](Self::parse_into).
    pub const BLANK: Self = Self {
        product: Product([0; Product::LEN]),
        version: 0,
        expires: 0,
        max_time: 0,
        root: RoleKeys::BLANK,
        releases: RoleKeys::BLANK,
        now: RoleKeys::BLANK,
    };

    /// As [`parse`](Self::parse), into memory of the caller, which holds anything after an error.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_into(&mut self, bytes: &[u8]) -> Result<(), MetadataError> {
        cbor::parse_into(self, bytes)
    }

    /// Parses the payload of a root.
    ///
    /// # Errors
    /// [`MetadataError`] unless the bytes are the one encoding of a valid root.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetadataError> {
        cbor::parse(bytes)
    }

    /// Encodes the payload to the start of `out` and returns its length.
    ///
    /// # Errors
    /// [`EncodeError`] when the root is invalid or `out` is too small.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError<MetadataError>> {
        cbor::encode(self, out)
    }
}

impl Document<'_> for Root {
    type Error = MetadataError;
    const NAME: &'static str = "root";
    const LIMIT: usize = crate::cose::max_sign_payload(MAX_LEN);

    const BLANK: Self = Self::BLANK;

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), MetadataError> {
        reader.map("root", 7);
        reader.key(1, "root.product").copy_to(&mut self.product.0);
        self.version = reader.key(2, "root.version").u32();
        self.expires = reader.key(3, "root.expires").u64();
        self.max_time = reader.key(4, "root.max-time").u64();
        self.root.read(reader.key(5, "root.root"), &ROOT_FIELDS)?;
        self.releases
            .read(reader.key(6, "root.releases"), &RELEASES_FIELDS)?;
        self.now.read(reader.key(7, "root.now"), &NOW_FIELDS)
    }

    fn check(&self) -> Result<(), MetadataError> {
        check_range("root.version", 1, u32::MAX.into(), self.version.into())?;
        check_range("root.root.gen", 0, 0, self.root.generation.into())?;
        self.root.check(&ROOT_FIELDS)?;
        self.releases.check(&RELEASES_FIELDS)?;
        self.now.check(&NOW_FIELDS)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.map(7);
        writer.uint(1).bytes(&self.product.0);
        writer.uint(2).uint(self.version.into());
        writer.uint(3).uint(self.expires);
        writer.uint(4).uint(self.max_time);
        for (key, role) in [(5, &self.root), (6, &self.releases), (7, &self.now)] {
            writer.uint(key);
            role.write(writer);
        }
    }
}

/// Names of a role's fields in error messages.
struct Fields {
    role: &'static str,
    threshold: &'static str,
    keys: &'static str,
    generation: &'static str,
}

macro_rules! fields {
    ($role:literal) => {
        Fields {
            role: $role,
            threshold: concat!($role, ".threshold"),
            keys: concat!($role, ".keys"),
            generation: concat!($role, ".gen"),
        }
    };
}

const ROOT_FIELDS: Fields = fields!("root.root");
const RELEASES_FIELDS: Fields = fields!("root.releases");
const NOW_FIELDS: Fields = fields!("root.now");

impl RoleKeys {
    const BLANK: Self = Self {
        threshold: 0,
        keys: Vec::new(),
        generation: 0,
    };

    #[inline(never)]
    fn read(&mut self, reader: &mut Reader<'_>, fields: &Fields) -> Result<(), MetadataError> {
        reader.map(fields.role, 3);
        self.threshold = reader.key(1, fields.threshold).u8();
        reader.key(2, fields.keys).list(
            1,
            &mut self.keys,
            &PublicKeyBytes([0; PublicKeyBytes::LEN]),
            |key, reader| {
                reader.copy_to(&mut key.0);
                Ok::<_, MetadataError>(())
            },
        )?;
        self.generation = reader.key(3, fields.generation).u32();
        Ok(())
    }

    #[inline(never)]
    fn check(&self, fields: &Fields) -> Result<(), MetadataError> {
        let keys = self.keys.len() as u64;
        check_range(fields.keys, 1, MAX_KEYS as u64, keys)?;
        for key in &self.keys {
            if key.0[0] != 0x04 {
                return Err(MetadataError::PointFormat {
                    field: fields.keys,
                    found: key.0[0],
                });
            }
        }
        check_ascending(fields.keys, &self.keys, |key| key)?;
        check_range(fields.threshold, 1, keys, self.threshold.into())
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.map(3);
        writer.uint(1).uint(self.threshold.into());
        writer.uint(2).array(self.keys.len());
        for key in &self.keys {
            writer.bytes(&key.0);
        }
        writer.uint(3).uint(self.generation.into());
    }
}
