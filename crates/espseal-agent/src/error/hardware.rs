//! Errors of the flash chip and the key hardware: `0x05xx`.

use core::fmt;

use espseal_format::units::FlashOffset;

use crate::flash::{FlashFault, FlashFaultKind};

/// The hardware failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HardwareError {
    /// The flash driver reported a fault.
    Flash {
        /// What was being done.
        operation: FlashOperation,
        /// Where.
        at: FlashOffset,
        /// Which fault.
        kind: FlashFaultKind,
        /// The driver's own number, 0 if it has none.
        code: u32,
    },
    /// The flash reads back other bytes than were written.
    ReadBack {
        /// First byte of the sector.
        at: FlashOffset,
    },
    /// The key hardware did not sign.
    Signing,
}

/// An operation of the flash driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashOperation {
    /// Reading.
    Read,
    /// Erasing and writing a sector.
    Replace,
    /// Erasing a sector.
    Erase,
}

impl HardwareError {
    /// The stable number of this error.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Flash { kind, .. } => match kind {
                FlashFaultKind::WriteProtected => 0x0501,
                FlashFaultKind::OutOfRange => 0x0502,
                FlashFaultKind::Hardware => 0x0503,
                FlashFaultKind::PowerLost => 0x0504,
            },
            Self::ReadBack { .. } => 0x0505,
            Self::Signing => 0x0506,
        }
    }

    /// Wraps a driver's error with what the agent was doing.
    pub(crate) fn flash<E: FlashFault>(
        operation: FlashOperation,
        at: FlashOffset,
        error: &E,
    ) -> Self {
        Self::Flash {
            operation,
            at,
            kind: error.kind(),
            code: error.code(),
        }
    }
}

impl fmt::Display for HardwareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash {
                operation,
                at,
                kind,
                code,
            } => {
                let verb = match operation {
                    FlashOperation::Read => "reading",
                    FlashOperation::Replace => "writing",
                    FlashOperation::Erase => "erasing",
                };
                let why = match kind {
                    FlashFaultKind::WriteProtected => {
                        "chip is write-protected; clear its block protection bits"
                    }
                    FlashFaultKind::OutOfRange => "outside the chip or unaligned; check the layout",
                    FlashFaultKind::Hardware => "chip failed",
                    FlashFaultKind::PowerLost => "power was lost",
                };
                write!(f, "{verb} flash at {at}: {why} (driver error {code:#x})")
            }
            Self::ReadBack { at } => {
                write!(
                    f,
                    "flash at {at} reads back other bytes than were written; the chip is worn"
                )
            }
            Self::Signing => f.write_str("key hardware did not sign"),
        }
    }
}
