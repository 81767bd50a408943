//! Why a bootloader could not be adapted.

use core::fmt;
use std::error::Error;

use espseal_format::image::{ImageError, PaddingError};
use espseal_format::read::PastEnd;
use espseal_format::units::FlashOffset;

/// Why a partition table could not be moved in a bootloader.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum RelocateError {
    /// The bootloader is no valid image.
    Image(ImageError<PastEnd>),
    /// The offset does not stand in the bootloader exactly once, so which word to change is a guess.
    NotOne {
        /// The offset looked for.
        value: FlashOffset,
        /// How many aligned words have that value.
        found: usize,
    },
}

impl From<ImageError<PastEnd>> for RelocateError {
    fn from(error: ImageError<PastEnd>) -> Self {
        Self::Image(error)
    }
}

impl fmt::Display for RelocateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(_) => write!(f, "the bootloader is not a valid image"),
            Self::NotOne { value, found } => write!(
                f,
                "the bootloader holds the partition table offset {value} {found} times, expected \
                 once: compile one with CONFIG_PARTITION_TABLE_OFFSET set and pass it with --bootloader"
            ),
        }
    }
}

impl Error for RelocateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Image(error) => Some(error),
            Self::NotOne { .. } => None,
        }
    }
}

/// Why the built-in bootloader could not be adapted to the default layout.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum BootloaderError {
    /// It is no valid image.
    Image(ImageError<PastEnd>),
    /// Its partition table could not be moved.
    Relocate(RelocateError),
    /// Its flash size could not be set.
    FlashSize(PaddingError),
}

impl From<ImageError<PastEnd>> for BootloaderError {
    fn from(error: ImageError<PastEnd>) -> Self {
        Self::Image(error)
    }
}

impl From<RelocateError> for BootloaderError {
    fn from(error: RelocateError) -> Self {
        Self::Relocate(error)
    }
}

impl From<PaddingError> for BootloaderError {
    fn from(error: PaddingError) -> Self {
        Self::FlashSize(error)
    }
}

impl fmt::Display for BootloaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(_) => write!(f, "the built-in bootloader is not a valid image"),
            Self::Relocate(_) => write!(f, "the built-in bootloader's partition table stays put"),
            Self::FlashSize(_) => write!(f, "the built-in bootloader's flash size stays put"),
        }
    }
}

impl Error for BootloaderError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Image(error) => Some(error),
            Self::Relocate(error) => Some(error),
            Self::FlashSize(error) => Some(error),
        }
    }
}
