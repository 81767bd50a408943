//! Runs the main job, as README's first command does.

use anyhow::Result;

use crate::process;

/// What to hand to the demo.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to `espseal demo`, for example `--keep DIR`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    demo: Vec<String>,
}

/// Builds the release binary and runs its demo.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    process::run(
        process::cargo()
            .args(["run", "--release", "--", "demo"])
            .args(&arguments.demo),
    )
}
