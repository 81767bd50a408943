//! Finds the independent tools and real images that the tests compare espseal with.
//!
//! `cargo xtask test` installs them under `target/oracles` (or `$ESPSEAL_ORACLES`):
//!
//! ```text
//! venv/                       Python environment with the pinned esptool, cryptography, cbor2
//! packages/<name>-<version>/  unpacked third-party packages that hold real images
//! ```
//!
//! Only tests use this crate. A missing tool is a failed test that says what to run, never a
//! skipped one.
#![allow(
    clippy::panic,
    reason = "a missing oracle must fail the test that asks for it"
)]

mod session;

use std::path::{Path, PathBuf};
use std::process::Command;

pub use session::{Answer, Session};

/// Returns the folder that holds the oracles, whether or not it exists yet.
#[must_use]
pub fn folder() -> PathBuf {
    std::env::var_os("ESPSEAL_ORACLES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/oracles"),
        PathBuf::from,
    )
}

/// Prepares a call of a Python command-line tool of the pinned environment, such as `espsecure`.
///
/// # Panics
/// When the tool is not installed; the message names the command that installs it.
#[must_use]
pub fn tool(name: &str) -> Command {
    Command::new(existing(folder().join("venv/bin").join(name)))
}

/// Prepares a call of the Python interpreter of the pinned environment.
///
/// # Panics
/// When the environment is not installed; the message names the command that installs it.
#[must_use]
pub fn python() -> Command {
    tool("python")
}

/// Returns the folder of an unpacked third-party package, such as `ivh` `2026.0.4`.
///
/// # Panics
/// When the package has not been fetched; the message names the command that fetches it.
#[must_use]
pub fn package(name: &str, version: &str) -> PathBuf {
    existing(folder().join("packages").join(format!("{name}-{version}")))
}

/// Returns the source folder of a cargo package that carries real images, such as `espflash`.
///
/// # Panics
/// When the package has not been fetched; the message names the command that fetches it.
#[must_use]
pub fn cargo_package(name: &str, version: &str) -> PathBuf {
    package(name, version)
}

/// Runs a prepared call and returns what it printed on standard output.
///
/// # Panics
/// When the tool cannot be started or reports failure; the message holds everything it printed.
pub fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} did not start: {error}"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed with {}:\n{stdout}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

/// Returns `path` when it is there.
fn existing(path: PathBuf) -> PathBuf {
    assert!(
        path.exists(),
        "{} is missing: run `cargo xtask test` once, it installs what the tests need",
        path.display()
    );
    path
}
