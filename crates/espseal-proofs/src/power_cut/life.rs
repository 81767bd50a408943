//! One life of a device: from power-on to the restart it asks for, or to its last poll.

use std::fmt;

use espseal_agent::agent::{Agent, BootOutcome, Parts, UpdateOutcome};
use espseal_agent::error::{AgentError, DeviceError};
use espseal_agent::workspace::Workspace;
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_format::units::{FlashOffset, SECTOR_SIZE};
use espseal_twin::boot::{AppSlot, Decision};
use espseal_twin::device::VirtualDevice;
use espseal_twin::nor::{Change, NorFlash};

use super::meter::{Meter, Metered};
use super::state::{Sector, Stage, State, start};
use super::story::{Plot, Story};
use crate::repository::Repository;

/// A life, as it was lived without a cut.
pub(crate) struct Life {
    /// What it leaves behind.
    pub(crate) state: State,
    pub(crate) next: Next,
    /// Chunk 0 was fetched so often.
    pub(crate) head: u32,
    /// So many other chunks were fetched.
    pub(crate) other: u32,
    /// So many entries the bootloader found PENDING and gave up.
    pub(crate) aborted: u32,
    /// Everything that changed flash, in order.
    pub(crate) operations: Vec<Operation>,
}

/// What comes after a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The next life.
    Restart,
    /// The polls of this phase lead nowhere any more; the maker goes on.
    Settled(Settled),
}

/// How the polls of one phase end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// The release is installed and confirmed.
    Confirmed,
    /// The release failed too often.
    Quarantined,
    /// The firmware refuses to go on without rollback.
    Unguarded,
}

/// What must not happen in a life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The agent failed at this.
    Agent(&'static str, AgentError),
    /// Anything else, in words.
    Words(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(doing, error) => write!(f, "{doing}: {error}"),
            Self::Words(words) => f.write_str(words),
        }
    }
}

impl From<String> for Trouble {
    fn from(words: String) -> Self {
        Self::Words(words)
    }
}

/// One operation, and what had happened before it.
pub(crate) struct Operation {
    pub(crate) change: Change,
    /// Fetches of chunk 0 before it.
    pub(crate) head: u32,
    /// Fetches of other chunks before it.
    pub(crate) other: u32,
    /// Whether it lies between activation and confirmation.
    pub(crate) in_trial: bool,
}

/// A virtual device to live on again and again, one for each thread.
pub(crate) struct Bench<'s> {
    story: &'s Story,
    device: VirtualDevice,
    /// Sectors that differ from the factory's.
    touched: Vec<u32>,
    workspace: Box<Workspace>,
}

impl<'s> Bench<'s> {
    pub(crate) fn new(story: &'s Story) -> Self {
        let flash = NorFlash::from_bytes(story.base.clone()).unwrap();
        Self {
            story,
            device: VirtualDevice::new(flash, story.efuses.clone(), story.settings),
            touched: Vec::new(),
            workspace: Box::new(Workspace::new()),
        }
    }

    /// Lives from `state` to the next restart.
    ///
    /// # Errors
    /// What must never happen, in words.
    pub(crate) fn live(&mut self, state: &State) -> Result<Life, Trouble> {
        self.live_through(state, &Meter::default()).1
    }

    /// Lives from `state` with the meter's fault in the flash chip; the state that this leaves
    /// behind also when it ends in trouble.
    pub(crate) fn live_through(
        &mut self,
        state: &State,
        meter: &Meter,
    ) -> (State, Result<Life, Trouble>) {
        let lived = self.live_on(state, meter);
        match lived {
            Ok(life) => (life.state.clone(), Ok(life)),
            Err(trouble) => (self.after(state, state.stage), Err(trouble)),
        }
    }

    fn live_on(&mut self, state: &State, meter: &Meter) -> Result<Life, Trouble> {
        self.load(state);
        self.refuse_strays(state)?;
        self.device.flash_mut().record_changes();
        let report = self.device.power_on();
        let Some(running) = report.running() else {
            return Err(format!("no image boots:\n{}", report.log).into());
        };
        if self.approved_at(running.offset).is_none() {
            return Err(format!("{} runs, which nobody approved", running.slot).into());
        }
        let aborted = |decision: &&Decision| matches!(decision, Decision::Aborted { .. });
        let aborted = report.decisions.iter().filter(aborted).count() as u32;
        let (booted, next) = self.day(state.stage, meter);
        let changes = self.device.flash_mut().record_changes();
        for change in &changes {
            let number = change.offset.get() / SECTOR_SIZE as u32;
            self.touched.push(number);
        }
        let (next, stage) = next?;
        let boot_marks = changes.len().saturating_sub(meter.marks.borrow().len());
        let early = matches!(
            booted,
            Some(
                BootOutcome::AwaitingConfirmation { .. }
                    | BootOutcome::Confirmed { .. }
                    | BootOutcome::RolledBack { .. }
                    | BootOutcome::Torn { .. }
            )
        );
        let marks = (0..boot_marks).map(|_| (0, 0, early));
        let marks: Vec<_> = marks.chain(meter.marks.take()).collect();
        let operations = changes.into_iter().zip(marks);
        let operations: Vec<Operation> = operations
            .map(|(change, (head, other, in_trial))| Operation {
                change,
                head,
                other,
                in_trial,
            })
            .collect();
        if let (Next::Settled(_), true) = (
            next,
            usize::from(state.stage.phase) + 1 == self.story.phases.len(),
        ) {
            self.check_end(running.slot, next)?;
        }
        let state = self.after(state, stage);
        Ok(Life {
            state,
            next,
            head: meter.head.get(),
            other: meter.other.get(),
            aborted,
            operations,
        })
    }

