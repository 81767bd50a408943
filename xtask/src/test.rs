//! Runs every test of the workspace after installing what they compare with.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::{emulate, firmware, nostd, oracles, process, size};

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
    let mut tally = Tally::default();
    if arguments.cargo.is_empty() {
        nostd::run()?;
        size::run(&size::Arguments::SHARE)?;
        tally.run(&["--workspace", "--doc"])?;
        tally.run(&["--workspace", "--all-targets", "--no-fail-fast"])?;
        tally.run_portable()?;
        emulate::run(&emulate::Arguments::SHARE)?;
        firmware::run(&firmware::Arguments::SHARE)?;
    } else {
        tally.run(&arguments.cargo)?;
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    ensure!(tally.succeeded, "not every test passed");
    Ok(())
}

/// Counts over several runs of `cargo test`.
struct Tally {
    passed: u64,
    failed: u64,
    succeeded: bool,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            passed: 0,
            failed: 0,
            succeeded: true,
        }
    }
}

impl Tally {
    /// Runs `cargo test`, prints what it prints, and adds up its results.
    fn run(&mut self, arguments: &[impl AsRef<std::ffi::OsStr>]) -> Result<()> {
        self.run_command(process::cargo().arg("test").args(arguments))
    }

    /// Tests the cryptography once more without the processor's instructions for it and in the words of
    /// the chips: the portable code has to give the same bytes where there is nothing better.
    fn run_portable(&mut self) -> Result<()> {
        let backends = ["aes_backend", "polyval_backend", "sha2_backend"];
        let flags = backends.map(|backend| format!("--cfg {backend}=\"soft\""));
        let mut cargo = process::cargo();
        let arguments = "test --package espseal-crypto --lib --test flash_encryption --test wycheproof \
                         --target-dir target/portable";
        cargo
            .args(arguments.split_whitespace())
            .env(
                "RUSTFLAGS",
                format!("{} --cfg espseal_words=\"32\"", flags.join(" ")),
            )
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        self.run_command(&mut cargo)
    }

    /// Runs a `cargo test` that is ready.
    fn run_command(&mut self, cargo: &mut Command) -> Result<()> {
        let mut child = cargo
            .stdout(Stdio::piped())
            .spawn()
            .context("cargo did not start")?;
        let output = child.stdout.take().context("cargo has no output")?;
        for line in BufReader::new(output).lines() {
            let line = line.context("cannot read what cargo prints")?;
            self.count(&line);
            println!("{line}");
        }
        self.succeeded &= child.wait().context("cargo was lost")?.success();
        Ok(())
    }

    /// Adds a line such as `test result: ok. 12 passed; 0 failed; ...`.
    fn count(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let number = |unit: &str| -> u64 {
            let words: Vec<_> = result
                .split([' ', ';', '.'])
                .filter(|word| !word.is_empty())
                .collect();
            let mut pairs = words.windows(2);
            let found = pairs.find_map(|pair| match pair {
                [number, word] if *word == unit => number.parse().ok(),
                _ => None,
            });
            found.unwrap_or(0)
        };
        self.passed += number("passed");
        self.failed += number("failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_runs_add_up() {
        let mut tally = Tally::default();
        tally.count("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
        tally.count(
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
        );
        tally.count("test this_one_passed ... ok");
        assert_eq!((tally.passed, tally.failed), (15, 2));
    }
}
