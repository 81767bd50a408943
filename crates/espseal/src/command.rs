//! The verbs: one file each, one line each in [`Command`] and in [`Command::run`].

mod device;
mod init;
mod now;
mod publish;
mod rollout;
mod root;
mod serve;
mod sign;
mod verify;

use clap::Subcommand;
use espseal_format::chip::ChipId;
use espseal_format::cohort::Ppm;

use crate::cli::{Context, Outcome};

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Init),
    #[command(subcommand)]
    Device(device::Device),
    Sign(sign::Sign),
    Verify(verify::Verify),
    Publish(publish::Publish),
    Rollout(rollout::Rollout),
    Now(now::Now),
    Root(root::Root),
    Serve(serve::Serve),
}

impl Command {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Init(verb) => verb.run(context),
            Self::Device(verb) => verb.run(context),
            Self::Sign(verb) => verb.run(context),
            Self::Verify(verb) => verb.run(context),
            Self::Publish(verb) => verb.run(context),
            Self::Rollout(verb) => verb.run(context),
            Self::Now(verb) => verb.run(context),
            Self::Root(verb) => verb.run(context),
            Self::Serve(verb) => verb.run(context),
        }
    }
}

/// Reads a chip.
fn chip(text: &str) -> Result<ChipId, String> {
    text.parse()
        .map_err(|error: espseal_format::chip::UnknownChip| error.to_string())
}

/// Reads a share of the devices.
fn ppm(text: &str) -> Result<Ppm, String> {
    text.parse()
        .ok()
        .and_then(Ppm::new)
        .ok_or_else(|| "expected millionths of the devices, 0 to 1000000".into())
}
