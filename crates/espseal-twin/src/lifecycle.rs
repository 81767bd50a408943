//! The life of a device around an update: boot, poll, restart, test, confirm, and again.
//!
//! What the device's own main loop would do, driven from outside, with every boot on record.

use espseal_agent::agent::{Agent, BootOutcome, Parts, UpdateOutcome};
use espseal_agent::config::Config;
use espseal_agent::device_key::DeviceKey;
use espseal_agent::error::{AgentError, Misuse};
use espseal_agent::observer::Observer;
use espseal_agent::transport::Transport;
use espseal_agent::workspace::Workspace;

use crate::boot::BootReport;
use crate::device::VirtualDevice;

/// How the firmware behaves after an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// The new image passes its self-test and confirms itself.
    Confirms,
    /// The new image never confirms itself: it hangs, or has no self-test that could pass.
    NeverConfirms,
}

/// What happened from switching on to the first poll that leads nowhere.
#[derive(Debug)]
pub struct Journey {
    /// Every boot, in order.
    pub boots: Vec<BootReport>,
    /// What the agent made of each boot that reached it.
    pub outcomes: Vec<BootOutcome>,
    /// How it ended.
    pub end: End,
}

/// How a journey ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A poll had nothing to do for this device.
    Settled(UpdateOutcome),
    /// The agent refused, and would again at the next poll.
    Refused(AgentError),
    /// No image boots.
    Dead,
    /// The device was still restarting after so many boots.
    TooManyBoots,
}

/// A device with what its firmware has built in.
pub struct Lifecycle<'a, T, K, O> {
    /// The device.
    pub device: &'a mut VirtualDevice,
    /// What is built into its firmware.
    pub config: &'a Config<'a>,
    /// Its way to the repository.
    pub transport: T,
    /// Its keys.
    pub key: K,
    /// Whoever watches the agent.
    pub observer: O,
    /// How its firmware behaves.
    pub firmware: Firmware,
}

impl<T: Transport, K: DeviceKey, O: Observer> Lifecycle<'_, T, K, O> {
    /// Boots and updates until a poll leads nowhere, or after `max_boots` boots.
    ///
    /// A power cut is followed by switching on again.
    ///
    /// # Errors
    /// [`Misuse`] when the configuration is not sound.
    pub fn run(&mut self, max_boots: usize) -> Result<Journey, Misuse> {
        let mut workspace = Workspace::new();
        let mut journey = Journey {
            boots: Vec::new(),
            outcomes: Vec::new(),
            end: End::TooManyBoots,
        };
        while journey.boots.len() < max_boots {
            let report = self.device.power_on();
            let (runs, lost) = (report.running().is_some(), self.device.power().is_lost());
            journey.boots.push(report);
            if lost {
                continue;
            }
            if !runs {
                journey.end = End::Dead;
                break;
            }
            let step = self.live(&mut workspace, &mut journey.outcomes)?;
            if self.device.power().is_lost() {
                continue;
            }
            match step {
                Ok(Step::Restart) => {}
                Ok(Step::Settled(outcome)) => {
                    journey.end = End::Settled(outcome);
                    break;
                }
                Err(error) => {
                    journey.end = End::Refused(error);
                    break;
                }
            }
        }
        Ok(journey)
    }

    /// What the firmware does between two restarts.
    fn live(
        &mut self,
        workspace: &mut Workspace,
        outcomes: &mut Vec<BootOutcome>,
    ) -> Result<Result<Step, AgentError>, Misuse> {
        let Some(ports) = self.device.ports() else {
            return Ok(Ok(Step::Restart));
        };
        let parts = Parts {
            flash: ports.flash,
            transport: &mut self.transport,
            key: &mut self.key,
            platform: ports.platform,
            observer: &mut self.observer,
        };
        let mut agent = Agent::new(parts, self.config, workspace)?;
        let boot = match agent.on_boot() {
            Ok(boot) => boot,
            Err(error) => return Ok(Err(error)),
        };
        outcomes.push(boot);
        if matches!(boot, BootOutcome::AwaitingConfirmation { .. }) {
            if self.firmware == Firmware::NeverConfirms {
                return Ok(Ok(Step::Restart));
            }
            if let Err(error) = agent.confirm() {
                return Ok(Err(error));
            }
        }
        Ok(agent.update().map(|outcome| match outcome {
            UpdateOutcome::RestartToBoot { .. } => Step::Restart,
            settled => Step::Settled(settled),
        }))
    }
}

/// What follows what the firmware did.
enum Step {
    Restart,
    Settled(UpdateOutcome),
}
