//! What an app does between two restarts, as far as updates go.
//!
//! [`settle`] once after each start, [`poll`] whenever the app has time for it. Nothing of it ends
//! the app: without a server, a key or a working flash it runs on as it is.

use core::fmt;

use esp_hal::system::software_reset;
use esp_println::println;
use espseal_agent::agent::{BootOutcome, UpdateOutcome};
use espseal_agent::error::AgentError;
use espseal_agent::observer::{Event, Observer};
use espseal_agent::transport::Transport;
use espseal_format::report::Event as Report;

use crate::board::DeviceAgent;
use crate::watchdog::Watchdog;

/// Finds out what the restart was. A new image is tested, and confirmed or given up: then the chip
/// restarts, and the bootloader goes back to the image before.
///
/// An image that cannot be confirmed runs on unconfirmed: the next restart goes back.
pub fn settle<T: Transport, O: Observer, E: fmt::Display>(
    agent: &mut DeviceAgent<'_, '_, T, O>,
    watchdog: &mut Watchdog<'_>,
    self_test: impl FnOnce() -> Result<(), E>,
) {
    let event = match agent.on_boot() {
        Ok(BootOutcome::AwaitingConfirmation { .. }) => {
            if let Err(failure) = self_test() {
                println!("update: self-test failed, going back: {failure}");
                software_reset();
            }
            match agent.confirm() {
                Ok(_) => Some(Report::Confirmed),
                Err(error) => {
                    println!("update: not confirmed: {error}");
                    None
                }
            }
        }
        Ok(BootOutcome::Confirmed { .. }) => Some(Report::Confirmed),
        Ok(BootOutcome::RolledBack { failures, .. }) => {
            println!("update: the new image failed, {failures} time(s) so far");
            Some(Report::RolledBack)
        }
        Ok(BootOutcome::NoRollback { .. }) => {
            println!(
                "update: the bootloader has no rollback (CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE)"
            );
            None
        }
        Ok(outcome) => {
            println!("update: {outcome:?}");
            None
        }
        Err(error) => {
            println!("update: {error}");
            None
        }
    };
    watchdog.stop();
    if let Some(event) = event {
        report(agent, event, 0);
    }
}

/// Asks for a release and installs it; restarts into it. Returns how many seconds to wait before
/// the next poll.
pub fn poll<T: Transport, O: Observer>(agent: &mut DeviceAgent<'_, '_, T, O>) -> u32 {
    match agent.update() {
        Ok(UpdateOutcome::RestartToBoot { slot }) => {
            println!("update: restarting into {slot}");
            report(agent, Report::Staged, 0);
            software_reset();
        }
        Ok(outcome) => println!("update: {outcome:?}"),
        Err(error) => {
            println!("update: {error}");
            if matches!(error, AgentError::Body(_)) {
                report(agent, Report::Refused, error.code());
            }
        }
    }
    agent.poll_delay()
}

/// Tells the server; the update itself does not depend on it.
fn report<T: Transport, O: Observer>(
    agent: &mut DeviceAgent<'_, '_, T, O>,
    event: Report,
    code: u16,
) {
    if let Err(error) = agent.report(event, code) {
        println!("update: report not sent: {error}");
    }
}

/// Prints the steps of an update that take long.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl Observer for Log {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Fetched { chunk } if !chunk.get().is_multiple_of(16) => {}
            Event::Erased { .. } | Event::Written { .. } | Event::Skipped { .. } => {}
            event => println!("update: {event:?}"),
        }
    }
}
