//! Strict deterministic CBOR: one value has one encoding, every other encoding is refused.
//!
//! The decoder insists on map keys 1 to n in order, on definite lengths and on the shortest form of
//! each number and length, and on nothing following the document. Reader and writer are written
//! here rather than taken from a crate because strictness has to be in the reader: a general one
//! has to be followed by encoding the result again and comparing, in 10 KB of a device's flash.
//! Tests do just that, with `minicbor` as another opinion.
//!
//! Source: RFC 8949 sections 3 and 4.2.1.

mod error;
mod reader;
mod writer;

pub use error::{CborError, EncodeError};
pub(crate) use reader::Reader;
pub(crate) use writer::Writer;

/// A type with exactly one encoding.
pub(crate) trait Document<'b>: Sized {
    /// What [`parse`] and [`encode`] refuse a value with.
    type Error: From<CborError>;
    /// Name in error messages.
    const NAME: &'static str;
    /// Longest encoding that is accepted or produced, in bytes.
    const LIMIT: usize;
    /// Something to read into.
    const BLANK: Self;

    /// Decodes the value at the reader into this one, every field of it.
    fn read(&mut self, reader: &mut Reader<'b>) -> Result<(), Self::Error>;

    /// Refuses a value that breaks a rule spanning several fields.
    fn check(&self) -> Result<(), Self::Error>;

    /// Encodes the value.
    fn write(&self, writer: &mut Writer<'_>);
}

/// Decodes `bytes`, accepting exactly what [`encode`] produces.
pub(crate) fn parse<'b, D: Document<'b>>(bytes: &'b [u8]) -> Result<D, D::Error> {
    let mut value = D::BLANK;
    parse_into(&mut value, bytes)?;
    Ok(value)
}

/// As [`parse`], into memory of the caller, which holds anything after an error.
///
/// Documents have up to 1.5 KB: on a device, each copy of one on the stack counts.
pub(crate) fn parse_into<'b, D: Document<'b>>(
    value: &mut D,
    bytes: &'b [u8],
) -> Result<(), D::Error> {
    let mut reader = Reader::new(bytes, D::NAME, D::LIMIT);
    let read = value.read(&mut reader);
    if reader.has_failed() || read.is_ok() {
        // After an error of the encoding, what `read` makes of zeros is of no interest.
        reader.finish(D::NAME)?;
    }
    read?;
    value.check()
}

/// Encodes `value` to the start of `out` and returns the length.
pub(crate) fn encode<'b, D: Document<'b>>(
    value: &D,
    out: &mut [u8],
) -> Result<usize, EncodeError<D::Error>> {
    value.check().map_err(EncodeError::Invalid)?;
    let room = out.len();
    let mut needed = 0_usize;
    let mut rest = out;
    value.write(&mut Writer::new(&mut |piece| {
        needed = needed.saturating_add(piece.len());
        if let Some((head, tail)) = core::mem::take(&mut rest).split_at_mut_checked(piece.len()) {
            head.copy_from_slice(piece);
            rest = tail;
        }
    }));
    if needed > D::LIMIT {
        return Err(EncodeError::TooLong {
            document: D::NAME,
            limit: D::LIMIT,
            found: needed,
        });
    }
    if needed > room {
        return Err(EncodeError::BufferTooSmall {
            needed,
            found: room,
        });
    }
    Ok(needed)
}

#[cfg(test)]
mod tests;
