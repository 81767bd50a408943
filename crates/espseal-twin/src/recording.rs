//! A transport that remembers every byte that crossed it, in both directions.
//!
//! Tests use it to show that no plaintext and no key ever crosses, and to replay an answer.

use std::ops::Range;

use espseal_agent::transport::Transport;
use espseal_format::repository::Resource;

/// Wraps a transport.
#[derive(Debug)]
pub struct Recording<T> {
    inner: T,
    exchanges: Vec<Exchange>,
}

/// One request and what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Path of the resource, or of the server's end point.
    pub path: String,
    /// The range asked for.
    pub range: Option<Range<u32>>,
    /// What was sent as a body.
    pub sent: Vec<u8>,
    /// What was read of the answer.
    pub received: Vec<u8>,
}

impl<T> Recording<T> {
    /// Starts recording.
    pub const fn new(inner: T) -> Self {
        Self {
            inner,
            exchanges: Vec::new(),
        }
    }

    /// The requests so far.
    #[must_use]
    pub fn exchanges(&self) -> &[Exchange] {
        &self.exchanges
    }

    /// Every byte that crossed, in order.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.exchanges
            .iter()
            .flat_map(|one| [&one.sent[..], &one.received[..]].concat())
            .collect()
    }

    /// The wrapped transport.
    pub const fn inner(&self) -> &T {
        &self.inner
    }

    /// The wrapped transport.
    pub const fn inner_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    fn begin(&mut self, path: &str, range: Option<Range<u32>>, sent: &[u8]) {
        let (path, sent) = (path.into(), sent.into());
        self.exchanges.push(Exchange {
            path,
            range,
            sent,
            received: Vec::new(),
        });
    }
}

impl<T: Transport> Transport for Recording<T> {
    type Error = T::Error;

    fn open(&mut self, resource: Resource<'_>, range: Option<Range<u32>>) -> Result<(), T::Error> {
        self.begin(resource.path().as_str(), range.clone(), &[]);
        self.inner.open(resource, range)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, T::Error> {
        let count = self.inner.read(buffer)?;
        if let (Some(exchange), Some(read)) = (self.exchanges.last_mut(), buffer.get(..count)) {
            exchange.received.extend_from_slice(read);
        }
        Ok(count)
    }

    fn post_poll(&mut self, poll: &[u8]) -> Result<(), T::Error> {
        self.begin("v1/poll", None, poll);
        self.inner.post_poll(poll)
    }

    fn post_report(&mut self, report: &[u8]) -> Result<(), T::Error> {
        self.begin("v1/report", None, report);
        self.inner.post_report(report)
    }
}
