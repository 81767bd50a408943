//! The transport: one connection, one answer at a time.
//!
//! The connection lives as long as the transport. When it breaks, the update ends with an error, and
//! the next poll opens another: what stands in flash by then is not fetched again.

use core::fmt::Write as _;
use core::ops::Range;

use embedded_io::{Read, Write};
use embedded_tls::blocking::TlsConnection;
use embedded_tls::{CryptoRngCore, TlsConfig, TlsContext, TlsError};
use espseal_agent::transport::{Transport, TransportFault, TransportFaultKind};
use espseal_format::repository::Resource;
use heapless::String;

use crate::head::{Head, HeadReader, MAX_LINE, NotHttp};
use crate::identity::{Identity, Suite};
use crate::url::BaseUrl;

/// Bytes for one TLS record on its way in: the longest there is.
pub const RECORD_IN: usize = 16_640;
/// Bytes for one TLS record on its way out.
pub const RECORD_OUT: usize = 2048;
/// Most bytes of a request's head.
const MAX_REQUEST: usize = 512;

/// A connection to the repository.
pub struct Https<'c, S: Read + Write> {
    tls: TlsConnection<'c, S, Suite>,
    base: BaseUrl<'c>,
    /// Bytes of the open answer that have not come yet.
    left: u32,
    /// Whether the caller may read them.
    shown: bool,
}

/// Why a request failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum HttpsFault {
    /// Connection or TLS, the server's certificate included.
    Tls(TlsError),
    /// The handshake ended, but the server has not proven who it is.
    Unproven,
    /// The request is longer than its buffer.
    Request,
    /// The answer is no HTTP that this client takes.
    Answer,
    /// The answer broke off.
    Interrupted,
    /// The server answered with another status.
    Status(u16),
}

impl<'c, S: Read + Write + 'c> Https<'c, S> {
    /// Opens TLS over a connected socket, to the host of `base` and signed by `authority` (DER).
    ///
    /// # Errors
    /// [`HttpsFault::Tls`]; [`HttpsFault::Unproven`] for a server that sends no certificate.
    pub fn connect<R: CryptoRngCore>(
        socket: S,
        base: BaseUrl<'c>,
        authority: &[u8],
        rng: R,
        records: (&'c mut [u8; RECORD_IN], &'c mut [u8; RECORD_OUT]),
    ) -> Result<Self, HttpsFault> {
        let mut tls = TlsConnection::new(socket, records.0, records.1);
        let config = TlsConfig::new().with_server_name(base.host);
        let mut identity = Identity::new(rng, authority);
        tls.open(TlsContext::new(&config, &mut identity))
            .map_err(HttpsFault::Tls)?;
        if !identity.verified() {
            return Err(HttpsFault::Unproven);
        }
        Ok(Self {
            tls,
            base,
            left: 0,
            shown: false,
        })
    }

    /// Sends a request and reads the head of its answer.
    fn ask(&mut self, request: &Request<'_>) -> Result<Head, HttpsFault> {
        self.drop_rest()?;
        let mut head = String::<MAX_REQUEST>::new();
        request
            .write(&self.base, &mut head)
            .map_err(|_| HttpsFault::Request)?;
        self.send(head.as_bytes())?;
        self.send(request.body.unwrap_or_default())?;
        self.tls.flush().map_err(HttpsFault::Tls)?;
        let head = self.head()?;
        self.left = head.length;
        self.shown = true;
        Ok(head)
    }

    /// Reads what is left of the answer before.
    fn drop_rest(&mut self) -> Result<(), HttpsFault> {
        self.shown = true;
        while self.left > 0 {
            Transport::read(self, &mut [0; 256])?;
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), HttpsFault> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let sent = self.tls.write(rest).map_err(HttpsFault::Tls)?;
            rest = rest
                .get(sent..)
                .filter(|_| sent > 0)
                .ok_or(HttpsFault::Interrupted)?;
        }
        Ok(())
    }

    fn head(&mut self) -> Result<Head, HttpsFault> {
        let mut reader = HeadReader::default();
        let mut line = heapless::Vec::<u8, MAX_LINE>::new();
        for _ in 0..MAX_HEAD {
            let mut byte = [0];
            match self.tls.read(&mut byte).map_err(HttpsFault::Tls)? {
                0 => return Err(HttpsFault::Interrupted),
                _ => match byte {
                    [b'\n'] => {
                        let ended = line.strip_suffix(b"\r").unwrap_or(&line);
                        if let Some(head) = reader.line(ended)? {
                            return Ok(head);
                        }
                        line.clear();
                    }
                    // Of a line that is too long the rest is dropped.
                    [byte] => drop(line.push(byte)),
                },
            }
        }
        Err(HttpsFault::Answer)
    }

    /// Takes an answer whose status is among the expected.
    fn expect(&mut self, head: Head, expected: &[u16]) -> Result<(), HttpsFault> {
        match expected.contains(&head.status) {
            true => Ok(()),
            false => {
                self.shown = false;
                Err(HttpsFault::Status(head.status))
            }
        }
    }
}

