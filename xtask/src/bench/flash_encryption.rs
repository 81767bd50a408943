//! Flash encryption: in memory on one core against OpenSSL and espsecure, then whole commands.
//!
//! espseal's in-memory figures are wall time, the others' CPU time, so other programs on the machine
//! count against espseal only. Each figure is the best of many repetitions.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::Engine;
use crate::oracles::{self, debian_packages};
use crate::process::{self, on_path, workspace};

/// Bytes that a whole command works on.
const LENGTH: u64 = 4 << 20;
/// Bytes of the file that must not be in memory as a whole.
const LARGE: u64 = 1 << 30;
/// Most KiB that a command may take for it.
const MEMORY: u64 = 64 << 10;
/// Both schemes with the key lengths that differ, in espsecure's flags.
const SCHEMES: [(&str, &[&str]); 3] = [
    ("esp32", &["-k", "key32"]),
    ("xts-128", &["-x", "-k", "key32"]),
    ("xts-256", &["-x", "-k", "key64"]),
];

/// Figures by name, such as `xts-256 encrypt`.
type Figures = BTreeMap<String, f64>;

/// Goals that were missed.
#[derive(Default)]
struct Missed(usize);

impl Missed {
    /// Prints a line of the table; `goal` is the least ratio.
    fn line(&mut self, name: &str, ours: &str, peer: &str, ratio: f64, goal: Option<f64>) {
        let verdict = match goal {
            None => "-".into(),
            Some(goal) if ratio >= goal => format!("at least {goal}: reached"),
            Some(goal) => {
                self.0 += 1;
                format!("at least {goal}: MISSED")
            }
        };
        println!("{name:<52} {ours:>12} {peer:>12} {ratio:>8.2}  {verdict}");
    }
}

/// Builds, measures and prints; returns how many goals were missed.
pub(super) fn run(espseal: &Path, engine: Option<Engine>) -> Result<usize> {
    oracles::install()?;
    let venv = oracles::folder().join("venv/bin");
    let mut missed = Missed::default();
    println!(
        "\n{:<52} {:>12} {:>12} {:>8}  goal",
        "4 MiB in memory, one core", "ours MB/s", "peer MB/s", "ratio"
    );
    in_memory(&venv, engine, &mut missed)?;
    println!(
        "\n{:<52} {:>12} {:>12} {:>8}  goal",
        "whole command on 4 MiB (fastest, peak memory)", "ours", "espsecure", "ratio"
    );
    commands(espseal, &venv, &mut missed)?;
    Ok(missed.0)
}

/// Every engine, or the one that is asked for, against OpenSSL and against espsecure's inner loop. The
/// portable code has no goals: the instructions that they presuppose are not there.
fn in_memory(venv: &Path, engine: Option<Engine>, missed: &mut Missed) -> Result<()> {
    let engine = engine.map(|engine| format!("{engine:?}"));
    let bench = "bench --quiet --package espseal-crypto --bench flash_encryption --";
    let ours = figures(process::cargo().args(bench.split(' ')).args(engine))?;
    let openssl = figures(&mut Command::new(openssl_program()?))?;
    let source = include_str!("flash_encryption/inner_loop.py");
    let espsecure = figures(Command::new(venv.join("python")).args(["-c", source]))?;
    for (name, &rate) in &ours {
        let mut words = name.split(' ');
        let scheme = words.next().unwrap_or_default();
        let direction = words.next().unwrap_or_default();
        let engine = words.next().unwrap_or_default();
        let mut compare = |what: &str, peer: Option<&f64>, goal: f64| {
            let Some(peer) = peer else { return };
            missed.line(
                &format!("{scheme} {direction}, {engine}; {what}"),
                &megabytes(rate),
                &megabytes(*peer),
                rate / peer,
                (engine != "Portable").then_some(goal),
            );
        };
        let at = |name: &str| format!("{name} {direction}");
        if scheme != "esp32" {
            compare("OpenSSL, 128-byte units", openssl.get(&at(scheme)), 1.3);
            let with_iv = openssl.get(&at(&format!("{scheme}-iv")));
            compare("OpenSSL with each unit's IV", with_iv, 1.3);
            compare("AES-256-ECB bound", openssl.get(&at("aes-256-ecb")), 0.5);
        }
        let goal = if scheme == "esp32" { 100.0 } else { 1.0 };
        compare("espsecure's inner loop", espsecure.get(&at(scheme)), goal);
    }
    Ok(())
}

