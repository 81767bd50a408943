//! Otadata: reading the bootloader's choice, clearing stale entries, choosing the new image.

use espseal_format::journal::State;
use espseal_format::otadata::{ENTRY_LEN, OtaState, Otadata, OtadataEntry, slot_of};
use espseal_format::units::FlashOffset;

use crate::agent::Agent;
use crate::boot::Selection;
use crate::crypto::Crypto;
use crate::device_key::DeviceKey;
use crate::error::{AgentError, DeviceError, HardwareError};
use crate::flash::Flash;
use crate::journal::Journal;
use crate::medium::SECTOR;
use crate::observer::{Event, Observer};
use crate::platform::{Platform, Slot};
use crate::transport::Transport;
use crate::verify::CompleteSlot;

impl<F, T, K, P, O, C> Agent<'_, F, T, K, P, O, C>
where
    F: Flash,
    T: Transport,
    K: DeviceKey,
    P: Platform,
    O: Observer,
    C: Crypto,
{
    /// Makes the bootloader start a complete slot at the next restart (design, section 7 item 4).
    ///
    /// The entry goes to the sector that is *not* selected: torn, it leaves the old image selected.
    #[inline(never)]
    pub(crate) fn activate(
        &mut self,
        journal: &mut Journal,
        complete: CompleteSlot,
    ) -> Result<(), AgentError> {
        let slot = complete.slot();
        let otadata = self.read_otadata()?;
        let Slot::Ota(number) = slot else {
            return Err(DeviceError::NoTargetSlot.into());
        };
        let seq = otadata
            .next_seq_for(number, self.config.layout.slot_count())
            .ok_or(DeviceError::NoTargetSlot)?;
        journal.record_mut().state = State::Activating;
        journal.store(&mut self.medium, &mut self.workspace.sector)?;
        let entry = OtadataEntry::new(seq, OtaState::New);
        let sector = otadata.next_sector();
        if let Err(error) = self.write_entry(sector, &entry) {
            // Its CRC covers the sequence number only: an entry whose state did not take would start
            // the new image without a rollback. Without the entry the old image stays.
            let _ = self.medium.erase(self.entry_at(sector));
            return Err(error.into());
        }
        let manifest = complete.manifest();
        self.medium.event(&Event::Activated { slot, manifest });
        Ok(())
    }

    /// Erases an otadata entry that names `target` without being selected (item 2): what an
    /// earlier attempt left behind must not speak for what is staged now.
    #[inline(never)]
    pub(crate) fn clear_stale_entries(&mut self, target: Slot) -> Result<(), HardwareError> {
        let otadata = self.read_otadata()?;
        let selected = otadata.selected().map(|(sector, _)| sector);
        for (sector, entry) in otadata.entries.iter().enumerate() {
            let names_target = entry.is_some_and(|entry| self.names(&entry, target));
            if names_target && selected != Some(sector) {
                self.medium.erase(self.entry_at(sector))?;
            }
        }
        Ok(())
    }

    /// Erases the selected entry if it names `target`: the image in it did not start.
    #[inline(never)]
    pub(crate) fn drop_selected_entry(&mut self, target: Slot) -> Result<(), HardwareError> {
        let otadata = self.read_otadata()?;
        match otadata.selected() {
            Some((sector, entry)) if self.names(entry, target) => {
                self.medium.erase(self.entry_at(sector))
            }
            _ => Ok(()),
        }
    }

    /// Rewrites the selected entry as VALID (item 5): the same sector, the same sequence number.
    #[inline(never)]
    pub(crate) fn mark_selected_valid(&mut self) -> Result<(), HardwareError> {
        let otadata = self.read_otadata()?;
        match otadata.selected() {
            Some((sector, entry)) if entry.state != OtaState::Valid => {
                self.write_entry(sector, &entry.with_state(OtaState::Valid))
            }
            _ => Ok(()),
        }
    }

    /// Reads both otadata entries, decrypted.
    #[inline(never)]
    pub(crate) fn read_otadata(&mut self) -> Result<Otadata, HardwareError> {
        let mut entries = [[0; ENTRY_LEN]; 2];
        for (sector, bytes) in entries.iter_mut().enumerate() {
            self.medium.read(self.entry_at(sector), bytes)?;
        }
        let [first, second] = &entries;
        Ok(Otadata::parse(first, second))
    }

    /// What the bootloader selects as flash stands now.
    pub(crate) fn selection(&mut self) -> Result<Selection, HardwareError> {
        Ok(Selection::of(&self.read_otadata()?, &self.config.layout))
    }

    /// State of the entry that names `target`, selected or not; the selected one comes first.
    pub(crate) fn entry_state(&mut self, target: Slot) -> Result<Option<OtaState>, HardwareError> {
        let otadata = self.read_otadata()?;
        let selected = otadata.selected().map(|(_, entry)| *entry);
        let named = selected
            .into_iter()
            .chain(otadata.entries.into_iter().flatten());
        Ok(named
            .into_iter()
            .find(|entry| self.names(entry, target))
            .map(|entry| entry.state))
    }

    fn names(&self, entry: &OtadataEntry, target: Slot) -> bool {
        slot_of(entry.seq, self.config.layout.slot_count()).map(Slot::Ota) == Some(target)
    }

    #[inline(never)]
    fn write_entry(&mut self, sector: usize, entry: &OtadataEntry) -> Result<(), HardwareError> {
        let at = self.entry_at(sector);
        let buffer = &mut self.workspace.sector;
        buffer.fill(0xFF);
        buffer
            .iter_mut()
            .zip(entry.encode())
            .for_each(|(to, from)| *to = from);
        self.medium.replace(at, buffer)
    }

    fn entry_at(&self, sector: usize) -> FlashOffset {
        let first = self.config.layout.otadata;
        match sector {
            0 => first,
            _ => FlashOffset::new(first.get().saturating_add(SECTOR)),
        }
    }
}
