//! `espseal serve`: the keyless front of a repository.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use espseal_publish::blame::Blame;
use espseal_server::clock::Clock;
use espseal_server::config::{Access, Config, Limits, PublicHost};
use espseal_server::log::{self, LogFormat};
use espseal_server::serve::{ServeError, Server, StoreError, TlsError};
use serde_json::json;

use crate::answer::Answer;
use crate::cli::{Context, Outcome};
use crate::failure::Failure;

/// Serves a repository over HTTPS and keeps the devices' reports; holds no key that a device trusts.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal serve                        # the project's repository, for development
  espseal serve --repository /srv/lamp --listen 0.0.0.0:443 --cert chain.pem --key key.pem \\
      --database /var/lib/espseal/reports.db --public-host ota.example.com
  espseal serve --http --public-host ota.example.com    # behind a TLS proxy on this machine

SIGTERM and Ctrl-C let running downloads finish for up to 30 seconds. One line is logged for each
request, on standard error; RUST_LOG=warn leaves the warnings.")]
pub(crate) struct Serve {
    /// Folder to serve [default: repository/ of the project].
    #[arg(long, value_name = "DIR")]
    repository: Option<PathBuf>,
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Certificate chain in PEM [default: the project's development certificate, for localhost].
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Private key of the certificate in PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Serve HTTP without TLS; allowed on loopback addresses only.
    #[arg(long, conflicts_with_all = ["cert", "key"])]
    http: bool,
    /// SQLite file for reports and polls [default: reports.db of the project].
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
    /// Host in redirects of ESP-IDF devices, with :port unless 443 [default: the one that they asked].
    #[arg(long, value_name = "HOST")]
    public_host: Option<PublicHost>,
    /// Form of the log.
    #[arg(long, value_enum, default_value = "text")]
    log_format: Format,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Serve {
    pub(super) fn run(self, context: &Context) -> Outcome {
        log::init(match self.log_format {
            Format::Text => LogFormat::Text,
            Format::Json => LogFormat::Json,
        });
        let project = |path: &str| context.global.project.join(path);
        let config = Config {
            repository: self.repository.unwrap_or_else(|| project("repository")),
            listen: self.listen,
            access: match self.http {
                true => Access::PlainOnLoopback,
                false => Access::Https {
                    certificate: self.cert.unwrap_or_else(|| project("ca/server.pem")),
                    key: self.key.unwrap_or_else(|| project("ca/server.key")),
                },
            },
            database: self.database.unwrap_or_else(|| project("reports.db")),
            public_host: self.public_host,
            limits: Limits::default(),
            clock: Clock::default(),
        };
        let server = Server::bind(config)?;
        let address = server.local_address();
        server.run()?;
        Ok(Answer::new(json!({ "stopped": address.to_string() })))
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let blame = match &error {
            ServeError::PlainBeyondLoopback { .. }
            | ServeError::Tls(
                TlsError::Pem { .. } | TlsError::NothingInside { .. } | TlsError::Refused { .. },
            )
            | ServeError::Store(StoreError::Layout { .. }) => Blame::Usage,
            _ => Blame::Io,
        };
        Self::new(blame, error)
    }
}