/// Whole commands, ours against espsecure's, then ours on a file of 1 GiB.
fn commands(espseal: &Path, venv: &Path, missed: &mut Missed) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let random = |length: u64| -> Result<Vec<u8>> {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        File::open("/dev/urandom")?
            .take(length)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    for (name, length) in [("data", LENGTH), ("key32", 32), ("key64", 64)] {
        fs::write(folder.path().join(name), random(length)?)?;
    }
    File::create(folder.path().join("large"))?.set_len(LARGE)?;
    let measure = |runs: u32, program: &[&Path], words: &[&str]| -> Result<(f64, u64)> {
        let source = include_str!("flash_encryption/commands.py");
        let printed = process::output(
            Command::new(venv.join("python"))
                .args(["-c", source, &runs.to_string()])
                .args(program)
                .args(words)
                .current_dir(folder.path()),
        )?;
        let mut words = printed.split_whitespace();
        let mut next = || words.next().context("no figures from commands.py");
        Ok((next()?.parse()?, next()?.parse()?))
    };
    let espsecure = venv.join("espsecure");
    for (scheme, key) in SCHEMES {
        for direction in ["encrypt", "decrypt"] {
            let command = format!("{direction}-flash-data");
            let flags = [&["-a", "0x10000", "-o", "out"], key].concat();
            let words = [&[command.as_str()], &flags[..], &["data"]].concat();
            let ours = measure(20, &[espseal], &[&["espsecure"], &words[..]].concat())?;
            let theirs = measure(5, &[&espsecure], &words)?;
            missed.line(
                &format!("{command}, {scheme}"),
                &figure(ours),
                &figure(theirs),
                theirs.0 / ours.0,
                Some(30.0),
            );
        }
    }
    for (scheme, key) in SCHEMES {
        let flags = [&["-a", "0", "-o", "out-large"], key].concat();
        let words = [&["espsecure", "encrypt-flash-data"], &flags[..], &["large"]].concat();
        let (seconds, memory) = measure(1, &[espseal], &words)?;
        let verdict = match memory < MEMORY {
            true => "memory below 64 MiB: reached",
            false => {
                missed.0 += 1;
                "memory below 64 MiB: MISSED"
            }
        };
        let name = format!("encrypt-flash-data, {scheme}, 1 GiB, all cores");
        println!("{name:<52} {:>12}  {verdict}", figure((seconds, memory)));
    }
    Ok(())
}

/// Runs a program that prints names and rates.
fn figures(command: &mut Command) -> Result<Figures> {
    let printed = process::output(command)?;
    let mut figures = Figures::new();
    for line in printed.lines() {
        let (name, rate) = line.rsplit_once(' ').context("a line without a figure")?;
        figures.insert(name.into(), rate.parse()?);
    }
    Ok(figures)
}

/// Compiles `openssl.c` against Debian's OpenSSL.
fn openssl_program() -> Result<std::path::PathBuf> {
    if !on_path("cc") || !Path::new("/usr/include/openssl/evp.h").exists() {
        debian_packages(&["gcc", "libc6-dev", "libssl-dev"])?;
    }
    let folder = workspace().join("target/bench");
    fs::create_dir_all(&folder)?;
    let program = folder.join("openssl-flash");
    let source = workspace().join("xtask/src/bench/flash_encryption/openssl.c");
    process::run(
        Command::new("cc")
            .args(["-O2", "-o"])
            .arg(&program)
            .arg(source)
            .arg("-lcrypto"),
    )?;
    Ok(program)
}

fn megabytes(rate: f64) -> String {
    format!("{:.1}", rate / 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "printed with one digit")]
fn figure((seconds, kibibytes): (f64, u64)) -> String {
    format!("{:.1}ms {:.0}M", seconds * 1e3, kibibytes as f64 / 1024.0)
}
