//! What is wrong with an encoding, and where.

use core::fmt;

/// Bytes that are not the one encoding of a document.
///
/// `field` and `document` are names of `docs/protocol.md`; offsets count from the document's
/// first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CborError {
    /// More bytes than such a document may have.
    TooLong {
        /// The document.
        document: &'static str,
        /// Longest that is accepted.
        limit: usize,
        /// Length received.
        found: usize,
    },
    /// The bytes end within a field.
    Truncated {
        /// The field.
        field: &'static str,
        /// Where the field begins.
        offset: usize,
    },
    /// Bytes follow the end of the document.
    Trailing {
        /// The document.
        document: &'static str,
        /// Where the document ends.
        expected: usize,
        /// Length received.
        found: usize,
    },
    /// A field is of another type.
    Type {
        /// The field.
        field: &'static str,
        /// Where the field begins.
        offset: usize,
        /// What should stand there.
        expected: &'static str,
        /// Initial byte that stands there.
        found: u8,
    },
    /// A string, array or map of indefinite length.
    IndefiniteLength {
        /// The field.
        field: &'static str,
        /// Where the field begins.
        offset: usize,
    },
    /// An integer or a length takes more bytes than it needs.
    NotShortest {
        /// Where the encoding first differs from the shortest one.
        offset: usize,
    },
    /// A tag other than the expected one.
    Tag {
        /// The field.
        field: &'static str,
        /// Tag of such a document.
        expected: u64,
        /// Tag received.
        found: u64,
    },
    /// A map has more or fewer entries than its kind.
    EntryCount {
        /// The map.
        field: &'static str,
        /// Entries of such a map.
        expected: usize,
        /// Entries received.
        found: u64,
    },
    /// A map key appears twice.
    DuplicateKey {
        /// The field that should stand there.
        field: &'static str,
        /// Where the second appearance begins.
        offset: usize,
        /// The key.
        found: u64,
    },
    /// A map key is unknown or out of order.
    Key {
        /// The field that should stand there.
        field: &'static str,
        /// Where the key begins.
        offset: usize,
        /// Key of the field.
        expected: u64,
        /// Key received.
        found: u64,
    },
    /// An array with too few or too many elements.
    ElementCount {
        /// The array.
        field: &'static str,
        /// Fewest elements.
        min: usize,
        /// Most elements.
        max: usize,
        /// Elements received.
        found: u64,
    },
    /// A byte string or text of a length that the field does not allow.
    Length {
        /// The field.
        field: &'static str,
        /// Shortest, in bytes.
        min: usize,
        /// Longest, in bytes.
        max: usize,
        /// Length received.
        found: usize,
    },
    /// A number outside the field's range.
    Range {
        /// The field.
        field: &'static str,
        /// Lowest that is accepted.
        min: u64,
        /// Highest that is accepted.
        max: u64,
        /// Number received.
        found: u64,
    },
    /// Text that is not UTF-8.
    Utf8 {
        /// The field.
        field: &'static str,
        /// Where the field begins.
        offset: usize,
    },
}

impl fmt::Display for CborError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooLong {
                document,
                limit,
                found,
            } => write!(f, "{document} is {found} bytes long, the limit is {limit}"),
            Self::Truncated { field, offset } => {
                write!(f, "the bytes end within {field}, which begins at {offset}")
            }
            Self::Trailing {
                document,
                expected,
                found,
            } => write!(
                f,
                "{document} ends after {expected} bytes, but {found} were given"
            ),
            Self::Type {
                field,
                offset,
                expected,
                found,
            } => write!(
                f,
                "{field} at {offset} should be {expected}, found byte {found:#04x}"
            ),
            Self::IndefiniteLength { field, offset } => write!(
                f,
                "{field} at {offset} has indefinite length, encode it with its length"
            ),
            Self::NotShortest { offset } => {
                write!(
                    f,
                    "the number or length at {offset} is not in shortest form"
                )
            }
            Self::Tag {
                field,
                expected,
                found,
            } => write!(f, "{field} should carry tag {expected}, found tag {found}"),
            Self::EntryCount {
                field,
                expected,
                found,
            } => write!(f, "{field} has {expected} entries, found {found}"),
            Self::DuplicateKey {
                field,
                offset,
                found,
            } => write!(
                f,
                "key {found} appears again at {offset}, where {field} should be"
            ),
            Self::Key {
                field,
                offset,
                expected,
                found,
            } => write!(
                f,
                "expected key {expected} ({field}) at {offset}, found key {found}: keys are fixed \
                 and ascend"
            ),
            Self::ElementCount {
                field,
                min,
                max,
                found,
            } => write!(f, "{field} has {min} to {max} elements, found {found}"),
            Self::Length {
                field,
                min,
                max,
                found,
            } if min == max => write!(f, "{field} is {min} bytes long, found {found}"),
            Self::Length {
                field,
                min,
                max,
                found,
            } => write!(f, "{field} is {min} to {max} bytes long, found {found}"),
            Self::Range {
                field,
                min,
                max,
                found,
            } => write!(f, "{field} lies in {min} to {max}, found {found}"),
            Self::Utf8 { field, offset } => write!(f, "{field} at {offset} is not UTF-8"),
        }
    }
}

impl core::error::Error for CborError {}

/// A value that cannot be encoded; `E` is what parsing would refuse it with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError<E> {
    /// The value breaks a rule of its document: correct the value.
    Invalid(E),
    /// The encoding would exceed what a device accepts: split or shorten the value.
    TooLong {
        /// The document.
        document: &'static str,
        /// Longest that a device accepts.
        limit: usize,
        /// Length of the encoding.
        found: usize,
    },
    /// The buffer is too small: offer `needed` bytes.
    BufferTooSmall {
        /// Length of the encoding.
        needed: usize,
        /// Length of the buffer.
        found: usize,
    },
}

impl<E: fmt::Display> fmt::Display for EncodeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => error.fmt(f),
            Self::TooLong {
                document,
                limit,
                found,
            } => write!(
                f,
                "{document} would be {found} bytes long, devices accept {limit}"
            ),
            Self::BufferTooSmall { needed, found } => {
                write!(
                    f,
                    "the encoding takes {needed} bytes, the buffer has {found}"
                )
            }
        }
    }
}

impl<E: core::error::Error> core::error::Error for EncodeError<E> {}
