//! Walks an image once, in order, checking structure, checksum and appended hash.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{
    CHECKSUM_SEED, HASH_LEN, ImageError, ImageHeader, ImageLayout, MAGIC, MAX_SEGMENT_LEN,
    MAX_SEGMENTS, Segment, SegmentHeader,
};
use crate::read::{PastEnd, ReadAt, SliceReader, for_each_piece};
use crate::sha256::Sha256;
use crate::units::{Digest, SECTOR_SIZE};

impl ImageLayout {
    /// Reads an image from offset 0 of `reader` and checks structure, checksum and appended hash.
    ///
    /// What follows the image (padding, signature sector, rest of a slot) is not read. `scratch`
    /// bounds the reads of segment data: a sector is a good size, an empty one reads byte by byte.
    ///
    /// # Errors
    /// [`ImageError::Read`] when `reader` fails, else what is wrong with the image and where.
    ///
    /// Source: ESP-IDF `esp_image_format.c`, `image_load`.
    pub fn walk<R: ReadAt>(
        reader: &mut R,
        scratch: &mut [u8],
    ) -> Result<Self, ImageError<R::Error>> {
        let mut walk = Walk {
            reader,
            offset: 0,
            hasher: Sha256::new(),
            checksum: CHECKSUM_SEED,
        };
        let header: ImageHeader = walk.take("header")?;
        if header.magic != MAGIC {
            return Err(ImageError::Magic {
                found: header.magic,
            });
        }
        if usize::from(header.segment_count) > MAX_SEGMENTS {
            return Err(ImageError::SegmentCount {
                found: header.segment_count,
            });
        }
        let mut segments = heapless::Vec::new();
        for index in 0..header.segment_count {
            let segment = walk.segment(index, scratch)?;
            // Cannot overflow: the count was checked above.
            let _ = segments.push(segment);
        }
        let checksum_offset = walk.checksum()?;
        walk.finish(header, segments, checksum_offset)
    }

    /// Walks an image in memory.
    ///
    /// # Errors
    /// What is wrong with the image and where.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError<PastEnd>> {
        Self::walk(&mut SliceReader::new(bytes), &mut [0; 512])
    }
}

/// State of a walk: everything before `offset` has been read and hashed.
struct Walk<'r, R> {
    reader: &'r mut R,
    offset: u32,
    hasher: Sha256,
    checksum: u8,
}

impl<R: ReadAt> Walk<'_, R> {
    /// Reads and hashes the next wire struct.
    fn take<T: FromBytes + IntoBytes + Immutable>(
        &mut self,
        field: &'static str,
    ) -> Result<T, ImageError<R::Error>> {
        let mut value = T::new_zeroed();
        let bytes = value.as_mut_bytes();
        self.advance(field, bytes)?;
        self.hasher.update(value.as_bytes());
        Ok(value)
    }

    /// Reads a segment's header and data.
    fn segment(&mut self, index: u8, scratch: &mut [u8]) -> Result<Segment, ImageError<R::Error>> {
        let header_offset = self.offset;
        let header: SegmentHeader = self.take("segment header")?;
        let data_len = header.data_len.get();
        if !data_len.is_multiple_of(4) || data_len >= MAX_SEGMENT_LEN {
            return Err(ImageError::SegmentLength {
                index,
                offset: header_offset.saturating_add(4),
                found: data_len,
            });
        }
        let data_offset = self.offset;
        self.offset = self.end_of("segment data", data_len)?;
        let (hasher, checksum) = (&mut self.hasher, &mut self.checksum);
        for_each_piece(self.reader, data_offset, data_len, scratch, |piece| {
            hasher.update(piece);
            *checksum = piece.iter().fold(*checksum, |sum, byte| sum ^ byte);
        })
        .map_err(ImageError::Read)?;
        Ok(Segment {
            load_addr: header.load_addr.get(),
            data_offset,
            data_len,
        })
    }

    /// Reads the block that ends in the checksum; returns the checksum's offset.
    fn checksum(&mut self) -> Result<u32, ImageError<R::Error>> {
        let mut block = [0; 16];
        let length = usize::try_from(16_u32.saturating_sub(self.offset % 16)).unwrap_or(16);
        let block = block.get_mut(..length).unwrap_or_default();
        self.advance("checksum", block)?;
        self.hasher.update(&*block);
        let offset = self.offset.saturating_sub(1);
        match block.last() {
            Some(stored) if *stored == self.checksum => Ok(offset),
            stored => Err(ImageError::Checksum {
                offset,
                computed: self.checksum,
                stored: stored.copied().unwrap_or(0),
            }),
        }
    }

    /// Reads the appended hash and puts the layout together.
    fn finish(
        mut self,
        header: ImageHeader,
        segments: heapless::Vec<Segment, MAX_SEGMENTS>,
        checksum_offset: u32,
    ) -> Result<ImageLayout, ImageError<R::Error>> {
        let computed = core::mem::take(&mut self.hasher).finish();
        let hash_offset = header.has_hash().then_some(self.offset);
        if let Some(offset) = hash_offset {
            let mut stored = [0; HASH_LEN];
            self.advance("appended SHA-256", &mut stored)?;
            let stored = Digest(stored);
            if stored != computed {
                return Err(ImageError::Hash {
                    offset,
                    computed,
                    stored,
                });
            }
        }
        let signed_len = super::padding::round_up(self.offset, SECTOR_SIZE).unwrap_or(u32::MAX);
        Ok(ImageLayout {
            header,
            segments,
            checksum_offset,
            hash_offset,
            image_len: self.offset,
            signed_len,
            content_digest: computed,
        })
    }

    /// Fills `bytes` from the current offset and moves past them.
    fn advance(
        &mut self,
        field: &'static str,
        bytes: &mut [u8],
    ) -> Result<(), ImageError<R::Error>> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let end = self.end_of(field, length)?;
        self.reader
            .read_at(self.offset, bytes)
            .map_err(ImageError::Read)?;
        self.offset = end;
        Ok(())
    }

    /// Returns where a field of `length` bytes ends, if the data reaches that far.
    fn end_of(&self, field: &'static str, length: u32) -> Result<u32, ImageError<R::Error>> {
        match self.offset.checked_add(length) {
            Some(end) if end <= self.reader.len() => Ok(end),
            _ => Err(ImageError::Truncated {
                field,
                offset: self.offset,
                wanted: length,
                available: self.reader.len().saturating_sub(self.offset),
            }),
        }
    }
}
