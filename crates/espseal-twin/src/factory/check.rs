//! What can be said before anything is made: nothing overlaps, everything fits, and is for this chip.

use espseal_crypto::flash_encryption::FlashKey;
use espseal_format::chip::{Chip, ChipId, SecureBootScheme, chip};
use espseal_format::partition_table::{Entry, PartitionType};
use espseal_format::units::{Digest, SECTOR_SIZE};

use super::{FactoryError, FactoryPlan, Locking, SecureBootLock, Security};
use crate::boot::stated_flash_size;
use crate::efuse::{EfuseError, Efuses};

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
        let stated = self.bootloader.get(3).copied().unwrap_or_default();
        let stated = u64::from(stated_flash_size(stated));
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
        match self.security {
            Security::Open => Ok(()),
            Security::Release {
                flash_key, digests, ..
            } => {
                self.check_flash_key(flash_key)?;
                self.check_digests(digests)
            }
            Security::Locked(locking) => {
                if let Some(flash) = locking.flash_encryption {
                    self.check_flash_key(flash.key)?;
                }
                match locking.secure_boot {
                    Some(SecureBootLock::V2 { digests, .. }) => self.check_digests(digests),
                    Some(SecureBootLock::V1(_)) | None => Ok(()),
                }
            }
        }
    }

    fn check_flash_key(&self, key: &FlashKey) -> Result<(), FactoryError> {
        match self.model()?.encrypts_with(key.scheme()) {
            true => Ok(()),
            false => Err(FactoryError::FlashKeyScheme { chip: self.chip }),
        }
    }

    fn check_digests(&self, digests: &[Digest]) -> Result<(), FactoryError> {
        let (slots, found) = (self.model()?.digest_slots, digests.len());
        if found == 0 || found > usize::from(slots) {
            return Err(FactoryError::Digests { slots, found });
        }
        match digests.iter().position(|digest| *digest == Digest([0; 32])) {
            Some(slot) => Err(FactoryError::BlankDigest { slot }),
            None => Ok(()),
        }
    }

    /// The silicon has to have the secure boot that is asked for.
    pub(super) fn check_silicon(&self, efuses: &Efuses) -> Result<(), FactoryError> {
        let Security::Locked(Locking {
            secure_boot: Some(secure_boot),
            ..
        }) = self.security
        else {
            return Ok(());
        };
        let (known, version) = match secure_boot {
            SecureBootLock::V1(_) => {
                let v1 = efuses.rom_schemes().contains(&SecureBootScheme::V1);
                (v1, "v1".into())
            }
            SecureBootLock::V2 { scheme, .. } => {
                (efuses.rom_knows(*scheme), format!("v2 with {scheme}"))
            }
        };
        match known {
            true => Ok(()),
            false => Err(FactoryError::NoSecureBoot {
                chip: self.chip,
                revision: efuses.revision(),
                version: version.into(),
            }),
        }
    }
}

fn name(entry: &Entry) -> Box<str> {
    entry.label.to_string().into()
}

fn end_of(entry: &Entry) -> u64 {
    u64::from(entry.offset.get()) + u64::from(entry.size)
}
