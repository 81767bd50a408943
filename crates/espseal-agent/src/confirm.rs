//! The new image declares itself good; from then on it is what a rollback returns to.

use espseal_format::image::{ImageError, ImageLayout};
use espseal_format::journal::State;
use espseal_format::read::ReadAt as _;
use espseal_format::units::Digest;

use crate::agent::Agent;
use crate::boot::{self, Verdict};
use crate::crypto::{Crypto, sha256_of};
use crate::device_key::DeviceKey;
use crate::error::{AgentError, DeviceError, Misuse};
use crate::flash::Flash;
use crate::journal::Journal;
use crate::medium::SECTOR;
use crate::observer::{Event, Observer};
use crate::platform::Platform;
use crate::transport::Transport;
use crate::verify::SlotReader;

impl<F, T, K, P, O, C> Agent<'_, F, T, K, P, O, C>
where
    F: Flash,
    T: Transport,
    K: DeviceKey,
    P: Platform,
    O: Observer,
    C: Crypto,
{
    /// Confirms the running image after its self-test (design, section 7 item 5).
    ///
    /// Marking valid writes the *selected* entry, so it has to be proved first that the selected
    /// slot is the running one, awaits confirmation, and holds what the journal activated.
    ///
    /// # Errors
    /// [`Misuse::NothingToConfirm`], [`DeviceError::RunningNotSelected`],
    /// [`DeviceError::NoRollback`], [`DeviceError::WrongImage`] or a hardware error. Without a
    /// confirmation the bootloader rolls back at the next restart.
    #[inline(never)]
    pub fn confirm(&mut self) -> Result<(), AgentError> {
        let mut place = Journal::place();
        let journal = self.journal(&mut place)?;
        let situation = self.situation(journal)?;
        let (running, selected) = (situation.running, situation.selection.slot());
        match boot::judge(&situation) {
            Verdict::Await | Verdict::Finish => {}
            Verdict::NoRollback => return Err(DeviceError::NoRollback.into()),
            Verdict::Fallback => {
                return Err(DeviceError::RunningNotSelected { running, selected }.into());
            }
            Verdict::Nothing | Verdict::Retry | Verdict::Failed => {
                return Err(Misuse::NothingToConfirm.into());
            }
        }
        let expected = journal.record().target.plaintext;
        if !self.runs(&expected)? {
            return Err(DeviceError::WrongImage { expected }.into());
        }
        if journal.record().state != State::Confirming {
            journal.record_mut().state = State::Confirming;
            self.store(journal)?;
        }
        self.mark_selected_valid()?;
        self.finish_confirmation(journal)
    }

    /// Journals what the otadata entry says already. Only here does the confirmed position rise.
    #[inline(never)]
    pub(crate) fn finish_confirmation(&mut self, journal: &mut Journal) -> Result<(), AgentError> {
        let record = journal.record_mut();
        let manifest = record.target.manifest;
        record.state = State::Confirmed;
        record.confirmed = record.target;
        record.attempts = 0;
        journal.forgive(&manifest);
        self.store(journal)?;
        self.medium.event(&Event::Confirmed { manifest });
        Ok(())
    }

    /// Whether the running image hashes to `expected`.
    ///
    /// The journal holds no length: an image ends after its own hash, or after its signature
    /// sector, as staging has seen to.
    #[inline(never)]
    fn runs(&mut self, expected: &Digest) -> Result<bool, AgentError> {
        let region = self.running_region()?;
        let scratch = &mut self.workspace.page;
        let medium = &mut self.medium;
        let mut image = SlotReader {
            medium,
            region,
            length: region.size,
            head: None,
        };
        let layout = match ImageLayout::walk(&mut image, scratch) {
            Ok(layout) => layout,
            Err(ImageError::Read(error)) => return Err(error.into()),
            Err(_) => return Ok(false),
        };
        let signed = layout.signed_len.saturating_add(SECTOR);
        for length in [layout.image_len, signed] {
            if length <= image.len()
                && sha256_of(&mut image, length, &mut self.crypto, scratch)? == *expected
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
