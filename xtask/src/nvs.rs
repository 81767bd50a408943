//! Compares NVS images with those of the vendor's generator.

use anyhow::Result;

use crate::process;

/// How many images.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// 20,000 sets of CSV files, not only the share that tests run
    #[arg(long)]
    full: bool,
}

/// Builds images from random CSV files with both.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args([
        "test",
        "--package",
        "espseal-publish",
        "--test",
        "authority",
    ]);
    cargo.args(["nvs::", "--", "--nocapture"]);
    if arguments.full {
        cargo.arg("--include-ignored");
    }
    process::run(&mut cargo)
}
