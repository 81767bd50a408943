//! The agent's memory across power cuts: two sectors of records, two of root bodies.
//!
//! A record is written whole into the sector of the older one and read back, so that one record
//! always survives. A root body goes to the sector that is not in use, and counts only once a
//! record names it.

use core::mem;

use espseal_format::journal::{
    self, Quarantine, Record, RootLocation, encode_root_body, parse_root_body,
};
use espseal_format::units::{Digest, FlashOffset, SECTOR_SIZE};

use crate::boot::MAX_FAILURES;
use crate::error::{AgentError, Document, HardwareError, MetadataError};
use crate::flash::Flash;
use crate::medium::Medium;
use crate::observer::Observer;

/// The newest record, and where it stands.
pub(crate) struct Journal {
    base: FlashOffset,
    /// Sector of the newest record; `None` when neither sector holds one.
    sector: Option<usize>,
    record: Record,
}

impl Journal {
    /// A place for [`load`](Self::load) to read into.
    pub(crate) fn place() -> Self {
        Self {
            base: FlashOffset::new(0),
            sector: None,
            record: Record::default(),
        }
    }

    /// Reads the newest record; a lost journal begins with a blank one, under built-in floors.
    ///
    /// In place: a record that is handed up through results stands on the stack once for each.
    #[inline(never)]
    pub(crate) fn load<'j, F: Flash, O: Observer>(
        place: &'j mut Self,
        medium: &mut Medium<F, O>,
        base: FlashOffset,
    ) -> Result<&'j mut Self, HardwareError> {
        let mut records = [[0; journal::RECORD_LEN]; 2];
        for (sector, bytes) in records.iter_mut().enumerate() {
            medium.read(sector_at(base, sector), bytes)?;
        }
        let [first, second] = &records;
        place.base = base;
        (place.sector, place.record) = match journal::newest(first, second) {
            Some((sector, record)) => (Some(sector), record),
            None => (None, Record::default()),
        };
        Ok(place)
    }

    pub(crate) const fn record(&self) -> &Record {
        &self.record
    }

    /// Changes count once [`store`](Self::store) has returned.
    pub(crate) const fn record_mut(&mut self) -> &mut Record {
        &mut self.record
    }

    /// Writes the record over the older one.
    #[inline(never)]
    pub(crate) fn store<F: Flash, O: Observer>(
        &mut self,
        medium: &mut Medium<F, O>,
        buffer: &mut [u8; SECTOR_SIZE],
    ) -> Result<(), HardwareError> {
        let sector = match self.sector {
            Some(0) => 1,
            _ => 0,
        };
        self.record.counter = self.record.next_counter();
        buffer.fill(0xFF);
        copy(buffer, &self.record.encode());
        medium.replace(sector_at(self.base, sector), buffer)?;
        self.sector = Some(sector);
        Ok(())
    }

    /// The sector for root bodies that is not in use, and its first byte.
    pub(crate) fn spare_root(&self) -> (RootLocation, FlashOffset) {
        let (sector, location) = match self.record.root {
            RootLocation::A => (ROOT_B, RootLocation::B),
            _ => (ROOT_A, RootLocation::A),
        };
        (location, sector_at(self.base, sector))
    }

    /// Stores a verified root: first its body, in the sector not in use, then the record.
    #[inline(never)]
    pub(crate) fn store_root<F: Flash, O: Observer>(
        &mut self,
        medium: &mut Medium<F, O>,
        body: &[u8],
        version: u32,
        buffer: &mut [u8; SECTOR_SIZE],
    ) -> Result<(), AgentError> {
        let (location, at) = self.spare_root();
        let document = Document::Root { version };
        encode_root_body(body, buffer).map_err(|_| MetadataError::Malformed { document })?;
        medium.replace(at, buffer)?;
        self.record.root = location;
        self.record.root_version = version;
        Ok(self.store(medium, buffer)?)
    }

    /// Reads the body of the root in use; `None` when there is none or its length is nonsense.
    pub(crate) fn load_root<'b, F: Flash, O: Observer>(
        &self,
        medium: &mut Medium<F, O>,
        buffer: &'b mut [u8; SECTOR_SIZE],
    ) -> Result<Option<&'b [u8]>, HardwareError> {
        let sector = match self.record.root {
            RootLocation::BuiltIn => return Ok(None),
            RootLocation::A => ROOT_A,
            RootLocation::B => ROOT_B,
        };
        medium.read(sector_at(self.base, sector), buffer)?;
        Ok(parse_root_body(buffer).ok())
    }

    /// Whether this manifest failed too often to be tried again.
    pub(crate) fn is_quarantined(&self, manifest: &Digest) -> bool {
        self.record.failures(manifest) >= MAX_FAILURES
    }

    /// Counts a failure of this manifest and returns how many there are.
    ///
    /// When the list is full, the entry with the fewest failures makes room, the oldest first.
    pub(crate) fn count_failure(&mut self, manifest: Digest) -> u8 {
        let list = &mut self.record.quarantine;
        if let Some(entry) = list
            .iter_mut()
            .find(|entry| entry.manifest == manifest && entry.failures > 0)
        {
            entry.failures = entry.failures.saturating_add(1);
            return entry.failures;
        }
        // min_by_key takes the first of equals: blanks, then the oldest.
        let room = list
            .iter()
            .enumerate()
            .min_by_key(|(_, entry)| entry.failures.min(MAX_FAILURES));
        let room = room.map_or(0, |(index, _)| index);
        // The new entry goes to the end, each one after the room moves up: the order is that of age.
        let mut newer = Quarantine {
            manifest,
            failures: 1,
        };
        for entry in list.iter_mut().skip(room).rev() {
            mem::swap(entry, &mut newer);
        }
        1
    }

    /// Forgets the failures of a manifest that was confirmed after all.
    pub(crate) fn forgive(&mut self, manifest: &Digest) {
        for entry in &mut self.record.quarantine {
            if entry.manifest == *manifest {
                *entry = Quarantine::default();
            }
        }
    }
}

/// Sector of root body A.
const ROOT_A: usize = 2;
/// Sector of root body B.
const ROOT_B: usize = 3;

/// First byte of the journal's sector `index`; the layout was checked to lie within 32 bits.
fn sector_at(base: FlashOffset, index: usize) -> FlashOffset {
    let distance = index.saturating_mul(SECTOR_SIZE);
    FlashOffset::new(
        base.get()
            .saturating_add(u32::try_from(distance).unwrap_or(u32::MAX)),
    )
}

/// Copies `from` to the start of `to`.
fn copy(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}
