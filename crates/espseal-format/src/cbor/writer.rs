//! Encoder that hands each piece to a closure: to a buffer, to a comparison or to a hash.

use super::reader::{Major, NULL};

/// Encodes values in shortest form; nothing can fail because the sink cannot.
pub(crate) struct Writer<'s> {
    sink: &'s mut dyn FnMut(&[u8]),
}

impl<'s> Writer<'s> {
    /// Writes into `sink`.
    pub(crate) fn new(sink: &'s mut dyn FnMut(&[u8])) -> Self {
        Self { sink }
    }

    /// Writes an unsigned integer.
    pub(crate) fn uint(&mut self, value: u64) -> &mut Self {
        self.head(Major::Unsigned, value)
    }

    /// Writes a byte string.
    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.head(Major::Bytes, value.len() as u64);
        (self.sink)(value);
        self
    }

    /// Writes text.
    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.head(Major::Text, value.len() as u64);
        (self.sink)(value.as_bytes());
        self
    }

    /// Writes null.
    pub(crate) fn null(&mut self) -> &mut Self {
        (self.sink)(&[NULL]);
        self
    }

    /// Writes the head of an array.
    pub(crate) fn array(&mut self, len: usize) -> &mut Self {
        self.head(Major::Array, len as u64)
    }

    /// Writes the head of a map.
    pub(crate) fn map(&mut self, len: usize) -> &mut Self {
        self.head(Major::Map, len as u64)
    }

    /// Writes a tag.
    pub(crate) fn tag(&mut self, tag: u64) -> &mut Self {
        self.head(Major::Tag, tag)
    }

    /// Writes type and argument in the shortest form (RFC 8949 section 3).
    #[inline(never)]
    fn head(&mut self, major: Major, argument: u64) -> &mut Self {
        let [a, b, c, d, e, f, g, h] = argument.to_be_bytes();
        let major = (major as u8) << 5;
        match argument {
            0..24 => (self.sink)(&[major | h]),
            24..0x100 => (self.sink)(&[major | 24, h]),
            0x100..0x1_0000 => (self.sink)(&[major | 25, g, h]),
            0x1_0000..0x1_0000_0000 => (self.sink)(&[major | 26, e, f, g, h]),
            _ => (self.sink)(&[major | 27, a, b, c, d, e, f, g, h]),
        }
        self
    }
}