    /// Lives from `state` with real power cuts, for as long as there is power.
    #[cfg(test)]
    pub(crate) fn live_with(
        &mut self,
        state: &State,
        cuts: impl IntoIterator<Item = espseal_twin::power::PowerCut>,
    ) {
        self.load(state);
        self.device.power().plan(cuts);
        self.device.power_on();
        if self.device.running().is_some() && !self.device.power().is_lost() {
            let _ = self.day(state.stage, &Meter::default());
        }
    }

    /// What the flash chip holds.
    #[cfg(test)]
    pub(crate) fn contents(&self) -> &[u8] {
        self.device.flash().contents()
    }

    /// What the firmware does between two restarts.
    fn day(
        &mut self,
        stage: Stage,
        meter: &Meter,
    ) -> (Option<BootOutcome>, Result<(Next, Stage), Trouble>) {
        let story = self.story;
        let ports = self.device.ports().unwrap();
        let mut key = SoftwareDeviceKey::from_bytes(&story.key).unwrap();
        let mut repository = Repository::new(&story.phases[usize::from(stage.phase)]);
        let parts = Parts {
            flash: Metered::new(ports.flash, meter),
            transport: &mut repository,
            key: &mut key,
            platform: ports.platform,
            observer: meter,
        };
        let mut agent = Agent::new(parts, &story.config, &mut self.workspace).unwrap();
        let booted = match agent.on_boot() {
            Ok(booted) => booted,
            Err(error) => return (None, Err(Trouble::Agent("on_boot", error))),
        };
        let early = !matches!(
            booted,
            BootOutcome::Idle | BootOutcome::NoRollback { .. } | BootOutcome::Fallback { .. }
        );
        if early {
            meter
                .marks
                .borrow_mut()
                .iter_mut()
                .for_each(|mark| mark.2 = true);
        }
        match booted {
            BootOutcome::AwaitingConfirmation { manifest } => {
                let (crashing, times) = story.crashing;
                if manifest == crashing && stage.crashes < times {
                    // It crashes; only so many crashes are told apart.
                    let crashes = (stage.crashes + 1).min(if times == u8::MAX { 0 } else { times });
                    let stage = Stage { crashes, ..stage };
                    return (Some(booted), Ok((Next::Restart, stage)));
                }
                meter.in_trial.set(true);
                let confirmed = match agent.confirm() {
                    Err(error) if meter.fault_struck() => {
                        meter.repair_after(error);
                        agent.confirm()
                    }
                    confirmed => confirmed,
                };
                if let Err(error) = confirmed {
                    return (Some(booted), Err(Trouble::Agent("confirm", error)));
                }
            }
            BootOutcome::Idle
            | BootOutcome::Confirmed { .. }
            | BootOutcome::RolledBack { .. }
            | BootOutcome::Torn { .. } => {}
            BootOutcome::NoRollback { .. } if story.plot == Plot::Unguarded => {}
            other => {
                let words = format!("the boot is judged {other:?}");
                return (Some(booted), Err(words.into()));
            }
        }
        let unguarded = matches!(booted, BootOutcome::NoRollback { .. });
        let mut update = || match story.plot {
            Plot::Direct => agent.update_direct(),
            _ => agent.update(),
        };
        let updated = match update() {
            Err(error @ AgentError::Hardware(_)) if meter.fault_struck() => {
                meter.repair_after(error);
                update()
            }
            updated => updated,
        };
        let settled = match updated {
            Ok(UpdateOutcome::RestartToBoot { .. }) => {
                return (Some(booted), Ok((Next::Restart, stage)));
            }
            Ok(UpdateOutcome::UpToDate) => Settled::Confirmed,
            Err(AgentError::Device(DeviceError::Quarantined { .. })) => Settled::Quarantined,
            Err(AgentError::Device(DeviceError::NotConfirmed)) if unguarded => Settled::Unguarded,
            // A condemned release is tried again at the next poll, which is the next life.
            Err(AgentError::Body(_)) if story.condemned(stage.phase) => {
                return (Some(booted), Ok((Next::Restart, stage)));
            }
            // The trial that nobody watched was given up: the old image is back after a restart.
            Err(AgentError::Device(DeviceError::RunningNotSelected { .. }))
                if matches!(
                    booted,
                    BootOutcome::Torn { .. } | BootOutcome::RolledBack { .. }
                ) =>
            {
                return (Some(booted), Ok((Next::Restart, stage)));
            }
            Err(error) => return (Some(booted), Err(Trouble::Agent("update", error))),
            Ok(other) => {
                return (
                    Some(booted),
                    Err(format!("the update led to {other:?}").into()),
                );
            }
        };
        let stage = Stage {
            phase: stage.phase + 1,
            ..stage
        };
        (Some(booted), Ok((Next::Settled(settled), stage)))
    }