/// Most bytes of an answer's head.
const MAX_HEAD: u32 = 8192;

/// A request to be written.
struct Request<'r> {
    path: &'r str,
    range: Option<Range<u32>>,
    body: Option<&'r [u8]>,
}

impl Request<'_> {
    fn write(&self, base: &BaseUrl<'_>, out: &mut String<MAX_REQUEST>) -> core::fmt::Result {
        let method = match self.body {
            Some(_) => "POST",
            None => "GET",
        };
        let (directory, path, host) = (base.path, self.path, base.authority);
        write!(
            out,
            "{method} {directory}{path} HTTP/1.1\r\nHost: {host}\r\n"
        )?;
        if let Some(range) = &self.range {
            let last = range.end.saturating_sub(1);
            write!(out, "Range: bytes={}-{last}\r\n", range.start)?;
        }
        if let Some(body) = self.body {
            let length = body.len();
            write!(
                out,
                "Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n"
            )?;
        }
        out.write_str("\r\n")
    }
}

impl<'c, S: Read + Write + 'c> Transport for Https<'c, S> {
    type Error = HttpsFault;

    fn open(
        &mut self,
        resource: Resource<'_>,
        range: Option<Range<u32>>,
    ) -> Result<(), HttpsFault> {
        let path = resource.path();
        let status = if range.is_some() { 206 } else { 200 };
        let head = self.ask(&Request {
            path: path.as_str(),
            range,
            body: None,
        })?;
        self.expect(head, &[status])
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, HttpsFault> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        if wanted == 0 || !self.shown {
            return Ok(0);
        }
        let part = buffer.get_mut(..wanted).unwrap_or_default();
        let count = self.tls.read(part).map_err(|_| HttpsFault::Interrupted)?;
        match u32::try_from(count) {
            Ok(read) if read > 0 => self.left = self.left.saturating_sub(read),
            _ => return Err(HttpsFault::Interrupted),
        }
        Ok(count)
    }

    fn post_poll(&mut self, poll: &[u8]) -> Result<(), HttpsFault> {
        let head = self.ask(&Request {
            path: "v1/poll",
            range: None,
            body: Some(poll),
        })?;
        self.expect(head, &[200])
    }

    fn post_report(&mut self, report: &[u8]) -> Result<(), HttpsFault> {
        let head = self.ask(&Request {
            path: "v1/report",
            range: None,
            body: Some(report),
        })?;
        self.expect(head, &[200, 204])
    }
}

impl TransportFault for HttpsFault {
    fn kind(&self) -> TransportFaultKind {
        match *self {
            Self::Tls(_) | Self::Unproven | Self::Request => TransportFaultKind::Unreachable,
            Self::Answer | Self::Interrupted => TransportFaultKind::Interrupted,
            Self::Status(404) => TransportFaultKind::NotFound,
            Self::Status(status) => TransportFaultKind::Refused { status },
        }
    }
}

impl From<NotHttp> for HttpsFault {
    fn from(_: NotHttp) -> Self {
        Self::Answer
    }
}
