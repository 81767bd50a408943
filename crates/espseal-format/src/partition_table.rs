//! The partition table, binary form.
//!
//! ```text
//! 0..            entries of 32 bytes, magic AA 50
//! ..             optional: EB EB, 14 x FF, MD5 of the entries before
//! ..             an entry of FF ends the table; FF up to 0xC00
//! ```
//!
//! Source: ESP-IDF `esp_flash_partitions.h`, `flash_partitions.c`, `gen_esp32part.py`.

use core::mem::offset_of;

use md5::{Digest as _, Md5};
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::units::FlashOffset;

pub mod csv;
mod error;
mod types;
mod verify;

pub use error::{TableError, TableFull, VerifyError};
pub use types::{Flags, Label, PartitionType, Subtype};

/// Most bytes that a table takes.
pub const TABLE_LEN: usize = 0xC00;
/// Bytes of an entry.
pub const ENTRY_LEN: usize = 32;
/// Most entries: the table's last place is for the end marker.
pub const MAX_ENTRIES: usize = TABLE_LEN / ENTRY_LEN - 1;
/// Where ESP-IDF puts the table unless told otherwise.
pub const DEFAULT_OFFSET: FlashOffset = FlashOffset::new(0x8000);
/// Most OTA app slots.
pub const MAX_SLOTS: usize = 16;

/// A partition table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionTable {
    /// The partitions in table order.
    pub entries: heapless::Vec<Entry, MAX_ENTRIES>,
    /// Whether the table carries an MD5.
    pub checksum: Checksum,
}

/// Whether a table carries an MD5 of its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// It does, as ESP-IDF has it by default.
    #[default]
    Md5,
    /// It does not.
    None,
}

/// One partition.
#[doc(alias = "esp_partition_info_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What kind of partition.
    pub kind: PartitionType,
    /// What it is for, within its kind.
    pub subtype: Subtype,
    /// Where it starts.
    pub offset: FlashOffset,
    /// Its length in bytes.
    pub size: u32,
    /// Its name.
    pub label: Label,
    /// Its flags.
    pub flags: Flags,
}

impl PartitionTable {
    /// Parses a table of at most [`TABLE_LEN`] bytes; what follows the end marker is not looked at.
    ///
    /// Stricter than the bootloader where that costs nothing: the filler before the MD5 and the
    /// end marker are checked whole, and no entry may follow the MD5, which would not cover it.
    ///
    /// # Errors
    /// [`TableError`] with the offset of the offending field.
    pub fn parse(bytes: &[u8]) -> Result<Self, TableError> {
        let bytes = bytes.get(..TABLE_LEN).unwrap_or(bytes);
        let mut table = Self {
            entries: heapless::Vec::new(),
            checksum: Checksum::None,
        };
        let mut offset = 0;
        for record in bytes.as_chunks::<ENTRY_LEN>().0 {
            match record {
                [0xFF, 0xFF, ..] => {
                    check_fill(record, offset)?;
                    return match table.entries.is_empty() {
                        true => Err(TableError::Empty),
                        false => Ok(table),
                    };
                }
                _ if table.checksum == Checksum::Md5 => {
                    return Err(TableError::AfterChecksum { offset });
                }
                [0xEB, 0xEB, ..] => {
                    check_md5(record, bytes.get(..offset).unwrap_or_default(), offset)?;
                    table.checksum = Checksum::Md5;
                }
                record => {
                    let entry = Entry::parse(record, offset)?;
                    // `TABLE_LEN` bytes without an end marker: `NoEnd` below.
                    let _ = table.entries.push(entry);
                }
            }
            offset = offset.saturating_add(ENTRY_LEN);
        }
        Err(TableError::NoEnd { offset })
    }

    /// Writes the table into a buffer, which is filled with 0xFF behind it.
    ///
    /// # Errors
    /// [`TableFull`] when MD5 and end marker do not fit any more.
    pub fn encode(&self, out: &mut [u8; TABLE_LEN]) -> Result<(), TableFull> {
        let with_md5 = usize::from(self.checksum == Checksum::Md5);
        if self.entries.len().saturating_add(with_md5) > MAX_ENTRIES {
            return Err(TableFull);
        }
        out.fill(0xFF);
        let used = self.entries.len().saturating_mul(ENTRY_LEN);
        let (entries, rest) = out.split_at_mut_checked(used).ok_or(TableFull)?;
        for (record, entry) in entries.as_chunks_mut().0.iter_mut().zip(&self.entries) {
            *record = entry.encode();
        }
        if self.checksum == Checksum::Md5 {
            let record = rest.first_chunk_mut::<ENTRY_LEN>().ok_or(TableFull)?;
            let (head, sum) = record.split_at_mut(MD5_OFFSET);
            head.copy_from_slice(&MD5_HEAD);
            sum.copy_from_slice(&Md5::digest(entries));
        }
        Ok(())
    }

