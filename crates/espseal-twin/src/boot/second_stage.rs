//! What ESP-IDF's bootloader does: reads the partition table, selects by `otadata`, keeps the rollback
//! states, and loads the first app that verifies.
//!
//! It works backwards from the selected slot to the factory app, then forwards to the last slot, then
//! the test app: *any* slot that verifies may be booted.
//!
//! Source: ESP-IDF `components/bootloader_support/src/bootloader_utility.c`.

use espseal_format::units::{FlashOffset, SecurityVersion};

use super::first_boot::Start;
use super::image::{self, Checks, ImageKind, Part, Refusal, SignatureCheck, Verified};
use super::log::Log;
use super::otadata::{self, NEW, PENDING_VERIFY, RawEntry, VALID};
use super::pins::HeldPin;
use super::signature::Trusted;
use super::table::{self, Table};
use super::{
    AntiRollback, AppSlot, AppTest, BootFailure, BootloaderSettings, Decision, FactoryReset,
    Rollback, RunningApp, SecureBootSupport,
};
use crate::bus::Bus;
use crate::efuse::{EfuseError, Efuses};

const TAG: &str = "boot";
const FACTORY: i64 = -1;

/// Bytes that a bootloader takes its flash chip to have, by the fourth byte of its header.
pub(crate) const fn stated_flash_size(speed_size: u8) -> u32 {
    match speed_size >> 4 {
        nibble @ 0..=7 => 0x10_0000 << nibble,
        _ => 0x20_0000,
    }
}

/// One run of the second stage.
pub(crate) struct SecondStage<'a, 'b> {
    pub bus: &'a mut Bus<'b>,
    pub efuses: &'a mut Efuses,
    pub settings: &'a BootloaderSettings,
    pub held: HeldPin,
    pub log: &'a mut Log,
    pub decisions: &'a mut Vec<Decision>,
}

/// How a run of the second stage ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// An app runs.
    Running(RunningApp),
    /// Nothing does.
    Failed(BootFailure),
    /// The bootloader resets the chip.
    Reset,
    /// Power went.
    PowerLost,
}

impl SecondStage<'_, '_> {
    /// Runs up to the start of an app.
    pub(crate) fn run(mut self) -> Stop {
        match self.boot() {
            Ok(stop) => stop,
            // The bootloader only gives up with an error of its own; the rest is power.
            Err(Refusal::PowerLost) => Stop::PowerLost,
            Err(Refusal::Invalid) => Stop::Failed(BootFailure::FlashUnreadable),
        }
    }

    fn boot(&mut self) -> Result<Stop, Refusal> {
        let checks = Checks::of(self.efuses, ImageKind::Bootloader, SignatureCheck::None);
        if !image::bootloader_fits(self.bus, &checks, self.log)? {
            return Ok(Stop::Failed(BootFailure::ForeignBootloader));
        }
        let size = self.flash_size()?;
        let Some(table) = table::load(self.bus, self.settings.partition_table, size, self.log)?
        else {
            return Ok(Stop::Failed(BootFailure::PartitionTable));
        };
        let Some(mut selection) = self.select(&table)? else {
            return Ok(Stop::Failed(BootFailure::OtadataUnreadable));
        };
        match (
            self.held,
            self.settings.factory_reset,
            self.settings.app_test,
        ) {
            (HeldPin::FactoryReset, FactoryReset::Erases { labels, otadata }, _) => {
                self.factory_reset(&table, labels, otadata)?;
                self.decisions.push(Decision::FactoryReset);
                let Some(again) = self.select(&table)? else {
                    return Ok(Stop::Failed(BootFailure::OtadataUnreadable));
                };
                selection = again;
            }
            (HeldPin::AppTest, _, AppTest::CompiledIn) => return self.boot_test_app(&table),
            _ => {}
        }
        self.load_boot_image(&table, &selection)
    }

