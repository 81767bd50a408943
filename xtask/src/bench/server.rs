//! The server beside Debian's nginx: CPU time for one download, and memory with 500 at once.
//!
//! Both serve the same file with the same certificate to the same client, in turn, several rounds
//! in one run. CPU time is `utime + stime` of all processes of a server, from `/proc/<pid>/stat`;
//! peak memory is `VmHWM` from `/proc/<pid>/status`.

mod client;
mod peers;

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::Row;
use client::Client;
use peers::Peer;

/// Bytes of the body: a typical application image.
const BODY: usize = 1_500_000;
/// Rounds, each of which measures both servers.
const ROUNDS: usize = 5;
/// Downloads of one server in one round.
const DOWNLOADS: usize = 200;
/// Downloads that are in the middle at the same time.
const AT_ONCE: usize = 500;

/// Measures with `espseal`, the command line as built for release.
///
/// # Errors
/// When nginx is not installed, a server does not start, or a download differs from the file.
pub(crate) fn run(espseal: &Path) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir().context("cannot make a folder for the benchmark")?;
    let site = peers::Site::make(folder.path(), BODY)?;
    let ours = Peer::espseal(espseal, &site)?;
    let nginx = Peer::nginx(&site)?;
    let client = Client::new(&site.certificate)?;
    let both = [&ours, &nginx];
    let name = "1.5 MB over one TLS connection, CPU a request";
    let kept_alive = compare(name, both, |peer| kept_alive(&client, peer, &site))?;
    let name = "1.5 MB over a new TLS connection each, CPU a request";
    let anew = compare(name, both, |peer| anew(&client, peer, &site))?;
    let at_once = Row {
        name: "500 downloads at once over TLS, peak memory",
        ours: many_at_once(espseal, &site, &client)?,
        peer: None,
        unit: "MiB",
        goal: Some(64.0),
    };
    Ok(vec![kept_alive, anew, at_once])
}

/// Measures the CPU time of [`DOWNLOADS`] of both servers, in turn, [`ROUNDS`] times.
fn compare(
    name: &'static str,
    both: [&Peer; 2],
    downloads: impl Fn(&Peer) -> Result<()>,
) -> Result<Row> {
    let mut spent = [0.0; 2];
    for round in 0..=ROUNDS {
        for (peer, spent) in both.into_iter().zip(&mut spent) {
            let before = peer.cpu_milliseconds()?;
            downloads(peer)?;
            // The first round fills the page cache and is not counted.
            if round > 0 {
                *spent += peer.cpu_milliseconds()? - before;
            }
        }
    }
    let [ours, nginx] = spent.map(|spent| spent / (ROUNDS * DOWNLOADS) as f64);
    Ok(Row {
        name,
        ours,
        peer: Some(nginx),
        unit: "ms",
        goal: Some(1.2),
    })
}

fn kept_alive(client: &Client, peer: &Peer, site: &peers::Site) -> Result<()> {
    let mut connection = client.connect(peer.port)?;
    for _ in 0..DOWNLOADS {
        connection.request(&site.path)?;
        connection.finish(&site.body)?;
    }
    Ok(())
}

fn anew(client: &Client, peer: &Peer, site: &peers::Site) -> Result<()> {
    for _ in 0..DOWNLOADS {
        let mut connection = client.connect(peer.port)?;
        connection.request(&site.path)?;
        connection.finish(&site.body)?;
    }
    Ok(())
}

/// Brings all downloads to their middle, lets all finish together, and returns the peak.
fn many_at_once(espseal: &Path, site: &peers::Site, client: &Client) -> Result<f64> {
    // A server of its own, so that the peak is that of this work.
    let server = Peer::espseal(espseal, site)?;
    let mut connections = Vec::new();
    for _ in 0..AT_ONCE {
        let mut connection = client.connect(server.port)?;
        connection.request(&site.path)?;
        connection.take(&site.body, BODY / 10)?;
        connections.push(connection);
    }
    let mut unfinished = AT_ONCE;
    while unfinished > 0 {
        unfinished = 0;
        for connection in &mut connections {
            unfinished += usize::from(!connection.take(&site.body, BODY / 10)?);
        }
    }
    let peak = server.peak_mebibytes()?;
    ensure!(peak > 0.0, "the system tells no peak memory");
    Ok(peak)
}
