//! The signed documents: who may sign, what is on offer, what holds now, and what a release is.
//!
//! Each type has `parse`, which accepts exactly one encoding of a valid document, and `encode`,
//! which refuses what `parse` would refuse. Signatures are the business of [`crate::cose`]: these
//! are the payloads.

use core::fmt;

use crate::cbor::{CborError, Reader};
use crate::cohort::Ppm;
use crate::units::ChannelName;

pub mod direct;
pub mod manifest;
pub mod now;
pub mod releases;
pub mod root;

/// A payload that is not a valid document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetadataError {
    /// The bytes are not the one encoding of such a document.
    Encoding(CborError),
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
    /// A number that another field determines.
    Mismatch {
        /// The field.
        field: &'static str,
        /// What the other field asks for.
        expected: u64,
        /// Number received.
        found: u64,
    },
    /// A list names the same thing twice.
    Duplicate {
        /// The list.
        field: &'static str,
        /// Element that repeats the one before it, from 0.
        index: usize,
    },
    /// A list is not in ascending order.
    Order {
        /// The list.
        field: &'static str,
        /// Element that should stand before the one before it, from 0.
        index: usize,
    },
    /// A public key is not an uncompressed point.
    PointFormat {
        /// The field.
        field: &'static str,
        /// First byte of the key; 0x04 is expected.
        found: u8,
    },
    /// A character that the field does not allow.
    Character {
        /// The field.
        field: &'static str,
        /// The first such character.
        found: char,
    },
}

impl From<CborError> for MetadataError {
    fn from(error: CborError) -> Self {
        Self::Encoding(error)
    }
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding(error) => error.fmt(f),
            Self::Range {
                field,
                min,
                max,
                found,
            } => write!(f, "{field} lies in {min} to {max}, found {found}"),
            Self::Mismatch {
                field,
                expected,
                found,
            } => write!(f, "{field} should be {expected}, found {found}"),
            Self::Duplicate { field, index } => {
                write!(f, "element {index} of {field} repeats the one before it")
            }
            Self::Order { field, index } => write!(
                f,
                "element {index} of {field} belongs before the one before it: sort the list"
            ),
            Self::PointFormat { field, found } => write!(
                f,
                "{field} should be an uncompressed point beginning with 0x04, found {found:#04x}"
            ),
            Self::Character { field, found } => {
                write!(f, "{field} does not allow the character {found:?}")
            }
        }
    }
}

impl core::error::Error for MetadataError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Encoding(error) => Some(error),
            _ => None,
        }
    }
}

/// Refuses `found` outside `min..=max`.
pub(crate) fn check_range(
    field: &'static str,
    min: u64,
    max: u64,
    found: u64,
) -> Result<(), MetadataError> {
    if (min..=max).contains(&found) {
        return Ok(());
    }
    Err(MetadataError::Range {
        field,
        min,
        max,
        found,
    })
}

/// Refuses a list whose keys do not rise strictly.
pub(crate) fn check_ascending<'a, T: 'a, K: Ord>(
    field: &'static str,
    list: impl IntoIterator<Item = &'a T>,
    key: impl Fn(&'a T) -> K,
) -> Result<(), MetadataError> {
    let mut previous: Option<K> = None;
    for (index, element) in list.into_iter().enumerate() {
        let current = key(element);
        match previous.as_ref().map(|previous| previous.cmp(&current)) {
            None | Some(core::cmp::Ordering::Less) => {}
            Some(core::cmp::Ordering::Equal) => {
                return Err(MetadataError::Duplicate { field, index });
            }
            Some(core::cmp::Ordering::Greater) => {
                return Err(MetadataError::Order { field, index });
            }
        }
        previous = Some(current);
    }
    Ok(())
}

/// Reads a channel name.
#[inline(never)]
pub(crate) fn read_channel(
    reader: &mut Reader<'_>,
    field: &'static str,
    out: &mut ChannelName,
) -> Result<(), MetadataError> {
    let text = reader.text(1, 24);
    let allowed = |c: &char| matches!(c, 'a'..='z' | '0'..='9' | '-');
    let found = text.chars().find(|c| !allowed(c)).unwrap_or_default();
    *out = ChannelName::new(text).ok_or(MetadataError::Character { field, found })?;
    Ok(())
}

/// Reads a share of a fleet.
pub(crate) fn read_ppm(
    reader: &mut Reader<'_>,
    field: &'static str,
    out: &mut Ppm,
) -> Result<(), MetadataError> {
    let found = reader.u32();
    *out = Ppm::new(found).ok_or(MetadataError::Range {
        field,
        min: 0,
        max: Ppm::ALL.get().into(),
        found: found.into(),
    })?;
    Ok(())
}
