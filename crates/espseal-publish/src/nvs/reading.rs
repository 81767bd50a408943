//! What an image holds: namespaces, keys, values.
//!
//! Pages are taken as they come; entries whose CRC fails are reported and skipped, one by one, as
//! firmware does. Chunks of a blob are put together in the order of its index.

use std::collections::BTreeMap;

use espseal_crypto::nvs_encryption::NvsCipher;
use espseal_format::nvs::item::{BlobIndex, Extent, Item, ItemError, ItemKind, Key};
use espseal_format::nvs::page::{EntryState, Page};
use espseal_format::nvs::{self, ENTRY_LEN, PAGE_ENTRIES, PAGE_LEN, PageError, PageHeader};
use zeroize::Zeroizing;

use super::image::for_each_entry;

/// What an image holds.
#[derive(Debug)]
pub struct Contents {
    /// Its pages, in order.
    pub pages: Vec<PageSummary>,
    /// Its entries, in the order of the pages.
    pub entries: Vec<Entry>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// One page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSummary {
    /// Its header; `None` when it is erased.
    pub header: Option<PageHeader>,
    /// Entries that are written.
    pub written: usize,
    /// Entries that are erased.
    pub erased: usize,
}

/// One entry.
pub struct Entry {
    /// Name of its namespace; `None` when none has that number.
    pub namespace: Option<Key>,
    /// Number of its namespace.
    pub number: u8,
    /// Its key.
    pub key: Key,
    /// Its type.
    pub kind: ItemKind,
    /// Its value.
    pub value: Stored,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entry({}.{} {})", self.number, self.key, self.kind)
    }
}

/// A value.
#[derive(PartialEq, Eq)]
pub enum Stored {
    /// A number.
    Number(i128),
    /// Text, without its NUL.
    Text(Zeroizing<String>),
    /// Bytes.
    Bytes(Zeroizing<Vec<u8>>),
}

/// What is wrong with an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// The image is no whole number of pages.
    #[error("the image has {found:#x} bytes, no multiple of {PAGE_LEN:#x}: the end is left out")]
    Length {
        /// Bytes.
        found: usize,
    },
    /// A page has no sound header.
    #[error("page {page}: {cause}")]
    Page {
        /// Number of the page.
        page: usize,
        /// Why.
        cause: PageError,
    },
    /// An entry is none.
    #[error("page {page}, entry {entry}: {cause}")]
    Item {
        /// Number of the page.
        page: usize,
        /// Number of the entry.
        entry: usize,
        /// Why.
        cause: ItemError,
    },
    /// Data of an entry is damaged.
    #[error(
        "page {page}, entry {entry}: the data of `{key}` does not have the CRC that its entry says"
    )]
    Data {
        /// Number of the page.
        page: usize,
        /// Number of the entry.
        entry: usize,
        /// The key.
        key: Key,
    },
    /// A blob misses chunks.
    #[error("the blob `{key}` has {found} bytes in its chunks, its index says {expected}")]
    Chunks {
        /// The key.
        key: Key,
        /// Bytes in chunks.
        found: usize,
        /// Bytes that the index says.
        expected: u32,
    },
    /// An entry belongs to no namespace.
    #[error("`{key}` belongs to namespace {number}, which has no name")]
    Namespace {
        /// The key.
        key: Key,
        /// The number.
        number: u8,
    },
}

/// Reads an image, decrypted with `cipher` if there is one.
#[must_use]
pub fn read(image: &[u8], cipher: Option<&NvsCipher>) -> Contents {
    let mut plain = Zeroizing::new(image.to_vec());
    if let Some(cipher) = cipher {
        for_each_entry(&mut plain, |address, entry| cipher.decrypt(address, entry));
    }
    let mut reader = Reader::default();
    let (pages, rest) = plain.as_chunks::<PAGE_LEN>();
    if !rest.is_empty() {
        let found = image.len();
        reader.findings.push(Finding::Length { found });
    }
    for (number, page) in pages.iter().enumerate() {
        reader.page(number, page);
    }
    reader.finish()
}

/// Bytes of one chunk, by namespace, key and number.
type Chunks = BTreeMap<(u8, Key, u8), Zeroizing<Vec<u8>>>;

#[derive(Default)]
struct Reader {
    pages: Vec<PageSummary>,
    findings: Vec<Finding>,
    namespaces: BTreeMap<u8, Key>,
    /// Items with the data behind them, in order.
    items: Vec<(Item, Zeroizing<Vec<u8>>)>,
    chunks: Chunks,
}

