//! What an app does between two restarts, as far as updates go.
//!
//! [`settle`] once after each start, without the network; [`tell`] what came of it, and [`poll`]
//! whenever the app has time for it. Nothing of it ends the app: without a server, a key or a working
//! flash it runs on as it is.

use core::fmt;
use core::ops::Range;

use esp_hal::system::software_reset;
use esp_println::println;
use espseal_agent::agent::{BootOutcome, UpdateOutcome};
use espseal_agent::error::{AgentError, DeviceError};
use espseal_agent::observer::{Event, Observer};
use espseal_agent::transport::{Transport, TransportFault, TransportFaultKind};
use espseal_format::report::Event as Report;
use espseal_format::repository::Resource;

use crate::board::DeviceAgent;
use crate::watchdog::Watchdog;

/// What a restart was, as the server is told.
#[derive(Clone, Copy, Debug)]
pub struct News {
    event: Report,
    /// Code of the error behind it; 0 for none.
    code: u16,
}

impl News {
    const fn good(event: Report) -> Self {
        Self { event, code: 0 }
    }

    const fn refused(error: DeviceError) -> Self {
        Self {
            event: Report::Refused,
            code: error.code(),
        }
    }
}

/// Finds out what the restart was. A new image is tested, and confirmed or given up: then the chip
/// restarts, and the bootloader goes back to the image before. Returns what to report.
///
/// An image that cannot be confirmed runs on unconfirmed: the next restart goes back.
pub fn settle<T: Transport, O: Observer, E: fmt::Display>(
    agent: &mut DeviceAgent<'_, '_, T, O>,
    watchdog: &mut Watchdog<'_>,
    self_test: impl FnOnce() -> Result<(), E>,
) -> Option<News> {
    let news = match agent.on_boot() {
        Ok(BootOutcome::AwaitingConfirmation { .. }) => {
            if let Err(failure) = self_test() {
                println!("update: self-test failed, going back: {failure}");
                software_reset();
            }
            match agent.confirm() {
                Ok(_) => Some(News::good(Report::Confirmed)),
                Err(error) => {
                    println!("update: not confirmed: {error}");
                    None
                }
            }
        }
        Ok(BootOutcome::Confirmed { .. }) => Some(News::good(Report::Confirmed)),
        Ok(BootOutcome::RolledBack { failures, .. }) => {
            println!("update: the new image failed, {failures} time(s) so far");
            Some(News::good(Report::RolledBack))
        }
        Ok(BootOutcome::NoRollback { .. }) => {
            println!(
                "update: the bootloader has no rollback (CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE)"
            );
            Some(News::refused(DeviceError::NoRollback))
        }
        Ok(BootOutcome::Fallback { running, selected }) => {
            println!("update: {running} runs, the selected {selected} does not start");
            Some(News::refused(DeviceError::RunningNotSelected {
                running,
                selected,
            }))
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
    news
}

/// Tells the server what the restart was.
pub fn tell<T: Transport, O: Observer>(agent: &mut DeviceAgent<'_, '_, T, O>, news: News) {
    report(agent, news.event, news.code);
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
pub fn report<T: Transport, O: Observer>(
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

/// No way to the server: for settling a restart before the network is there.
#[derive(Clone, Copy, Debug)]
pub struct Offline;

/// There is no network yet.
#[derive(Clone, Copy, Debug)]
pub struct NoNetwork;

impl TransportFault for NoNetwork {
    fn kind(&self) -> TransportFaultKind {
        TransportFaultKind::Unreachable
    }
}

impl Transport for Offline {
    type Error = NoNetwork;

    fn open(&mut self, _: Resource<'_>, _: Option<Range<u32>>) -> Result<(), NoNetwork> {
        Err(NoNetwork)
    }

    fn read(&mut self, _: &mut [u8]) -> Result<usize, NoNetwork> {
        Err(NoNetwork)
    }

    fn post_poll(&mut self, _: &[u8]) -> Result<(), NoNetwork> {
        Err(NoNetwork)
    }

    fn post_report(&mut self, _: &[u8]) -> Result<(), NoNetwork> {
        Err(NoNetwork)
    }
}
