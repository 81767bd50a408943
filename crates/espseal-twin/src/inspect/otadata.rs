//! Both otadata entries, and what a bootloader makes of them.

use espseal_format::otadata::{ENTRY_LEN, OtadataEntry, OtadataError, PARTITION_LEN};
use espseal_format::partition_table::PartitionTable;
use espseal_format::units::SECTOR_SIZE;

use super::entropy::is_erased;
use super::flash::Flash;
use crate::boot::{
    ABORTED, AppSlot, Decision, NEW, PENDING_VERIFY, RawEntry, Rollback, active as active_entry,
};

/// Both entries of an otadata partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtadataView {
    /// The entries in the order of their sectors.
    pub entries: [EntryView; 2],
}

/// One entry, and how it stands in flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryView {
    /// The bytes in flash.
    pub raw: [u8; ENTRY_LEN],
    /// The bytes as flash encryption reads them; `None` without a key.
    pub decrypted: Option<[u8; ENTRY_LEN]>,
    /// How it stands in flash.
    pub form: EntryForm,
}

/// How an entry stands in flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryForm {
    /// All 0xFF: a device without flash encryption reads it as blank, one with it as noise.
    Erased,
    /// Plain bytes.
    Plain,
    /// Opened with the key.
    Encrypted,
    /// Neither blank nor an entry, and no key that opens it.
    LooksEncrypted,
}

impl OtadataView {
    /// Looks at an otadata partition; `None` when it is cut short.
    #[must_use]
    pub fn of(flash: &Flash<'_>) -> Option<Self> {
        let second = flash.address().checked_add(SECTOR)?;
        Some(Self {
            entries: [
                EntryView::of(&flash.part(flash.address(), SECTOR))?,
                EntryView::of(&flash.part(second, SECTOR))?,
            ],
        })
    }

    /// The entries as a device reads them; `None` for one with flash encryption without its key.
    #[must_use]
    pub fn as_read(&self, through: Reading) -> Option<[[u8; ENTRY_LEN]; 2]> {
        let [first, second] = &self.entries;
        match through {
            Reading::Plain => Some([first.raw, second.raw]),
            Reading::FlashEncryption => Some([first.decrypted?, second.decrypted?]),
        }
    }

    /// How a device reads them, as far as the entries tell: through flash encryption when one of
    /// them was written through it.
    #[must_use]
    pub fn reading(&self) -> Reading {
        let encrypted = |entry: &EntryView| {
            matches!(entry.form, EntryForm::Encrypted | EntryForm::LooksEncrypted)
        };
        match self.entries.iter().any(encrypted) {
            true => Reading::FlashEncryption,
            false => Reading::Plain,
        }
    }
}

impl EntryView {
    /// Looks at the entry at the start of a sector; with a key it is tried both ways.
    fn of(sector: &Flash<'_>) -> Option<Self> {
        let raw: [u8; ENTRY_LEN] = *sector.raw().first_chunk()?;
        let decrypted: Option<[u8; ENTRY_LEN]> = sector
            .decrypt(ENTRY_LEN)
            .and_then(|plain| plain.first_chunk().copied());
        let is_entry = |bytes: &[u8; ENTRY_LEN]| OtadataEntry::parse(bytes).is_ok();
        let form = match decrypted {
            _ if is_erased(&raw) => EntryForm::Erased,
            _ if is_entry(&raw) => EntryForm::Plain,
            Some(plain) if is_entry(&plain) || is_erased(&plain) => EntryForm::Encrypted,
            _ if has_blank_label(&raw) => EntryForm::Plain,
            Some(plain) if has_blank_label(&plain) => EntryForm::Encrypted,
            _ => EntryForm::LooksEncrypted,
        };
        Some(Self {
            raw,
            decrypted,
            form,
        })
    }

    /// The bytes that mean something: the opened ones of an encrypted entry, else those in flash.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; ENTRY_LEN] {
        match (&self.form, &self.decrypted) {
            (EntryForm::Encrypted, Some(plain)) => plain,
            _ => &self.raw,
        }
    }

    /// Parses the entry.
    ///
    /// # Errors
    /// As [`OtadataEntry::parse`].
    pub fn parse(&self) -> Result<OtadataEntry, OtadataError> {
        OtadataEntry::parse(self.bytes())
    }
}