    /// The pin of the test app is held: it boots, or nothing does.
    fn boot_test_app(&mut self, table: &Table) -> Result<Stop, Refusal> {
        self.log
            .info(TAG, "Detect a boot condition of the test firmware");
        let Some(part) = table.test else {
            self.log
                .error(TAG, "Test firmware is not found in partition table");
            return Ok(Stop::Failed(BootFailure::NoTestApp));
        };
        if let Some(verified) = self.try_load(part)? {
            let app = RunningApp::new(AppSlot::Test, part, verified.image_len);
            match self.start(part, &verified, table)? {
                Start::Runs => return Ok(Stop::Running(app)),
                Start::Resets => return Ok(Stop::Reset),
                Start::Refused(failure) => return Ok(Stop::Failed(failure)),
            }
        }
        self.log
            .error(TAG, "No bootable test partition in the partition table");
        Ok(Stop::Failed(BootFailure::NoBootableApp))
    }

    /// Flash size that the bootloader's own header states; 2 MB where it states none that ESP-IDF knows
    /// (`update_flash_config`).
    fn flash_size(&mut self) -> Result<u32, Refusal> {
        let mut header = [0; 4];
        let offset = self.efuses.model().bootloader_offset;
        self.bus.read(offset, &mut header)?;
        let [.., size] = header;
        Ok(stated_flash_size(size))
    }

    /// Selects where to start, and moves the rollback states on; `None` when it cannot.
    fn select(&mut self, table: &Table) -> Result<Option<Selection>, Refusal> {
        let Some(part) = table.otadata else {
            return Ok(Some(Selection {
                index: FACTORY,
                initial: false,
                otadata: None,
            }));
        };
        if part.size < 0x2000 {
            let size = part.size;
            let text = format!("ota_info partition size {size} is too small (minimum 8192 bytes)");
            self.log.error(TAG, text);
            return Ok(None);
        }
        let at = FlashOffset::new(part.offset);
        let mut entries = otadata::read(self.bus, at)?;
        if self.settings.rollback == Rollback::Enabled {
            for index in 0..entries.len() {
                self.abort_if_pending(at, index, &mut entries)?;
            }
        }
        let mut selection = Selection {
            index: FACTORY,
            initial: false,
            otadata: Some(at),
        };
        let initial = entries.iter().all(RawEntry::is_initial);
        let usable = match self.settings.anti_rollback {
            AntiRollback::Disabled => {
                if entries.iter().all(RawEntry::is_invalid) || table.app_count == 0 {
                    self.default_selection(table, initial, &mut selection);
                    return Ok(Some(selection));
                }
                entries.map(|entry| entry.is_valid())
            }
            AntiRollback::Enabled => {
                self.log.info(
                    TAG,
                    "Enabled a check secure version of app for anti rollback",
                );
                let version = self.efuses.secure_version();
                self.log
                    .info(TAG, format!("Secure version (from eFuse) = {version}"));
                if initial {
                    self.log.info(TAG, "otadata[0..1] in initial state");
                    selection.initial = true;
                    return Ok(Some(selection));
                }
                self.usable_under_anti_rollback(table, &entries)?
            }
        };
        match otadata::active(&entries, usable) {
            Some(active) => self.follow(table, at, active, &mut entries, &mut selection)?,
            None => {
                let text = match table.factory {
                    Some(_) => "ota data partition invalid, falling back to factory",
                    None => "ota data partition invalid and no factory, will try all partitions",
                };
                self.log.error(TAG, text);
                self.decisions.push(Decision::OtadataInvalid);
            }
        }
        Ok(Some(selection))
    }

    fn abort_if_pending(
        &mut self,
        at: FlashOffset,
        index: usize,
        entries: &mut [RawEntry; 2],
    ) -> Result<(), Refusal> {
        let Some(entry) = entries.get_mut(index) else {
            return Ok(());
        };
        if entry.state() != PENDING_VERIFY {
            return Ok(());
        }
        entry.set_state(otadata::ABORTED);
        let entry = *entry;
        self.decisions.push(Decision::Aborted { entry: index });
        self.write_otadata(at, index, &entry)
    }

    fn default_selection(&mut self, table: &Table, initial: bool, selection: &mut Selection) {
        if table.factory.is_some() {
            self.log.info(TAG, "Defaulting to factory image");
            selection.index = FACTORY;
        } else {
            self.log.info(TAG, "No factory image, trying OTA 0");
            selection.index = 0;
            selection.initial = initial;
        }
        self.decisions.push(Decision::Defaulted);
    }