impl Reader {
    fn page(&mut self, number: usize, bytes: &[u8; PAGE_LEN]) {
        let page = match Page::parse(bytes) {
            Ok(page) => page,
            Err(cause) => {
                if cause != PageError::Uninitialized {
                    let page = number;
                    self.findings.push(Finding::Page { page, cause });
                }
                self.pages.push(PageSummary {
                    header: None,
                    written: 0,
                    erased: 0,
                });
                return;
            }
        };
        let entries: Vec<(EntryState, &[u8; ENTRY_LEN])> = page.entries().collect();
        let count = |wanted| entries.iter().filter(|(state, _)| *state == wanted).count();
        self.pages.push(PageSummary {
            header: Some(page.header),
            written: count(EntryState::Written),
            erased: count(EntryState::Erased),
        });
        let mut at = 0;
        while let Some((state, entry)) = entries.get(at) {
            at += match *state {
                EntryState::Written => self.item(number, at, entry, &entries),
                _ => 1,
            };
        }
    }

    /// Takes an item; returns how many entries it takes.
    fn item(
        &mut self,
        page: usize,
        at: usize,
        entry: &[u8; ENTRY_LEN],
        entries: &[(EntryState, &[u8; ENTRY_LEN])],
    ) -> usize {
        let item = match Item::parse(entry) {
            Ok(item) => item,
            Err(cause) => {
                let entry = at;
                self.findings.push(Finding::Item { page, entry, cause });
                return 1;
            }
        };
        let mut data = Zeroizing::new(Vec::new());
        if item.kind.has_data() {
            let extent = Extent::parse(item.data);
            let behind = entries.get(at + 1..).unwrap_or_default();
            let behind = behind.iter().flat_map(|(_, entry)| entry.iter());
            data.extend(behind.take(usize::from(extent.size)));
            if data.len() != usize::from(extent.size) || nvs::crc(&data) != extent.crc {
                let (entry, key) = (at, item.key);
                self.findings.push(Finding::Data { page, entry, key });
                return 1;
            }
        }
        if item.namespace == 0 {
            let [number, ..] = item.data;
            self.namespaces.insert(number, item.key);
        } else if item.kind == ItemKind::BLOB_DATA {
            self.chunks
                .insert((item.namespace, item.key, item.chunk), data);
        } else {
            self.items.push((item, data));
        }
        usize::from(item.span).clamp(1, PAGE_ENTRIES)
    }

    fn finish(mut self) -> Contents {
        let mut entries = Vec::new();
        for (item, data) in std::mem::take(&mut self.items) {
            let namespace = self.namespaces.get(&item.namespace).copied();
            if namespace.is_none() {
                self.findings.push(Finding::Namespace {
                    key: item.key,
                    number: item.namespace,
                });
            }
            let value = match (item.kind.number_len(), item.kind) {
                (Some(length), kind) => Stored::Number(number(item.data, length, kind)),
                (None, ItemKind::STRING) => text(data),
                (None, ItemKind::BLOB_INDEX) => Stored::Bytes(self.blob(&item)),
                _ => Stored::Bytes(data),
            };
            entries.push(Entry {
                namespace,
                number: item.namespace,
                key: item.key,
                kind: item.kind,
                value,
            });
        }
        Contents {
            pages: self.pages,
            entries,
            findings: self.findings,
        }
    }

    /// Puts the chunks of a blob together.
    fn blob(&mut self, item: &Item) -> Zeroizing<Vec<u8>> {
        let index = BlobIndex::parse(item.data);
        let numbers = (0..index.chunks).map(|chunk| index.first.wrapping_add(chunk));
        let mut bytes = Zeroizing::new(Vec::new());
        for number in numbers {
            if let Some(chunk) = self.chunks.get(&(item.namespace, item.key, number)) {
                bytes.extend(chunk.iter());
            }
        }
        if u32::try_from(bytes.len()) != Ok(index.size) {
            self.findings.push(Finding::Chunks {
                key: item.key,
                found: bytes.len(),
                expected: index.size,
            });
        }
        bytes
    }
}

fn number(data: [u8; 8], length: usize, kind: ItemKind) -> i128 {
    let mut bytes = [0; 8];
    bytes
        .iter_mut()
        .zip(data)
        .take(length)
        .for_each(|(to, from)| *to = from);
    let value = u64::from_le_bytes(bytes);
    let unused = u32::try_from(64 - 8 * length).unwrap_or(0);
    match kind.is_signed() {
        true => i128::from((value << unused).cast_signed() >> unused),
        false => i128::from(value),
    }
}

/// Text ends with a NUL; what is no UTF-8 stays bytes.
fn text(mut data: Zeroizing<Vec<u8>>) -> Stored {
    match str::from_utf8(&data) {
        Ok(text) => match text.strip_suffix('\0') {
            Some(text) => Stored::Text(Zeroizing::new(text.to_owned())),
            None => Stored::Bytes(std::mem::take(&mut data)),
        },
        Err(_) => Stored::Bytes(data),
    }
}
