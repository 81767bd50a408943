//! The network, as the agent sees it: one answer at a time from an untrusted repository.
//!
//! Nothing that comes through here is believed before a signature or a signed hash has been
//! checked, and nothing is read further than the agent's own limit for the document.

use core::fmt::Debug;
use core::ops::Range;

use espseal_format::repository::Resource;

/// Requests to the repository, over HTTPS or from a folder.
///
/// At most one answer is open. A request drops whatever is left of the answer before it; an
/// implementation that keeps its connection alive closes it when much is left.
pub trait Transport {
    /// What can go wrong.
    type Error: TransportFault;

    /// Asks for a file, or for the bytes `range` of it (end exclusive).
    ///
    /// # Errors
    /// When the file is missing, or the server cannot be reached or refuses.
    fn open(
        &mut self,
        resource: Resource<'_>,
        range: Option<Range<u32>>,
    ) -> Result<(), Self::Error>;

    /// Reads the next bytes of the open answer; 0 at its end.
    ///
    /// # Errors
    /// When the connection breaks.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error>;

    /// Posts a poll; [`read`](Self::read) then yields the bytes of `now.cose`.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    fn post_poll(&mut self, poll: &[u8]) -> Result<(), Self::Error>;

    /// Posts a signed report.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    fn post_report(&mut self, report: &[u8]) -> Result<(), Self::Error>;
}

/// What the agent asks an error of a [`Transport`].
pub trait TransportFault: Debug {
    /// Which of the known faults it is.
    fn kind(&self) -> TransportFaultKind;
}

/// The faults of a transport that call for different remedies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportFaultKind {
    /// The server has no such file (404).
    NotFound,
    /// No connection: name resolution, TCP, TLS.
    Unreachable,
    /// The connection broke while an answer was being read.
    Interrupted,
    /// The server answered with another status than the protocol asks for.
    Refused {
        /// The HTTP status.
        status: u16,
    },
}

impl<T: Transport + ?Sized> Transport for &mut T {
    type Error = T::Error;

    fn open(
        &mut self,
        resource: Resource<'_>,
        range: Option<Range<u32>>,
    ) -> Result<(), Self::Error> {
        (**self).open(resource, range)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        (**self).read(buffer)
    }

    fn post_poll(&mut self, poll: &[u8]) -> Result<(), Self::Error> {
        (**self).post_poll(poll)
    }

    fn post_report(&mut self, report: &[u8]) -> Result<(), Self::Error> {
        (**self).post_report(report)
    }
}