    /// The end of a story: the last image runs, unless its release was quarantined.
    fn check_end(&mut self, running: AppSlot, next: Next) -> Result<(), String> {
        let offset = match self.device.running() {
            Some(app) => app.offset,
            None => return Err("nothing runs in the end".into()),
        };
        let found = self.approved_at(offset);
        let last = Some(self.story.last);
        match next {
            Next::Settled(Settled::Confirmed) if found != last => {
                Err(format!("{running} runs in the end, and not the new image"))
            }
            Next::Settled(Settled::Quarantined) if found == last => {
                Err("the quarantined image runs in the end".into())
            }
            Next::Settled(Settled::Unguarded) if self.story.plot != Plot::Unguarded => {
                Err("rollback is missing".into())
            }
            _ => Ok(()),
        }
    }

    /// Which approved image stands at `offset`.
    fn approved_at(&mut self, offset: FlashOffset) -> Option<usize> {
        let mut found = vec![0; SECTOR_SIZE];
        self.story.approved.iter().position(|image| {
            let mut at = offset;
            image.chunks(SECTOR_SIZE).all(|chunk| {
                let bytes = &mut found[..chunk.len()];
                self.device.bus().read(at, bytes).unwrap();
                at = at.checked_add(chunk.len() as u32).unwrap();
                bytes == chunk
            })
        })
    }

    /// No slot may hold an image that would boot and that nobody approved, whether it is selected
    /// or not: the bootloader starts any slot that verifies when the selected one does not.
    fn refuse_strays(&mut self, state: &State) -> Result<(), String> {
        let layout = &self.story.config.layout;
        let regions = layout.slots.iter().chain(layout.factory.iter());
        let regions: Vec<_> = regions.map(|region| region.offset).collect();
        for (index, offset) in regions.iter().enumerate() {
            let mut magic = [0];
            self.device.bus().read(*offset, &mut magic).unwrap();
            if magic != [0xE9] || self.approved_at(*offset).is_some() {
                continue;
            }
            let others = regions
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index);
            let others = others.map(|(_, offset)| offset.get());
            let otadata = layout.otadata.get();
            let blank: Vec<u32> = others
                .chain([otadata, otadata + SECTOR_SIZE as u32])
                .collect();
            for at in blank {
                let flash = self.device.flash_mut();
                let at = FlashOffset::new(at);
                flash.overwrite(at, &[0xFF; SECTOR_SIZE]).unwrap();
                self.touched.push(at.get() / SECTOR_SIZE as u32);
            }
            let runs = self.device.power_on().running();
            self.load(state);
            if runs.is_some() {
                return Err(format!(
                    "an image at {offset} would boot that nobody approved"
                ));
            }
        }
        Ok(())
    }

    /// Puts a state into the flash chip.
    fn load(&mut self, state: &State) {
        let base = &self.story.base;
        let flash = self.device.flash_mut();
        for number in self.touched.drain(..) {
            if !state.sectors.contains_key(&number) {
                let cells = &base[start(number)..start(number + 1)];
                flash.overwrite(offset(number), cells).unwrap();
            }
        }
        for (number, sector) in &state.sectors {
            flash.overwrite(offset(*number), sector.bytes()).unwrap();
            self.touched.push(*number);
        }
    }

    /// The state that a life leaves behind.
    fn after(&mut self, before: &State, stage: Stage) -> State {
        let mut state = State {
            stage,
            ..before.clone()
        };
        let cells = self.device.flash().contents();
        for number in &self.touched {
            let bytes = cells[start(*number)..].first_chunk().unwrap();
            let known = state.sectors.get(number);
            if known.is_none_or(|known| known.bytes() != bytes) {
                state.sectors.insert(*number, Sector::new(*number, *bytes));
            }
        }
        state
    }
}

fn offset(number: u32) -> FlashOffset {
    FlashOffset::new(start(number) as u32)
}
