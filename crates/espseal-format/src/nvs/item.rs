//! An item of NVS: a key, and a small value or what is to be known of a long one.
//!
//! ```text
//! 0       namespace; 0 for an item that names one
//! 1       type
//! 2       span: entries taken, this one included
//! 3       chunk of a blob; 0xFF for everything else
//! 4..8    CRC-32 of bytes 0..4 and 8..32
//! 8..24   key, NUL-padded
//! 24..32  number, or size and CRC of the data that follows, or the index of a blob
//! ```
//!
//! Source: ESP-IDF `nvs_types.hpp`, `class Item`.

use core::fmt;

use super::{ENTRY_LEN, crc};

/// Longest key; a NUL stands behind it.
pub const KEY_LEN: usize = 15;
/// Chunk number of what is no chunk.
pub const NO_CHUNK: u8 = 0xFF;
/// Largest namespace number; 0xFF stands for any.
pub const LAST_NAMESPACE: u8 = 0xFE;

/// An item whose CRC holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Namespace that it belongs to; 0 for one that names a namespace.
    pub namespace: u8,
    /// What it holds.
    pub kind: ItemKind,
    /// Entries that it takes, this one included.
    pub span: u8,
    /// Number of a blob's chunk.
    pub chunk: u8,
    /// Its key.
    pub key: Key,
    /// A number, or [`Extent`], or [`BlobIndex`].
    pub data: [u8; 8],
}

impl Item {
    /// Parses an entry.
    ///
    /// # Errors
    /// [`ItemError`] naming the field.
    pub fn parse(bytes: &[u8; ENTRY_LEN]) -> Result<Self, ItemError> {
        let [namespace, kind, span, chunk, c0, c1, c2, c3, rest @ ..] = bytes;
        let stored = u32::from_le_bytes([*c0, *c1, *c2, *c3]);
        let computed = Self::crc(bytes);
        if stored != computed {
            return Err(ItemError::Crc { computed, stored });
        }
        let ([key, ..], [.., data]) = (rest.as_chunks::<16>().0, rest.as_chunks::<8>().0) else {
            return Err(ItemError::Crc { computed, stored });
        };
        Ok(Self {
            namespace: *namespace,
            kind: ItemKind(*kind),
            span: *span,
            chunk: *chunk,
            key: Key::from_padded(*key).ok_or(ItemError::Key)?,
            data: *data,
        })
    }

    /// Writes the entry.
    #[must_use]
    pub fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        let head = [
            self.namespace,
            self.kind.0,
            self.span,
            self.chunk,
            0,
            0,
            0,
            0,
        ];
        let parts = head.iter().chain(&self.key.0).chain(&self.data);
        bytes
            .iter_mut()
            .zip(parts)
            .for_each(|(to, from)| *to = *from);
        let crc = Self::crc(&bytes);
        if let Some(field) = bytes.get_mut(4..8) {
            field.copy_from_slice(&crc.to_le_bytes());
        }
        bytes
    }

    /// CRC-32 of everything but its own place.
    fn crc(bytes: &[u8; ENTRY_LEN]) -> u32 {
        let mut covered = [0; ENTRY_LEN - 4];
        let parts = bytes.iter().take(4).chain(bytes.iter().skip(8));
        covered
            .iter_mut()
            .zip(parts)
            .for_each(|(to, from)| *to = *from);
        crc(&covered)
    }
}

/// What an item holds. Values that ESP-IDF has not assigned are kept as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "ItemType")]
pub struct ItemKind(pub u8);

