//! What the regions of a dump say together: contradictions, and what will not boot.

use espseal_format::partition_table::{PartitionType, Subtype};
use espseal_format::units::{Digest, FlashOffset};

use super::look::holds_image;
use super::{Content, Encryption, FlashMap, Form, Key, Place, Region};
use crate::boot::{AppSlot, Rollback};
use crate::inspect::finding::Finding;
use crate::inspect::image::{Inspection, Signature};
use crate::inspect::otadata::{EntryForm, OtadataView, Reading, Slots, forecast};

/// Whether the key has to open something that can be recognised. An app's own data may be
/// compressed, and looks like noise then whatever the key is.
fn has_known_format(region: &Region) -> bool {
    match &region.place {
        Place::Bootloader | Place::Table => true,
        Place::Partition(entry) => {
            holds_image(entry)
                || (entry.kind == PartitionType::Data && entry.subtype == Subtype::DATA_OTA)
        }
        Place::Gap => false,
    }
}

impl FlashMap {
    /// Adds the findings that need the whole map.
    pub(super) fn judge(&mut self, table_offset: FlashOffset) {
        self.encryption = self.find_encryption();
        let mut findings = core::mem::take(&mut self.findings);
        for region in &self.regions {
            self.judge_form(region, &mut findings);
            self.judge_content(region, &mut findings);
        }
        self.judge_signatures(&mut findings);
        self.judge_selection(&mut findings);
        self.judge_flash_size(table_offset, &mut findings);
        // Stable: within a severity in the order of the addresses.
        findings.sort_by_key(|finding| core::cmp::Reverse(finding.severity()));
        self.findings = findings;
    }

    /// The bootloader decides; without one, whatever else is to be encrypted.
    fn find_encryption(&self) -> Encryption {
        let of = |region: &Region| match region.form {
            Form::Plain => Some(Encryption::Off),
            Form::Encrypted | Form::EncryptedFor(_) | Form::LooksEncrypted => Some(Encryption::On),
            Form::Erased | Form::Missing => None,
        };
        let is_image = |region: &&Region| match &region.place {
            Place::Partition(entry) => entry.kind == PartitionType::App,
            Place::Bootloader | Place::Table => true,
            Place::Gap => false,
        };
        self.regions
            .iter()
            .filter(is_image)
            .find_map(of)
            .unwrap_or(Encryption::Unknown)
    }

    /// Is it encrypted where it has to be, and nowhere else?
    fn judge_form(&self, region: &Region, findings: &mut Vec<Finding>) {
        let name = || region.name().to_owned();
        let is_otadata = matches!(region.content, Content::Otadata(_));
        let expected = region.is_to_be_encrypted();
        match (region.form, self.encryption) {
            (Form::Plain, Encryption::On) if expected && is_otadata => {
                findings.push(Finding::PlainOtadata { region: name() });
            }
            (Form::Plain, Encryption::On) if expected => {
                findings.push(Finding::PlainUnderEncryption { region: name() });
            }
            (Form::Encrypted, _) if !expected && region.place != Place::Gap => {
                findings.push(Finding::NeverDecrypted { region: name() });
            }
            (Form::Encrypted, Encryption::Off) => {
                findings.push(Finding::NeverDecrypted { region: name() });
            }
            (Form::EncryptedFor(address), _) => {
                let meant_for = self
                    .regions
                    .iter()
                    .find(|other| other.offset == address)
                    .map_or_else(String::new, |other| other.name().to_owned());
                findings.push(Finding::EncryptedForOtherAddress {
                    region: name(),
                    address,
                    meant_for,
                });
            }
            (Form::LooksEncrypted, _)
                if expected && self.key == Key::Given && has_known_format(region) =>
            {
                findings.push(Finding::NotOpened { region: name() });
            }
            _ => {}
        }
        let end = u64::from(region.offset.get()) + u64::from(region.size);
        if end > u64::from(self.size) && matches!(region.place, Place::Partition(_)) {
            findings.push(Finding::BeyondDump {
                region: name(),
                length: self.size,
            });
        }
    }

    fn judge_content(&self, region: &Region, findings: &mut Vec<Finding>) {
        let name = || region.name().to_owned();
        match &region.content {
            Content::Image(image) => self.judge_image(region, image, findings),
            Content::BrokenImage(error) => findings.push(Finding::DamagedImage {
                region: name(),
                cause: error.to_string(),
            }),
            Content::Nvs(pages) if pages.damaged > 0 && region.form == Form::Plain => {
                findings.push(Finding::DamagedNvs {
                    region: name(),
                    pages: pages.damaged,
                });
            }
            Content::Otadata(view) => self.judge_otadata(view, findings),
            _ => {}
        }
    }