    fn usable_under_anti_rollback(
        &mut self,
        table: &Table,
        entries: &[RawEntry; 2],
    ) -> Result<[bool; 2], Refusal> {
        let mut usable = [false; 2];
        for (usable, entry) in usable.iter_mut().zip(entries) {
            if entry.is_valid() {
                let slot = entry.seq().wrapping_sub(1).checked_rem(table.app_count);
                let part = slot.and_then(|slot| table.ota(slot));
                *usable = match part {
                    Some(part) => self.passes_anti_rollback(part)?,
                    None => false,
                };
            }
        }
        Ok(usable)
    }

    /// Boots what the active entry says, and marks a new image as pending.
    fn follow(
        &mut self,
        table: &Table,
        at: FlashOffset,
        active: usize,
        entries: &mut [RawEntry; 2],
        selection: &mut Selection,
    ) -> Result<(), Refusal> {
        let Some(entry) = entries.get_mut(active) else {
            return Ok(());
        };
        let slot = entry
            .seq()
            .wrapping_sub(1)
            .checked_rem(table.app_count)
            .unwrap_or(0);
        selection.index = i64::from(slot);
        self.decisions.push(Decision::Selected {
            entry: active,
            slot: app_slot(selection.index),
        });
        if self.settings.rollback == Rollback::Enabled && entry.state() == NEW {
            entry.set_state(PENDING_VERIFY);
            let entry = *entry;
            self.decisions
                .push(Decision::MarkedPending { entry: active });
            self.write_otadata(at, active, &entry)?;
        }
        let valid = entries
            .get(active)
            .is_some_and(|entry| entry.state() == VALID);
        if let (AntiRollback::Enabled, true, Some(part)) =
            (self.settings.anti_rollback, valid, table.ota(slot))
        {
            self.update_anti_rollback(part)?;
        }
        Ok(())
    }

    /// Erases and writes an entry. Failure is logged and otherwise ignored, but for loss of power.
    fn write_otadata(
        &mut self,
        at: FlashOffset,
        index: usize,
        entry: &RawEntry,
    ) -> Result<(), Refusal> {
        if let Err(error) = otadata::write(self.bus, at, index, entry) {
            let number = error.esp_err().unwrap_or(u32::MAX);
            if Refusal::from(error) == Refusal::PowerLost {
                return Err(Refusal::PowerLost);
            }
            self.log.error(
                TAG,
                format!("Error in write_otadata operation. err = {number:#x}"),
            );
        }
        Ok(())
    }

    fn load_boot_image(&mut self, table: &Table, selection: &Selection) -> Result<Stop, Refusal> {
        let mut failure = BootFailure::NoBootableApp;
        let start = selection.index;
        let backwards = (FACTORY..=start).rev();
        let forwards = start + 1..i64::from(table.app_count);
        for index in backwards.chain(forwards) {
            let slot = app_slot(index);
            let part = match slot {
                AppSlot::Ota(slot) => table.ota(u32::from(slot)),
                AppSlot::Factory | AppSlot::Test => table.factory,
            };
            let Some(part) = part.filter(|part| part.size != 0) else {
                continue;
            };
            if let Some(verified) = self.try_load(part)? {
                if slot != AppSlot::Factory {
                    self.set_actual_ota_seq(index, selection, part)?;
                }
                match self.start(part, &verified, table)? {
                    Start::Runs => {
                        let app = RunningApp::new(slot, part, verified.image_len);
                        return Ok(Stop::Running(app));
                    }
                    Start::Resets => return Ok(Stop::Reset),
                    Start::Refused(reason) => failure = reason,
                }
            }
            self.log.error(
                TAG,
                match slot {
                    AppSlot::Ota(slot) => format!("OTA app partition slot {slot} is not bootable"),
                    AppSlot::Factory | AppSlot::Test => {
                        "Factory app partition is not bootable".into()
                    }
                },
            );
            self.decisions.push(Decision::NotBootable { slot });
        }
        if let Some(part) = table.test.filter(|part| part.size != 0)
            && let Some(verified) = self.try_load(part)?
        {
            self.log
                .warning(TAG, "Falling back to test app as only bootable partition");
            match self.start(part, &verified, table)? {
                Start::Runs => {
                    let app = RunningApp::new(AppSlot::Test, part, verified.image_len);
                    return Ok(Stop::Running(app));
                }
                Start::Resets => return Ok(Stop::Reset),
                Start::Refused(reason) => failure = reason,
            }
        }
        self.log
            .error(TAG, "No bootable app partitions in the partition table");
        Ok(Stop::Failed(failure))
    }