impl ItemKind {
    /// Unsigned, 8 bits; with namespace 0 it names a namespace.
    pub const U8: Self = Self(0x01);
    /// Unsigned, 16 bits.
    pub const U16: Self = Self(0x02);
    /// Unsigned, 32 bits.
    pub const U32: Self = Self(0x04);
    /// Unsigned, 64 bits.
    pub const U64: Self = Self(0x08);
    /// Signed, 8 bits.
    pub const I8: Self = Self(0x11);
    /// Signed, 16 bits.
    pub const I16: Self = Self(0x12);
    /// Signed, 32 bits.
    pub const I32: Self = Self(0x14);
    /// Signed, 64 bits.
    pub const I64: Self = Self(0x18);
    /// Text with a NUL behind it.
    pub const STRING: Self = Self(0x21);
    /// Bytes, format version 1.
    pub const BLOB: Self = Self(0x41);
    /// One chunk of bytes, format version 2.
    pub const BLOB_DATA: Self = Self(0x42);
    /// The index of a blob in chunks, format version 2.
    pub const BLOB_INDEX: Self = Self(0x48);

    /// Bytes of a number of this type; `None` when it is none.
    #[must_use]
    pub const fn number_len(self) -> Option<usize> {
        match self.0 {
            0x01 | 0x11 => Some(1),
            0x02 | 0x12 => Some(2),
            0x04 | 0x14 => Some(4),
            0x08 | 0x18 => Some(8),
            _ => None,
        }
    }

    /// Whether numbers of this type may be below 0.
    #[must_use]
    pub const fn is_signed(self) -> bool {
        self.0 & 0xF0 == 0x10
    }

    /// Whether the data stands in the entries that follow.
    #[must_use]
    pub const fn has_data(self) -> bool {
        matches!(self, Self::STRING | Self::BLOB | Self::BLOB_DATA)
    }

    /// The name that the CSV form has, or that ESP-IDF gives it.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::STRING => "string",
            Self::BLOB => "blob",
            Self::BLOB_DATA => "blob_data",
            Self::BLOB_INDEX => "blob_index",
            _ => return None,
        })
    }
}

impl fmt::Display for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "type {:#04x}", self.0),
        }
    }
}

/// A key: 1 to 15 bytes of ASCII.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; KEY_LEN + 1]);

impl Key {
    /// Takes a key; `None` when it is empty, too long, or holds anything but ASCII without NUL.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=KEY_LEN).contains(&text.len());
        if !fits || !text.bytes().all(|byte| byte.is_ascii() && byte != 0) {
            return None;
        }
        let mut bytes = [0; KEY_LEN + 1];
        bytes
            .iter_mut()
            .zip(text.bytes())
            .for_each(|(to, from)| *to = from);
        Some(Self(bytes))
    }

    /// Takes the 16 bytes of an item.
    fn from_padded(bytes: [u8; KEY_LEN + 1]) -> Option<Self> {
        let text = core::ffi::CStr::from_bytes_until_nul(&bytes).ok()?;
        Self::new(text.to_str().ok()?).filter(|key| key.0 == bytes)
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let text = core::ffi::CStr::from_bytes_until_nul(&self.0);
        text.ok()
            .and_then(|text| text.to_str().ok())
            .unwrap_or_default()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.as_str())
    }
}

/// What an item says of the data behind it: `0..2` size, `4..8` CRC-32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of data.
    pub size: u16,
    /// CRC-32 of the data.
    pub crc: u32,
}

impl Extent {
    /// Takes an item's last 8 bytes.
    #[must_use]
    pub const fn parse(data: [u8; 8]) -> Self {
        let [s0, s1, _, _, c0, c1, c2, c3] = data;
        Self {
            size: u16::from_le_bytes([s0, s1]),
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
        }
    }

    /// Writes them.
    #[must_use]
    pub const fn encode(self) -> [u8; 8] {
        let [s0, s1] = self.size.to_le_bytes();
        let [c0, c1, c2, c3] = self.crc.to_le_bytes();
        [s0, s1, 0xFF, 0xFF, c0, c1, c2, c3]
    }
}

/// The index of a blob in chunks: `0..4` size, `4` number of chunks, `5` number of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobIndex {
    /// Bytes of all chunks together.
    pub size: u32,
    /// How many chunks there are.
    pub chunks: u8,
    /// Number of the first: 0, or 128 for every second blob written under one key.
    pub first: u8,
}

