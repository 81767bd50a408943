//! Shows the matrix of chips, schemes and cases that the rehearsal goes through.

use anyhow::Result;

use crate::process;

/// Rehearses every configuration of every chip; fails on a surprise.
pub(crate) fn run() -> Result<()> {
    process::run(process::cargo().args([
        "test",
        "--quiet",
        "--package",
        "espseal-publish",
        "--test",
        "matrix",
    ]))
}
