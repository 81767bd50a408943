//! The map of a whole flash chip: what is where, erased, plain or encrypted, in order or not.

use espseal_format::chip::{ChipId, chip};
use espseal_format::image::ImageError;
use espseal_format::partition_table::{Entry, PartitionTable, TABLE_LEN, TableError};
use espseal_format::read::PastEnd;
use espseal_format::units::FlashOffset;

use super::entropy::look;
use super::finding::Finding;
use super::flash::{Flash, bootloader_chip};
use super::image::Inspection;
use super::otadata::OtadataView;

use self::look::{form_of, holds_image, image, partition};

mod judge;
mod look;

/// What is known about a dump before looking at it.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The chip, if the user named it.
    pub chip: Option<ChipId>,
    /// Where the partition table lies.
    pub table_offset: FlashOffset,
}

/// The map of a flash chip.
#[derive(Clone, Debug)]
pub struct FlashMap {
    /// The chip: named, or found in the bootloader.
    pub chip: Option<ChipId>,
    /// Bytes of the dump.
    pub size: u32,
    /// Whether bootloader, table and apps are encrypted.
    pub encryption: Encryption,
    /// Whether a key was there to try.
    pub key: Key,
    /// The partition table, if it can be read.
    pub table: Option<PartitionTable>,
    /// Everything in the order of the addresses.
    pub regions: Vec<Region>,
    /// What is wrong or worth knowing, the worst first.
    pub findings: Vec<Finding>,
}

/// Whether the parts that flash encryption covers are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// They are plain.
    Off,
    /// They are encrypted.
    On,
    /// There is too little in the dump to tell.
    Unknown,
}

/// Whether there was a flash encryption key to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// There was: what it does not open is not encrypted for this device and place.
    Given,
    /// There was none: what looks encrypted may be in order.
    Missing,
}

/// A stretch of flash with one purpose.
#[derive(Clone, Debug)]
pub struct Region {
    /// What it is for.
    pub place: Place,
    /// Where it starts.
    pub offset: FlashOffset,
    /// Its length in bytes; of a partition, as the table has it.
    pub size: u32,
    /// Erased, plain or encrypted.
    pub form: Form,
    /// What was found in it.
    pub content: Content,
}

/// What a region is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where the ROM looks for the second-stage bootloader.
    Bootloader,
    /// The partition table.
    Table,
    /// A partition.
    Partition(Entry),
    /// Nothing: no partition covers it.
    Gap,
}

/// How a region stands in flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// All 0xFF.
    Erased,
    /// Plain.
    Plain,
    /// Encrypted: the key opens it.
    Encrypted,
    /// An image that the key opens only as if it stood at another address.
    EncryptedFor(FlashOffset),
    /// Like noise, and no key opens it.
    LooksEncrypted,
    /// The dump ends before it.
    Missing,
}

/// What was found in a region.
#[derive(Clone, Debug)]
pub enum Content {
    /// Nothing that can be named.
    Nothing,
    /// An image.
    Image(Box<Inspection>),
    /// Something that starts as an image and is none.
    BrokenImage(ImageError<PastEnd>),
    /// A partition table.
    Table {
        /// Number of partitions.
        partitions: usize,
    },
    /// otadata.
    Otadata(OtadataView),
    /// Key-value storage.
    Nvs(NvsPages),
}

/// The pages of an NVS partition, by their headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NvsPages {
    /// Pages in use.
    pub used: usize,
    /// Erased pages.
    pub erased: usize,
    /// Pages whose header is neither.
    pub damaged: usize,
}

impl Region {
    /// Its name: the label of a partition.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.place {
            Place::Bootloader => "bootloader",
            Place::Table => "partition table",
            Place::Partition(entry) => entry.label.as_str(),
            Place::Gap => "gap",
        }
    }

    /// Whether ESP-IDF reads it through flash encryption, once that is on.
    #[must_use]
    pub fn is_to_be_encrypted(&self) -> bool {
        match &self.place {
            Place::Bootloader | Place::Table => true,
            Place::Partition(entry) => entry.is_encrypted(),
            Place::Gap => false,
        }
    }

    /// The image in it.
    #[must_use]
    pub fn image(&self) -> Option<&Inspection> {
        match &self.content {
            Content::Image(image) => Some(image),
            _ => None,
        }
    }
}

