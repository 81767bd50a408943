//! What can be said before anything is made: nothing overlaps, everything fits, and is for this chip.

use espseal_format::chip::{Chip, ChipId, chip};
use espseal_format::partition_table::{Entry, PartitionType};
use espseal_format::units::{Digest, SECTOR_SIZE};

use super::{FactoryError, FactoryPlan, Security};
use crate::efuse::EfuseError;

impl FactoryPlan<'_> {
    /// Checks the plan without making anything.
    ///
    /// # Errors
    /// The first [`FactoryError`] found.
    pub fn check(&self) -> Result<(), FactoryError> {
        self.check_layout()?;
        self.check_contents()?;
        self.check_security()
    }

    pub(super) fn model(&self) -> Result<&'static Chip, FactoryError> {
        let unknown = || EfuseError::UnknownChip(self.chip);
        Ok(chip(self.chip).ok_or_else(unknown)?)
    }

    fn check_layout(&self) -> Result<(), FactoryError> {
        let table = self.table_offset;
        if !table.is_sector_aligned() {
            return Err(FactoryError::Misaligned { offset: table });
        }
        let start = u64::from(self.model()?.bootloader_offset.get());
        let end = start + self.bootloader.len().next_multiple_of(SECTOR_SIZE) as u64;
        if end > u64::from(table.get()) {
            return Err(FactoryError::BootloaderOverlapsTable { end, table });
        }
        let table_end = u64::from(table.get()) + SECTOR_SIZE as u64;
        let mut entries: Vec<&Entry> = self.table.entries.iter().collect();
        entries.sort_by_key(|entry| entry.offset);
        let mut before: Option<&Entry> = None;
        for entry in entries {
            let (label, offset) = (name(entry), entry.offset);
            if !offset.is_sector_aligned() {
                return Err(FactoryError::Misaligned { offset });
            }
            if u64::from(offset.get()) < table_end {
                return Err(FactoryError::PartitionOverlapsTable {
                    label,
                    offset,
                    table,
                });
            }
            if let Some(before) = before.filter(|before| end_of(before) > u64::from(offset.get())) {
                return Err(FactoryError::PartitionsOverlap {
                    first: name(before),
                    second: label,
                });
            }
            if end_of(entry) > self.flash_size as u64 {
                let (end, size) = (end_of(entry), self.flash_size);
                return Err(FactoryError::BeyondFlash {
                    name: label,
                    end,
                    size,
                });
            }
            before = Some(entry);
        }
        Ok(())
    }

    fn check_contents(&self) -> Result<(), FactoryError> {
        self.check_chip("the bootloader", self.bootloader)?;
        self.check_flash_size()?;
        for (label, bytes) in self.contents {
            let entry = self.entry(label)?;
            let size = entry.size;
            if usize::try_from(size).is_ok_and(|size| bytes.len() > size) {
                return Err(FactoryError::DoesNotFit {
                    label: (*label).into(),
                    length: bytes.len(),
                    size,
                });
            }
            if entry.kind == PartitionType::App {
                self.check_chip(label, bytes)?;
            }
        }
        Ok(())
    }

    /// The bootloader refuses tables that reach past the flash size in its own header.
    fn check_flash_size(&self) -> Result<(), FactoryError> {
        let nibble = self.bootloader.get(3).map_or(0, |byte| byte >> 4);
        let stated = 0x10_0000_u64.checked_shl(nibble.into()).unwrap_or(u64::MAX);
        match self.table.entries.iter().map(end_of).max() {
            Some(needed) if needed > stated => {
                Err(FactoryError::BootloaderFlashSize { stated, needed })
            }
            _ => Ok(()),
        }
    }

    /// The image header's chip number has to be the plan's.
    fn check_chip(&self, name: &str, image: &[u8]) -> Result<(), FactoryError> {
        let number = image.get(12..14).and_then(<[u8]>::first_chunk).copied();
        let found = match (image.first(), number) {
            (Some(0xE9), Some(number)) => u16::from_le_bytes(number),
            _ => u16::MAX,
        };
        if ChipId::from_u16(found) == self.chip {
            return Ok(());
        }
        Err(FactoryError::WrongChip {
            name: name.into(),
            expected: self.chip,
            found,
        })
    }

    fn check_security(&self) -> Result<(), FactoryError> {
        let Security::Release {
            flash_key, digests, ..
        } = self.security
        else {
            return Ok(());
        };
        let chip = self.model()?;
        if !chip.encrypts_with(flash_key.scheme()) {
            return Err(FactoryError::FlashKeyScheme { chip: self.chip });
        }
        let (slots, found) = (chip.digest_slots, digests.len());
        if found == 0 || found > usize::from(slots) {
            return Err(FactoryError::Digests { slots, found });
        }
        match digests.iter().position(|digest| *digest == Digest([0; 32])) {
            Some(slot) => Err(FactoryError::BlankDigest { slot }),
            None => Ok(()),
        }
    }
}

fn name(entry: &Entry) -> Box<str> {
    entry.label.to_string().into()
}

fn end_of(entry: &Entry) -> u64 {
    u64::from(entry.offset.get()) + u64::from(entry.size)
}