    fn judge_image(&self, region: &Region, image: &Inspection, findings: &mut Vec<Finding>) {
        let region_name = || region.name().to_owned();
        let mut damaged = |cause: String| {
            findings.push(Finding::DamagedImage {
                region: region_name(),
                cause,
            });
        };
        for cause in image.damage() {
            damaged(cause.to_string());
        }
        for (block, signature) in image.signatures.iter().enumerate() {
            if let Signature::Wrong { cause, .. } = signature {
                findings.push(Finding::WrongSignature {
                    region: region_name(),
                    block,
                    cause: cause.to_string(),
                });
            }
        }
        let found = image.survey.layout.header.chip();
        if let Some(expected) = self.chip
            && found != expected
        {
            findings.push(Finding::OtherChip {
                region: region_name(),
                found,
                expected,
            });
        }
    }

    fn judge_otadata(&self, view: &OtadataView, findings: &mut Vec<Finding>) {
        use espseal_format::otadata::OtadataError;
        for (entry, stored) in view.entries.iter().enumerate() {
            let readable = stored.form != EntryForm::LooksEncrypted;
            if let Err(cause @ OtadataError::Crc { .. }) = stored.parse()
                && readable
            {
                findings.push(Finding::TornEntry {
                    entry,
                    cause: cause.to_string(),
                });
            }
        }
    }

    /// Signed and unsigned images side by side, and keys that differ.
    fn judge_signatures(&self, findings: &mut Vec<Finding>) {
        let images = || {
            self.regions
                .iter()
                .filter_map(|region| Some((region, region.image()?)))
        };
        if !images().any(|(_, image)| image.is_signed()) {
            return;
        }
        let of_bootloader: Vec<Digest> = images()
            .filter(|(region, _)| region.place == Place::Bootloader)
            .flat_map(|(_, image)| image.signing_keys())
            .collect();
        for (region, image) in images() {
            let name = || region.name().to_owned();
            let mut keys = image.signing_keys().peekable();
            if !image.is_signed() {
                findings.push(Finding::UnsignedAmongSigned { region: name() });
            } else if keys.peek().is_some()
                && !of_bootloader.is_empty()
                && !keys.any(|key| of_bootloader.contains(&key))
            {
                findings.push(Finding::OtherKey { region: name() });
            }
        }
    }

    /// Whether the slot that otadata selects holds an image that a device can read.
    fn judge_selection(&self, findings: &mut Vec<Finding>) {
        let Some(table) = &self.table else { return };
        let Some(AppSlot::Ota(slot)) = self.selected() else {
            return;
        };
        let slots = table.app_slots();
        let Some(entry) = slots.get(usize::from(slot)) else {
            return;
        };
        let readable = match self.encryption {
            Encryption::On => Form::Encrypted,
            Encryption::Off | Encryption::Unknown => Form::Plain,
        };
        let bootable = self.regions.iter().any(|region| {
            region.place == Place::Partition(**entry)
                && match region.form {
                    // Without the key nobody can say.
                    Form::LooksEncrypted => self.key == Key::Missing,
                    form => form == readable && region.image().is_some_and(Inspection::is_sound),
                }
        });
        if !bootable {
            findings.push(Finding::SelectedNotBootable {
                slot: entry.label.to_string(),
            });
        }
    }

    /// The app that the bootloader tries first; `None` when otadata cannot be read.
    #[must_use]
    pub fn selected(&self) -> Option<AppSlot> {
        let table = self.table.as_ref()?;
        let view = self
            .regions
            .iter()
            .find_map(|region| match &region.content {
                Content::Otadata(view) => Some(view),
                _ => None,
            })?;
        let entries = view.as_read(match self.encryption {
            Encryption::On => Reading::FlashEncryption,
            Encryption::Off | Encryption::Unknown => Reading::Plain,
        })?;
        Some(forecast(&entries, Slots::of(table), Rollback::Disabled).first)
    }

    /// The bootloader refuses a table that does not fit the flash size in its own header.
    fn judge_flash_size(&self, table_offset: FlashOffset, findings: &mut Vec<Finding>) {
        let Some(header) = self
            .regions
            .iter()
            .filter(|region| region.place == Place::Bootloader && region.offset < table_offset)
            .find_map(|region| region.image()?.survey.layout.header.flash_size().bytes())
        else {
            return;
        };
        let needed = self
            .table
            .iter()
            .flat_map(|table| &table.entries)
            .filter(|entry| {
                (entry.kind, entry.subtype) != (PartitionType::Bootloader, Subtype::PRIMARY)
            })
            .map(|entry| entry.offset.get().saturating_add(entry.size))
            .max()
            .unwrap_or(0);
        if needed > header {
            findings.push(Finding::FlashSizeInHeader { header, needed });
        }
    }
}
