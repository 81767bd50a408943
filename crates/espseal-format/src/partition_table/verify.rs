//! The rules of `gen_esp32part.py` that a well-formed table may still break.

use super::{Entry, Flags, PartitionTable, PartitionType, Subtype, VerifyError};
use crate::chip::SecureBootScheme;
use crate::image::FlashSize;
use crate::otadata;
use crate::units::FlashOffset;

/// Bytes that the table takes in flash.
pub(super) const TABLE_SECTOR: u32 = 0x1000;
/// Smallest NVS partition that can be written.
const MIN_NVS: u32 = 0x3000;
/// Size of an app partition is a multiple of this.
const APP_SIZE_ALIGNMENT: u32 = 0x1000;
/// The same for secure boot v1, whose signature ends a page of the flash cache.
const APP_SIZE_ALIGNMENT_V1: u32 = 0x1_0000;

impl PartitionTable {
    /// Checks alignments, sizes, names, overlaps and otadata as `gen_esp32part.py` does.
    ///
    /// # Errors
    /// The first rule that is broken.
    ///
    /// Source: ESP-IDF `gen_esp32part.py`, `PartitionTable.verify`.
    pub fn verify(&self, table_offset: FlashOffset) -> Result<(), VerifyError> {
        self.verify_for(table_offset, None)
    }

    /// Checks the same, and that app partitions suit a secure boot scheme (`--secure`).
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn verify_for(
        &self,
        table_offset: FlashOffset,
        scheme: Option<SecureBootScheme>,
    ) -> Result<(), VerifyError> {
        let app_size = match scheme {
            Some(SecureBootScheme::V1) => APP_SIZE_ALIGNMENT_V1,
            _ => APP_SIZE_ALIGNMENT,
        };
        for entry in &self.entries {
            entry.verify(app_size)?;
        }
        self.verify_names()?;
        self.verify_places(table_offset)?;
        self.verify_otadata(Subtype::DATA_OTA)?;
        self.verify_otadata(Subtype::DATA_TEE_OTA)
    }

    /// Checks that the partition that starts last ends within a flash chip (`--flash-size`).
    ///
    /// # Errors
    /// [`VerifyError::FlashTooSmall`].
    ///
    /// Source: ESP-IDF `gen_esp32part.py`, `PartitionTable.verify_size_fits`.
    pub fn verify_size_fits(&self, flash: FlashSize) -> Result<(), VerifyError> {
        let mut last: Option<&Entry> = None;
        for entry in &self.entries {
            if last.is_none_or(|last| entry.offset > last.offset) {
                last = Some(entry);
            }
        }
        let size = flash.bytes().unwrap_or(0);
        match last {
            Some(last) if last.end().is_none_or(|end| end.get() > size) => {
                Err(VerifyError::FlashTooSmall {
                    label: last.label,
                    size,
                })
            }
            _ => Ok(()),
        }
    }

    fn verify_names(&self) -> Result<(), VerifyError> {
        let mut seen = self.entries.iter();
        while let Some(entry) = seen.next() {
            let label = entry.label;
            if seen
                .clone()
                .any(|other| other.label.as_str() == label.as_str())
            {
                return Err(VerifyError::DuplicateName { label });
            }
        }
        Ok(())
    }

    fn verify_places(&self, table_offset: FlashOffset) -> Result<(), VerifyError> {
        let free_from = table_offset
            .checked_add(TABLE_SECTOR)
            .unwrap_or(FlashOffset::new(u32::MAX));
        let mut by_offset: heapless::Vec<(usize, &Entry), { super::MAX_ENTRIES }> =
            self.entries.iter().enumerate().collect();
        // Of two partitions at one offset the first in the table comes first.
        by_offset.sort_unstable_by_key(|(index, entry)| (entry.offset, *index));
        let mut last: Option<&Entry> = None;
        for (_, entry) in by_offset {
            let Entry { label, offset, .. } = *entry;
            if offset < free_from && !entry.is_primary() {
                return Err(VerifyError::BelowTable {
                    label,
                    offset,
                    free_from,
                });
            }
            if entry.end().is_none() {
                return Err(VerifyError::TooLong { label });
            }
            if let Some(last) = last
                && last.end().is_none_or(|end| offset < end)
            {
                return Err(VerifyError::Overlap {
                    first: last.label,
                    second: label,
                    offset,
                });
            }
            last = Some(entry);
        }
        Ok(())
    }

    fn verify_otadata(&self, subtype: Subtype) -> Result<(), VerifyError> {
        let mut found = self
            .entries
            .iter()
            .filter(|entry| entry.kind == PartitionType::Data && entry.subtype == subtype);
        match (found.next(), found.next()) {
            (_, Some(second)) => Err(VerifyError::DuplicateOtadata {
                label: second.label,
            }),
            (Some(Entry { label, size, .. }), None) if *size != otadata::PARTITION_LEN => {
                Err(VerifyError::OtadataSize {
                    label: *label,
                    size: *size,
                })
            }
            _ => Ok(()),
        }
    }
}

impl Entry {
    /// Whether this is the bootloader or the table itself, which lie before the other partitions.
    pub(super) fn is_primary(&self) -> bool {
        matches!(
            self.kind,
            PartitionType::Bootloader | PartitionType::PartitionTable
        ) && self.subtype == Subtype::PRIMARY
    }

    fn verify(&self, app_size: u32) -> Result<(), VerifyError> {
        let Self { label, size, .. } = *self;
        let alignment = offset_alignment(self.kind);
        if !self.offset.get().is_multiple_of(alignment) {
            return Err(VerifyError::OffsetAlignment {
                label,
                offset: self.offset,
                alignment,
            });
        }
        if self.kind == PartitionType::App && !size.is_multiple_of(app_size) {
            return Err(VerifyError::SizeAlignment {
                label,
                size,
                alignment: app_size,
            });
        }
        let read_only = self.flags.contains(Flags::READONLY);
        match (self.kind, self.subtype) {
            (PartitionType::Data, Subtype::DATA_OTA | Subtype::DATA_COREDUMP) if read_only => {
                Err(VerifyError::ReadOnly { label })
            }
            (PartitionType::Data, Subtype::DATA_NVS) if size < MIN_NVS && !read_only => {
                Err(VerifyError::NvsTooSmall { label, size })
            }
            _ => Ok(()),
        }
    }
}

/// What the offset of a partition is a multiple of.
pub(super) const fn offset_alignment(kind: PartitionType) -> u32 {
    match kind {
        PartitionType::App => 0x1_0000,
        _ => 0x1000,
    }
}
