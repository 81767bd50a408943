//! Runs every test of the workspace after installing what they compare with.

use anyhow::Result;

use crate::{nostd, oracles, process};

/// What to test.
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Passed on to `cargo test`, for example `-p espseal-twin`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    cargo: Vec<String>,
}

/// Installs the oracles, then tests.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    oracles::install()?;
    if !arguments.cargo.is_empty() {
        return process::run(process::cargo().arg("test").args(&arguments.cargo));
    }
    nostd::run()?;
    process::run(process::cargo().args([
        "test",
        "--workspace",
        "--all-targets",
        "--no-fail-fast",
    ]))?;
    process::run(process::cargo().args(["test", "--workspace", "--doc"]))
}
