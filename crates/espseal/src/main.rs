//! The command line of espseal.
//!
//! * [`cli`]: options that every verb has, and the way from arguments to an exit code.
//! * [`command`]: one file a verb.
//! * [`answer`], [`failure`]: what a verb says, as text and as JSON.
//! * [`demo`], [`defaults`]: one release all the way, and what it starts from.
//! * [`progress`], [`interrupt`]: bars on a terminal, and Ctrl-C.

mod answer;
mod cli;
mod command;
mod defaults;
mod demo;
mod failure;
mod interrupt;
mod progress;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
