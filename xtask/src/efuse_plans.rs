//! Runs plans of eFuse burns on the twin and with the real espefuse.

use anyhow::Result;

use crate::process;

/// How many plans.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Every plan of every chip, not only the share that tests run
    #[arg(long)]
    full: bool,
}

/// Compares the ends of plans, interrupts and resumes them, boots what they burn.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args([
        "test",
        "--package",
        "espseal-publish",
        "--test",
        "authority",
    ]);
    cargo.args(["efuse_plan", "--", "--nocapture"]);
    if arguments.full {
        cargo.arg("--include-ignored");
    }
    process::run(&mut cargo)
}