    /// Returns the first partition of a kind and subtype.
    #[must_use]
    pub fn find(&self, kind: PartitionType, subtype: Subtype) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.kind == kind && entry.subtype == subtype)
    }

    /// Returns the partition of a name.
    #[must_use]
    pub fn find_by_name(&self, name: &str) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.label.as_str() == name)
    }

    /// Returns the app slots `ota_0`, `ota_1`, ... up to the first that is missing.
    ///
    /// When this is shorter than [`app_count`](Self::app_count), the numbering has a gap, and the
    /// bootloader computes slots that do not exist.
    #[must_use]
    pub fn app_slots(&self) -> heapless::Vec<&Entry, MAX_SLOTS> {
        (0..=0x0F)
            .map_while(|slot| self.find(PartitionType::App, Subtype::ota(slot)))
            .collect()
    }

    /// Returns how many OTA apps there are, as the bootloader counts them.
    #[must_use]
    pub fn app_count(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.kind == PartitionType::App && entry.subtype.is_ota())
            .count()
    }

    /// Returns the factory app.
    #[must_use]
    pub fn factory(&self) -> Option<&Entry> {
        self.find(PartitionType::App, Subtype::FACTORY)
    }

    /// Returns the otadata partition.
    #[must_use]
    pub fn otadata(&self) -> Option<&Entry> {
        self.find(PartitionType::Data, Subtype::DATA_OTA)
    }
}

impl Entry {
    /// Whether ESP-IDF keeps the partition encrypted once flash encryption is on.
    ///
    /// Apps, bootloaders, tables, otadata and NVS keys are, whatever their flag says; NVS is not,
    /// whatever its flag says; of the rest those with the flag.
    ///
    /// Source: ESP-IDF `esp_partition/partition.c`, `flash_encrypt.c`.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        match (self.kind, self.subtype) {
            (PartitionType::App | PartitionType::Bootloader | PartitionType::PartitionTable, _)
            | (
                PartitionType::Data,
                Subtype::DATA_OTA | Subtype::DATA_TEE_OTA | Subtype::DATA_NVS_KEYS,
            ) => true,
            (PartitionType::Data, Subtype::DATA_NVS) => false,
            _ => self.flags.contains(Flags::ENCRYPTED),
        }
    }

    /// Returns the offset behind the partition; `None` past the 32-bit address space.
    #[must_use]
    pub const fn end(&self) -> Option<FlashOffset> {
        self.offset.checked_add(self.size)
    }

    /// Parses one record; `offset` is its place in the table.
    fn parse(bytes: &[u8; ENTRY_LEN], offset: usize) -> Result<Self, TableError> {
        let wire: Wire = zerocopy::transmute!(*bytes);
        if wire.magic != ENTRY_MAGIC {
            return Err(TableError::Magic {
                offset,
                found: wire.magic,
            });
        }
        let label = Label::from_bytes(wire.label).ok_or(TableError::Label {
            offset: offset.saturating_add(offset_of!(Wire, label)),
        })?;
        Ok(Self {
            kind: PartitionType::from_u8(wire.kind),
            subtype: Subtype(wire.subtype),
            offset: FlashOffset::new(wire.offset.get()),
            size: wire.size.get(),
            label,
            flags: Flags(wire.flags.get()),
        })
    }

    /// Returns the record.
    fn encode(&self) -> [u8; ENTRY_LEN] {
        zerocopy::transmute!(Wire {
            magic: ENTRY_MAGIC,
            kind: self.kind.to_u8(),
            subtype: self.subtype.0,
            offset: U32::new(self.offset.get()),
            size: U32::new(self.size),
            label: *self.label.as_bytes(),
            flags: U32::new(self.flags.0),
        })
    }
}

/// First bytes of an entry.
const ENTRY_MAGIC: [u8; 2] = [0xAA, 0x50];
/// Where the MD5 lies within its record.
const MD5_OFFSET: usize = 16;
/// What is before it.
const MD5_HEAD: [u8; MD5_OFFSET] = {
    let mut head = [0xFF; MD5_OFFSET];
    [head[0], head[1]] = [0xEB, 0xEB];
    head
};

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Wire {
    magic: [u8; 2],
    kind: u8,
    subtype: u8,
    offset: U32,
    size: U32,
    label: [u8; 16],
    flags: U32,
}

const _: () = {
    assert!(size_of::<Wire>() == ENTRY_LEN);
    assert!(offset_of!(Wire, kind) == 2);
    assert!(offset_of!(Wire, offset) == 4);
    assert!(offset_of!(Wire, size) == 8);
    assert!(offset_of!(Wire, label) == 12);
    assert!(offset_of!(Wire, flags) == 28);
};

/// Checks that a record is all 0xFF.
fn check_fill(record: &[u8], offset: usize) -> Result<(), TableError> {
    match record.iter().zip(offset..).find(|(byte, _)| **byte != 0xFF) {
        None => Ok(()),
        Some((byte, offset)) => Err(TableError::Fill {
            offset,
            found: *byte,
        }),
    }
}

/// Checks the record that holds the MD5 of `entries`.
fn check_md5(record: &[u8; ENTRY_LEN], entries: &[u8], offset: usize) -> Result<(), TableError> {
    let (halves, _) = record.as_chunks::<MD5_OFFSET>();
    let [[_, _, filler @ ..], stored] = halves else {
        return Err(TableError::NoEnd { offset });
    };
    check_fill(filler, offset.saturating_add(2))?;
    let computed: [u8; 16] = Md5::digest(entries).into();
    if *stored != computed {
        return Err(TableError::Md5 {
            offset: offset.saturating_add(MD5_OFFSET),
            computed,
            stored: *stored,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
