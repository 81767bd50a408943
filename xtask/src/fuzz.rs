//! Fuzzing: some seconds of every target in process, or hours of libFuzzer.
//!
//! libFuzzer is a library of `fuzz/`, which is a workspace of its own; nothing has to be installed. Our
//! crates are built with its coverage counters on stable Rust (`fuzz/rustc-with-coverage.sh`), and
//! without a sanitizer: they forbid `unsafe`, but for one module that has tests of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::{self, workspace};

/// How long to try every target in process.
#[derive(clap::Args)]
pub(crate) struct Smoke {
    /// Seconds for all targets together
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Seed of the mutator; another one tries other inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One target only
    #[arg(long, default_value = "")]
    target: String,
}

/// How long to fuzz.
#[derive(clap::Args)]
pub(crate) struct Hours {
    /// Hours for all targets together, on one core
    #[arg(long)]
    hours: f64,
    /// One target only
    #[arg(long, default_value = "")]
    target: String,
}

/// Tries every target in process, from the committed corpus.
pub(crate) fn smoke(arguments: &Smoke) -> Result<()> {
    // The whole workspace, so that nothing is built that `test` has not built.
    let mut cargo = process::cargo();
    cargo.args([
        "test",
        "--quiet",
        "--workspace",
        "--test",
        "corpus",
        "--",
        "--nocapture",
        "some_seconds",
    ]);
    cargo.env("ESPSEAL_FUZZ_SECONDS", arguments.seconds.to_string());
    cargo.env("ESPSEAL_FUZZ_SEED", arguments.seed.to_string());
    process::run(cargo.env("ESPSEAL_FUZZ_TARGET", &arguments.target))
}

/// Fuzzes all targets with libFuzzer, one after the other in rounds of a minute, so that stopping at
/// any time leaves none behind; what was found in `target/fuzz/corpus` is gone on from.
pub(crate) fn hours(arguments: &Hours) -> Result<()> {
    ensure!(arguments.hours > 0.0, "--hours must be above 0");
    let folder = workspace().join("fuzz");
    let made = workspace().join("target/fuzz");
    let mut build = process::cargo();
    build
        .current_dir(&folder)
        .args(["build", "--release", "--bins", "--locked"]);
    build.env("RUSTC_WRAPPER", folder.join("rustc-with-coverage.sh"));
    process::run(build.env("CARGO_TARGET_DIR", &made))?;
    let targets = targets(&folder, &arguments.target)?;
    let end = Instant::now() + Duration::from_secs_f64(arguments.hours * 3600.0);
    let share = arguments.hours * 3600.0 / targets.len() as f64;
    let round = Duration::from_secs_f64(share).as_secs().clamp(1, 60);
    let mut sum = Sum::default();
    while Instant::now() < end {
        for target in &targets {
            let run = Run {
                target,
                folder: &folder,
                made: &made,
                seconds: round,
            };
            sum.add(target, &run.go()?);
        }
        println!("{}", sum.line(targets.len()));
    }
    ensure!(
        sum.findings.is_empty(),
        "findings: {}",
        sum.findings.join(", ")
    );
    Ok(())
}

/// The names of the binaries.
fn targets(folder: &Path, only: &str) -> Result<Vec<String>> {
    let sources = folder.join("fuzz_targets");
    let entries = fs::read_dir(&sources).with_context(|| sources.display().to_string())?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if only.is_empty() || only == name {
            names.push(name.into_owned());
        }
    }
    names.sort();
    ensure!(!names.is_empty(), "there is no target {only}");
    Ok(names)
}

/// One round of one target.
struct Run<'a> {
    target: &'a str,
    folder: &'a Path,
    made: &'a Path,
    seconds: u64,
}

/// What came of a round.
struct Outcome {
    executions: u64,
    cpu_seconds: f64,
    finding: Option<PathBuf>,
}

impl Run<'_> {
    fn go(&self) -> Result<Outcome> {
        let grown = self.made.join("corpus").join(self.target);
        let artifacts = self.folder.join("artifacts").join(self.target);
        fs::create_dir_all(&grown).with_context(|| grown.display().to_string())?;
        fs::create_dir_all(&artifacts).with_context(|| artifacts.display().to_string())?;
        let before = count(&artifacts)?;
        let mut command = Command::new(self.made.join("release").join(self.target));
        command
            .arg(&grown)
            .arg(self.folder.join("corpus").join(self.target));
        command.arg(format!("-artifact_prefix={}/", artifacts.display()));
        command.arg(format!("-max_total_time={}", self.seconds));
        command.args([
            "-print_final_stats=1",
            "-timeout=60",
            "-rss_limit_mb=2048",
            "-verbosity=0",
        ]);
        let used = children_cpu_seconds()?;
        let output = command
            .stdout(Stdio::null())
            .output()
            .with_context(|| format!("{} did not start", self.target))?;
        let log = String::from_utf8_lossy(&output.stderr);
        let number = |name: &str| -> Option<u64> {
            let line = log.lines().rev().find(|line| line.contains(name))?;
            line.rsplit(' ').next()?.parse().ok()
        };
        let found = (!output.status.success()).then(|| newest(&artifacts));
        if let Some(None) = found {
            bail!("{} ended with {}:\n{log}", self.target, output.status);
        }
        if count(&artifacts)? > before {
            println!("{}:\n{log}", self.target);
        }
        Ok(Outcome {
            executions: number("stat::number_of_executed_units").unwrap_or(0),
            cpu_seconds: children_cpu_seconds()? - used,
            finding: found.flatten(),
        })
    }
}

/// User and system time of the processes that have ended, in seconds: on a busy machine a minute of
/// fuzzing may be a second of work.
///
/// Source: proc_pid_stat(5), fields 16 and 17 in clock ticks, of which Linux reports 100 a second.
fn children_cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat").context("/proc/self/stat")?;
    // The second field, a name in brackets, may hold spaces.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(13).take(2);
    let ticks: u64 = ticks
        .map(str::parse::<u64>)
        .sum::<Result<u64, _>>()
        .context("/proc/self/stat")?;
    Ok(ticks as f64 / 100.0)
}

fn count(folder: &Path) -> Result<usize> {
    Ok(fs::read_dir(folder)?.count())
}

fn newest(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let newest = entries.max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
    newest.map(|entry| entry.path())
}

/// What came of all rounds.
#[derive(Default)]
struct Sum {
    executions: u64,
    cpu_seconds: f64,
    findings: Vec<String>,
}

impl Sum {
    fn add(&mut self, target: &str, outcome: &Outcome) {
        self.executions += outcome.executions;
        self.cpu_seconds += outcome.cpu_seconds;
        println!(
            "{target:<24}{:>10} executions in {:.0} CPU seconds",
            outcome.executions, outcome.cpu_seconds
        );
        if let Some(path) = &outcome.finding {
            println!("{target}: finding {}", path.display());
            self.findings.push(path.display().to_string());
        }
    }

    fn line(&self, targets: usize) -> String {
        format!(
            "{targets} targets, {:.0} CPU seconds, {} executions, {} findings",
            self.cpu_seconds,
            self.executions,
            self.findings.len()
        )
    }
}
