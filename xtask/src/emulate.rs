//! The agent on an emulated RISC-V core: builds the program for it, and lets `emulation` run it.

use std::process::Command;
use std::thread;

use anyhow::{Result, bail};

use crate::oracles::debian_packages;
use crate::{nostd, process};

/// How long to try.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many times power goes, each time followed by a resumed update
    #[arg(long, value_name = "N", default_value_t = 240)]
    cuts: usize,
    /// How many cores run at the same time [default: as many as this machine has]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Do not fail where a budget is exceeded
    #[arg(long)]
    show_budgets: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// What `cargo xtask test` runs: everything, with fewer cuts.
    pub(crate) const SHARE: Self = Self {
        cuts: 60,
        jobs: None,
        show_budgets: false,
        json: false,
    };
}

/// Builds `firmware/emulated`, the server and the judge; then plays.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    install()?;
    let workspace = process::workspace();
    let target = workspace.join("target/emulated");
    process::run(
        process::cargo()
            .current_dir(workspace.join("firmware/emulated"))
            .env("CARGO_TARGET_DIR", &target)
            .args(["build", "--release"]),
    )?;
    process::run(process::cargo().args([
        "build",
        "--package",
        "espseal",
        "--package",
        "emulation",
    ]))?;
    let built = workspace.join("target/debug");
    let program = target.join(nostd::TARGET).join("release/espseal-emulated");
    let jobs = arguments
        .jobs
        .or_else(|| thread::available_parallelism().ok().map(Into::into))
        .unwrap_or(1);
    let mut emulation = Command::new(built.join("emulation"));
    emulation
        .arg("--program")
        .arg(program)
        .arg("--espseal")
        .arg(built.join("espseal"))
        .arg("--record")
        .arg(target.join("verdict.json"))
        .args(["--cuts", &arguments.cuts.to_string()])
        .args(["--jobs", &jobs.to_string()]);
    if arguments.show_budgets {
        emulation.arg("--show-budgets");
    }
    if arguments.json {
        emulation.arg("--json");
    }
    process::run(&mut emulation)
}

/// Installs QEMU and the Rust target where they are missing.
fn install() -> Result<()> {
    for (program, package) in [
        ("qemu-system-riscv32", "qemu-system-misc"),
        ("size", "binutils"),
    ] {
        if !process::on_path(program) {
            debian_packages(&[package])?;
        }
        if !process::on_path(program) {
            bail!("{package} holds no {program} here: install QEMU 7.2 or later by hand");
        }
    }
    nostd::install_target()
}
