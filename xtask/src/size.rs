//! How much the agent adds to a firmware: links it alone for the ESP32-C3's instruction set.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{nostd, process};

/// Sections that take flash, and those that take RAM, as `size -A` names them.
const FLASH: [&str; 3] = [".text", ".rodata", ".data"];
const RAM: [&str; 2] = [".data", ".bss"];

/// Builds `firmware/size` and prints what its sections take.
pub(crate) fn run() -> Result<()> {
    nostd::install_target()?;
    let project = process::workspace().join("firmware/size");
    let target = process::workspace().join("target/size");
    process::run(
        process::cargo()
            .current_dir(&project)
            .env("CARGO_TARGET_DIR", &target)
            .args(["build", "--release"]),
    )?;
    let program = target.join(nostd::TARGET).join("release/espseal-size");
    let sections = process::output(Command::new("size").arg("-A").arg(&program))?;
    let sum =
        |names: &[&str]| -> Result<u64> { names.iter().map(|name| section(&sections, name)).sum() };
    println!(
        "agent with metadata, HPKE, sealing and secure-boot verification, {}:",
        nostd::TARGET
    );
    println!("  flash {:>8} bytes ({})", sum(&FLASH)?, FLASH.join(" + "));
    println!(
        "  RAM   {:>8} bytes static ({}); the workspace is lent by the caller",
        sum(&RAM)?,
        RAM.join(" + ")
    );
    Ok(())
}

/// Length of one section in what `size -A` printed; 0 for a section that is not there.
fn section(sections: &str, name: &str) -> Result<u64> {
    sections
        .lines()
        .map(str::split_whitespace)
        .filter_map(|mut words| (words.next() == Some(name)).then(|| words.next()).flatten())
        .map(|length| {
            length
                .parse::<u64>()
                .with_context(|| format!("length of {name} is {length}"))
        })
        .sum()
}
