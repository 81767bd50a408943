//! Encoder that hands each piece to a closure: to a buffer, to a comparison or to a hash.

use core::convert::Infallible;

use minicbor::Encoder;
use minicbor::data::Tag;
use minicbor::encode::{Error, Write};

/// Encodes values in shortest form; nothing can fail because the sink cannot.
pub(crate) struct Writer<'s> {
    encoder: Encoder<Sink<'s>>,
}

/// Adapter from a closure to minicbor's trait.
struct Sink<'s>(&'s mut dyn FnMut(&[u8]));

impl Write for Sink<'_> {
    type Error = Infallible;

    fn write_all(&mut self, piece: &[u8]) -> Result<(), Infallible> {
        (self.0)(piece);
        Ok(())
    }
}

impl<'s> Writer<'s> {
    /// Writes into `sink`.
    pub(crate) fn new(sink: &'s mut dyn FnMut(&[u8])) -> Self {
        Self {
            encoder: Encoder::new(Sink(sink)),
        }
    }

    /// Writes an unsigned integer.
    pub(crate) fn uint(&mut self, value: u64) -> &mut Self {
        done(self.encoder.u64(value));
        self
    }

    /// Writes a byte string.
    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        done(self.encoder.bytes(value));
        self
    }

    /// Writes text.
    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        done(self.encoder.str(value));
        self
    }

    /// Writes null.
    pub(crate) fn null(&mut self) -> &mut Self {
        done(self.encoder.null());
        self
    }

    /// Writes the head of an array.
    pub(crate) fn array(&mut self, len: usize) -> &mut Self {
        done(self.encoder.array(len as u64));
        self
    }

    /// Writes the head of a map.
    pub(crate) fn map(&mut self, len: usize) -> &mut Self {
        done(self.encoder.map(len as u64));
        self
    }

    /// Writes a tag.
    pub(crate) fn tag(&mut self, tag: u64) -> &mut Self {
        done(self.encoder.tag(Tag::new(tag)));
        self
    }
}

/// Drops the result of a write to a sink that cannot fail.
fn done<T>(_: Result<T, Error<Infallible>>) {}
