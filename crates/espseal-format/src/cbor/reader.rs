//! Decoder whose every error names the field.
//!
//! A reader that has met an error stays where it is and gives zeros and empty strings from then
//! on; [`finish`](Reader::finish) tells the first error. Callers therefore read field after field
//! without a branch behind each: that, and one function for all heads, makes the parsers of signed
//! documents small enough for a device.

use core::str;

use heapless::Vec;

use super::CborError;
use crate::units::Digest;

/// Major types of RFC 8949 section 3.1.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Major {
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

    /// Whether the argument is a length, which could be indefinite.
    const fn has_length(self) -> bool {
        !matches!(self, Self::Unsigned | Self::Tag)
    }
}

/// Initial byte of null.
pub(super) const NULL: u8 = 0xF6;
/// Additional information of an indefinite length.
const INDEFINITE: u8 = 31;
/// Additional information from which on the argument is in bytes of its own: 1, 2, 4 or 8.
const ARGUMENT_FOLLOWS: u8 = 24;

/// Reads one document from start to end.
pub(crate) struct Reader<'b> {
    input: &'b [u8],
    pub(super) position: usize,
    /// Name of the value that is read now, for errors.
    field: &'static str,
    error: Option<CborError>,
}

impl<'b> Reader<'b> {
    /// Starts at the first byte; more bytes than `limit` are an error.
    pub(crate) fn new(input: &'b [u8], document: &'static str, limit: usize) -> Self {
        let found = input.len();
        let error = (found > limit).then_some(CborError::TooLong {
            document,
            limit,
            found,
        });
        Self {
            input,
            position: 0,
            field: document,
            error,
        }
    }

    /// Tells the first error; refuses bytes after the end of the document.
    pub(crate) fn finish(self, document: &'static str) -> Result<(), CborError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let (expected, found) = (self.position, self.input.len());
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

    /// Whether an error was met.
    pub(crate) const fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// Names the value that follows, where no map key does.
    pub(crate) const fn name(&mut self, field: &'static str) -> &mut Self {
        self.field = field;
        self
    }

    /// Reads the head of a map of exactly `entries`.
    #[inline(never)]
    pub(crate) fn map(&mut self, field: &'static str, entries: usize) {
        self.field = field;
        let found = self.head(Major::Map);
        if found != entries as u64 {
            self.fail(CborError::EntryCount {
                field,
                expected: entries,
                found,
            });
        }
    }

    /// Reads a map key, which must be `expected`; the value of `field` follows.
    #[inline(never)]
    pub(crate) fn key(&mut self, expected: u8, field: &'static str) -> &mut Self {
        self.field = field;
        let offset = self.position;
        let expected = u64::from(expected);
        let found = self.head(Major::Unsigned);
        if found != expected {
            // Keys count from 1, so a lower one has been read before.
            self.fail(if (1..expected).contains(&found) {
                CborError::DuplicateKey {
                    field,
                    offset,
                    found,
                }
            } else {
                CborError::Key {
                    field,
                    offset,
                    expected,
                    found,
                }
            });
        }
        self
    }

    /// Reads an unsigned integer of at most `max`.
    #[inline(never)]
    fn uint(&mut self, max: u64) -> u64 {
        let found = self.head(Major::Unsigned);
        if found <= max {
            return found;
        }
        self.fail(CborError::Range {
            field: self.field,
            min: 0,
            max,
            found,
        });
        0
    }

    /// Reads a 64-bit unsigned integer.
    pub(crate) fn u64(&mut self) -> u64 {
        self.uint(u64::MAX)
    }

    /// Reads a 32-bit unsigned integer.
    pub(crate) fn u32(&mut self) -> u32 {
        u32::try_from(self.uint(u32::MAX.into())).unwrap_or(0)
    }

    /// Reads a 16-bit unsigned integer.
    pub(crate) fn u16(&mut self) -> u16 {
        u16::try_from(self.uint(u16::MAX.into())).unwrap_or(0)
    }

    /// Reads an 8-bit unsigned integer.
    pub(crate) fn u8(&mut self) -> u8 {
        u8::try_from(self.uint(u8::MAX.into())).unwrap_or(0)
    }

    /// Reads a byte string.
    pub(crate) fn bytes(&mut self) -> &'b [u8] {
        self.string(Major::Bytes, 0, usize::MAX)
    }

