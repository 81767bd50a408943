//! Frames: what crosses between the emulated device and its host, one request and one answer at a
//! time.
//!
//! ```text
//! 0      kind
//! 1      0
//! 2..4   length of the payload, little-endian
//! 4..    payload
//!
//! device to host                                   answered by
//! 0x01 Start      version u16                      0x81 Device
//! 0x02 Open       ranged u8, start u32, end u32,   0x82 Status
//!                 path
//! 0x03 Read       limit u16                        0x83 Data, 0x84 Broken
//! 0x04 Poll       the poll                         0x82 Status
//! 0x05 Report     the report                       0x82 Status
//! 0x06 Operation  kind u8, address u32             nothing
//! 0x07 Cut        nothing                          nothing
//! 0x08 End        what the firmware did            nothing
//! 0x09 Log        text                             nothing
//!
//! host to device
//! 0x81 Device     [`crate::device::Device`]
//! 0x82 Status     HTTP status u16; 0 when the server cannot be reached
//! 0x83 Data       bytes, at most the limit; none at the end of the answer
//! 0x84 Broken     nothing: the answer broke off
//! ```
//!
//! The host passes on and checks nothing: it stands for the network, which nobody trusts.

use core::ops::Range;

use crate::cursor::Reader;

/// Version of this protocol; device and host are always built from one tree.
pub const VERSION: u16 = 1;
/// Most bytes of a payload.
pub const MAX_PAYLOAD: usize = 4096;

/// Both directions of the line to the host.
pub trait Wire {
    /// What can go wrong.
    type Error;

    /// Sends all bytes.
    ///
    /// # Errors
    /// When the host has gone.
    fn send(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Fills the buffer.
    ///
    /// # Errors
    /// When the host has gone.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<(), Self::Error>;
}

/// The first four bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is.
    pub kind: u8,
    /// Bytes of payload that follow.
    pub length: u16,
}

