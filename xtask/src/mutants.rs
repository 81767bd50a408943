//! Mutation testing of the verification paths with cargo-mutants, installed under `target/oracles`.

use anyhow::Result;

use crate::process::{self, workspace};

/// The pinned version.
const VERSION: &str = "27.1.0";

/// What to mutate.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only this file, for example `crates/espseal-agent/src/acceptance.rs`
    #[arg(long)]
    file: Option<String>,
}

/// Mutates the files that `.cargo/mutants.toml` lists, or one of them; it takes hours, politely.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = workspace().join("target/oracles/cargo-mutants");
    let program = root.join("bin/cargo-mutants");
    if !program.is_file() {
        let mut install = process::cargo();
        install.args(["install", "cargo-mutants", "--locked", "--version", VERSION]);
        process::run(install.arg("--root").arg(&root))?;
    }
    let mut mutants = std::process::Command::new("nice");
    mutants.args(["-n", "19"]).arg(program).arg("mutants");
    mutants.current_dir(workspace()).args([
        "--workspace",
        "--no-shuffle",
        "--output",
        "target/mutants",
    ]);
    if let Some(file) = &arguments.file {
        // `--file` would add to the files of the configuration; names of mutants begin with theirs.
        let name = file.replace('.', "\\.");
        mutants.args(["--re", &format!("^{name}:")]);
    }
    process::run(&mut mutants)
}
