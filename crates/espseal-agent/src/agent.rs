//! The agent: what the firmware calls at boot, at each poll, and after its self-test.

use espseal_format::journal::{Install, State};
use espseal_format::metadata::manifest::Manifest;
use espseal_format::units::{Digest, SECTOR_SIZE};

use crate::acceptance::{Demands, Standing};
use crate::boot::{self, Situation, Verdict};
use crate::config::{Config, Region};
use crate::crypto::{Crypto, SoftwareCrypto};
use crate::device_key::DeviceKey;
use crate::error::{AgentError, DeviceError, HardwareError, Misuse};
use crate::flash::Flash;
use crate::journal::Journal;
use crate::medium::Medium;
use crate::metadata::{Advice, Offered, VerifiedManifest};
use crate::observer::{Event, Observer, Silent};
use crate::platform::{Platform, Slot};
use crate::stage::{Sealed, Staging};
use crate::transport::Transport;
use crate::verify::{self, CompleteSlot, Trust};
use crate::workspace::Workspace;

/// The device's update state machine.
///
/// Call [`on_boot`](Self::on_boot) once after each restart, [`update`](Self::update) at each poll,
/// and [`confirm`](Self::confirm) once the new image has tested itself. Everything the agent
/// remembers is in flash: an error, a panic or a power cut at any point is followed by a restart
/// and `on_boot`.
pub struct Agent<'a, F, T, K, P, O = Silent, C = SoftwareCrypto> {
    pub(crate) config: &'a Config<'a>,
    pub(crate) workspace: &'a mut Workspace,
    pub(crate) medium: Medium<F, O>,
    pub(crate) transport: T,
    pub(crate) key: K,
    pub(crate) platform: P,
    pub(crate) crypto: C,
}

/// The device as the agent sees it, one part for each concern.
#[derive(Clone, Copy, Debug)]
pub struct Parts<F, T, K, P, O = Silent> {
    /// The flash chip, decrypted.
    pub flash: F,
    /// The way to the repository.
    pub transport: T,
    /// The device's keys.
    pub key: K,
    /// Running slot, eFuses, clock, randomness.
    pub platform: P,
    /// Whoever watches.
    pub observer: O,
}

/// A release that this device takes, and where it goes.
pub(crate) struct Task<'t> {
    pub(crate) manifest: &'t VerifiedManifest<'t>,
    pub(crate) offered: &'t Offered,
    pub(crate) slot: Slot,
    pub(crate) region: Region,
    pub(crate) trust: Trust,
}

/// What a restart turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BootOutcome {
    /// Nothing is pending.
    Idle,
    /// The new image runs for the first time: test it, then confirm.
    AwaitingConfirmation {
        /// SHA-256 of its manifest.
        manifest: Digest,
    },
    /// Power had gone away during confirmation; it is complete now.
    Confirmed {
        /// SHA-256 of the manifest.
        manifest: Digest,
    },
    /// The new image failed and the old one runs again.
    RolledBack {
        /// SHA-256 of the manifest that failed.
        manifest: Digest,
        /// Failures so far; from two on it is quarantined.
        failures: u8,
    },
    /// Activation was torn; the old image runs, or will after a restart, and the next update tries
    /// again.
    Torn {
        /// SHA-256 of the manifest.
        manifest: Digest,
        /// Torn activations so far.
        attempts: u8,
    },
    /// The new image runs, but its first boot was not tracked: the bootloader cannot roll back,
    /// and the policy demands that it can.
    NoRollback {
        /// SHA-256 of the manifest.
        manifest: Digest,
    },
    /// Another slot runs than the selected one, whose image no longer starts.
    Fallback {
        /// The slot that runs.
        running: Slot,
        /// The slot otadata selects.
        selected: Slot,
    },
}

/// What a poll led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateOutcome {
    /// Nothing newer is on offer.
    UpToDate,
    /// There is something newer, not yet for this device.
    NotInCohort,
    /// There is something newer, held back for now.
    Held,
    /// The offer changed while it was being staged; nothing was activated. Poll again.
    OfferChanged,
    /// The new image is selected: restart.
    RestartToBoot {
        /// The slot it stands in.
        slot: Slot,
    },
}

