//! TLS 1.3 and 1.2 by rustls over aws-lc-rs.
//!
//! TLS 1.2 stays for the many ESP-IDF clients whose mbedTLS was built without 1.3. Sessions resume
//! by tickets, which need no memory here.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::clock::Clock;
use crate::files::PIECE;

/// Bytes that one connection keeps inside TLS: a piece of a file, and the head before it.
pub(crate) const BUFFER_LIMIT: usize = PIECE + 1024;

/// Reads the certificate chain and its key.
pub(crate) fn configuration(
    certificate: &Path,
    key: &Path,
    clock: &Clock,
) -> Result<Arc<ServerConfig>, TlsError> {
    let unreadable = |path: &Path, error| TlsError::from_pem(path, error);
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(certificate, error))?;
    if chain.is_empty() {
        return Err(TlsError::NothingInside {
            path: certificate.to_owned(),
        });
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|source| TlsError::Refused {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            source,
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.time_provider = Arc::new(clock.clone());
    config.ticketer = Ticketer::new().map_err(TlsError::Provider)?;
    // A client resumes one session at a time.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// Why the certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error(
        "cannot read {path} ({source}): --cert takes the certificate chain, --key its private key"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not PEM.
    #[error("{path} is no valid PEM file ({source})")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        source: pem::Error,
    },
    /// A PEM file holds nothing of the kind that is asked for.
    #[error(
        "{path} holds no certificate or private key in PEM: --cert takes the one, --key the other"
    )]
    NothingInside {
        /// The file.
        path: PathBuf,
    },
    /// The two files are well-formed and do not fit together or are of a kind that TLS cannot use.
    #[error("the certificate {certificate} and the key {key} cannot be used together ({source})")]
    Refused {
        /// The certificate chain.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// The cryptographic library failed to start.
    #[error("the TLS library cannot start ({0})")]
    Provider(rustls::Error),
}

impl TlsError {
    fn from_pem(path: &Path, error: pem::Error) -> Self {
        let path = path.to_owned();
        match error {
            pem::Error::Io(source) => Self::Read { path, source },
            pem::Error::NoItemsFound => Self::NothingInside { path },
            source => Self::Pem { path, source },
        }
    }
}
