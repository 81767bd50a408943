//! One device of a line on the twin: its plan is carried out, and it has to start its first app.

use espseal_format::units::FlashOffset;
use espseal_twin::boot::{
    AntiRollback, AppExtent, BootloaderSettings, EncryptionBuild, FlashEncryptionSupport, Rollback,
    SecureBootSupport,
};
use espseal_twin::device::VirtualDevice;
use espseal_twin::efuse::Efuses;
use espseal_twin::nor::NorFlash;

use super::{FLASH_SIZES, Line, Made, NOBODY};
use crate::efuse_plan::plan::Plan;
use crate::efuse_plan::wish::SecureBootWish;
use crate::factory::error::MakeError;
use crate::factory::order::Order;
use crate::project::Fleet;
use crate::rehearsal::evidence::{Evidence, Feature, Finding};

/// Lines of the boot log that an error shows.
const SHOWN: usize = 4;

impl Line {
    /// Boots a device with keys that nobody gets.
    pub(super) fn try_out(&self, fleet: &Fleet, bootloader: &[u8]) -> Result<(), MakeError> {
        let order = Order {
            name: "trial".into(),
            mac: Some(NOBODY),
            values: Vec::new(),
        };
        let mut image = Vec::new();
        let made = self.make(&order, &mut image)?;
        let plan = self.plan(order.mac)?;
        let mut device = self.virtual_device(&made, &plan, image, fleet, bootloader, NOBODY)?;
        let report = device.power_on();
        match report.running() {
            Some(_) => Ok(()),
            None => {
                let text = report.log.to_string();
                let lines: Vec<_> = text.lines().collect();
                let last = lines.iter().skip(lines.len().saturating_sub(SHOWN));
                let last: Vec<_> = last.map(|line| line.trim()).collect();
                Err(MakeError::DoesNotBoot {
                    log: last.join(" / ").into(),
                })
            }
        }
    }

    /// A made device, provisioned by its plan, on the twin. `bootloader` says how it was built.
    ///
    /// # Errors
    /// [`MakeError::DoesNotBoot`] when the plan cannot be carried out.
    pub fn virtual_device(
        &self,
        made: &Made,
        plan: &Plan,
        mut image: Vec<u8>,
        fleet: &Fleet,
        bootloader: &[u8],
        mac: espseal_twin::efuse::Mac,
    ) -> Result<VirtualDevice, MakeError> {
        let failed = |error: &dyn ToString| MakeError::DoesNotBoot {
            log: error.to_string().into(),
        };
        let present = super::present(self.chip, &self.wish, self.revision, Some(mac))?;
        let mut efuses: Efuses = present.efuses().clone();
        plan.apply(&mut efuses, &made.material(plan))
            .map_err(|error| failed(&error))?;
        let ends = fleet
            .partitions
            .entries
            .iter()
            .filter_map(|entry| entry.end());
        let end = ends.map(|end| end.get() as usize).max().unwrap_or(0);
        let size = FLASH_SIZES.into_iter().find(|size| *size >= end);
        image.resize(size.unwrap_or(image.len()), 0xFF);
        let flash = NorFlash::from_bytes(image).map_err(|error| failed(&error))?;
        Ok(VirtualDevice::new(
            flash,
            efuses,
            self.settings(fleet, bootloader),
        ))
    }

    /// How the bootloader was built, by its own words.
    fn settings(&self, fleet: &Fleet, bootloader: &[u8]) -> BootloaderSettings {
        let evidence = Evidence::of(bootloader);
        let built = |feature, planned| match evidence.finding(feature) {
            Finding::Present(_) => true,
            Finding::Missing(_) => false,
            Finding::Silent => planned,
        };
        let scheme = match &self.wish.secure_boot {
            Some(SecureBootWish::V2 { scheme, .. }) => Some(*scheme),
            _ => None,
        };
        BootloaderSettings {
            partition_table: FlashOffset::new(fleet.partition_table_offset),
            rollback: match built(Feature::Rollback, true) {
                true => Rollback::Enabled,
                false => Rollback::Disabled,
            },
            anti_rollback: match built(Feature::AntiRollback, false) {
                true => AntiRollback::Enabled,
                false => AntiRollback::Disabled,
            },
            secure_boot: match scheme.filter(|_| built(Feature::SecureBootV2, true)) {
                Some(scheme) => SecureBootSupport::V2(scheme),
                None => SecureBootSupport::Absent,
            },
            flash_encryption: match &self.wish.flash_encryption {
                Some(wish) if built(Feature::FlashEncryption, true) => {
                    let mut kinds = self.chip.flash_encryption.iter();
                    let kind = kinds.find(|kind| kind.length == wish.key_length);
                    kind.map_or(FlashEncryptionSupport::Absent, |kind| {
                        FlashEncryptionSupport::CompiledIn(EncryptionBuild {
                            mode: wish.mode,
                            scheme: kind.scheme,
                            extent: AppExtent::Partition,
                        })
                    })
                }
                _ => FlashEncryptionSupport::Absent,
            },
            ..BootloaderSettings::PLAIN
        }
    }
}
