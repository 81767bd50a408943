//! What the bootloader does between a verified app and its start: turn secure boot and flash encryption
//! on, on a chip where they are compiled in and not burnt.
//!
//! Nothing here has a journal. Secure boot v2 is burnt first, then the flash encryption key and the
//! locks; then the flash is encrypted in place, sector by sector; then the counter is burnt and the
//! chip resets. A power cut in between leaves what it leaves.
//!
//! Source: ESP-IDF `components/bootloader_support/src/bootloader_utility.c` (`load_image`).

mod encryption;
mod secure_boot_v2;

use super::image::{Part, Refusal, Verified};
use super::second_stage::SecondStage;
use super::settings::{FlashEncryptionSupport, SecureBootSupport};
use super::table::Table;
use super::{BootFailure, Decision};
use crate::efuse::EfuseError;

/// What follows a verified app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// It runs.
    Runs,
    /// Flash encryption was turned on: the chip resets.
    Resets,
    /// Security could not be turned on: the app does not run.
    Refused(BootFailure),
}

/// Why a step of the first boot ends early.
enum Halt {
    /// For this reason, which the log explains.
    Refused(BootFailure),
    /// Power went.
    PowerLost,
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::PowerLost => Self::PowerLost,
            Refusal::Invalid => Self::Refused(BootFailure::FlashUnreadable),
        }
    }
}

impl SecondStage<'_, '_> {
    /// Turns on what is compiled in and not burnt, then starts the app.
    pub(super) fn start(
        &mut self,
        part: Part,
        app: &Verified,
        table: &Table,
    ) -> Result<Start, Refusal> {
        let started = match self.turn_security_on(part, app, table) {
            Ok(start) => start,
            Err(Halt::Refused(failure)) => Start::Refused(failure),
            Err(Halt::PowerLost) => return Err(Refusal::PowerLost),
        };
        if started == Start::Runs {
            self.log
                .info("boot", "Disabling RNG early entropy source...");
        }
        Ok(started)
    }

    fn turn_security_on(
        &mut self,
        part: Part,
        app: &Verified,
        table: &Table,
    ) -> Result<Start, Halt> {
        if matches!(self.settings.secure_boot, SecureBootSupport::V2(_)) {
            self.enable_secure_boot_v2(part, app)?;
        }
        let FlashEncryptionSupport::CompiledIn(build) = self.settings.flash_encryption else {
            return Ok(Start::Runs);
        };
        self.log.info("boot", "Checking flash encryption...");
        if self.flash_encryption_is_on() {
            return Ok(Start::Runs);
        }
        self.enable_flash_encryption(build, table)?;
        self.decisions.push(Decision::EnabledFlashEncryption);
        self.log
            .info("boot", "Resetting with flash encryption enabled...");
        Ok(Start::Resets)
    }
}

/// Loss of power ends the boot; every other error of the eFuses ends the step.
fn burnt(result: Result<(), EfuseError>, failure: BootFailure) -> Result<(), Halt> {
    match result {
        Ok(()) => Ok(()),
        Err(EfuseError::PowerLost(_)) => Err(Halt::PowerLost),
        Err(_) => Err(Halt::Refused(failure)),
    }
}
