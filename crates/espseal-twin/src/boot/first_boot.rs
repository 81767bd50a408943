//! What the bootloader does between a verified app and its start: turn secure boot and flash encryption
//! on, on a chip where they are compiled in and not burnt.
//!
//! Nothing here has a journal. Secure boot v2 is burnt first, then the flash encryption key and the
//! locks; then the flash is encrypted in place, sector by sector; then the counter is burnt and the
//! chip resets. A power cut in between leaves what it leaves.
//!
//! Source: ESP-IDF `components/bootloader_support/src/bootloader_utility.c` (`load_image`).

mod encryption;
mod secure_boot_v1;
mod secure_boot_v2;

use espseal_format::chip::Burn;

use super::image::{Part, Refusal, Verified};
use super::second_stage::SecondStage;
use super::settings::{FirstBootJtag, FlashEncryptionSupport, SecureBootSupport};
use super::table::Table;
use super::{BootFailure, Decision};
use crate::efuse::EfuseError;
use crate::efuse::batch::Batch;

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
        let build = match self.settings.flash_encryption {
            FlashEncryptionSupport::Absent => None,
            FlashEncryptionSupport::CompiledIn(build) => Some(build),
        };
        let v2 = matches!(self.settings.secure_boot, SecureBootSupport::V2(_));
        let v1 = matches!(self.settings.secure_boot, SecureBootSupport::V1 { .. });
        let together = v2 && build.is_some() && self.efuses.keys_share_a_block();
        let mut batch = Batch::default();
        if together {
            self.refuse_half_enabled()?;
        }
        if v2 {
            self.enable_secure_boot_v2(&mut batch, part, app)?;
            if !together {
                self.burn(std::mem::take(&mut batch), BootFailure::SecureBootSetup)?;
            }
        }
        if v1 {
            self.generate_bootloader_digest()?;
        }
        let Some(build) = build else {
            if v1 {
                self.enable_secure_boot_v1()?;
            }
            return Ok(Start::Runs);
        };
        self.log.info("boot", "Checking flash encryption...");
        let on = self.flash_encryption_is_on();
        if !on {
            self.prepare_flash_encryption(&mut batch, build)?;
            self.burn(batch, BootFailure::FlashEncryptionSetup)?;
            self.encrypt_flash(build, table)?;
        }
        if v1 {
            self.enable_secure_boot_v1()?;
        }
        if on {
            return Ok(Start::Runs);
        }
        self.decisions.push(Decision::EnabledFlashEncryption);
        self.log
            .info("boot", "Resetting with flash encryption enabled...");
        Ok(Start::Resets)
    }

    /// Both keys go into one block of eFuses, which can be burnt only once.
    fn refuse_half_enabled(&mut self) -> Result<(), Halt> {
        let (set, _) = self.efuses.flash_crypt_count();
        if self.efuses.secure_boot_enabled() == (set != 0) {
            return Ok(());
        }
        self.log.error(
            "boot",
            "Secure Boot and Flash Encryption cannot be enabled separately, only together (their keys go into one eFuse key block)",
        );
        Err(Halt::Refused(BootFailure::SecureBootSetup))
    }

    /// Burns a batch and says so when it fails, or when it has turned secure boot v2 on.
    fn burn(&mut self, batch: Batch, failure: BootFailure) -> Result<(), Halt> {
        let before = self.efuses.secure_boot_enabled();
        let result = batch.burn(self.efuses);
        if let Err(error) = &result {
            self.log.error(
                "efuse",
                format!("Error programming security eFuses ({error})."),
            );
        }
        burnt(result, failure)?;
        if !before && self.efuses.secure_boot_enabled() {
            self.log
                .info("secure_boot_v2", "Secure boot permanently enabled");
            self.decisions.push(Decision::EnabledSecureBoot);
        }
        Ok(())
    }

    /// Adds locks of the chip's table; JTAG only where it is to be closed.
    fn add_locks(
        &mut self,
        batch: &mut Batch,
        burns: &[Burn],
        jtag: FirstBootJtag,
    ) -> Result<(), EfuseError> {
        let locks = &self.efuses.model().locks;
        let is_jtag = |name: &str| locks.jtag.contains(&name) || locks.jtag_soft == Some(name);
        let mut closes = false;
        for (name, value) in burns {
            closes |= is_jtag(name);
            if !is_jtag(name) || jtag == FirstBootJtag::Disabled {
                batch.set_named(self.efuses, name, *value)?;
            }
        }
        match (closes, jtag) {
            (true, FirstBootJtag::Disabled) => self.log.info("secure", "Disable JTAG..."),
            (true, FirstBootJtag::LeftOpen) => self
                .log
                .warning("secure", "Not disabling JTAG - SECURITY COMPROMISED"),
            (false, _) => {}
        }
        Ok(())
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
