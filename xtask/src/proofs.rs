//! Runs the proofs of `espseal-proofs`.

use anyhow::Result;

use crate::process;

/// Which power to cut.
#[derive(clap::Args)]
pub(crate) struct PowerCut {
    #[command(flatten)]
    extent: Extent,
    /// Only stories whose name contains this, for example `ESP32-C3, two slots`
    #[arg(long, default_value = "")]
    only: String,
}

/// How much of a proof to run.
#[derive(clap::Args)]
pub(crate) struct Extent {
    /// Everything that can be enumerated, not only the share that tests run
    #[arg(long)]
    full: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Cuts the power before, inside and after every flash operation.
pub(crate) fn power_cut(arguments: &PowerCut) -> Result<()> {
    run("power-cut", &arguments.extent, &["--only", &arguments.only])
}

/// Runs one of the other proofs.
pub(crate) fn run(proof: &str, extent: &Extent, options: &[&str]) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["run", "--quiet", "--package", "espseal-proofs", "--", proof]);
    cargo.args(options);
    cargo.args(
        [(extent.full, "--full"), (extent.json, "--json")]
            .iter()
            .filter_map(|(given, flag)| given.then_some(flag)),
    );
    process::run(&mut cargo)
}

/// Kills server and release authority under load.
pub(crate) fn durability() -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["test", "--package", "espseal", "--test", "durability", "--"]);
    cargo.args(["--include-ignored", "--nocapture", "--test-threads", "1"]);
    process::run(&mut cargo)
}
