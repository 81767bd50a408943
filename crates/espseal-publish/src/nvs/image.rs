//! Pages and entries of an image.
//!
//! Pages are written one after the other; a page is full once the next is begun. A partition that
//! firmware writes to keeps a page free for moving entries; one of fewer than three pages is
//! read-only, and its image ends with the last page that is used.
//!
//! Source: `esp-idf-nvs-partition-gen` 0.3.0.

use std::collections::HashSet;

use espseal_crypto::nvs_encryption::NvsCipher;
use espseal_format::nvs::item::{BlobIndex, Extent, Item, ItemKind, Key, LAST_NAMESPACE, NO_CHUNK};
use espseal_format::nvs::page::{EntryState, Page, mark_written};
use espseal_format::nvs::{
    self, ENTRY_LEN, FIRST_ENTRY, HEADER_LEN, PAGE_ENTRIES, PAGE_LEN, PageHeader, PageState,
};
use zeroize::Zeroizing;

use super::error::{NvsError, RowProblem};
use super::value::Value;

/// Largest partition that an image is made for.
pub const LARGEST_PARTITION: u32 = 64 << 20;
/// Most chunks of a blob: firmware tells two generations of them apart by the top bit.
pub const MAX_CHUNKS: u8 = 127;
/// Fewest pages that firmware writes to.
const WRITABLE_PAGES: usize = 3;
/// Longest string or blob of version 1, and longest string of version 2. The original names 4000 bytes
/// for the latter, and never finds a page with room for more than this.
const LONGEST: [usize; 2] = [1984, (PAGE_ENTRIES - 2) * ENTRY_LEN];

/// Version of the format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// A blob stays on one page.
    One,
    /// A blob goes over as many pages as it needs.
    #[default]
    Two,
}

/// An image in the making, in plaintext.
///
/// It can be cloned, so that what all devices share is written once.
#[derive(Clone)]
pub struct Image {
    version: Version,
    /// Pages that were begun.
    pages: Vec<Box<Zeroizing<[u8; PAGE_LEN]>>>,
    /// Entries used on the last of them.
    used: usize,
    /// Pages that may be begun.
    limit: usize,
    /// Pages of the partition that stay erased behind them.
    spare: usize,
    namespaces: Vec<Key>,
    /// A namespace that was begun again while another is the last.
    reopened: Option<Key>,
    seen: HashSet<(usize, Key)>,
}

impl Image {
    /// Starts an image for a partition of this size.
    ///
    /// # Errors
    /// [`NvsError::Size`].
    pub fn new(size: u32, version: Version) -> Result<Self, NvsError> {
        let bytes = usize::try_from(size).unwrap_or_default();
        let pages = bytes / PAGE_LEN;
        if !bytes.is_multiple_of(PAGE_LEN) || pages == 0 || size > LARGEST_PARTITION {
            return Err(NvsError::Size { found: size });
        }
        let spare = usize::from(pages >= WRITABLE_PAGES);
        let mut image = Self {
            version,
            pages: Vec::new(),
            used: 0,
            limit: pages - spare,
            spare,
            namespaces: Vec::new(),
            reopened: None,
            seen: HashSet::new(),
        };
        image.begin_page();
        Ok(image)
    }

    /// Whether firmware can only read a partition of this size, and has to be told so by the flag
    /// `readonly` in the partition table.
    #[must_use]
    pub const fn is_read_only(&self) -> bool {
        self.spare == 0
    }

    /// Pages that hold anything.
    #[must_use]
    pub const fn used_pages(&self) -> usize {
        self.pages.len()
    }

