//! The agent's transport over the bridge to the host.

use core::ops::Range;

use espseal_agent::transport::{Transport, TransportFault, TransportFaultKind};
use espseal_format::repository::Resource;

use crate::frame::{Header, MAX_PAYLOAD, Reply, Request, Wire, kind};

/// Asks the host, which asks the server.
#[derive(Debug)]
pub struct Bridge<W> {
    wire: W,
}

/// Why the host's answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BridgeFault {
    /// The line to the host broke, or what came over it is no frame that was asked for.
    Line,
    /// The server cannot be reached.
    Unreachable,
    /// The server's answer broke off.
    Interrupted,
    /// The server answered with this status.
    Status(u16),
}

impl TransportFault for BridgeFault {
    fn kind(&self) -> TransportFaultKind {
        match *self {
            Self::Line | Self::Unreachable => TransportFaultKind::Unreachable,
            Self::Interrupted => TransportFaultKind::Interrupted,
            Self::Status(404) => TransportFaultKind::NotFound,
            Self::Status(status) => TransportFaultKind::Refused { status },
        }
    }
}

impl<W: Wire> Bridge<W> {
    /// Takes the line.
    pub const fn new(wire: W) -> Self {
        Self { wire }
    }

    /// The line.
    pub const fn wire(&mut self) -> &mut W {
        &mut self.wire
    }

    /// Asks who this device is; the answer goes to `block`.
    ///
    /// # Errors
    /// [`BridgeFault::Line`].
    pub fn start<'b>(&mut self, block: &'b mut [u8]) -> Result<&'b [u8], BridgeFault> {
        let version = crate::frame::VERSION;
        self.send(&Request::Start { version })?;
        let header = self.header()?;
        let payload = block
            .get_mut(..header.length.into())
            .filter(|_| header.kind == kind::DEVICE)
            .ok_or(BridgeFault::Line)?;
        self.receive(payload)?;
        Ok(payload)
    }

    /// Sends a request that has no answer.
    ///
    /// # Errors
    /// [`BridgeFault::Line`].
    pub fn send(&mut self, request: &Request<'_>) -> Result<(), BridgeFault> {
        request.send(&mut self.wire).map_err(|_| BridgeFault::Line)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<(), BridgeFault> {
        self.wire.receive(buffer).map_err(|_| BridgeFault::Line)
    }

    fn header(&mut self) -> Result<Header, BridgeFault> {
        let mut bytes = [0; Header::LEN];
        self.receive(&mut bytes)?;
        Header::parse(bytes).ok_or(BridgeFault::Line)
    }

    /// Sends a request that is answered by a status.
    fn ask(&mut self, request: &Request<'_>) -> Result<(), BridgeFault> {
        self.send(request)?;
        let header = self.header()?;
        let mut payload = [0; 2];
        if usize::from(header.length) != payload.len() {
            return Err(BridgeFault::Line);
        }
        self.receive(&mut payload)?;
        match Reply::parse(header.kind, &payload) {
            Some(Reply::Status(200..=299)) => Ok(()),
            Some(Reply::Status(0)) => Err(BridgeFault::Unreachable),
            Some(Reply::Status(status)) => Err(BridgeFault::Status(status)),
            _ => Err(BridgeFault::Line),
        }
    }
}

impl<W: Wire> Transport for Bridge<W> {
    type Error = BridgeFault;

    fn open(
        &mut self,
        resource: Resource<'_>,
        range: Option<Range<u32>>,
    ) -> Result<(), BridgeFault> {
        let path = resource.path();
        self.ask(&Request::Open {
            path: path.as_str(),
            range,
        })
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, BridgeFault> {
        let limit = u16::try_from(buffer.len().min(MAX_PAYLOAD)).map_err(|_| BridgeFault::Line)?;
        self.send(&Request::Read { limit })?;
        let header = self.header()?;
        match header.kind {
            kind::DATA if header.length <= limit => {
                let length = usize::from(header.length);
                let payload = buffer.get_mut(..length).ok_or(BridgeFault::Line)?;
                self.receive(payload)?;
                Ok(length)
            }
            kind::BROKEN if header.length == 0 => Err(BridgeFault::Interrupted),
            _ => Err(BridgeFault::Line),
        }
    }

    fn post_poll(&mut self, poll: &[u8]) -> Result<(), BridgeFault> {
        self.ask(&Request::Poll(poll))
    }

    fn post_report(&mut self, report: &[u8]) -> Result<(), BridgeFault> {
        self.ask(&Request::Report(report))
    }
}

#[cfg(test)]
mod tests;
