//! Walks an image once, in order, checking structure, checksum and appended hash.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{
    CHECKSUM_SEED, Compared, HASH_LEN, ImageError, ImageHeader, ImageLayout, MAGIC,
    MAX_SEGMENT_LEN, MAX_SEGMENTS, Segment, SegmentHeader, Survey,
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
        Ok(Survey::walk(reader, scratch, OnMismatch::Refuse)?.layout)
    }

    /// Walks an image in memory.
    ///
    /// # Errors
    /// What is wrong with the image and where.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError<PastEnd>> {
        Self::walk(&mut SliceReader::new(bytes), &mut [0; 512])
    }
}

/// Returns how long an image with its checksum and appended hash is, by its headers alone.
///
/// For whoever has to know how much to read or decrypt before a walk.
///
/// # Errors
/// [`ImageError::Read`] when `reader` fails, else what is wrong with the headers and where.
pub fn measure<R: ReadAt>(reader: &mut R) -> Result<u32, ImageError<R::Error>> {
    let mut walk = Walk {
        on_mismatch: OnMismatch::Note,
        reader,
        offset: 0,
        hasher: Sha256::new(),
        checksum: CHECKSUM_SEED,
    };
    let header = walk.header()?;
    for index in 0..header.segment_count {
        walk.segment_header(index)?;
    }
    let rest = 16_u32.saturating_sub(walk.offset % 16);
    walk.offset = walk.end_of("checksum", rest)?;
    match header.has_hash() {
        true => walk.end_of("appended SHA-256", 32),
        false => Ok(walk.offset),
    }
}

impl Survey {
    /// Reads an image in memory whose structure holds, whatever its checksum and hash say.
    ///
    /// # Errors
    /// What is wrong with the structure and where.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError<PastEnd>> {
        let mut reader = SliceReader::new(bytes);
        Self::walk(&mut reader, &mut [0; 4096], OnMismatch::Note)
    }

    fn walk<R: ReadAt>(
        reader: &mut R,
        scratch: &mut [u8],
        on_mismatch: OnMismatch,
    ) -> Result<Self, ImageError<R::Error>> {
        let mut walk = Walk {
            on_mismatch,
            reader,
            offset: 0,
            hasher: Sha256::new(),
            checksum: CHECKSUM_SEED,
        };
        let header = walk.header()?;
        let mut segments = heapless::Vec::new();
        for index in 0..header.segment_count {
            let segment = walk.segment(index, scratch)?;
            // Cannot overflow: the count was checked above.
            let _ = segments.push(segment);
        }
        let checksum = walk.checksum()?;
        walk.finish(header, segments, checksum)
    }
}

/// What a walk does when a checksum or hash is not what it should be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnMismatch {
    /// It ends there.
    Refuse,
    /// It goes on.
    Note,
}

/// State of a walk: everything before `offset` has been read and hashed.
struct Walk<'r, R> {
    on_mismatch: OnMismatch,
    reader: &'r mut R,
    offset: u32,
    hasher: Sha256,
    checksum: u8,
}

impl<R: ReadAt> Walk<'_, R> {
    /// Reads the header.
    fn header(&mut self) -> Result<ImageHeader, ImageError<R::Error>> {
        let header: ImageHeader = self.take("header")?;
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
        Ok(header)
    }

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
        let segment = self.segment_header(index)?;
        let (hasher, checksum) = (&mut self.hasher, &mut self.checksum);
        for_each_piece(
            self.reader,
            segment.data_offset,
            segment.data_len,
            scratch,
            |piece| {
                hasher.update(piece);
                *checksum = piece.iter().fold(*checksum, |sum, byte| sum ^ byte);
            },
        )
        .map_err(ImageError::Read)?;
        Ok(segment)
    }

    /// Reads a segment's header and moves behind its data.
    fn segment_header(&mut self, index: u8) -> Result<Segment, ImageError<R::Error>> {
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
        Ok(Segment {
            load_addr: header.load_addr.get(),
            data_offset,
            data_len,
        })
    }

    /// Reads the block that ends in the checksum.
    fn checksum(&mut self) -> Result<Compared<u8>, ImageError<R::Error>> {
        let mut block = [0; 16];
        let length = usize::try_from(16_u32.saturating_sub(self.offset % 16)).unwrap_or(16);
        let block = block.get_mut(..length).unwrap_or_default();
        self.advance("checksum", block)?;
        self.hasher.update(&*block);
        let checksum = Compared {
            offset: self.offset.saturating_sub(1),
            stored: block.last().copied().unwrap_or(0),
            computed: self.checksum,
        };
        match checksum.holds() || self.on_mismatch == OnMismatch::Note {
            true => Ok(checksum),
            false => Err(ImageError::Checksum {
                offset: checksum.offset,
                computed: checksum.computed,
                stored: checksum.stored,
            }),
        }
    }

    /// Reads the appended hash and puts the layout together.
    fn finish(
        mut self,
        header: ImageHeader,
        segments: heapless::Vec<Segment, MAX_SEGMENTS>,
        checksum: Compared<u8>,
    ) -> Result<Survey, ImageError<R::Error>> {
        let computed = core::mem::take(&mut self.hasher).finish();
        let mut hash = None;
        if header.has_hash() {
            let offset = self.offset;
            let mut stored = [0; HASH_LEN];
            self.advance("appended SHA-256", &mut stored)?;
            let stored = Digest(stored);
            if stored != computed && self.on_mismatch == OnMismatch::Refuse {
                return Err(ImageError::Hash {
                    offset,
                    computed,
                    stored,
                });
            }
            hash = Some(Compared {
                offset,
                stored,
                computed,
            });
        }
        let signed_len = super::padding::round_up(self.offset, SECTOR_SIZE).unwrap_or(u32::MAX);
        let layout = ImageLayout {
            header,
            segments,
            checksum_offset: checksum.offset,
            hash_offset: hash.map(|hash| hash.offset),
            image_len: self.offset,
            signed_len,
            content_digest: computed,
        };
        Ok(Survey {
            layout,
            checksum,
            hash,
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