/// What the device says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request<'a> {
    /// The program runs and asks who it is.
    Start {
        /// [`VERSION`] of the program.
        version: u16,
    },
    /// Asks for a file of the repository, or for some of its bytes.
    Open {
        /// Its path.
        path: &'a str,
        /// Which bytes, end exclusive.
        range: Option<Range<u32>>,
    },
    /// Asks for the next bytes of the open answer.
    Read {
        /// How many at most.
        limit: u16,
    },
    /// Posts a poll.
    Poll(&'a [u8]),
    /// Posts a signed report.
    Report(&'a [u8]),
    /// The flash chip is about to do this; only when the host asked for a trace.
    Operation {
        /// What.
        kind: OperationKind,
        /// Where.
        at: u32,
    },
    /// Power goes now.
    Cut,
    /// The firmware is done: [`crate::journey::Journey`].
    End(&'a [u8]),
    /// Something went wrong that the agent knows nothing of.
    Log(&'a str),
}

/// An operation that changes cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// A sector of 4096 bytes becomes ones.
    Erase,
    /// Up to 256 bytes within one page lose ones.
    Program,
}

/// What the host answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply<'a> {
    /// Who the device is.
    Device(&'a [u8]),
    /// The server's HTTP status; 0 when it cannot be reached.
    Status(u16),
    /// The next bytes of the answer.
    Data(&'a [u8]),
    /// The answer broke off.
    Broken,
}

/// Kinds of frames.
pub mod kind {
    #![expect(missing_docs, reason = "the table above documents each")]
    pub const START: u8 = 0x01;
    pub const OPEN: u8 = 0x02;
    pub const READ: u8 = 0x03;
    pub const POLL: u8 = 0x04;
    pub const REPORT: u8 = 0x05;
    pub const OPERATION: u8 = 0x06;
    pub const CUT: u8 = 0x07;
    pub const END: u8 = 0x08;
    pub const LOG: u8 = 0x09;
    pub const DEVICE: u8 = 0x81;
    pub const STATUS: u8 = 0x82;
    pub const DATA: u8 = 0x83;
    pub const BROKEN: u8 = 0x84;
}

impl Header {
    /// Bytes of a header.
    pub const LEN: usize = 4;

    /// Reads a header; `None` for what no frame starts with.
    #[must_use]
    pub const fn parse(bytes: [u8; Self::LEN]) -> Option<Self> {
        let [kind, zero, low, high] = bytes;
        let length = u16::from_le_bytes([low, high]);
        if zero == 0 && length as usize <= MAX_PAYLOAD {
            Some(Self { kind, length })
        } else {
            None
        }
    }

    /// Writes a header.
    #[must_use]
    pub const fn encode(self) -> [u8; Self::LEN] {
        let [low, high] = self.length.to_le_bytes();
        [self.kind, 0, low, high]
    }
}

impl<'a> Request<'a> {
    /// Reads what stands behind a header; `None` for anything that [`Self::send`] does not write.
    #[must_use]
    pub fn parse(kind: u8, payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        match kind {
            kind::START => {
                let version = reader.u16()?;
                reader.end(Self::Start { version })
            }
            kind::OPEN => {
                let (ranged, range) = (reader.u8()?, reader.u32()?..reader.u32()?);
                let range = match ranged {
                    0 if range == (0..0) => None,
                    1 => Some(range),
                    _ => return None,
                };
                let path = str::from_utf8(reader.rest()).ok()?;
                Some(Self::Open { path, range })
            }
            kind::READ => {
                let limit = reader.u16()?;
                reader.end(Self::Read { limit })
            }
            kind::POLL => Some(Self::Poll(payload)),
            kind::REPORT => Some(Self::Report(payload)),
            kind::OPERATION => {
                let kind = match reader.u8()? {
                    0 => OperationKind::Erase,
                    1 => OperationKind::Program,
                    _ => return None,
                };
                let at = reader.u32()?;
                reader.end(Self::Operation { kind, at })
            }
            kind::CUT => reader.end(Self::Cut),
            kind::END => Some(Self::End(payload)),
            kind::LOG => str::from_utf8(payload).ok().map(Self::Log),
            _ => None,
        }
    }

    /// Sends the request.
    ///
    /// # Errors
    /// When the host has gone.
    pub fn send<W: Wire>(&self, wire: &mut W) -> Result<(), W::Error> {
        match self {
            Self::Start { version } => frame(wire, kind::START, &version.to_le_bytes(), &[]),
            Self::Open { path, range } => {
                let bounds = range.clone().unwrap_or_default();
                let ([a, b, c, d], [e, f, g, h]) =
                    (bounds.start.to_le_bytes(), bounds.end.to_le_bytes());
                let fields = [u8::from(range.is_some()), a, b, c, d, e, f, g, h];
                frame(wire, kind::OPEN, &fields, path.as_bytes())
            }
            Self::Read { limit } => frame(wire, kind::READ, &limit.to_le_bytes(), &[]),
            Self::Poll(poll) => frame(wire, kind::POLL, &[], poll),
            Self::Report(report) => frame(wire, kind::REPORT, &[], report),
            Self::Operation { kind, at } => {
                let [a, b, c, d] = at.to_le_bytes();
                let what = match kind {
                    OperationKind::Erase => 0,
                    OperationKind::Program => 1,
                };
                frame(wire, kind::OPERATION, &[what, a, b, c, d], &[])
            }
            Self::Cut => frame(wire, kind::CUT, &[], &[]),
            Self::End(journey) => frame(wire, kind::END, &[], journey),
            Self::Log(text) => frame(wire, kind::LOG, &[], text.as_bytes()),
        }
    }
}

impl<'a> Reply<'a> {
    /// Reads what stands behind a header; `None` for anything that [`Self::send`] does not write.
    #[must_use]
    pub fn parse(kind: u8, payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        match kind {
            kind::DEVICE => Some(Self::Device(payload)),
            kind::STATUS => {
                let status = reader.u16()?;
                reader.end(Self::Status(status))
            }
            kind::DATA => Some(Self::Data(payload)),
            kind::BROKEN => reader.end(Self::Broken),
            _ => None,
        }
    }

    /// Sends the answer.
    ///
    /// # Errors
    /// When the device has gone.
    pub fn send<W: Wire>(&self, wire: &mut W) -> Result<(), W::Error> {
        match self {
            Self::Device(block) => frame(wire, kind::DEVICE, &[], block),
            Self::Status(status) => frame(wire, kind::STATUS, &status.to_le_bytes(), &[]),
            Self::Data(bytes) => frame(wire, kind::DATA, &[], bytes),
            Self::Broken => frame(wire, kind::BROKEN, &[], &[]),
        }
    }
}

/// Sends one frame; what does not fit a frame is cut off, and no sender here has as much.
fn frame<W: Wire>(wire: &mut W, kind: u8, fields: &[u8], tail: &[u8]) -> Result<(), W::Error> {
    let room = MAX_PAYLOAD.saturating_sub(fields.len());
    let tail = tail.get(..room).unwrap_or(tail);
    let length = u16::try_from(fields.len().saturating_add(tail.len())).unwrap_or(u16::MAX);
    wire.send(&Header { kind, length }.encode())?;
    for part in [fields, tail] {
        if !part.is_empty() {
            wire.send(part)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