    fn try_load(&mut self, part: Part) -> Result<Option<Verified>, Refusal> {
        if self.settings.anti_rollback == AntiRollback::Enabled
            && !self.passes_anti_rollback(part)?
        {
            return Ok(None);
        }
        match self.verify(part, ImageKind::App)? {
            Some(verified) => {
                let offset = part.offset;
                self.log.info(
                    TAG,
                    format!("Loaded app from partition at offset {offset:#x}"),
                );
                Ok(Some(verified))
            }
            None => Ok(None),
        }
    }

    /// Verifies an image as far as this bootloader does.
    pub(super) fn verify(
        &mut self,
        part: Part,
        kind: ImageKind,
    ) -> Result<Option<Verified>, Refusal> {
        let trusted = Trusted::from_efuses(self.efuses);
        let signature = match &self.settings.secure_boot {
            SecureBootSupport::V2(scheme) => SignatureCheck::V2(&trusted, *scheme),
            SecureBootSupport::V1 { verification_key } => SignatureCheck::V1(verification_key),
            SecureBootSupport::Absent => SignatureCheck::None,
        };
        let checks = Checks::of(self.efuses, kind, signature);
        match image::verify_image(self.bus, part, &checks, self.log) {
            Ok(verified) => Ok(Some(verified)),
            Err(Refusal::Invalid) => Ok(None),
            Err(Refusal::PowerLost) => Err(Refusal::PowerLost),
        }
    }

    /// After a first boot without a factory app, writes which slot runs.
    fn set_actual_ota_seq(
        &mut self,
        index: i64,
        selection: &Selection,
        part: Part,
    ) -> Result<(), Refusal> {
        let (true, Some(at)) = (selection.initial, selection.otadata) else {
            return Ok(());
        };
        let seq = u32::try_from(index + 1).unwrap_or(1);
        self.write_otadata(at, 0, &RawEntry::with(seq, VALID))?;
        self.log
            .info(TAG, format!("Set actual ota_seq={seq} in otadata[0]"));
        self.decisions.push(Decision::WroteActualSequence { seq });
        if self.settings.anti_rollback == AntiRollback::Enabled {
            self.update_anti_rollback(part)?;
        }
        Ok(())
    }

    fn passes_anti_rollback(&mut self, part: Part) -> Result<bool, Refusal> {
        let Some(version) = self.descriptor_version(part)? else {
            self.log
                .error(TAG, "Failed to get partition description 261");
            return Ok(false);
        };
        Ok(version >= self.efuses.secure_version())
    }

    fn update_anti_rollback(&mut self, part: Part) -> Result<(), Refusal> {
        let Some(version) = self.descriptor_version(part)? else {
            self.log
                .error(TAG, "Failed to get partition description 261");
            return Ok(());
        };
        match self.efuses.raise_secure_version(version) {
            Err(EfuseError::PowerLost(_)) => return Err(Refusal::PowerLost),
            Err(EfuseError::TooWide { width, .. }) => self.log.error(
                "efuse",
                format!(
                    "Max secure version is {width}. Given {version} version can not be written."
                ),
            ),
            Ok(()) | Err(_) => {}
        }
        Ok(())
    }

    /// Secure version in the app descriptor, behind the headers of image and first segment.
    fn descriptor_version(&mut self, part: Part) -> Result<Option<SecurityVersion>, Refusal> {
        let mut descriptor = [0; 8];
        let Some(at) = part.offset.checked_add(32) else {
            return Ok(None);
        };
        self.bus.read(FlashOffset::new(at), &mut descriptor)?;
        let [a, b, c, d, version @ ..] = descriptor;
        let version = SecurityVersion::new(u32::from_le_bytes(version));
        Ok((u32::from_le_bytes([a, b, c, d]) == 0xABCD_5432).then_some(version))
    }
}

/// Where to start looking.
struct Selection {
    index: i64,
    /// Nothing was ever written to otadata, and the slot that boots will be.
    initial: bool,
    otadata: Option<FlashOffset>,
}

/// Names the partition of an index: -1 is the factory app.
fn app_slot(index: i64) -> AppSlot {
    u8::try_from(index).map_or(AppSlot::Factory, AppSlot::Ota)
}
