//! How a sealed body divides into chunks, and their hashes into pages.
//!
//! ```text
//! body       | chunk 0 | chunk 1 | ... | chunk n-1 |      4096 bytes each, the last one the rest
//! page file  | SHA-256(chunk 0) | SHA-256(chunk 1) | ...  32 bytes each
//! page j     = bytes 4096*j .. min(4096*(j+1), end) of the page file: hashes of 128 chunks
//! ```
//!
//! Source: `docs/protocol.md`, "Body, chunks, pages".

use core::fmt;
use core::ops::Range;

use crate::metadata::manifest::MAX_PAGES;
use crate::units::{CHUNK_SIZE, CHUNKS_PER_PAGE, ChunkIndex, Digest};

/// Number of a page of chunk hashes, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageIndex(u32);

impl PageIndex {
    /// Wraps a plain number.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// Returns the plain number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for PageIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The division of a body of known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLayout {
    length: u32,
}

impl BodyLayout {
    /// Longest body that a manifest can describe, in bytes.
    pub const MAX_LENGTH: u32 = 16 << 20;

    /// Divides a body of `length` bytes.
    #[must_use]
    pub const fn new(length: u32) -> Self {
        Self { length }
    }

    /// Returns the number of chunks.
    #[must_use]
    pub const fn chunks(self) -> u32 {
        self.length.div_ceil(CHUNK)
    }

    /// Returns the number of pages.
    #[must_use]
    pub const fn pages(self) -> u32 {
        self.chunks().div_ceil(PER_PAGE)
    }

    /// Returns the length of the page file in bytes.
    #[must_use]
    pub const fn page_file_len(self) -> u32 {
        self.chunks().saturating_mul(HASH)
    }

    /// Returns which bytes of the body a chunk is; `None` past the last chunk.
    #[must_use]
    pub fn chunk_range(self, chunk: ChunkIndex) -> Option<Range<u32>> {
        block(chunk.get(), CHUNK, self.length)
    }

    /// Returns which bytes of the page file a page is; `None` past the last page.
    #[must_use]
    pub fn page_range(self, page: PageIndex) -> Option<Range<u32>> {
        block(
            page.get(),
            PER_PAGE.saturating_mul(HASH),
            self.page_file_len(),
        )
    }

    /// Returns the numbers of the chunks whose hashes a page holds; `None` past the last page.
    #[must_use]
    pub fn page_chunks(self, page: PageIndex) -> Option<Range<u32>> {
        block(page.get(), PER_PAGE, self.chunks())
    }

    /// Returns which bytes of the body a page speaks for; `None` past the last page.
    #[must_use]
    pub fn page_body_range(self, page: PageIndex) -> Option<Range<u32>> {
        block(page.get(), CHUNK.saturating_mul(PER_PAGE), self.length)
    }

    /// Returns the page that holds the hash of a chunk; `None` past the last chunk.
    #[must_use]
    pub const fn page_of(self, chunk: ChunkIndex) -> Option<PageIndex> {
        if chunk.get() < self.chunks() {
            Some(PageIndex::new(chunk.get() / PER_PAGE))
        } else {
            None
        }
    }
}

/// Returns the hash of `chunk` from the bytes of the page that holds it; `None` when the page is
/// too short.
#[must_use]
pub fn hash_in_page(page: &[u8], chunk: ChunkIndex) -> Option<Digest> {
    let index = usize::try_from(chunk.get() % PER_PAGE).ok()?;
    page.as_chunks().0.get(index).copied().map(Digest)
}

/// Whether the page that holds the hash of `chunk` says `hash`.
#[must_use]
pub fn is_in_page(page: &[u8], chunk: ChunkIndex, hash: &Digest) -> bool {
    let index = usize::try_from(chunk.get() % PER_PAGE).ok();
    index.and_then(|index| page.as_chunks().0.get(index)) == Some(&hash.0)
}

const _: () = assert!(BodyLayout::MAX_LENGTH as usize == CHUNK_SIZE * CHUNKS_PER_PAGE * MAX_PAGES);

