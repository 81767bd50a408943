//! Random access to bytes that may lie in memory or behind a flash driver.
//!
//! The parsers that stream ([`crate::image::ImageLayout::walk`]) read through [`ReadAt`] into a
//! buffer of the caller, so that the same code walks a slice on a host and a slot in flash.

use core::fmt;

use crate::sha256::Sha256;
use crate::units::Digest;

/// Something with a length that can be read at any offset.
pub trait ReadAt {
    /// Why a read failed.
    type Error;

    /// Fills `buf` from the bytes that start at `offset`.
    ///
    /// # Errors
    /// The medium's own error; reading past [`len`](Self::len) is one.
    fn read_at(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), Self::Error>;

    /// Number of readable bytes.
    fn len(&self) -> u32;

    /// Whether there is nothing to read.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<R: ReadAt + ?Sized> ReadAt for &mut R {
    type Error = R::Error;

    fn read_at(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), Self::Error> {
        (**self).read_at(offset, buf)
    }

    fn len(&self) -> u32 {
        (**self).len()
    }
}

/// Reads from a byte slice; only its first 4 GiB can be reached.
#[derive(Clone, Copy, Debug)]
pub struct SliceReader<'a>(&'a [u8]);

impl<'a> SliceReader<'a> {
    /// Wraps a slice.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl ReadAt for SliceReader<'_> {
    type Error = PastEnd;

    fn read_at(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), PastEnd> {
        let past_end = PastEnd {
            offset,
            wanted: buf.len(),
            length: self.0.len(),
        };
        let start = usize::try_from(offset).map_err(|_| past_end)?;
        let end = start.checked_add(buf.len()).ok_or(past_end)?;
        buf.copy_from_slice(self.0.get(start..end).ok_or(past_end)?);
        Ok(())
    }

    fn len(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

/// A read that does not end within the slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastEnd {
    /// First byte wanted.
    pub offset: u32,
    /// Number of bytes wanted.
    pub wanted: usize,
    /// Length of the slice.
    pub length: usize,
}

impl fmt::Display for PastEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes wanted at offset {:#x}, but the data is only {} bytes long",
            self.wanted, self.offset, self.length
        )
    }
}

impl core::error::Error for PastEnd {}

/// Hashes the first `length` bytes with SHA-256, a piece of `scratch` at a time.
///
/// Any `scratch` will do, a sector is a good size; an empty one means reading byte by byte.
///
/// # Errors
/// The error of `reader`.
pub fn sha256<R: ReadAt>(
    reader: &mut R,
    length: u32,
    scratch: &mut [u8],
) -> Result<Digest, R::Error> {
    let mut hasher = Sha256::new();
    for_each_piece(reader, 0, length, scratch, |piece| hasher.update(piece))?;
    Ok(hasher.finish())
}

/// Reads `offset..offset + length` in order and hands each piece to `sink`.
///
/// # Errors
/// The error of `reader`.
pub fn for_each_piece<R: ReadAt>(
    reader: &mut R,
    offset: u32,
    length: u32,
    scratch: &mut [u8],
    mut sink: impl FnMut(&[u8]),
) -> Result<(), R::Error> {
    let mut stand_in = [0; 1];
    let buffer = if scratch.is_empty() {
        &mut stand_in[..]
    } else {
        scratch
    };
    let step = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
    let mut done = 0;
    while done < length {
        let take = step.min(length.saturating_sub(done));
        let piece = usize::try_from(take)
            .ok()
            .and_then(|take| buffer.get_mut(..take))
            .unwrap_or_default();
        reader.read_at(offset.saturating_add(done), piece)?;
        sink(piece);
        done = done.saturating_add(take);
    }
    Ok(())
}
