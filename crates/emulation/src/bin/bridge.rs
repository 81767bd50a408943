//! The host's end of a serial line: passes what a device asks on to its server, over HTTPS.
//!
//! For firmware without a radio, see `firmware/README.md`. The device signs and verifies; this
//! program stands for the network and checks nothing. Frames: `emulated::frame`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use emulated::frame::{Header, MAX_PAYLOAD, Reply, Request, Wire};
use espseal_agent::transport::{Transport, TransportFault as _, TransportFaultKind};
use espseal_format::repository::Resource;
use espseal_twin::https::{HttpsClient, HttpsError, HttpsTransport};

/// Passes what a device asks over a serial line on to its server.
#[derive(Parser)]
#[command(
    name = "bridge",
    disable_version_flag = true,
    after_help = "\
Example:
  cargo run -p emulation --bin bridge -- --port /dev/ttyUSB1 --authority lamp/ca/ca.pem"
)]
struct Arguments {
    /// The serial port, 115200 8N1
    #[arg(long, value_name = "DEVICE")]
    port: PathBuf,
    /// Where the repository is
    #[arg(long, value_name = "URL", default_value = "https://localhost:8443/")]
    url: String,
    /// Certificate that signs the server's, in PEM
    #[arg(long, value_name = "PEM")]
    authority: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let roots = std::fs::read(&arguments.authority)
        .with_context(|| format!("cannot read {}", arguments.authority.display()))?;
    let server = HttpsTransport::new(HttpsClient::new(&roots)?, &arguments.url)?;
    let mut bridge = Bridge {
        line: Line(open(&arguments.port)?),
        server,
    };
    loop {
        bridge.serve_one()?;
    }
}

/// Opens a serial port, raw.
fn open(port: &Path) -> Result<File> {
    let status = Command::new("stty")
        .arg("-F")
        .arg(port)
        .args(["115200", "raw", "-echo"])
        .status()
        .context("stty did not start")?;
    ensure!(status.success(), "stty cannot set up {}", port.display());
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(port)
        .with_context(|| format!("cannot open {}", port.display()))
}

/// A serial port.
struct Line(File);

impl Wire for Line {
    type Error = io::Error;

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact(buffer)
    }
}

/// Line and server.
struct Bridge {
    line: Line,
    server: HttpsTransport,
}

impl Bridge {
    /// Waits for a request and answers it; what is no frame is dropped, byte by byte.
    fn serve_one(&mut self) -> Result<()> {
        let mut header = [0; Header::LEN];
        self.line.receive(&mut header).context(GONE)?;
        let header = loop {
            match Header::parse(header) {
                Some(header) => break header,
                None => {
                    header.rotate_left(1);
                    let [.., last] = &mut header;
                    self.line
                        .receive(std::slice::from_mut(last))
                        .context(GONE)?;
                }
            }
        };
        let mut payload = vec![0; usize::from(header.length)];
        self.line.receive(&mut payload).context(GONE)?;
        let Some(request) = Request::parse(header.kind, &payload) else {
            return Ok(());
        };
        let mut bytes = vec![0; MAX_PAYLOAD];
        let reply = match request {
            Request::Open { path, range } => match Resource::parse(path) {
                Some(resource) => {
                    println!("{path}");
                    status(self.server.open(resource.as_resource(), range))
                }
                None => Reply::Status(400),
            },
            Request::Read { limit } => {
                let limit = bytes.get_mut(..usize::from(limit)).unwrap_or_default();
                match self.server.read(limit) {
                    Ok(count) => Reply::Data(bytes.get(..count).unwrap_or_default()),
                    Err(_) => Reply::Broken,
                }
            }
            Request::Poll(poll) => {
                println!("poll");
                status(self.server.post_poll(poll))
            }
            Request::Report(report) => {
                println!("report");
                status(self.server.post_report(report))
            }
            _ => return Ok(()),
        };
        reply.send(&mut self.line).context(GONE)
    }
}

/// Said when the port is unplugged.
const GONE: &str = "the serial port is gone";

fn status(result: Result<(), HttpsError>) -> Reply<'static> {
    Reply::Status(match result {
        Ok(()) => 200,
        Err(error) => {
            println!("  {error}");
            match error.kind() {
                TransportFaultKind::NotFound => 404,
                TransportFaultKind::Refused { status } => status,
                _ => 0,
            }
        }
    })
}
