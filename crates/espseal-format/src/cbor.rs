//! Strict deterministic CBOR: one value has one encoding, every other encoding is refused.
//!
//! `parse` decodes a document, refuses what follows it, then encodes the result again into a
//! writer that compares with the input. The decoder insists on map keys 1 to n in order and on
//! definite lengths, so the comparison is what refuses integers and lengths that are not in
//! shortest form.
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

    /// Decodes the value at the reader.
    fn read(reader: &mut Reader<'b>) -> Result<Self, Self::Error>;

    /// Refuses a value that breaks a rule spanning several fields.
    fn check(&self) -> Result<(), Self::Error>;

    /// Encodes the value.
    fn write(&self, writer: &mut Writer<'_>);
}

/// Decodes `bytes`, accepting exactly what [`encode`] produces.
pub(crate) fn parse<'b, D: Document<'b>>(bytes: &'b [u8]) -> Result<D, D::Error> {
    if bytes.len() > D::LIMIT {
        return Err(CborError::TooLong {
            document: D::NAME,
            limit: D::LIMIT,
            found: bytes.len(),
        }
        .into());
    }
    let mut reader = Reader::new(bytes);
    let value = D::read(&mut reader)?;
    reader.finish(D::NAME)?;
    compare(&value, bytes)?;
    value.check()?;
    Ok(value)
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

/// Encodes `value` again and refuses `bytes` that differ.
fn compare<'b, D: Document<'b>>(value: &D, bytes: &[u8]) -> Result<(), CborError> {
    let mut offset = 0_usize;
    let mut rest = bytes;
    let mut differs = None;
    value.write(&mut Writer::new(&mut |piece| {
        if differs.is_some() {
            return;
        }
        let equal = piece.iter().zip(rest).take_while(|(a, b)| a == b).count();
        offset = offset.saturating_add(equal);
        match rest.get(equal..) {
            Some(tail) if equal == piece.len() => rest = tail,
            _ => differs = Some(offset),
        }
    }));
    differs.map_or(Ok(()), |offset| Err(CborError::NotShortest { offset }))
}
