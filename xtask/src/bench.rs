//! Benchmarks: ours and the peer in one run, as ratios, since machines are noisy.
//!
//! Results that were measured on a named machine stand in `docs/benchmarks.md`.

mod factory;
mod flash_encryption;
mod seal;
mod server;

use std::process::Command;

use anyhow::Result;

use crate::oracles::debian_packages;
use crate::process;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Measure this only
    subject: Option<Subject>,
    /// Flash encryption in memory: measure this engine only, whatever the processor has
    #[arg(long)]
    engine: Option<Engine>,
}

/// What there is to measure.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Subject {
    /// Sealing an image
    Seal,
    /// The server, against nginx
    Server,
    /// Flash encryption, against OpenSSL and espsecure
    FlashEncryption,
    /// Making, enrolling and wrapping for devices, against the library's P-256
    Factory,
}

/// An engine of flash encryption, named as `espseal_crypto` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Engine {
    /// AVX-512 and VAES
    Vaes,
    /// AES-NI and AVX2
    AesNi,
    /// The `aes` crate
    Portable,
}

/// One line of the table.
pub(crate) struct Row {
    /// What is measured.
    pub(crate) name: &'static str,
    /// Our figure.
    pub(crate) ours: f64,
    /// The peer's figure, where there is a peer.
    pub(crate) peer: Option<f64>,
    /// Unit of both.
    pub(crate) unit: &'static str,
    /// What is asked for: a ratio to the peer when there is one, else the figure itself; `None`
    /// where only the ratio is of interest.
    pub(crate) goal: Option<f64>,
}

impl Row {
    /// The figure that the goal is about.
    fn measured(&self) -> f64 {
        self.peer.map_or(self.ours, |peer| self.ours / peer)
    }

    fn print(&self) {
        let peer = self
            .peer
            .map_or_else(|| "-".into(), |peer| format!("{peer:.3}"));
        let ratio = self
            .peer
            .map_or_else(String::new, |_| format!("{:.2}", self.measured()));
        let verdict = match self.goal {
            None => "-".into(),
            Some(goal) if self.measured() <= goal => format!("at most {goal}: reached"),
            Some(goal) => format!("at most {goal}: MISSED"),
        };
        println!(
            "{:<56} {:>10.3} {:>10} {:<4} {:>7}  {verdict}",
            self.name, self.ours, peer, self.unit, ratio
        );
    }
}

/// Builds for release, measures, and fails when a goal is missed.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let is_asked = |subject| arguments.subject.is_none_or(|only| only == subject);
    for (subject, program, package) in [
        (Subject::Server, "nginx", "nginx-light"),
        (Subject::Seal, "openssl", "openssl"),
        (Subject::Server, "openssl", "openssl"),
    ] {
        let system = std::path::Path::new("/usr/sbin").join(program);
        if is_asked(subject) && !process::on_path(program) && !system.exists() {
            debian_packages(&[package])?;
        }
    }
    process::run(process::cargo().args(["build", "--release", "--package", "espseal"]))?;
    let espseal = process::workspace().join("target/release/espseal");
    print!("{}", process::output(Command::new("date").arg("-u"))?);
    println!("{}", processor());
    let mut missed = 0;
    if is_asked(Subject::Seal) || is_asked(Subject::Server) {
        println!(
            "{:<56} {:>10} {:>10} {:<4} {:>7}  goal",
            "", "ours", "peer", "unit", "ratio"
        );
        let mut rows = Vec::new();
        if is_asked(Subject::Seal) {
            rows.extend(seal::run(&espseal)?);
        }
        if is_asked(Subject::Server) {
            rows.extend(server::run(&espseal)?);
        }
        rows.iter().for_each(Row::print);
        missed += rows
            .iter()
            .filter(|row| row.goal.is_some_and(|goal| row.measured() > goal))
            .count();
    }
    if is_asked(Subject::FlashEncryption) {
        missed += flash_encryption::run(&espseal, arguments.engine)?;
    }
    if is_asked(Subject::Factory) {
        missed += factory::run()?;
    }
    anyhow::ensure!(missed == 0, "{missed} goal(s) missed");
    Ok(())
}

/// The processor's name.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    name.map_or_else(
        || "unknown processor".into(),
        |name| name.trim_start_matches(['\t', ' ', ':']).into(),
    )
}
