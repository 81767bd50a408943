//! A root in journal sector 2 or 3: `u32le length || COSE bytes`, the rest 0xFF.

use core::fmt;

use crate::metadata::root;
use crate::units::SECTOR_SIZE;

/// Longest root that a sector holds, in bytes.
pub const MAX_ROOT_LEN: usize = root::MAX_LEN;

/// Bytes of the length.
const HEAD: usize = 4;

/// Returns the COSE bytes in a root sector; the caller verifies them again.
///
/// # Errors
/// [`RootBodyError`] when the length is zero, too large or beyond the sector.
pub fn parse_root_body(sector: &[u8]) -> Result<&[u8], RootBodyError> {
    let (head, rest) = sector
        .split_first_chunk::<HEAD>()
        .ok_or(RootBodyError::Sector {
            expected: SECTOR_SIZE,
            found: sector.len(),
        })?;
    let found = u32::from_le_bytes(*head);
    let length = usize::try_from(found)
        .ok()
        .filter(|length| (1..=MAX_ROOT_LEN).contains(length));
    let cose = length.and_then(|length| rest.get(..length));
    cose.ok_or(RootBodyError::Length {
        max: MAX_ROOT_LEN,
        found,
    })
}

/// Fills a root sector.
///
/// # Errors
/// [`RootBodyError::Length`] when `cose` is empty or too long.
pub fn encode_root_body(cose: &[u8], sector: &mut [u8; SECTOR_SIZE]) -> Result<(), RootBodyError> {
    let found = u32::try_from(cose.len()).unwrap_or(u32::MAX);
    if !(1..=MAX_ROOT_LEN).contains(&cose.len()) {
        return Err(RootBodyError::Length {
            max: MAX_ROOT_LEN,
            found,
        });
    }
    sector.fill(0xFF);
    let bytes = found.to_le_bytes();
    for (slot, byte) in sector.iter_mut().zip(bytes.iter().chain(cose)) {
        *slot = *byte;
    }
    Ok(())
}

/// A sector without a root, or a root that does not fit one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RootBodyError {
    /// Too few bytes to be a sector.
    Sector {
        /// Bytes of a sector.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// A root of this length cannot be.
    Length {
        /// Longest that can; the shortest is 1.
        max: usize,
        /// Length found.
        found: u32,
    },
}

impl fmt::Display for RootBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sector { expected, found } => {
                write!(f, "a root sector has {expected} bytes, found {found}")
            }
            Self::Length { max, found } => write!(
                f,
                "a root is 1 to {max} bytes long, found {found}: fall back to the built-in root"
            ),
        }
    }
}

impl core::error::Error for RootBodyError {}
