//! `cargo xtask power-cut` and its siblings run this program.

use std::process::ExitCode;

fn main() -> ExitCode {
    espseal_proofs::command::run()
}