// The sizes are far below 2^32.
#[expect(clippy::cast_possible_truncation)]
const CHUNK: u32 = CHUNK_SIZE as u32;
#[expect(clippy::cast_possible_truncation)]
const PER_PAGE: u32 = CHUNKS_PER_PAGE as u32;
/// Bytes of a chunk hash.
const HASH: u32 = 32;

/// Returns block `index` of `length` units cut into blocks of `size`; `None` past the last one.
fn block(index: u32, size: u32, length: u32) -> Option<Range<u32>> {
    let start = index.checked_mul(size)?;
    (start < length).then(|| start..start.saturating_add(size).min(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_chunk_and_last_page_are_what_is_left() {
        let layout = BodyLayout::new(4096 * 128 + 4096 + 1);
        assert_eq!((layout.chunks(), layout.pages()), (130, 2));
        assert_eq!(layout.page_file_len(), 130 * 32);
        assert_eq!(layout.chunk_range(ChunkIndex::new(0)), Some(0..4096));
        assert_eq!(
            layout.chunk_range(ChunkIndex::new(129)),
            Some(528_384..528_385)
        );
        assert_eq!(layout.chunk_range(ChunkIndex::new(130)), None);
        assert_eq!(layout.page_range(PageIndex::new(0)), Some(0..4096));
        assert_eq!(layout.page_range(PageIndex::new(1)), Some(4096..4160));
        assert_eq!(layout.page_range(PageIndex::new(2)), None);
        assert_eq!(layout.page_chunks(PageIndex::new(1)), Some(128..130));
        assert_eq!(layout.page_body_range(PageIndex::new(0)), Some(0..524_288));
        assert_eq!(
            layout.page_body_range(PageIndex::new(1)),
            Some(524_288..528_385)
        );
        assert_eq!(
            layout.page_of(ChunkIndex::new(127)),
            Some(PageIndex::new(0))
        );
        assert_eq!(
            layout.page_of(ChunkIndex::new(128)),
            Some(PageIndex::new(1))
        );
        assert_eq!(layout.page_of(ChunkIndex::new(130)), None);
    }

    #[test]
    fn chunks_tile_bodies_of_every_length_around_the_boundaries() {
        for base in [1, 4096, 4096 * 127, 4096 * 128, 4096 * 256] {
            for length in base - 1..=base + 1 {
                let layout = BodyLayout::new(length);
                let mut end = 0;
                for chunk in 0..layout.chunks() {
                    let range = layout.chunk_range(ChunkIndex::new(chunk)).unwrap();
                    assert_eq!(range.start, end);
                    end = range.end;
                }
                assert_eq!(end, length);
                let mut end = 0;
                for page in 0..layout.pages() {
                    let range = layout.page_range(PageIndex::new(page)).unwrap();
                    assert_eq!(range.start, end);
                    end = range.end;
                }
                assert_eq!(end, layout.page_file_len());
            }
        }
    }

    #[test]
    fn huge_lengths_and_indices_do_not_overflow() {
        let layout = BodyLayout::new(u32::MAX);
        assert_eq!(layout.chunks(), 1 << 20);
        assert_eq!(layout.pages(), 1 << 13);
        assert_eq!(
            layout.chunk_range(ChunkIndex::new((1 << 20) - 1)),
            Some(0xFFFF_F000..u32::MAX)
        );
        assert_eq!(layout.chunk_range(ChunkIndex::new(u32::MAX)), None);
        assert_eq!(layout.page_range(PageIndex::new(u32::MAX)), None);
        assert_eq!(BodyLayout::MAX_LENGTH, 16 << 20);
    }

    #[test]
    fn hash_of_a_chunk_is_found_at_its_place_within_the_page() {
        let mut page = [0; 3 * 32];
        page[64..].fill(7);
        assert_eq!(
            hash_in_page(&page, ChunkIndex::new(130)),
            Some(Digest([7; 32]))
        );
        assert_eq!(hash_in_page(&page, ChunkIndex::new(131)), None);
        assert_eq!(hash_in_page(&page[..95], ChunkIndex::new(130)), None);
    }
}
