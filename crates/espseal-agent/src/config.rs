//! What is built into the running image: who the device is, where things are, what it allows.

use espseal_format::chip::ChipId;
use espseal_format::metadata::manifest::{ClassId, VendorId};
use espseal_format::partition_table::{Entry, PartitionTable, PartitionType, Subtype};
use espseal_format::units::{ChannelName, FlashOffset, Position, Product};

use crate::error::Misuse;
use crate::medium::SECTOR;
use crate::platform::Slot;

/// Sectors of the journal partition that the agent uses.
pub const JOURNAL_SECTORS: u32 = 4;
/// Sectors of the otadata partition.
pub const OTADATA_SECTORS: u32 = 2;
/// Most OTA slots a partition table may have (`ota_0` to `ota_15`).
pub const MAX_OTA_SLOTS: usize = 16;

/// The configuration built into the running image.
#[derive(Clone, Debug)]
pub struct Config<'a> {
    /// The product this device belongs to.
    pub product: Product,
    /// Vendor that manifests have to name.
    pub vendor: VendorId,
    /// Device class that manifests have to name.
    pub class: ClassId,
    /// The chip that images have to be built for.
    pub chip: ChipId,
    /// The channel this device follows.
    pub channel: ChannelName,
    /// The recipient group whose epoch key this device can open.
    pub group: u32,
    /// A root, as COSE bytes: where trust starts when the journal holds no later one.
    pub built_in_root: &'a [u8],
    /// The lowest positions and the earliest time the running image knows of.
    pub floors: Floors,
    /// Where the partitions are.
    pub layout: Layout,
    /// What the maker allows.
    pub policy: Policy,
}

/// Floors built into the running image: what a lost journal falls back to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floors {
    /// Lowest acceptable `releases`.
    pub releases: Position,
    /// Lowest acceptable `now`.
    pub now: Position,
    /// Seconds since 1970 when the image was built.
    pub time: u64,
    /// The image's own installation, where the maker knows it when building; zero otherwise.
    pub installed: Position,
}

/// A stretch of flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First byte; on a sector boundary.
    pub offset: FlashOffset,
    /// Length in bytes; whole sectors.
    pub size: u32,
}

/// Where the partitions are that the agent reads and writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The factory app, if the table has one.
    pub factory: Option<Region>,
    /// `ota_0`, `ota_1`, ... in order.
    pub slots: heapless::Vec<Region, MAX_OTA_SLOTS>,
    /// First of the two otadata sectors.
    pub otadata: FlashOffset,
    /// First of the journal's four sectors.
    pub journal: FlashOffset,
}

/// What the maker allows beyond what the protocol asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// When the secure-boot signature of an image is demanded.
    pub signature: SignatureRule,
    /// What to do on a bootloader that cannot roll back.
    pub rollback: RollbackRule,
    /// How to ask for `now`.
    pub polling: Polling,
    /// Seconds between two polls, before jitter.
    pub poll_interval: u32,
}

/// When the secure-boot signature of a new image is demanded before it may be booted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureRule {
    /// Always: a device without a burnt digest takes no update.
    #[default]
    Required,
    /// Only when a digest is burnt; for development boards.
    WhenBurnt,
}

/// What to do on a bootloader that cannot roll back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RollbackRule {
    /// Neither stage nor confirm.
    #[default]
    Required,
    /// Go on without the safety net.
    Optional,
}

/// How to ask the repository for `now`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Polling {
    /// `GET now.cose`: any static host will do, and learns nothing about the device.
    #[default]
    Static,
    /// `POST /v1/poll`: tells the server what the device runs.
    Announced,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            signature: SignatureRule::default(),
            rollback: RollbackRule::default(),
            polling: Polling::default(),
            poll_interval: 3600,
        }
    }
}

impl Layout {
    /// Takes the partitions from the table in flash: the app slots, otadata, and the journal
    /// (type data, subtype 0x40, flagged encrypted, at least 0x4000 bytes).
    ///
    /// # Errors
    /// [`Misuse::Layout`] when one of them is missing, too small or overlaps another, when there is only
    /// one OTA slot, or when their numbers have a gap, which the bootloader counts otherwise.
    pub fn from_table(table: &PartitionTable) -> Result<Self, Misuse> {
        let region = |entry: &Entry| Region {
            offset: entry.offset,
            size: entry.size,
        };
        let at_least = |entry: &&Entry, sectors: u32| entry.size >= SECTOR.saturating_mul(sectors);
        let otadata = table
            .otadata()
            .filter(|entry| at_least(entry, OTADATA_SECTORS));
        let journal = table
            .find(PartitionType::Data, Subtype::DATA_ESPSEAL)
            .filter(|entry| at_least(entry, JOURNAL_SECTORS) && entry.is_encrypted());
        let layout = Self {
            factory: table.factory().map(region),
            slots: table.app_slots().into_iter().map(region).collect(),
            otadata: otadata.ok_or(Misuse::Layout)?.offset,
            journal: journal.ok_or(Misuse::Layout)?.offset,
        };
        let counted = table.app_count() == layout.slots.len();
        if counted && layout.slots.len() >= 2 && layout.is_sound() {
            Ok(layout)
        } else {
            Err(Misuse::Layout)
        }
    }

    /// The region of an app slot; `None` when the table has no such slot.
    #[must_use]
    pub fn region(&self, slot: Slot) -> Option<Region> {
        match slot {
            Slot::Factory => self.factory,
            Slot::Ota(number) => self.slots.get(usize::from(number)).copied(),
        }
    }

    /// How many OTA slots there are.
    #[must_use]
    pub fn slot_count(&self) -> u8 {
        u8::try_from(self.slots.len()).unwrap_or(u8::MAX)
    }

    /// The slot the bootloader starts while no otadata entry is valid.
    #[must_use]
    pub const fn default_slot(&self) -> Slot {
        match self.factory {
            Some(_) => Slot::Factory,
            None => Slot::Ota(0),
        }
    }

    /// The slot that an update goes to while `running` runs: the next OTA slot, never the running
    /// one, never factory; `None` when there is no other.
    #[must_use]
    pub fn target_for(&self, running: Slot) -> Option<Slot> {
        let count = self.slot_count();
        let target = match running {
            Slot::Factory => 0,
            Slot::Ota(number) => number.checked_add(1)?.checked_rem(count)?,
        };
        (target < count && running != Slot::Ota(target)).then_some(Slot::Ota(target))
    }

    /// Whether every partition starts on a sector, is not empty, and overlaps no other.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let fixed = [
            Region {
                offset: self.otadata,
                size: SECTOR.saturating_mul(OTADATA_SECTORS),
            },
            Region {
                offset: self.journal,
                size: SECTOR.saturating_mul(JOURNAL_SECTORS),
            },
        ];
        let all = || {
            fixed
                .iter()
                .chain(self.factory.iter())
                .chain(self.slots.iter())
        };
        !self.slots.is_empty()
            && all().all(|region| region.is_sound())
            && all()
                .enumerate()
                .all(|(i, a)| all().skip(i.saturating_add(1)).all(|b| !a.overlaps(b)))
    }
}

impl Region {
    fn is_sound(&self) -> bool {
        self.offset.is_sector_aligned()
            && FlashOffset::new(self.size).is_sector_aligned()
            && self.size > 0
            && self.offset.checked_add(self.size).is_some()
    }

    fn overlaps(&self, other: &Self) -> bool {
        let starts_before_end = |a: &Self, b: &Self| {
            b.offset
                .checked_add(b.size)
                .is_none_or(|end| a.offset < end)
        };
        starts_before_end(self, other) && starts_before_end(other, self)
    }
}
