//! A client that reads as fast as TLS lets it, or stops in the middle.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Trusts the benchmark's certificate; each connection makes a full TLS 1.3 handshake.
pub(super) struct Client {
    config: Arc<ClientConfig>,
}

impl Client {
    pub(super) fn new(certificate: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate)?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
        })
    }

    pub(super) fn connect(&self, port: u16) -> Result<Connection> {
        let socket = TcpStream::connect(("127.0.0.1", port)).context("cannot connect")?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let session = ClientConnection::new(Arc::clone(&self.config), name)?;
        let stream = BufReader::with_capacity(16 * 1024, StreamOwned::new(session, socket));
        Ok(Connection { stream, taken: 0 })
    }
}

/// One connection, with at most one download running.
pub(super) struct Connection {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    taken: usize,
}

impl Connection {
    /// Asks for a file and reads the head of the response.
    pub(super) fn request(&mut self, path: &str) -> Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        ensure!(
            line.starts_with("HTTP/1.1 200"),
            "the server answers {line:?}"
        );
        while line.trim() != "" {
            line.clear();
            self.stream.read_line(&mut line)?;
        }
        self.taken = 0;
        Ok(())
    }

    /// Reads the next bytes; `true` when there are no more.
    pub(super) fn take(&mut self, expected: &[u8], count: usize) -> Result<bool> {
        let until = expected.len().min(self.taken + count);
        let mut buffer = [0; 16 * 1024];
        while self.taken < until {
            let want = (until - self.taken).min(buffer.len());
            let found = self.stream.read(&mut buffer[..want])?;
            ensure!(found > 0, "the download ends after {} bytes", self.taken);
            let end = self.taken + found;
            ensure!(
                buffer[..found] == expected[self.taken..end],
                "other bytes than the file's"
            );
            self.taken = end;
        }
        Ok(self.taken == expected.len())
    }

    /// Reads the rest.
    pub(super) fn finish(&mut self, expected: &[u8]) -> Result<()> {
        self.take(expected, expected.len()).map(drop)
    }
}
