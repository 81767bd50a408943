//! Builds the device crates for bare-metal RISC-V.
//!
//! The target has no standard library, and none of the crates declares `extern crate alloc`, so a
//! build that links proves that neither is used.

use anyhow::Result;

use crate::process;

/// The instruction set of the ESP32-C3.
pub(crate) const TARGET: &str = "riscv32imc-unknown-none-elf";

/// The crates that run on a device.
const DEVICE_CRATES: [&str; 3] = ["espseal-format", "espseal-crypto", "espseal-agent"];

/// Builds every device crate for [`TARGET`].
pub(crate) fn run() -> Result<()> {
    install_target()?;
    for name in DEVICE_CRATES {
        process::run(process::cargo().args([
            "build",
            "--release",
            "--target",
            TARGET,
            "--package",
            name,
        ]))?;
        refuse_alloc(name)?;
    }
    println!(
        "{} build for {TARGET} without std and without alloc",
        DEVICE_CRATES.join(", ")
    );
    Ok(())
}

/// Adds the target's precompiled `core` where it is missing.
pub(crate) fn install_target() -> Result<()> {
    let installed = process::output(std::process::Command::new("rustup").args([
        "target",
        "list",
        "--installed",
    ]))?;
    if !installed.lines().any(|line| line == TARGET) {
        println!("installing the Rust target {TARGET}");
        process::run(std::process::Command::new("rustup").args(["target", "add", TARGET]))?;
    }
    Ok(())
}

/// Fails when a device crate or anything that it pulls in names the allocator crate.
fn refuse_alloc(name: &str) -> Result<()> {
    let tree = process::output(process::cargo().args([
        "tree",
        "--package",
        name,
        "--target",
        TARGET,
        "--edges",
        "normal,features",
        "--prefix",
        "none",
        "--format",
        "{p} {f}",
    ]))?;
    match tree.lines().find(|line| {
        line.split(['"', ' ', ','])
            .any(|word| word == "alloc" || word == "std")
    }) {
        Some(line) => anyhow::bail!("{name} switches an allocator on: {line}"),
        None => Ok(()),
    }
}
