//! Mutation testing of the verification paths with cargo-mutants and cargo-nextest, installed next to
//! the oracles.
//!
//! nextest ends a run at the first test that fails, which is what judges nearly every mutant; the
//! test harness of Rust would run the others to their end.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{oracles, process};

/// The program that makes mutants, with its pinned version.
const CARGO_MUTANTS: (&str, &str) = ("cargo-mutants", "27.1.0");
/// The program that runs the tests.
const CARGO_NEXTEST: (&str, &str) = ("cargo-nextest", "0.9.151");

/// What to mutate.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only this file, for example `crates/espseal-agent/src/acceptance.rs`; may be given again
    #[arg(long)]
    file: Vec<String>,
}

/// Mutates the files that `.cargo/mutants.toml` lists, or some of them; it takes hours, politely.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let programs = installed(CARGO_MUTANTS)?;
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let path = [installed(CARGO_NEXTEST)?]
        .into_iter()
        .chain(std::env::split_paths(&inherited));
    let mut mutants = Command::new("nice");
    mutants
        .args(["-n", "19"])
        .arg(programs.join(CARGO_MUTANTS.0))
        .arg("mutants")
        .env("PATH", std::env::join_paths(path).context("PATH")?)
        .current_dir(process::workspace())
        .args(["--workspace", "--no-shuffle", "--test-tool=nextest"])
        .args(["--output", "target/mutants"]);
    for file in &arguments.file {
        // `--file` would add to the files of the configuration; names of mutants begin with theirs.
        let name = file.replace('.', "\\.");
        mutants.args(["--re", &format!("^{name}:")]);
    }
    process::run(&mut mutants)
}

/// Installs a program unless it is there, and returns its folder.
fn installed((name, version): (&str, &str)) -> Result<PathBuf> {
    let root = oracles::folder().join(name);
    let programs = root.join("bin");
    if !programs.join(name).is_file() {
        println!("installing {name} {version} into {}", root.display());
        let mut install = process::cargo();
        install.args(["install", name, "--locked", "--version", version, "--root"]);
        process::run(install.arg(&root))?;
    }
    Ok(programs)
}
