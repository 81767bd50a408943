//! What a pin that is held at power-on makes the bootloader do.
//!
//! Source: ESP-IDF `components/bootloader/subproject/main/bootloader_start.c`,
//! `bootloader_support/src/bootloader_common.c` (`bootloader_common_erase_part_type_data`).

use espseal_format::units::{FlashOffset, SECTOR_SIZE};

use super::image::{Part, Refusal};
use super::second_stage::SecondStage;
use super::settings::OtadataReset;
use super::table::{Table, Usage};
use crate::nor::NorError;

const TAG: &str = "boot";

/// The pin that somebody holds while the device starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeldPin {
    /// None.
    #[default]
    None,
    /// `CONFIG_BOOTLOADER_NUM_PIN_FACTORY_RESET`.
    FactoryReset,
    /// `CONFIG_BOOTLOADER_NUM_PIN_APP_TEST`.
    AppTest,
}

impl SecondStage<'_, '_> {
    /// Erases the data partitions on the list, raw: no flash encryption is asked.
    pub(super) fn factory_reset(
        &mut self,
        table: &Table,
        labels: &str,
        otadata: OtadataReset,
    ) -> Result<(), Refusal> {
        self.log
            .info(TAG, "Detect a condition of the factory reset");
        self.log
            .info(TAG, format!("Data partitions to erase: {labels}"));
        self.log.info(
            "boot_comm",
            "## Label            Usage Offset   Length   Cleaned",
        );
        let mut whole = true;
        for (index, (label, usage, part)) in table.data.iter().enumerate() {
            let listed = labels.split([',', ' ']).any(|name| name == label);
            let selected = otadata == OtadataReset::Erased && *usage == Usage::Otadata;
            let cleaned = match listed || selected {
                false => "no",
                true if self.erase(*part)? => "yes",
                true => {
                    whole = false;
                    "err"
                }
            };
            let Part { offset, size } = part;
            self.log.info(
                "boot_comm",
                format!("{index:2} {label:<16} data  {offset:08x} {size:08x} [{cleaned}]"),
            );
        }
        if !whole {
            self.log.error(TAG, "Not all partitions were erased");
        }
        Ok(())
    }

    fn erase(&mut self, part: Part) -> Result<bool, Refusal> {
        let end = part.offset.saturating_add(part.size);
        for at in (part.offset..end).step_by(SECTOR_SIZE) {
            match self.bus.erase_sector(FlashOffset::new(at)) {
                Ok(()) => {}
                Err(NorError::PowerLost(_)) => return Err(Refusal::PowerLost),
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }
}
