//! What a maintainer runs before pushing: formatting, lints, then the tests.

use anyhow::Result;

use crate::{process, test};

/// Checks formatting and lints, then runs every test.
pub(crate) fn run() -> Result<()> {
    process::run(process::cargo().args(["fmt", "--all", "--check"]))?;
    process::run(process::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))?;
    test::run(&test::Arguments::default())
}
