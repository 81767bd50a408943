//! Copies two of ESP-IDF's bootloaders out of the package `espflash` into `OUT_DIR`.
//!
//! `espflash` is a dependency for bare chips only, so that cargo locks and downloads it but never
//! compiles it. Here `cargo metadata`, asked for such a chip, tells where the package lies (and
//! downloads it the first time). What is taken must have the SHA-256 written down below.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use sha2::{Digest as _, Sha256};

/// The package that carries the bootloaders; its version is pinned in the workspace's Cargo.toml.
const PACKAGE: &str = "espflash";

/// A target for which Cargo.toml asks for [`PACKAGE`].
const BARE_TARGET: &str = "riscv32imc-unknown-none-elf";

/// Files below `resources/bootloaders`, ESP-IDF v6.1-829-g9a97f6c54ec, and their SHA-256.
const BOOTLOADERS: [(&str, &str); 2] = [
    (
        "esp32-bootloader.bin",
        "d669e75ef0a904d1d286198275183e1e75a9b7d529492eb4936754001c46cd2a",
    ),
    (
        "esp32c3-bootloader.bin",
        "7c04141e1fd8da5a391e8004ffe3d8ee8e20eeb5baf9bd3abc05c03a17b1ed09",
    ),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let from = package_folder()?.join("resources/bootloaders");
    let to = PathBuf::from(variable("OUT_DIR")?);
    for (name, sha256) in BOOTLOADERS {
        copy_checked(&from.join(name), &to.join(name), sha256)?;
    }
    Ok(())
}

/// Copies a file that has the SHA-256 expected of it.
fn copy_checked(from: &Path, to: &Path, expected: &str) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", from.display());
    let bytes = fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?;
    let found = Sha256::digest(&bytes)
        .iter()
        .try_fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").map(|()| hex)
        })?;
    if found != expected {
        return Err(format!(
            "{} has SHA-256 {found}, expected {expected}: remove cargo's copy of {PACKAGE} and build again",
            from.display()
        )
        .into());
    }
    fs::write(to, bytes)?;
    Ok(())
}

/// Returns the folder into which cargo unpacked [`PACKAGE`].
fn package_folder() -> Result<PathBuf, Box<dyn Error>> {
    // Without network first: it is needed once only, and not at all after `cargo fetch`.
    let mut output = cargo_metadata(&["--offline"])?;
    if !output.status.success() {
        output = cargo_metadata(&[])?;
    }
    if !output.status.success() {
        return Err(format!(
            "`cargo metadata` could not get the package {PACKAGE}; run `cargo fetch` while online:\n{}",
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let manifest = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == PACKAGE)
        .and_then(|package| package["manifest_path"].as_str())
        .ok_or_else(|| format!("`cargo metadata` names no package {PACKAGE}"))?;
    Path::new(manifest)
        .parent()
        .map(Path::to_path_buf)
        .ok_or_else(|| format!("{manifest} has no folder").into())
}

/// Asks cargo for the resolved packages of the bare target, and so makes it download them.
fn cargo_metadata(arguments: &[&str]) -> Result<Output, Box<dyn Error>> {
    let output = Command::new(variable("CARGO")?)
        .args(["metadata", "--format-version=1", "--locked"])
        .args(["--filter-platform", BARE_TARGET])
        .args(arguments)
        .current_dir(variable("CARGO_MANIFEST_DIR")?)
        // Flags meant for the host, such as `-C target-cpu=native`, do not fit the bare target.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()?;
    Ok(output)
}

/// Reads a variable that cargo sets for build scripts.
fn variable(name: &str) -> Result<String, Box<dyn Error>> {
    env::var(name).map_err(|error| format!("{name}: {error}").into())
}
