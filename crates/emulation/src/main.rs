//! Runs the agent on an emulated RISC-V core against a real server, cuts its power at chosen flash
//! operations, and lets the virtual device judge the flash chip.
//!
//! `cargo xtask emulate` builds what this program needs and starts it.

mod budget;
mod core;
mod cuts;
mod image;
mod interrupt;
mod life;
mod product;
mod scenes;
mod server;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

/// Runs the agent on an emulated core, and judges what became of it.
#[derive(Parser)]
#[command(disable_version_flag = true)]
pub(crate) struct Arguments {
    /// The program for the core: firmware/emulated, built
    #[arg(long, value_name = "ELF")]
    program: PathBuf,
    /// The espseal binary whose `serve` answers
    #[arg(long, value_name = "FILE")]
    espseal: PathBuf,
    /// How many times power goes
    #[arg(long, value_name = "N", default_value_t = 200)]
    cuts: usize,
    /// How many cores run at the same time
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: usize,
    /// Also writes the JSON object to this file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Does not fail where a budget is exceeded
    #[arg(long)]
    show_budgets: bool,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Plays every scene; says whether all went well.
fn run(arguments: &Arguments) -> Result<bool> {
    interrupt::listen()?;
    let verdict = scenes::play(arguments)?;
    let text = serde_json::to_string_pretty(&verdict)?;
    if let Some(path) = &arguments.record {
        std::fs::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if arguments.json {
        println!("{text}");
    } else {
        verdict.print();
    }
    let exceeded = verdict.budgets_exceeded();
    if exceeded > 0 && !arguments.show_budgets {
        eprintln!("error: {exceeded} budget(s) exceeded");
    }
    Ok(exceeded == 0 || arguments.show_budgets)
}
