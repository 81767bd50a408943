//! Decisions at power-on: the ROM's, then those of ESP-IDF's bootloader.
//!
//! The twin does not run code. It decides what the real boot chain would decide, writes to flash and
//! eFuses what that would write, and says why in the words of its log.

mod image;
mod log;
mod otadata;
mod rom;
mod second_stage;
mod signature;
mod table;

use core::fmt;

use espseal_format::units::FlashOffset;

pub(crate) use image::{Checks, Part, Refusal, verify_app};
pub use log::{Level, Line, Log};
pub(crate) use otadata::ABORTED;
pub(crate) use otadata::{INVALID, NEW, PENDING_VERIFY, VALID};
pub(crate) use otadata::{RawEntry, active, read as read_otadata, write as write_otadata};
pub use rom::RomRefusal;
use second_stage::SecondStage;
pub(crate) use signature::Trusted;
pub(crate) use table::{Table, load as load_table};

use crate::bus::Bus;
use crate::efuse::Efuses;

/// How the bootloader was configured when it was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootloaderSettings {
    /// `CONFIG_PARTITION_TABLE_OFFSET`.
    pub partition_table: FlashOffset,
    /// `CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE`.
    pub rollback: Rollback,
    /// `CONFIG_BOOTLOADER_APP_ANTI_ROLLBACK`.
    pub anti_rollback: AntiRollback,
    /// `CONFIG_SECURE_BOOT_V2_ENABLED`.
    pub secure_boot: SecureBootSupport,
}

/// Whether the bootloader keeps rollback states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollback {
    /// PENDING becomes ABORTED, NEW becomes PENDING.
    Enabled,
    /// States are read, never written.
    Disabled,
}

/// Whether the bootloader compares secure versions with eFuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AntiRollback {
    /// Older apps are not booted, and VALID ones raise the counter.
    Enabled,
    /// Secure versions are ignored.
    Disabled,
}

/// Whether the bootloader verifies signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecureBootSupport {
    /// Apps are verified against the eFuse digests; without secure boot burnt, nothing is booted.
    CompiledIn,
    /// Signatures are ignored.
    Absent,
}

impl Default for BootloaderSettings {
    /// Table at 0x8000, rollback and secure boot on, anti-rollback off.
    fn default() -> Self {
        Self {
            partition_table: FlashOffset::new(0x8000),
            rollback: Rollback::Enabled,
            anti_rollback: AntiRollback::Disabled,
            secure_boot: SecureBootSupport::CompiledIn,
        }
    }
}

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
    /// The partition table is refused.
    PartitionTable,
    /// The otadata partition is too small.
    OtadataUnreadable,
    /// No app verifies.
    NoBootableApp,
    /// The bootloader has secure boot compiled in, and it is not burnt.
    SecureBootNotEnabled,
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
}

impl RunningApp {
    fn new(slot: AppSlot, part: Part, image_len: u32) -> Self {
        Self {
            slot,
            offset: FlashOffset::new(part.offset),
            size: part.size,
            image_len,
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

/// Boots a device whose power is on.
pub(crate) fn boot(
    bus: &mut Bus<'_>,
    efuses: &mut Efuses,
    settings: &BootloaderSettings,
) -> BootReport {
    let mut log = Log::default();
    let mut decisions = Vec::new();
    let trusted = efuses
        .secure_boot_enabled()
        .then(|| Trusted::from_efuses(efuses));
    let outcome = match rom::load_bootloader(bus, efuses.model(), trusted.as_ref(), &mut log) {
        Err(Refusal::PowerLost) => BootOutcome::PowerLost,
        Err(Refusal::Invalid) => BootOutcome::Failed(BootFailure::FlashUnreadable),
        Ok(Err(refusal)) => BootOutcome::Failed(BootFailure::Rom(refusal)),
        Ok(Ok(())) => {
            let (log, decisions) = (&mut log, &mut decisions);
            SecondStage {
                bus,
                efuses,
                settings,
                log,
                decisions,
            }
            .run()
        }
    };
    BootReport {
        outcome,
        decisions,
        log,
    }
}