impl BlobIndex {
    /// Takes an item's last 8 bytes.
    #[must_use]
    pub const fn parse(data: [u8; 8]) -> Self {
        let [s0, s1, s2, s3, chunks, first, _, _] = data;
        Self {
            size: u32::from_le_bytes([s0, s1, s2, s3]),
            chunks,
            first,
        }
    }

    /// Writes them.
    #[must_use]
    pub const fn encode(self) -> [u8; 8] {
        let [s0, s1, s2, s3] = self.size.to_le_bytes();
        [s0, s1, s2, s3, self.chunks, self.first, 0xFF, 0xFF]
    }
}

/// Why 32 bytes are no item. Offsets count from the start of the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ItemError {
    /// The CRC does not match.
    Crc {
        /// Over the other bytes.
        computed: u32,
        /// In the entry.
        stored: u32,
    },
    /// The key is not 1 to 15 ASCII characters and NULs.
    Key,
}

impl fmt::Display for ItemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crc { computed, stored } => write!(
                f,
                "CRC at offset 0x4 of the NVS entry is {stored:#010x}, the entry gives {computed:#010x}: \
                 it is damaged, or encrypted with another key"
            ),
            Self::Key => f.write_str(
                "key at offset 0x8 of the NVS entry is not 1 to 15 ASCII characters and NULs",
            ),
        }
    }
}

impl core::error::Error for ItemError {}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;

    use super::*;

    /// Second entry of what `esp-idf-nvs-partition-gen` 0.3.0 `generate` makes of a namespace and
    /// `answer,data,u16,42`.
    const ANSWER: [u8; ENTRY_LEN] = [
        0x01, 0x02, 0x01, 0xFF, 0, 0, 0, 0, b'a', b'n', b's', b'w', b'e', b'r', 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0x2A, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    ];

    fn answer() -> Item {
        Item {
            namespace: 1,
            kind: ItemKind::U16,
            span: 1,
            chunk: NO_CHUNK,
            key: Key::new("answer").unwrap(),
            data: [0x2A, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = answer().encode();
        for (index, (found, expected)) in good.iter().zip(&ANSWER).enumerate() {
            assert!((4..8).contains(&index) || found == expected, "byte {index}");
        }
        assert_eq!(Item::parse(&good), Ok(answer()));
        for bit in 0..ENTRY_LEN * 8 {
            let mut bytes = good;
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = Item::parse(&bytes).unwrap_err();
            assert!(matches!(error, ItemError::Crc { .. }), "bit {bit}");
        }
    }

    #[test]
    fn keys_are_1_to_15_ascii_characters() {
        for good in ["a", "0123456789abcde", " "] {
            assert_eq!(Key::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "0123456789abcdef", "a\0b", "é"] {
            assert_eq!(Key::new(bad), None, "{bad:?}");
        }
        let mut bytes = answer();
        bytes.key = Key([b'a'; 16]);
        assert_eq!(Item::parse(&bytes.encode()), Err(ItemError::Key));
        bytes.key = Key(*b"a\0b\0\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(Item::parse(&bytes.encode()), Err(ItemError::Key));
    }

    #[test]
    fn extents_and_indexes_come_back() {
        let extent = Extent {
            size: 4000,
            crc: 0x1234_5678,
        };
        assert_eq!(Extent::parse(extent.encode()), extent);
        let index = BlobIndex {
            size: 70_000,
            chunks: 18,
            first: 128,
        };
        assert_eq!(BlobIndex::parse(index.encode()), index);
    }

    #[test]
    fn every_type_has_a_name_and_others_show_their_number() {
        let named = (0..=u8::MAX).filter(|byte| ItemKind(*byte).name().is_some());
        assert_eq!(named.count(), 12);
        assert_eq!(format!("{}", ItemKind::I64), "i64");
        assert_eq!(format!("{}", ItemKind(0x77)), "type 0x77");
    }
}
