//! What a chip is now: out of the box, or as it was read.

use std::fmt;

use espseal_format::chip::ChipId;
use espseal_twin::efuse::emulator::{self, EmulatorFileError};
use espseal_twin::efuse::virt::{self, VirtFileError};
use espseal_twin::efuse::{CodingScheme, EfuseError, Efuses, Mac};

use super::summary::{self, SummaryError};
use crate::blame::Blame;

/// The eFuses of a chip before a plan is carried out.
#[derive(Clone, Debug)]
pub struct Present {
    efuses: Efuses,
    form: Form,
}

/// Where the present state comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A chip out of the box: nobody's in particular.
    Blank,
    /// `espefuse summary --format json`.
    Summary,
    /// The file of `espefuse --virt --path-efuse-file`.
    Virtual,
    /// The file of Espressif's emulator; it holds every key.
    Emulator,
}

impl Present {
    /// A chip out of the box; revision `major * 100 + minor`, that of chips that are sold when left out.
    ///
    /// # Errors
    /// [`EfuseError`] for a chip or revision that espseal does not know, and for a coding scheme on a
    /// chip other than the ESP32.
    pub fn blank(
        chip: ChipId,
        revision: Option<u16>,
        coding: CodingScheme,
    ) -> Result<Self, EfuseError> {
        let mut efuses = Efuses::as_shipped(chip, revision, NOBODY)?;
        match coding {
            CodingScheme::None => {}
            CodingScheme::ThreeQuarters => efuses.burn(CODING_SCHEME, 1)?,
            CodingScheme::Repeat => efuses.burn(CODING_SCHEME, 2)?,
        }
        Ok(Self {
            efuses,
            form: Form::Blank,
        })
    }

    /// A virtual chip.
    #[must_use]
    pub const fn of(efuses: Efuses) -> Self {
        Self {
            efuses,
            form: Form::Virtual,
        }
    }

    /// Reads `espefuse summary --format json`, the file of `espefuse --virt` or that of the emulator:
    /// their lengths tell them apart.
    ///
    /// # Errors
    /// [`PresentError`].
    pub fn parse(chip: ChipId, bytes: &[u8]) -> Result<Self, PresentError> {
        let blank = Efuses::blank(chip)?;
        let registers = &blank.map().registers;
        let (efuses, form) = if bytes.len() == registers.space {
            (virt::parse(chip, bytes)?, Form::Virtual)
        } else if bytes.len() == registers.emulator_size {
            (emulator::parse(chip, bytes)?, Form::Emulator)
        } else {
            (summary::parse(chip, bytes)?, Form::Summary)
        };
        Ok(Self { efuses, form })
    }

    /// The eFuses; what is hidden may be missing.
    #[must_use]
    pub const fn efuses(&self) -> &Efuses {
        &self.efuses
    }

    /// Where they come from.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// The address of the one chip that this is about; `None` when it is about any.
    #[must_use]
    pub fn mac(&self) -> Option<Mac> {
        let mac = self.efuses.mac();
        (self.form != Form::Blank && mac != NOBODY).then_some(mac)
    }
}

/// The address of a chip that has none yet.
const NOBODY: Mac = Mac([0; 6]);
/// The ESP32's field of [`CodingScheme`].
const CODING_SCHEME: &str = "CODING_SCHEME";

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blank => "a chip out of the box",
            Self::Summary => "a summary of espefuse",
            Self::Virtual => "an eFuse file of espefuse --virt",
            Self::Emulator => "an eFuse file of Espressif's emulator",
        })
    }
}

/// Why a file does not say what a chip is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PresentError {
    /// It is no summary of this chip.
    #[error(transparent)]
    Summary(#[from] SummaryError),
    /// It is no file of `espefuse --virt` for this chip.
    #[error(transparent)]
    Virtual(#[from] VirtFileError),
    /// It is no file of the emulator for this chip.
    #[error(transparent)]
    Emulator(#[from] EmulatorFileError),
    /// The chip is not known.
    #[error(transparent)]
    Efuse(#[from] EfuseError),
}

impl PresentError {
    /// Who has to act.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        Blame::Usage
    }
}