impl FlashMap {
    /// Maps a dump that starts at address 0.
    #[must_use]
    pub fn of(flash: &Flash<'_>, known: &Known) -> Self {
        let mut map = Self {
            chip: known.chip.or_else(|| bootloader_chip(flash)),
            size: flash.len(),
            encryption: Encryption::Unknown,
            key: match flash.has_key() {
                true => Key::Given,
                false => Key::Missing,
            },
            table: None,
            regions: Vec::new(),
            findings: Vec::new(),
        };
        map.bootloader(flash, known.table_offset);
        map.table(flash, known.table_offset);
        let table = map.table.clone().unwrap_or_default();
        let images: Vec<_> = table
            .entries
            .iter()
            .filter(|entry| holds_image(entry))
            .map(|entry| (entry.offset, entry.label.as_str()))
            .collect();
        for entry in &table.entries {
            let (form, content) = match flash.len() <= entry.offset.get() {
                true => (Form::Missing, Content::Nothing),
                false => partition(&flash.part(entry.offset, entry.size), entry, &images),
            };
            map.regions.push(Region {
                place: Place::Partition(*entry),
                offset: entry.offset,
                size: entry.size,
                form,
                content,
            });
        }
        map.gaps(flash);
        map.judge(known.table_offset);
        map
    }

    fn bootloader(&mut self, flash: &Flash<'_>, table_offset: FlashOffset) {
        let Some(offset) = self.chip.and_then(chip).map(|chip| chip.bootloader_offset) else {
            self.findings.push(Finding::UnknownChip);
            return;
        };
        let size = table_offset.get().saturating_sub(offset.get());
        let (form, content) = image(&flash.part(offset, size), &[]);
        if form == Form::Erased || form == Form::Missing {
            self.findings.push(Finding::NoBootloader { offset });
        }
        self.regions.push(Region {
            place: Place::Bootloader,
            offset,
            size,
            form,
            content,
        });
    }

    fn table(&mut self, flash: &Flash<'_>, offset: FlashOffset) {
        let part = flash.part(offset, SECTOR);
        let mut form = Form::Plain;
        let mut parsed = PartitionTable::parse(part.raw());
        if parsed.is_err()
            && let Some(Ok(table)) = part
                .decrypt(TABLE_LEN)
                .map(|plain| PartitionTable::parse(&plain))
        {
            parsed = Ok(table);
            form = Form::Encrypted;
        }
        let content = match parsed {
            Ok(table) => {
                let partitions = table.entries.len();
                if let Err(cause) = table.verify(offset) {
                    self.findings.push(Finding::TableRule(cause));
                }
                self.table = Some(table);
                Content::Table { partitions }
            }
            Err(cause) => {
                form = form_of(look(part.raw()), part.is_empty());
                self.findings.push(match (form, cause) {
                    (Form::LooksEncrypted, TableError::Magic { .. }) if !flash.has_key() => {
                        Finding::TableLooksEncrypted { offset }
                    }
                    (_, cause) => Finding::NoTable { offset, cause },
                });
                Content::Nothing
            }
        };
        self.regions.push(Region {
            place: Place::Table,
            offset,
            size: SECTOR,
            form,
            content,
        });
    }

    /// Adds what lies between the regions, and puts all in order.
    fn gaps(&mut self, flash: &Flash<'_>) {
        self.regions.sort_by_key(|region| region.offset);
        let mut gaps = Vec::new();
        let mut end = 0;
        let edges = self
            .regions
            .iter()
            .map(|region| (region.offset.get(), region.size))
            .chain([(flash.len(), 0)]);
        for (start, size) in edges {
            if start > end {
                let offset = FlashOffset::new(end);
                let part = flash.part(offset, start - end);
                gaps.push(Region {
                    place: Place::Gap,
                    offset,
                    size: start - end,
                    form: form_of(look(part.raw()), part.is_empty()),
                    content: Content::Nothing,
                });
            }
            end = end.max(start.saturating_add(size));
        }
        self.regions.append(&mut gaps);
        self.regions.sort_by_key(|region| region.offset);
    }
}

/// Bytes of a sector.
const SECTOR: u32 = 0x1000;
