//! Decoder whose every error names the field.

use heapless::Vec;
use minicbor::Decoder;

use super::CborError;

/// Major types of RFC 8949 section 3.1.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Major {
    Unsigned = 0,
    Bytes = 2,
    Text = 3,
    Array = 4,
    Map = 5,
    Tag = 6,
}

impl Major {
    /// Wording for [`CborError::Type`].
    const fn expected(self) -> &'static str {
        match self {
            Self::Unsigned => "an unsigned integer",
            Self::Bytes => "a byte string",
            Self::Text => "text",
            Self::Array => "an array",
            Self::Map => "a map",
            Self::Tag => "a tag",
        }
    }
}

/// Initial byte of null.
const NULL: u8 = 0xF6;
/// Additional information of an indefinite length.
const INDEFINITE: u8 = 31;

/// Reads one document from start to end.
pub(crate) struct Reader<'b> {
    decoder: Decoder<'b>,
}

impl<'b> Reader<'b> {
    /// Starts at the first byte.
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self {
            decoder: Decoder::new(bytes),
        }
    }

    /// Refuses bytes after the end of the document.
    pub(crate) fn finish(&self, document: &'static str) -> Result<(), CborError> {
        let (expected, found) = (self.decoder.position(), self.decoder.input().len());
        if expected == found {
            Ok(())
        } else {
            Err(CborError::Trailing {
                document,
                expected,
                found,
            })
        }
    }

    /// Reads the head of a map of exactly `entries`.
    pub(crate) fn map(&mut self, field: &'static str, entries: usize) -> Result<(), CborError> {
        let offset = self.expect(field, Major::Map)?;
        let found = self
            .decoder
            .map()
            .map_err(|e| self.explain(&e, field, offset, Major::Map))?;
        match found {
            Some(n) if n == entries as u64 => Ok(()),
            Some(found) => Err(CborError::EntryCount {
                field,
                expected: entries,
                found,
            }),
            None => Err(CborError::IndefiniteLength { field, offset }),
        }
    }

    /// Reads a map key, which must be `expected`; the value of `field` follows.
    pub(crate) fn key(
        &mut self,
        expected: u64,
        field: &'static str,
    ) -> Result<&mut Self, CborError> {
        let offset = self.decoder.position();
        let found = self.uint(field, u64::MAX)?;
        if found == expected {
            Ok(self)
        } else if (1..expected).contains(&found) {
            // Keys count from 1, so a lower one has been read before.
            Err(CborError::DuplicateKey {
                field,
                offset,
                found,
            })
        } else {
            Err(CborError::Key {
                field,
                offset,
                expected,
                found,
            })
        }
    }

    /// Reads an unsigned integer of at most `max`.
    pub(crate) fn uint(&mut self, field: &'static str, max: u64) -> Result<u64, CborError> {
        let offset = self.expect(field, Major::Unsigned)?;
        let found = self
            .decoder
            .u64()
            .map_err(|e| self.explain(&e, field, offset, Major::Unsigned))?;
        if found > max {
            return Err(CborError::Range {
                field,
                min: 0,
                max,
                found,
            });
        }
        Ok(found)
    }

    /// Reads a 64-bit unsigned integer.
    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, CborError> {
        self.uint(field, u64::MAX)
    }

    /// Reads a 32-bit unsigned integer.
    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, CborError> {
        self.narrow(field, u32::MAX)
    }

    /// Reads a 16-bit unsigned integer.
    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, CborError> {
        self.narrow(field, u16::MAX)
    }

    /// Reads an 8-bit unsigned integer.
    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, CborError> {
        self.narrow(field, u8::MAX)
    }

    /// Reads an unsigned integer that fits in `T`, whose highest value is `max`.
    fn narrow<T: TryFrom<u64> + Into<u64>>(
        &mut self,
        field: &'static str,
        max: T,
    ) -> Result<T, CborError> {
        let max = max.into();
        let found = self.uint(field, max)?;
        T::try_from(found).map_err(|_| CborError::Range {
            field,
            min: 0,
            max,
            found,
        })
    }

    /// Reads a byte string.
    pub(crate) fn bytes(&mut self, field: &'static str) -> Result<&'b [u8], CborError> {
        let offset = self.expect(field, Major::Bytes)?;
        self.decoder
            .bytes()
            .map_err(|e| self.explain(&e, field, offset, Major::Bytes))
    }

    /// Reads a byte string of exactly `N` bytes.
    pub(crate) fn fixed<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<&'b [u8; N], CborError> {
        let bytes = self.bytes(field)?;
        bytes.try_into().map_err(|_| CborError::Length {
            field,
            min: N,
            max: N,
            found: bytes.len(),
        })
    }

    /// Reads a byte string of exactly `N` bytes, or null.
    pub(crate) fn fixed_or_null<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<Option<&'b [u8; N]>, CborError> {
        let offset = self.decoder.position();
        if self.peek(field)? != NULL {
            return self.fixed(field).map(Some);
        }
        self.decoder
            .null()
            .map_err(|e| self.explain(&e, field, offset, Major::Bytes))?;
        Ok(None)
    }

    /// Reads text of `min` to `max` bytes.
    pub(crate) fn text(
        &mut self,
        field: &'static str,
        min: usize,
        max: usize,
    ) -> Result<&'b str, CborError> {
        let offset = self.expect(field, Major::Text)?;
        let text = self
            .decoder
            .str()
            .map_err(|e| self.explain(&e, field, offset, Major::Text))?;
        if (min..=max).contains(&text.len()) {
            Ok(text)
        } else {
            Err(CborError::Length {
                field,
                min,
                max,
                found: text.len(),
            })
        }
    }

    /// Reads the head of an array of exactly `len` elements.
    pub(crate) fn array(&mut self, field: &'static str, len: usize) -> Result<(), CborError> {
        self.array_of(field, len, len).map(|_| ())
    }

    /// Reads an array of `min` to `N` elements, each with `read`.
    pub(crate) fn list<T, E: From<CborError>, const N: usize>(
        &mut self,
        field: &'static str,
        min: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<Vec<T, N>, E> {
        let found = self.array_of(field, min, N)?;
        let mut list = Vec::new();
        for _ in 0..found {
            list.push(read(self)?)
                .map_err(|_| CborError::ElementCount {
                    field,
                    min,
                    max: N,
                    found,
                })?;
        }
        Ok(list)
    }

    /// Reads a tag, which must be `expected`.
    pub(crate) fn tag(&mut self, field: &'static str, expected: u64) -> Result<(), CborError> {
        let offset = self.expect(field, Major::Tag)?;
        let found = self
            .decoder
            .tag()
            .map_err(|e| self.explain(&e, field, offset, Major::Tag))?
            .as_u64();
        if found == expected {
            Ok(())
        } else {
            Err(CborError::Tag {
                field,
                expected,
                found,
            })
        }
    }

    /// Reads the head of an array of `min` to `max` elements.
    fn array_of(&mut self, field: &'static str, min: usize, max: usize) -> Result<u64, CborError> {
        let offset = self.expect(field, Major::Array)?;
        let found = self
            .decoder
            .array()
            .map_err(|e| self.explain(&e, field, offset, Major::Array))?
            .ok_or(CborError::IndefiniteLength { field, offset })?;
        if (min as u64..=max as u64).contains(&found) {
            Ok(found)
        } else {
            Err(CborError::ElementCount {
                field,
                min,
                max,
                found,
            })
        }
    }

    /// Returns the initial byte of the next value.
    fn peek(&self, field: &'static str) -> Result<u8, CborError> {
        let offset = self.decoder.position();
        let initial = self.decoder.input().get(offset).copied();
        initial.ok_or(CborError::Truncated { field, offset })
    }

    /// Checks the type of the next value and returns its offset.
    fn expect(&self, field: &'static str, major: Major) -> Result<usize, CborError> {
        let offset = self.decoder.position();
        let found = self.peek(field)?;
        if found >> 5 != major as u8 {
            return Err(CborError::Type {
                field,
                offset,
                expected: major.expected(),
                found,
            });
        }
        let has_length = matches!(
            major,
            Major::Bytes | Major::Text | Major::Array | Major::Map
        );
        if has_length && found & 0x1F == INDEFINITE {
            return Err(CborError::IndefiniteLength { field, offset });
        }
        Ok(offset)
    }

    /// Translates what minicbor says about a value of the expected type.
    fn explain(
        &self,
        error: &minicbor::decode::Error,
        field: &'static str,
        offset: usize,
        major: Major,
    ) -> CborError {
        let found = self
            .decoder
            .input()
            .get(offset)
            .copied()
            .unwrap_or_default();
        if error.is_end_of_input() {
            CborError::Truncated { field, offset }
        } else if error.is_type_mismatch() {
            // Additional information 28 to 31, which no integer or length has.
            CborError::Type {
                field,
                offset,
                expected: major.expected(),
                found,
            }
        } else if major == Major::Text {
            CborError::Utf8 { field, offset }
        } else {
            // A length or an integer beyond what this machine can count.
            CborError::Truncated { field, offset }
        }
    }
}