impl<'a, F: Flash, T: Transport, K: DeviceKey, P: Platform, O: Observer> Agent<'a, F, T, K, P, O> {
    /// Puts an agent together that computes in software, for images signed with RSA-3072; touches
    /// no hardware.
    ///
    /// # Errors
    /// [`Misuse::Layout`] or [`Misuse::BuiltInRoot`].
    pub fn new(
        parts: Parts<F, T, K, P, O>,
        config: &'a Config<'a>,
        workspace: &'a mut Workspace,
    ) -> Result<Self, Misuse> {
        Self::with_crypto(parts, SoftwareCrypto::new(), config, workspace)
    }
}

impl<'a, F, T, K, P, O, C> Agent<'a, F, T, K, P, O, C>
where
    F: Flash,
    T: Transport,
    K: DeviceKey,
    P: Platform,
    O: Observer,
    C: Crypto,
{
    /// Puts an agent together that uses the given engines.
    ///
    /// # Errors
    /// [`Misuse::Layout`] or [`Misuse::BuiltInRoot`].
    #[inline(never)]
    pub fn with_crypto(
        parts: Parts<F, T, K, P, O>,
        crypto: C,
        config: &'a Config<'a>,
        workspace: &'a mut Workspace,
    ) -> Result<Self, Misuse> {
        if !config.layout.is_sound() {
            return Err(Misuse::Layout);
        }
        let Parts {
            flash,
            transport,
            key,
            platform,
            observer,
        } = parts;
        let medium = Medium { flash, observer };
        let mut agent = Self {
            config,
            workspace,
            medium,
            transport,
            key,
            platform,
            crypto,
        };
        agent.load_built_in_root()?;
        Ok(agent)
    }

    /// Takes the agent apart again.
    pub fn into_parts(self) -> Parts<F, T, K, P, O> {
        let Medium { flash, observer } = self.medium;
        let (transport, key, platform) = (self.transport, self.key, self.platform);
        Parts {
            flash,
            transport,
            key,
            platform,
            observer,
        }
    }

    /// Finds out what a restart was, and settles what can be settled without the network.
    ///
    /// # Errors
    /// [`AgentError::Hardware`].
    #[inline(never)]
    pub fn on_boot(&mut self) -> Result<BootOutcome, AgentError> {
        let mut place = Journal::place();
        let journal = self.journal(&mut place)?;
        let situation = self.situation(journal)?;
        let manifest = journal.record().target.manifest;
        Ok(match boot::judge(&situation) {
            Verdict::Nothing => BootOutcome::Idle,
            Verdict::Await => BootOutcome::AwaitingConfirmation { manifest },
            Verdict::NoRollback => BootOutcome::NoRollback { manifest },
            Verdict::Fallback => BootOutcome::Fallback {
                running: situation.running,
                selected: situation.selection.slot(),
            },
            Verdict::Finish => {
                self.finish_confirmation(journal)?;
                BootOutcome::Confirmed { manifest }
            }
            Verdict::Retry => {
                self.drop_selected_entry(situation.target)?;
                let attempts = situation.attempts.saturating_add(1);
                let record = journal.record_mut();
                record.state = State::Staging;
                record.attempts = attempts;
                self.store(journal)?;
                BootOutcome::Torn { manifest, attempts }
            }
            Verdict::Failed => {
                self.drop_selected_entry(situation.target)?;
                let failures = self.count_failure(journal, manifest)?;
                BootOutcome::RolledBack { manifest, failures }
            }
        })
    }

    /// Polls, and if there is a release for this device: stages, verifies and activates it.
    ///
    /// An interrupted update resumes where it stopped, because what stands in the slot already is
    /// not fetched again.
    ///
    /// # Errors
    /// [`AgentError`]; the device keeps running what it runs, whatever the error.
    #[inline(never)]
    pub fn update(&mut self) -> Result<UpdateOutcome, AgentError> {
        self.update_by(Self::stage_sealed)
    }

    /// Polls, and brings a release into the slot by way of `stage`.
    pub(crate) fn update_by(
        &mut self,
        stage: impl FnOnce(&mut Self, &mut Journal, &Task<'_>) -> Result<CompleteSlot, AgentError>,
    ) -> Result<UpdateOutcome, AgentError> {
        let mut place = Journal::place();
        let journal = self.journal(&mut place)?;
        if matches!(
            journal.record().state,
            State::Activating | State::Confirming
        ) {
            return Err(DeviceError::NotConfirmed.into());
        }
        let offered = match self.advice(journal)? {
            Advice::Install(offered) => offered,
            Advice::Rest(standing) => return Ok(UpdateOutcome::from(standing)),
        };
        let (slot, region) = self.target()?;
        let trust = self.trust();
        trust.ready()?;
        let demands = self.demands(journal, region)?;
        let mut blank = Manifest::BLANK;
        let manifest = self.fetch_manifest(journal, &offered, demands, &mut blank)?;
        self.medium.event(&Event::Offered {
            manifest: offered.manifest,
        });
        let task = Task {
            manifest: &manifest,
            offered: &offered,
            slot,
            region,
            trust,
        };
        let complete = stage(self, journal, &task)?;
        match self.recheck(journal, &manifest, &offered)? {
            None => {}
            Some(outcome) => return Ok(outcome),
        }
        self.activate(journal, complete)?;
        Ok(UpdateOutcome::RestartToBoot { slot })
    }

    /// Seconds to wait before the next poll: the policy's interval, spread by half to each side so
    /// that a fleet does not poll in step.
    pub fn poll_delay(&mut self) -> u32 {
        let interval = self.config.policy.poll_interval;
        let mut random = [0; 4];
        self.platform.random(&mut random);
        let spread = u32::from_le_bytes(random)
            .checked_rem(interval)
            .unwrap_or(0);
        (interval / 2).saturating_add(spread)
    }

    /// Unwraps, then stages.
    #[inline(never)]
    fn stage_sealed(
        &mut self,
        journal: &mut Journal,
        task: &Task<'_>,
    ) -> Result<CompleteSlot, AgentError> {
        let body = self.open_body(task.manifest, &task.offered.epoch)?;
        self.begin_staging(journal, task.manifest, task.slot)?;
        let delivery = Sealed {
            component: task.manifest.component(),
            body: &body,
        };
        let staged = self.stage(&Staging {
            manifest: task.manifest,
            delivery: &delivery,
            slot: task.slot,
            region: task.region,
            trust: task.trust,
        });
        self.judged(journal, task.manifest, staged)
    }

    /// Counts an image that is refused as a failure of its release.
    #[inline(always)]
    pub(crate) fn judged(
        &mut self,
        journal: &mut Journal,
        manifest: &VerifiedManifest<'_>,
        staged: Result<CompleteSlot, AgentError>,
    ) -> Result<CompleteSlot, AgentError> {
        if let Err(AgentError::Body(refused)) = &staged
            && refused.condemns_release()
        {
            self.count_failure(journal, manifest.digest())?;
        }
        staged
    }

    /// Journals what is being staged, and clears the way in otadata.
    #[inline(never)]
    pub(crate) fn begin_staging(
        &mut self,
        journal: &mut Journal,
        manifest: &VerifiedManifest<'_>,
        slot: Slot,
    ) -> Result<(), AgentError> {
        let target = Install {
            position: manifest.position(),
            manifest: manifest.digest(),
            plaintext: manifest.component().plaintext,
        };
        let record = journal.record_mut();
        let target_slot = slot_number(slot);
        if record.state != State::Staging
            || record.target != target
            || record.target_slot != target_slot
        {
            // Torn activations are counted for one manifest; another one starts afresh.
            if record.state != State::Staging || record.target != target {
                record.attempts = 0;
            }
            record.state = State::Staging;
            record.target = target;
            record.target_slot = target_slot;
            self.store(journal)?;
        }
        self.clear_stale_entries(slot)?;
        Ok(())
    }

    /// Asks again whether the offer stands: staging may have taken hours.
    #[inline(never)]
    fn recheck(
        &mut self,
        journal: &mut Journal,
        manifest: &VerifiedManifest<'_>,
        offered: &Offered,
    ) -> Result<Option<UpdateOutcome>, AgentError> {
        match self.advice(journal)? {
            Advice::Rest(standing) => Ok(Some(UpdateOutcome::from(standing))),
            Advice::Install(again)
                if again.manifest == offered.manifest && again.position == offered.position =>
            {
                manifest.still_fresh(again.clock)?;
                Ok(None)
            }
            Advice::Install(_) => Ok(Some(UpdateOutcome::OfferChanged)),
        }
    }

    /// The slot to stage to, if staging is allowed now.
    #[inline(never)]
    fn target(&mut self) -> Result<(Slot, Region), AgentError> {
        let running = self.platform.running_slot();
        boot::may_stage(&self.selection()?, running, self.config.policy.rollback)?;
        let layout = &self.config.layout;
        let slot = layout
            .target_for(running)
            .ok_or(DeviceError::NoTargetSlot)?;
        let region = layout.region(slot).ok_or(DeviceError::NoTargetSlot)?;
        Ok((slot, region))
    }

    /// What this device asks of a release: floors from eFuse and the confirmed running image.
    #[inline(never)]
    fn demands(&mut self, journal: &Journal, target: Region) -> Result<Demands, AgentError> {
        let region = self.running_region()?;
        let running = verify::secure_version(&mut self.medium, region)?;
        Ok(Demands {
            installed: self.installed(journal).position,
            secure_version: self.platform.secure_version().max(running),
            slot_size: target.size,
        })
    }

    fn trust(&self) -> Trust {
        Trust {
            chip: self.config.chip,
            digests: self.platform.secure_boot_digests(),
            rule: self.config.policy.signature,
        }
    }

    #[inline(never)]
    fn count_failure(&mut self, journal: &mut Journal, manifest: Digest) -> Result<u8, AgentError> {
        let failures = journal.count_failure(manifest);
        let record = journal.record_mut();
        record.state = State::Idle;
        record.attempts = 0;
        self.store(journal)?;
        self.medium.event(&Event::Failed { manifest, failures });
        Ok(failures)
    }

    #[inline(never)]
    pub(crate) fn situation(&mut self, journal: &Journal) -> Result<Situation, AgentError> {
        let record = journal.record();
        let target = Slot::Ota(record.target_slot);
        Ok(Situation {
            state: record.state,
            target,
            attempts: record.attempts,
            running: self.platform.running_slot(),
            selection: self.selection()?,
            target_entry: self.entry_state(target)?,
            rule: self.config.policy.rollback,
        })
    }

    pub(crate) fn running_region(&self) -> Result<Region, Misuse> {
        let running = self.platform.running_slot();
        self.config
            .layout
            .region(running)
            .ok_or(Misuse::RunningSlot { running })
    }

    #[inline(never)]
    pub(crate) fn journal<'j>(
        &mut self,
        place: &'j mut Journal,
    ) -> Result<&'j mut Journal, HardwareError> {
        Journal::load(place, &mut self.medium, self.config.layout.journal)
    }

    #[inline(never)]
    pub(crate) fn store(&mut self, journal: &mut Journal) -> Result<(), AgentError> {
        let buffer: &mut [u8; SECTOR_SIZE] = &mut self.workspace.sector;
        Ok(journal.store(&mut self.medium, buffer)?)
    }
}

impl From<Standing> for UpdateOutcome {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::UpToDate => Self::UpToDate,
            Standing::Held => Self::Held,
            Standing::NotInCohort => Self::NotInCohort,
            // Never at rest.
            Standing::Wanted => Self::OfferChanged,
        }
    }
}

/// Number of an OTA slot in the journal; factory is never a target.
pub(crate) const fn slot_number(slot: Slot) -> u8 {
    match slot {
        Slot::Ota(number) => number,
        Slot::Factory => 0,
    }
}