    /// Reads a byte string of exactly `N` bytes.
    pub(crate) fn fixed<const N: usize>(&mut self) -> &'b [u8; N] {
        let bytes = self.string(Major::Bytes, N, N);
        bytes.first_chunk().unwrap_or(const { &[0; N] })
    }

    /// Reads a byte string exactly as long as `out` into it; leaves it as it is after an error.
    #[inline(never)]
    pub(crate) fn copy_to(&mut self, out: &mut [u8]) {
        let bytes = self.string(Major::Bytes, out.len(), out.len());
        if bytes.len() == out.len() {
            out.copy_from_slice(bytes);
        }
    }

    /// Reads null, if that is what comes next.
    pub(crate) fn null(&mut self) -> bool {
        let null = self.error.is_none() && self.peek() == Some(NULL);
        if null {
            self.position = self.position.saturating_add(1);
        }
        null
    }

    /// Reads a SHA-256 digest or null.
    pub(crate) fn digest_or_null(&mut self, out: &mut Option<Digest>) {
        *out = None;
        if !self.null() {
            self.copy_to(&mut out.insert(Digest([0; Digest::LEN])).0);
        }
    }

    /// Reads text of `min` to `max` bytes.
    #[inline(never)]
    pub(crate) fn text(&mut self, min: usize, max: usize) -> &'b str {
        let offset = self.position;
        // The length is the caller's rule, UTF-8 the format's: the format's comes first.
        let text = self.string(Major::Text, 0, usize::MAX);
        let Ok(text) = str::from_utf8(text) else {
            self.fail(CborError::Utf8 {
                field: self.field,
                offset,
            });
            return "";
        };
        self.length(text.len(), min, max);
        text
    }

    /// Reads the head of an array of exactly `len` elements.
    pub(crate) fn array(&mut self, field: &'static str, len: usize) {
        self.field = field;
        self.array_of(len, len);
    }

    /// Reads an array of `min` to `N` elements, each into a copy of `blank`.
    pub(crate) fn list<T: Clone, E, const N: usize>(
        &mut self,
        min: usize,
        list: &mut Vec<T, N>,
        blank: &T,
        mut read: impl FnMut(&mut T, &mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let field = self.field;
        list.clear();
        for _ in 0..self.array_of(min, N) {
            self.field = field;
            // Never full: the number was checked.
            let _ = list.push(blank.clone());
            if let Some(element) = list.last_mut() {
                read(element, self)?;
            }
            if self.error.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Reads a tag, which must be `expected`.
    pub(crate) fn tag(&mut self, field: &'static str, expected: u64) {
        self.field = field;
        let found = self.head(Major::Tag);
        if found != expected {
            self.fail(CborError::Tag {
                field,
                expected,
                found,
            });
        }
    }

    /// Reads the head of an array of `min` to `max` elements; 0 after an error.
    #[inline(never)]
    fn array_of(&mut self, min: usize, max: usize) -> u64 {
        let found = self.head(Major::Array);
        if !(min as u64..=max as u64).contains(&found) {
            self.fail(CborError::ElementCount {
                field: self.field,
                min,
                max,
                found,
            });
        }
        match self.error {
            None => found,
            Some(_) => 0,
        }
    }

    /// Reads a string of `min` to `max` bytes; an empty one after an error.
    #[inline(never)]
    fn string(&mut self, major: Major, min: usize, max: usize) -> &'b [u8] {
        let offset = self.position;
        let length = self.head(major);
        let rest = self.input.get(self.position..).unwrap_or_default();
        let bytes = usize::try_from(length).ok().and_then(|n| rest.get(..n));
        let Some(bytes) = bytes else {
            self.fail(CborError::Truncated {
                field: self.field,
                offset,
            });
            return &[];
        };
        self.position = self.position.saturating_add(bytes.len());
        self.length(bytes.len(), min, max);
        bytes
    }

    /// Refuses a length outside `min..=max`.
    fn length(&mut self, found: usize, min: usize, max: usize) {
        if !(min..=max).contains(&found) {
            self.fail(CborError::Length {
                field: self.field,
                min,
                max,
                found,
            });
        }
    }

    /// Reads the head of a value of the given type and returns its argument; 0 after an error.
    ///
    /// Additional information 28 to 30, which no integer or length has, counts as another type.
    #[inline(never)]
    fn head(&mut self, major: Major) -> u64 {
        if self.error.is_some() {
            return 0;
        }
        match self.try_head(major) {
            Ok(argument) => argument,
            Err(error) => {
                self.error = Some(error);
                0
            }
        }
    }

    fn try_head(&mut self, major: Major) -> Result<u64, CborError> {
        let (field, offset) = (self.field, self.position);
        let truncated = CborError::Truncated { field, offset };
        let found = self.peek().ok_or(truncated)?;
        let information = found & 0x1F;
        if major.has_length() && information == INDEFINITE && found >> 5 == major as u8 {
            return Err(CborError::IndefiniteLength { field, offset });
        }
        let size = match information {
            0..ARGUMENT_FOLLOWS => 0,
            24..28 => 1_usize << (information & 3),
            _ => usize::MAX,
        };
        if found >> 5 != major as u8 || size == usize::MAX {
            return Err(CborError::Type {
                field,
                offset,
                expected: major.expected(),
                found,
            });
        }
        let start = offset.saturating_add(1);
        let end = start.saturating_add(size);
        let bytes = self.input.get(start..end).ok_or(truncated)?;
        self.position = end;
        let argument = bytes
            .iter()
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
        if size == 0 {
            return Ok(information.into());
        }
        // The shortest form is the only one: what half of the bytes could say must not take all.
        let shorter = match size {
            1 => argument < ARGUMENT_FOLLOWS.into(),
            2 => argument >> 8 == 0,
            4 => argument >> 16 == 0,
            _ => argument >> 32 == 0,
        };
        if shorter {
            return Err(CborError::NotShortest { offset });
        }
        Ok(argument)
    }

    /// Keeps the first error.
    fn fail(&mut self, error: CborError) {
        self.error.get_or_insert(error);
    }

    /// Returns the initial byte of the next value.
    fn peek(&self) -> Option<u8> {
        self.input.get(self.position).copied()
    }
}
