//! A device that polls hostile repositories, from the same state each time.

use std::collections::BTreeSet;
use std::sync::Arc;

use espseal_agent::agent::{Agent, Parts, UpdateOutcome};
use espseal_agent::error::AgentError;
use espseal_agent::observer::Silent;
use espseal_agent::workspace::Workspace;
use espseal_crypto::device_key::SoftwareDeviceKey;
use espseal_format::units::{FlashOffset, SECTOR_SIZE};
use espseal_twin::device::VirtualDevice;
use espseal_twin::nor::NorFlash;

use super::attacks::{Scene, Way};
use crate::maker::Files;
use crate::repository::Repository;

/// What a poll led to.
pub(crate) type Outcome = Result<UpdateOutcome, AgentError>;

/// A device to poll with, one for each thread.
pub(crate) struct Bed<'s> {
    scene: &'s Scene,
    device: VirtualDevice,
    workspace: Box<Workspace>,
    touched: BTreeSet<u32>,
    /// States from which the honest repository was seen to succeed.
    healthy: BTreeSet<Vec<u8>>,
    /// A clock that the network cannot set.
    pub(crate) clock: Option<u64>,
}

/// One poll.
pub(crate) struct Poll {
    pub(crate) outcome: Outcome,
    /// Sectors that were erased or written, by their first byte.
    pub(crate) touched: BTreeSet<u32>,
    /// Bytes that came over the network.
    pub(crate) read: usize,
    /// Paths that were asked for.
    pub(crate) asked: BTreeSet<String>,
}

impl<'s> Bed<'s> {
    pub(crate) fn new(scene: &'s Scene) -> Self {
        let flash = NorFlash::from_bytes(scene.flash.clone()).unwrap();
        let mut device = VirtualDevice::new(flash, scene.efuses.clone(), scene.settings);
        device.power_on();
        let mut bed = Self {
            scene,
            device,
            workspace: Box::new(Workspace::new()),
            touched: BTreeSet::new(),
            healthy: BTreeSet::new(),
            clock: None,
        };
        bed.device.flash_mut().record_changes();
        bed
    }

    /// Goes back to the first state.
    pub(crate) fn reset(&mut self) {
        let flash = self.device.flash_mut();
        for at in std::mem::take(&mut self.touched) {
            let start = at as usize;
            let cells = &self.scene.flash[start..start + SECTOR_SIZE];
            flash.overwrite(FlashOffset::new(at), cells).unwrap();
        }
    }

    /// Polls once; `repository` may lie.
    pub(crate) fn poll(&mut self, mut repository: Repository) -> Poll {
        self.device.set_trusted_time(self.clock);
        let ports = self.device.ports().unwrap();
        let mut key = SoftwareDeviceKey::from_bytes(&self.scene.key).unwrap();
        let parts = Parts {
            flash: ports.flash,
            transport: &mut repository,
            key: &mut key,
            platform: ports.platform,
            observer: Silent,
        };
        let mut agent = Agent::new(parts, &self.scene.config, &mut self.workspace).unwrap();
        let outcome = match self.scene.way {
            Way::Sealed => agent.update(),
            Way::Direct => agent.update_direct(),
        };
        let changes = self.device.flash_mut().record_changes();
        let sector = |at: FlashOffset| at.get() & !(SECTOR_SIZE as u32 - 1);
        let touched: BTreeSet<u32> = changes.iter().map(|change| sector(change.offset)).collect();
        self.touched.extend(&touched);
        Poll {
            outcome,
            touched,
            read: repository.read,
            asked: repository.asked,
        }
    }

    /// Polls an honest repository once.
    pub(crate) fn poll_files(&mut self, files: &Arc<Files>) -> Poll {
        self.poll(Repository::new(files))
    }

    /// Whether the update succeeds now that the repository is honest; remembered for each state.
    pub(crate) fn recovers(&mut self, honest: &Arc<Files>) -> Result<(), String> {
        let mut state = Vec::new();
        for at in &self.touched {
            let start = *at as usize;
            let cells = &self.device.flash().contents()[start..start + SECTOR_SIZE];
            state.extend(at.to_le_bytes());
            state.extend(espseal_format::units::Digest::of(cells).0);
        }
        if self.healthy.contains(&state) {
            return Ok(());
        }
        let clock = self.clock.take();
        let outcome = self.poll_files(honest).outcome;
        self.clock = clock;
        match outcome {
            Ok(UpdateOutcome::RestartToBoot { .. }) => {
                self.healthy.insert(state);
                Ok(())
            }
            other => Err(format!("an honest repository then leads to {other:?}")),
        }
    }

    /// Whether an image header stands at the start of the slot that updates go to.
    pub(crate) fn target_has_header(&mut self) -> bool {
        let mut magic = [0];
        let target = self.scene.config.layout.slots[1].offset;
        self.device.bus().read(target, &mut magic).unwrap();
        magic == [0xE9]
    }
}