    /// Begins a namespace, or returns to the one that is written to.
    ///
    /// # Errors
    /// [`RowProblem::ManyNamespaces`] or [`RowProblem::Full`].
    pub fn namespace(&mut self, name: Key) -> Result<(), RowProblem> {
        if let Some(found) = self.namespaces.iter().position(|known| *known == name) {
            let is_last = found + 1 == self.namespaces.len();
            self.reopened = (!is_last).then_some(name);
            return Ok(());
        }
        let number = u8::try_from(self.namespaces.len() + 1).ok();
        let number = number.filter(|number| *number <= LAST_NAMESPACE);
        let number = number.ok_or_else(|| RowProblem::ManyNamespaces {
            key: name.to_string(),
        })?;
        self.single(&Item {
            namespace: 0,
            kind: ItemKind::U8,
            span: 1,
            chunk: NO_CHUNK,
            key: name,
            data: [number, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        })?;
        self.namespaces.push(name);
        self.reopened = None;
        Ok(())
    }

    /// Writes an entry of the last namespace. Returns whether the key is new there.
    ///
    /// # Errors
    /// [`RowProblem`].
    pub fn entry(&mut self, key: Key, value: &Value) -> Result<bool, RowProblem> {
        let named = |key: Key| key.to_string();
        let Some(last) = self.namespaces.last().copied() else {
            return Err(RowProblem::NoNamespace { key: named(key) });
        };
        if let Some(namespace) = self.reopened {
            return Err(RowProblem::Reopened {
                key: named(key),
                namespace: named(namespace),
                last: named(last),
            });
        }
        let mut item = Item {
            namespace: u8::try_from(self.namespaces.len()).unwrap_or(LAST_NAMESPACE),
            kind: ItemKind::STRING,
            span: 1,
            chunk: NO_CHUNK,
            key,
            data: [0xFF; 8],
        };
        match (value, self.version) {
            (Value::Number { kind, bytes }, _) => {
                (item.kind, item.data) = (*kind, *bytes);
                self.single(&item)?;
            }
            (Value::Text(bytes), _) => self.on_one_page(item, bytes)?,
            (Value::Blob(bytes), Version::One) => {
                item.kind = ItemKind::BLOB;
                self.on_one_page(item, bytes)?;
            }
            (Value::Blob(bytes), Version::Two) => self.in_chunks(item, bytes)?,
        }
        Ok(self.seen.insert((self.namespaces.len(), key)))
    }

    /// Finishes the image, encrypted with `cipher` if there is one.
    #[must_use]
    pub fn finish(&self, cipher: Option<&NvsCipher>) -> Zeroizing<Vec<u8>> {
        let pages = match self.is_read_only() {
            true => self.pages.len(),
            false => self.limit + self.spare,
        };
        let mut image = Zeroizing::new(vec![0xFF; pages * PAGE_LEN]);
        let (places, _) = image.as_chunks_mut::<PAGE_LEN>();
        for (place, page) in places.iter_mut().zip(&self.pages) {
            *place = ***page;
        }
        if let Some(cipher) = cipher {
            for_each_entry(&mut image, |address, entry| cipher.encrypt(address, entry));
        }
        image
    }

    /// Writes an item that has no data behind it.
    fn single(&mut self, item: &Item) -> Result<(), RowProblem> {
        if self.used >= PAGE_ENTRIES {
            self.next_page(item.key)?;
        }
        self.write(item, &[]);
        Ok(())
    }

    /// Writes an item with data that stays on one page.
    fn on_one_page(&mut self, mut item: Item, data: &[u8]) -> Result<(), RowProblem> {
        let limit = LONGEST[usize::from(self.version == Version::Two)];
        if data.len() > limit {
            return Err(RowProblem::Long {
                key: item.key.to_string(),
                found: data.len(),
                limit,
            });
        }
        let span = 1 + data.len().div_ceil(ENTRY_LEN);
        // The last entry of a page never ends an item of several, in the original.
        if self.used + span >= PAGE_ENTRIES {
            self.next_page(item.key)?;
        }
        item.span = u8::try_from(span).unwrap_or(u8::MAX);
        item.data = extent(data);
        self.write(&item, data);
        Ok(())
    }

    /// Writes a blob of version 2: chunks that fill pages, then the index.
    fn in_chunks(&mut self, mut item: Item, data: &[u8]) -> Result<(), RowProblem> {
        let (key, total) = (item.key, data.len());
        let long = || RowProblem::Long {
            key: key.to_string(),
            found: total,
            limit: usize::from(MAX_CHUNKS) * (PAGE_ENTRIES - 1) * ENTRY_LEN,
        };
        let size = u32::try_from(total).map_err(|_| long())?;
        if self.used >= PAGE_ENTRIES {
            self.next_page(key)?;
        }
        let mut rest = data;
        let mut chunks = 0;
        loop {
            let room = (PAGE_ENTRIES - self.used - 1) * ENTRY_LEN;
            let (chunk, later) = rest.split_at(room.min(rest.len()));
            rest = later;
            item.kind = ItemKind::BLOB_DATA;
            item.span = u8::try_from(1 + chunk.len().div_ceil(ENTRY_LEN)).unwrap_or(u8::MAX);
            item.chunk = chunks;
            item.data = extent(chunk);
            self.write(&item, chunk);
            chunks += 1;
            // The index stands on the next page when none of its entries is left here.
            if !rest.is_empty() || room - chunk.len() < ENTRY_LEN {
                self.next_page(key)?;
            }
            if rest.is_empty() {
                break;
            }
            if chunks == MAX_CHUNKS {
                return Err(long());
            }
        }
        let first = 0;
        item.kind = ItemKind::BLOB_INDEX;
        item.span = 1;
        item.chunk = NO_CHUNK;
        item.data = BlobIndex {
            size,
            chunks,
            first,
        }
        .encode();
        self.single(&item)
    }

    /// Writes an item and its data to the last page, which has room for them.
    fn write(&mut self, item: &Item, data: &[u8]) {
        let Some(page) = self.pages.last_mut() else {
            return;
        };
        let start = FIRST_ENTRY + self.used * ENTRY_LEN;
        let end = self.used + usize::from(item.span);
        let place = page.get_mut(start..).unwrap_or_default();
        let bytes = item.encode();
        let parts = bytes.iter().chain(data);
        place
            .iter_mut()
            .zip(parts)
            .for_each(|(to, from)| *to = *from);
        mark_written(page, self.used..end);
        self.used = end;
    }

    /// Begins the next page; the one before is full.
    fn next_page(&mut self, key: Key) -> Result<(), RowProblem> {
        if self.pages.len() == self.limit {
            return Err(RowProblem::Full {
                key: key.to_string(),
                pages: self.limit,
                reserved: !self.is_read_only(),
            });
        }
        let seq = self.pages.len().saturating_sub(1);
        if let Some(page) = self.pages.last_mut() {
            set_header(page, self.version, seq, PageState::Full);
        }
        self.begin_page();
        Ok(())
    }

    fn begin_page(&mut self) {
        let mut page = Box::new(Zeroizing::new([0xFF; PAGE_LEN]));
        set_header(&mut page, self.version, self.pages.len(), PageState::Active);
        self.pages.push(page);
        self.used = 0;
    }
}

/// Calls `work` on every entry that was ever written, with its address in the partition. Pages without
/// a sound header are left out.
pub(super) fn for_each_entry(image: &mut [u8], mut work: impl FnMut(u32, &mut [u8; ENTRY_LEN])) {
    let (pages, _) = image.as_chunks_mut::<PAGE_LEN>();
    for (number, page) in pages.iter_mut().enumerate() {
        let Ok(parsed) = Page::parse(page) else {
            continue;
        };
        let states: Vec<EntryState> = parsed.entries().map(|(state, _)| state).collect();
        let entries = page.get_mut(FIRST_ENTRY..).unwrap_or_default();
        let (entries, _) = entries.as_chunks_mut::<ENTRY_LEN>();
        for ((index, entry), state) in entries.iter_mut().enumerate().zip(states) {
            let address = number * PAGE_LEN + FIRST_ENTRY + index * ENTRY_LEN;
            // No larger partition is read or made.
            if let (EntryState::Written, Ok(address)) = (state, u32::try_from(address)) {
                work(address, entry);
            }
        }
    }
}

fn set_header(page: &mut [u8; PAGE_LEN], version: Version, seq: usize, state: PageState) {
    let header = PageHeader {
        state,
        seq: u32::try_from(seq).unwrap_or(u32::MAX),
        version: match version {
            Version::One => nvs::VERSION_1,
            Version::Two => nvs::VERSION_2,
        },
    };
    if let Some(place) = page.first_chunk_mut::<HEADER_LEN>() {
        *place = header.encode();
    }
}

fn extent(data: &[u8]) -> [u8; 8] {
    let size = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let crc = nvs::crc(data);
    Extent { size, crc }.encode()
}
