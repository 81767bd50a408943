//! A TCP connection as the transport wants it, and the transport over it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use embedded_io::{ErrorKind, ErrorType, Read, Write};
use espseal_https::https::{Https, HttpsFault, RECORD_IN, RECORD_OUT};
use espseal_https::url::BaseUrl;
use rand_core::OsRng;

/// A blocking socket.
pub(crate) struct Socket(TcpStream);

impl ErrorType for Socket {
    type Error = ErrorKind;
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read(buffer).map_err(|_| ErrorKind::Other)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.0.write(bytes).map_err(|_| ErrorKind::Other)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// Connects to a port of this machine as to `host`.
pub(crate) fn connect(
    port: u16,
    host: &str,
    authority: &[u8],
) -> Result<Https<'static, Socket>, HttpsFault> {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let base = Box::leak(format!("https://{host}:{port}/").into_boxed_str());
    let base = BaseUrl::parse(base).unwrap();
    let records = (
        Box::leak(Box::new([0; RECORD_IN])),
        Box::leak(Box::new([0; RECORD_OUT])),
    );
    Https::connect(Socket(stream), base, authority, OsRng, records)
}
