//! What the device tells the server: an unsigned poll, and signed reports.

use espseal_crypto::cose;
use espseal_format::cose::{Role, Sign1};
use espseal_format::report::{Event, MAX_POLL_LEN, MAX_REPORT_LEN, Poll, Report};
use espseal_format::units::Digest;

use crate::agent::Agent;
use crate::crypto::Crypto;
use crate::device_key::DeviceKey;
use crate::error::{AgentError, Document, HardwareError, Misuse};
use crate::fetch;
use crate::flash::Flash;
use crate::journal::Journal;
use crate::observer::Observer;
use crate::platform::Platform;
use crate::transport::Transport;

impl<F, T, K, P, O, C> Agent<'_, F, T, K, P, O, C>
where
    F: Flash,
    T: Transport,
    K: DeviceKey,
    P: Platform,
    O: Observer,
    C: Crypto,
{
    /// Signs and posts a report; `code` is that of the error, 0 for none.
    ///
    /// The counter is persisted first: a report that was lost on its way is not told again.
    ///
    /// # Errors
    /// A server or hardware error; the update itself does not depend on reports.
    #[inline(never)]
    pub fn report(&mut self, event: Event, code: u16) -> Result<(), AgentError> {
        let mut place = Journal::place();
        let journal = self.journal(&mut place)?;
        let record = journal.record_mut();
        // After a lost journal the time floor lifts the counter above what the server has seen.
        let counter = record
            .report_counter
            .saturating_add(1)
            .max(record.time_floor);
        record.report_counter = counter;
        let install = match event {
            Event::Confirmed => record.confirmed,
            _ => record.target,
        };
        self.store(journal)?;
        let report = Report {
            product: self.config.product,
            device: self.key.device_id(),
            counter,
            event,
            release: install.position,
            manifest: (install.manifest != Digest([0; 32])).then_some(install.manifest),
            code,
        };
        self.post_report(&report)
    }

    #[inline(never)]
    fn post_report(&mut self, report: &Report) -> Result<(), AgentError> {
        let mut payload = [0; MAX_REPORT_LEN];
        let length = report.encode(&mut payload).map_err(|_| Misuse::Encoding)?;
        let payload = payload.get(..length).unwrap_or_default();
        let kid = self.key.report_key_id();
        let digest = cose::digest1(Role::Report, &self.config.product, kid, payload);
        let signature = self
            .key
            .sign_report(&digest)
            .map_err(|_| HardwareError::Signing)?;
        let signed = Sign1 {
            kid,
            payload,
            signature: &signature,
        };
        let buffer = &mut self.workspace.document;
        let length = signed.encode(buffer).map_err(|_| Misuse::Encoding)?;
        let bytes = buffer.get(..length).unwrap_or_default();
        self.transport
            .post_report(bytes)
            .map_err(|error| fetch::blame(&error, Document::Report))
    }

    /// Tells the server what this device runs; the answer is `now`.
    #[inline(never)]
    pub(crate) fn post_poll(&mut self, journal: &Journal) -> Result<(), AgentError> {
        let poll = Poll {
            product: self.config.product,
            device: self.key.device_id(),
            channel: self.config.channel.clone(),
            chip: self.config.chip,
            installed: self.installed(journal).position,
        };
        let mut bytes = [0; MAX_POLL_LEN];
        let length = poll.encode(&mut bytes).map_err(|_| Misuse::Encoding)?;
        let bytes = bytes.get(..length).unwrap_or_default();
        self.transport
            .post_poll(bytes)
            .map_err(|error| fetch::blame(&error, Document::Now))
    }
}
