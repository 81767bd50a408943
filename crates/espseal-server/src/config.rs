//! What the server is told before it starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::clock::Clock;

/// Everything that [`crate::serve::Server::bind`] needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder with the files that `espseal publish` wrote.
    pub repository: PathBuf,
    /// Address and port to listen on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// How clients reach the server.
    pub access: Access,
    /// SQLite file for reports and polls; made when missing.
    pub database: PathBuf,
    /// Host in the absolute URL of a redirect; the request's `Host` header when `None`.
    pub public_host: Option<PublicHost>,
    /// What one client may ask of the server.
    pub limits: Limits,
    /// The time of day.
    pub clock: Clock,
}

/// How clients reach the server.
#[derive(Clone, Debug)]
pub enum Access {
    /// TLS 1.3 and 1.2 with a certificate chain and its private key, both in PEM.
    Https {
        /// PEM file: the server's certificate first, then the intermediates.
        certificate: PathBuf,
        /// PEM file with the private key (PKCS#8, SEC1 or PKCS#1).
        key: PathBuf,
    },
    /// HTTP without TLS, for a proxy on the same machine: refused on any but a loopback address.
    PlainOnLoopback,
}

/// What one client may ask of the server, and for how long.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections served at once; further ones wait in the listener's queue.
    pub connections: usize,
    /// Time for a TLS handshake.
    pub handshake: Duration,
    /// Time for a request's whole head, and for the pause before it on an open connection.
    pub head: Duration,
    /// Time for a request's whole body.
    pub body: Duration,
    /// Time for which a client may take none of the bytes that are ready for it.
    pub stall: Duration,
    /// Time for running downloads to finish once the server is told to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            handshake: Duration::from_secs(15),
            head: Duration::from_secs(20),
            body: Duration::from_secs(10),
            stall: Duration::from_secs(120),
            drain: Duration::from_secs(30),
        }
    }
}

/// A host name or address, with or without a port, as it stands in a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicHost(String);

impl PublicHost {
    /// Longest host that keeps every redirect below the 512-byte buffers of `esp_http_client`.
    pub const MAX: usize = 255;

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PublicHost {
    type Err = InvalidHost;

    /// Takes `name`, `name:port`, `1.2.3.4:port` or `[::1]:port`.
    ///
    /// # Errors
    /// [`InvalidHost`] when a character could end the host part of a URL, or the length is wrong.
    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        if text.is_empty() || text.len() > Self::MAX || !text.bytes().all(allowed) {
            return Err(InvalidHost);
        }
        Ok(Self(text.to_owned()))
    }
}

/// The text is no host name or address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a host name or address of at most 255 bytes, with or without :port")]
pub struct InvalidHost;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_hold_nothing_that_ends_the_host_part_of_a_url() {
        for host in ["ota.example.com", "127.0.0.1:8443", "[::1]:8443", "a-b_c"] {
            assert_eq!(host.parse::<PublicHost>().unwrap().as_str(), host);
        }
        let long = "a".repeat(256);
        for wrong in [
            "",
            "a/b",
            "user@host",
            "a b",
            "a?b",
            "a#b",
            "a\r\nb",
            "a\\b",
            &long,
        ] {
            assert_eq!(wrong.parse::<PublicHost>(), Err(InvalidHost), "{wrong}");
        }
    }
}
