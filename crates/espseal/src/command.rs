//! The verbs: one file each, one line each in [`Command`] and in [`Command::run`].

mod decrypt;
mod demo;
mod device;
mod efuse;
mod encrypt;
mod escrow_options;
pub(crate) mod espefuse;
pub(crate) mod espsecure;
mod factory;
mod flash;
mod flash_data;
mod flash_options;
mod image;
mod init;
mod now;
mod nvs;
mod otadata;
mod partitions;
mod publish;
mod rehearse;
mod rollout;
mod root;
mod seal;
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
    Demo(demo::Demo),
    Init(init::Init),
    #[command(subcommand)]
    Device(device::Device),
    Sign(sign::Sign),
    Verify(verify::Verify),
    Publish(publish::Publish),
    Rollout(rollout::Rollout),
    Now(now::Now),
    Root(root::Root),
    Seal(seal::Seal),
    Encrypt(encrypt::Encrypt),
    Decrypt(decrypt::Decrypt),
    Rehearse(Box<rehearse::Rehearse>),
    #[command(subcommand)]
    Efuse(efuse::Efuse),
    Factory(Box<factory::Factory>),
    Serve(serve::Serve),
    Espefuse(espefuse::Espefuse),
    Espsecure(espsecure::Espsecure),
    #[command(subcommand)]
    Image(image::Image),
    #[command(subcommand)]
    Partitions(partitions::Partitions),
    #[command(subcommand)]
    Otadata(otadata::OtadataVerb),
    #[command(subcommand)]
    Flash(flash::FlashVerb),
    #[command(subcommand)]
    Nvs(nvs::Nvs),
}

impl Command {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Outcome {
        match self {
            Self::Demo(verb) => verb.run(context),
            Self::Init(verb) => verb.run(context),
            Self::Device(verb) => verb.run(context),
            Self::Sign(verb) => verb.run(context),
            Self::Verify(verb) => verb.run(context),
            Self::Publish(verb) => verb.run(context),
            Self::Rollout(verb) => verb.run(context),
            Self::Now(verb) => verb.run(context),
            Self::Root(verb) => verb.run(context),
            Self::Seal(verb) => verb.run(),
            Self::Encrypt(verb) => verb.run(context),
            Self::Decrypt(verb) => verb.run(context),
            Self::Rehearse(verb) => verb.run(context),
            Self::Efuse(verb) => verb.run(context),
            Self::Factory(verb) => verb.run(context),
            Self::Serve(verb) => verb.run(context),
            Self::Espefuse(verb) => verb.run(),
            Self::Espsecure(verb) => verb.run(context),
            Self::Image(verb) => verb.run(),
            Self::Partitions(verb) => verb.run(),
            Self::Otadata(verb) => verb.run(),
            Self::Flash(verb) => verb.run(),
            Self::Nvs(verb) => verb.run(),
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

/// Reads a number, decimal or with 0x.
fn number(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "expected a number such as 0x9000".into())
}
