//! Decisions at power-on: the ROM's, then those of ESP-IDF's bootloader.
//!
//! The twin does not run code. It decides what the real boot chain would decide, writes to flash and
//! eFuses what that would write, and says why in the words of its log.

mod first_boot;
mod image;
mod log;
mod otadata;
mod pins;
mod rom;
mod second_stage;
mod settings;
mod signature;
mod table;

use core::fmt;

use espseal_format::units::FlashOffset;

pub(crate) use image::{Checks, ImageKind, Part, Refusal, SignatureCheck, verify_image};
pub use log::{Level, Line, Log};
pub(crate) use otadata::ABORTED;
pub(crate) use otadata::{INVALID, NEW, PENDING_VERIFY, VALID};
pub(crate) use otadata::{RawEntry, active, read as read_otadata, write as write_otadata};
pub use pins::HeldPin;
pub use rom::RomRefusal;
pub(crate) use second_stage::stated_flash_size;
use second_stage::{SecondStage, Stop};
pub use settings::{
    AntiRollback, AppExtent, AppTest, BootloaderSettings, EncryptionBuild, EncryptionMode,
    FactoryReset, FirstBoot, FirstBootJtag, FirstBootLocks, FlashEncryptionSupport, OtadataReset,
    Rollback, SecureBootSupport,
};
pub(crate) use signature::Trusted;
pub(crate) use table::{Table, load as load_table};

use crate::bus::Bus;
use crate::efuse::Efuses;

/// What happened at power-on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootReport {
    /// What runs, or why nothing does.
    pub outcome: BootOutcome,
    /// The steps that led there.
    pub decisions: Vec<Decision>,
    /// The log, in the words of the ROM and ESP-IDF.
    pub log: Log,
}

/// What runs after power-on, or why nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootOutcome {
    /// An app runs.
    Running(RunningApp),
    /// Nothing runs: the device resets and fails again, for ever.
    Failed(BootFailure),
    /// Power was cut while booting.
    PowerLost,
}

/// The app that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningApp {
    /// Its partition.
    pub slot: AppSlot,
    /// First byte of the partition.
    pub offset: FlashOffset,
    /// Length of the partition.
    pub size: u32,
    /// Length of the image with its appended hash, without a signature sector.
    pub image_len: u32,
}

/// A partition that can hold an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppSlot {
    /// `factory`.
    Factory,
    /// `ota_0` to `ota_15`.
    Ota(u8),
    /// `test`.
    Test,
}

/// Why nothing runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BootFailure {
    /// The ROM does not start the bootloader.
    Rom(RomRefusal),
    /// The bootloader is for another chip, or for a later revision of it.
    ForeignBootloader,
    /// The partition table is refused.
    PartitionTable,
    /// The otadata partition is too small.
    OtadataUnreadable,
    /// No app verifies.
    NoBootableApp,
    /// The bootloader has secure boot compiled in, and it is not burnt.
    SecureBootNotEnabled,
    /// The bootloader has flash encryption compiled in, and it is not burnt.
    FlashEncryptionNotEnabled,
    /// The bootloader could not turn secure boot on.
    SecureBootSetup,
    /// The bootloader could not turn flash encryption on.
    FlashEncryptionSetup,
    /// It resets itself again and again.
    Restarts,
    /// The pin of the test app is held, and the table has no test app.
    NoTestApp,
    /// The flash chip is smaller than what the bootloader expects.
    FlashUnreadable,
}

/// One decision of the bootloader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// An entry was PENDING at power-on: the app did not confirm in time.
    Aborted {
        /// 0 or 1.
        entry: usize,
    },
    /// Both entries are blank or rejected: factory, or else slot 0.
    Defaulted,
    /// No entry is usable, though not both are blank: every app is tried from the factory app on.
    OtadataInvalid,
    /// This entry decides.
    Selected {
        /// 0 or 1.
        entry: usize,
        /// The slot it names.
        slot: AppSlot,
    },
    /// The entry was NEW: this boot is its only trial.
    MarkedPending {
        /// 0 or 1.
        entry: usize,
    },
    /// The app in this slot does not verify; the next is tried.
    NotBootable {
        /// The slot.
        slot: AppSlot,
    },
    /// Nothing had ever been written to otadata; now the slot that boots is.
    WroteActualSequence {
        /// Sequence number written.
        seq: u32,
    },
    /// The pin of the factory reset is held: data partitions were erased.
    FactoryReset,
    /// The bootloader turned secure boot on.
    EnabledSecureBoot,
    /// The bootloader encrypted the flash and reset the chip.
    EnabledFlashEncryption,
}

impl RunningApp {
    const fn new(slot: AppSlot, part: Part, image_len: u32) -> Self {
        Self {
            slot,
            offset: FlashOffset::new(part.offset),
            size: part.size,
            image_len,
        }
    }
}

impl Default for BootReport {
    /// A device that restarts for ever.
    fn default() -> Self {
        Self {
            outcome: BootOutcome::Failed(BootFailure::Restarts),
            decisions: Vec::new(),
            log: Log::default(),
        }
    }
}

impl BootReport {
    /// The app that runs, if one does.
    #[must_use]
    pub const fn running(&self) -> Option<RunningApp> {
        match self.outcome {
            BootOutcome::Running(app) => Some(app),
            BootOutcome::Failed(_) | BootOutcome::PowerLost => None,
        }
    }
}

impl fmt::Display for AppSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Factory => f.write_str("factory"),
            Self::Ota(number) => write!(f, "ota_{number}"),
            Self::Test => f.write_str("test"),
        }
    }
}

/// Boots a device whose power is on, up to an app, a failure, or a reset that the bootloader asks for.
pub(crate) fn boot(
    bus: &mut Bus<'_>,
    efuses: &mut Efuses,
    settings: &BootloaderSettings,
    held: HeldPin,
    report: &mut BootReport,
) -> Next {
    let BootReport {
        outcome,
        decisions,
        log,
    } = report;
    let stop = match rom::load_bootloader(bus, efuses, log) {
        Err(Refusal::PowerLost) => Stop::PowerLost,
        Err(Refusal::Invalid) => Stop::Failed(BootFailure::FlashUnreadable),
        Ok(Err(refusal)) => Stop::Failed(BootFailure::Rom(refusal)),
        Ok(Ok(())) => SecondStage {
            bus,
            efuses,
            settings,
            held,
            log,
            decisions,
        }
        .run(),
    };
    *outcome = match stop {
        Stop::Running(app) => BootOutcome::Running(app),
        Stop::Failed(failure) => BootOutcome::Failed(failure),
        Stop::PowerLost => BootOutcome::PowerLost,
        Stop::Reset => return Next::Reset,
    };
    Next::Done
}

/// What follows a run of the boot chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The report says how it ended.
    Done,
    /// The bootloader resets the chip, which boots again.
    Reset,
}
