//! Runs the proofs of `espseal-proofs`.

use anyhow::Result;

use crate::process;

/// What to cut.
#[derive(clap::Args)]
pub(crate) struct PowerCut {
    /// Everything: every geometry with fine tears, and all pairs of cuts; takes about an hour
    #[arg(long)]
    full: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Only stories whose name contains this, for example `ESP32-C3, two slots`
    #[arg(long, default_value = "")]
    only: String,
}

/// Cuts the power before, inside and after every flash operation.
pub(crate) fn power_cut(arguments: &PowerCut) -> Result<()> {
    let flags = [(arguments.full, "--full"), (arguments.json, "--json")];
    run("power-cut", &flags, &["--only", &arguments.only])
}

fn run(proof: &str, flags: &[(bool, &str)], options: &[&str]) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["run", "--quiet", "--package", "espseal-proofs", "--", proof]);
    cargo.args(
        flags
            .iter()
            .filter(|(given, _)| *given)
            .map(|(_, flag)| flag),
    );
    process::run(&mut cargo)
}
