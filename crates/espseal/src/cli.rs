//! Options that every verb has, and the way from arguments to an exit code.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, SystemTimeError, UNIX_EPOCH};

use clap::Parser;

use crate::answer::Answer;
use crate::command::Command;
use crate::command::{espefuse, espsecure};
use crate::failure::{Exit, Failure};
use crate::progress::Progress;

/// Encrypted, signed firmware for ESP32 devices, through storage that nobody needs to trust.
#[derive(Debug, Parser)]
#[command(name = "espseal", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every verb has.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Global {
    /// Print the result as one JSON object on standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Folder of the project, where `espseal init` made espseal.toml.
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    pub(crate) project: PathBuf,
}

/// Shown under `--help`.
const EXAMPLES: &str = "\
Examples:
  espseal init lamp --name Lamp --chip esp32c3
  cd lamp
  espseal device enroll ../factory/device-0001.toml
  espseal sign ../build/lamp.bin --output lamp-signed.bin
  espseal publish lamp-signed.bin --channel production --ppm 50000
  espseal rollout --channel production --ppm 1000000
  espseal now                     # from cron, several times within the lifetime of `now`
  espseal flash show dump.bin     # what a chip holds; see also image, partitions and otadata

Exit codes: 0 done, 1 refused by a check, 2 usage, 3 input or output failed, 130 interrupted";

/// Runs the program.
pub(crate) fn run() -> ExitCode {
    let mut words = std::env::args_os();
    let name = words.next();
    let parsed = if espefuse::Link::is_called(name.as_deref()) {
        Ok(espefuse::Link::into_cli(words))
    } else if espsecure::Link::is_called(name.as_deref()) {
        espsecure::Link::try_parse().map(espsecure::Link::into_cli)
    } else {
        Cli::try_parse()
    };
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && std::env::args_os().any(|word| word == "--json") => {
            return Failure::arguments(&error).print(true);
        }
        Err(error) => {
            // Printing fails when the reader is gone, which leaves nobody to tell.
            let _ = error.print();
            return match error.use_stderr() {
                true => Exit::Usage.into(),
                false => Exit::Done.into(),
            };
        }
    };
    let json = cli.global.json;
    let context = Context {
        progress: Progress::new(json),
        global: cli.global,
    };
    let result = cli.command.run(&context);
    context.progress.clear();
    match result {
        Ok(answer) => answer.print(json),
        Err(failure) => failure.print(json),
    }
}

/// What every verb gets.
#[derive(Debug)]
pub(crate) struct Context {
    /// Bars and Ctrl-C.
    pub(crate) progress: Progress,
    /// Options that every verb has.
    pub(crate) global: Global,
}

impl Context {
    /// Opens and locks the project.
    pub(crate) fn authority(&self) -> Result<espseal_publish::authority::Authority, Failure> {
        Ok(espseal_publish::authority::Authority::open(
            &self.global.project,
            &self.progress,
        )?)
    }

    /// Seconds since 1970 by the system's clock.
    pub(crate) fn time(&self) -> Result<u64, Failure> {
        now().map_err(|_| Failure::clock())
    }
}

/// Seconds since 1970 by the system's clock; fails when that is before 1970.
pub(crate) fn now() -> Result<u64, SystemTimeError> {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(elapsed.as_secs())
}

/// What a verb returns.
pub(crate) type Outcome = Result<Answer, Failure>;

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