/// How a device reads otadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As it is in flash.
    Plain,
    /// Through flash encryption.
    FlashEncryption,
}

/// Whether the label, which nobody uses, is all 0xFF or all 0: noise is not.
fn has_blank_label(entry: &[u8; ENTRY_LEN]) -> bool {
    let label = entry.get(4..24).unwrap_or_default();
    is_erased(label) || label.iter().all(|byte| *byte == 0)
}

/// Bytes of one of the two sectors.
const SECTOR: u32 = PARTITION_LEN / 2;

/// The app partitions that otadata chooses among.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// Number of OTA slots, as the bootloader counts them.
    pub ota: u8,
    /// Whether there is a factory app.
    pub factory: Factory,
}

/// Whether a table has a factory app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factory {
    /// It has.
    Present,
    /// It has not.
    Absent,
}

impl Slots {
    /// Reads them from a table.
    #[must_use]
    pub fn of(table: &PartitionTable) -> Self {
        Self {
            ota: u8::try_from(table.app_count()).unwrap_or(u8::MAX),
            factory: match table.factory() {
                Some(_) => Factory::Present,
                None => Factory::Absent,
            },
        }
    }
}

/// What a bootloader does next with otadata, before it looks at any image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Its decisions, in order.
    pub decisions: Vec<Decision>,
    /// The app that it tries first.
    pub first: AppSlot,
}

/// Says what a bootloader does next with two entries, as it reads them.
///
/// Source: ESP-IDF `bootloader_utility.c`, `bootloader_utility_get_selected_boot_partition`, without
/// anti-rollback, which looks at images too.
#[must_use]
pub fn forecast(entries: &[[u8; ENTRY_LEN]; 2], slots: Slots, rollback: Rollback) -> Forecast {
    let mut entries = entries.map(RawEntry);
    let mut decisions = Vec::new();
    if rollback == Rollback::Enabled {
        for (index, entry) in entries.iter_mut().enumerate() {
            if entry.state() == PENDING_VERIFY {
                entry.set_state(ABORTED);
                decisions.push(Decision::Aborted { entry: index });
            }
        }
    }
    let default = match slots.factory {
        Factory::Present => AppSlot::Factory,
        Factory::Absent => AppSlot::Ota(0),
    };
    if entries.iter().all(RawEntry::is_invalid) || slots.ota == 0 {
        let initial = entries.iter().all(RawEntry::is_initial);
        decisions.push(Decision::Defaulted);
        if initial && slots.factory == Factory::Absent {
            decisions.push(Decision::WroteActualSequence { seq: 1 });
        }
        return Forecast {
            decisions,
            first: default,
        };
    }
    let usable = entries.map(|entry| entry.is_valid());
    let chosen =
        active_entry(&entries, usable).and_then(|index| Some((index, *entries.get(index)?)));
    let Some((index, entry)) = chosen else {
        decisions.push(Decision::OtadataInvalid);
        return Forecast {
            decisions,
            first: default,
        };
    };
    let slot = entry.seq().wrapping_sub(1) % u32::from(slots.ota);
    let first = AppSlot::Ota(u8::try_from(slot).unwrap_or(0));
    decisions.push(Decision::Selected {
        entry: index,
        slot: first,
    });
    if rollback == Rollback::Enabled && entry.state() == NEW {
        decisions.push(Decision::MarkedPending { entry: index });
    }
    Forecast { decisions, first }
}

/// The sector that holds an entry, as the agent writes it: erased, the entry at its start.
///
/// Returns the offset of the sector within the partition, and its bytes before encryption.
#[must_use]
pub fn sector_with(sector: usize, entry: &OtadataEntry) -> (u32, [u8; SECTOR_SIZE]) {
    let mut bytes = [0xFF; SECTOR_SIZE];
    let encoded = entry.encode();
    bytes
        .iter_mut()
        .zip(encoded)
        .for_each(|(to, from)| *to = from);
    (if sector == 0 { 0 } else { SECTOR }, bytes)
}
