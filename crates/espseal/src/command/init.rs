//! `espseal init`: makes a project.

use std::path::PathBuf;

use clap::Args;
use espseal_format::chip::ChipId;
use espseal_publish::creation::{self, NewProject, SecureBootSource};
use serde_json::json;

use crate::answer::Answer;
use crate::cli::{Context, Outcome};

/// Makes a project folder: keys, root of trust, development CA, espseal.toml.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal init lamp --name Lamp --chip esp32c3
  espseal init lamp --name Lamp --chip esp32c3 --chip esp32 --channel production --channel beta
  espseal init lamp --secure-boot-key ~/keys/secure_boot_signing_key.pem

Move the keys/root-*.pem files to separate offline media afterwards: only `espseal root` needs them.")]
pub(crate) struct Init {
    /// Folder to make; it must be missing or empty.
    folder: PathBuf,
    /// Name of the product; the folder's name when left out.
    #[arg(long)]
    name: Option<String>,
    /// Chip that the product is built on; may be given again.
    #[arg(long, default_value = "esp32c3", value_parser = super::chip)]
    chip: Vec<ChipId>,
    /// Release channel, each with a device group of its own; may be given again.
    #[arg(long, default_value = "production")]
    channel: Vec<String>,
    /// Where devices will find the repository.
    #[arg(long, value_name = "URL", default_value = "https://localhost:8443/")]
    base_url: String,
    /// Secure boot signing key whose digest the eFuses hold, instead of a new one.
    #[arg(long, value_name = "PEM", conflicts_with = "no_secure_boot")]
    secure_boot_key: Option<PathBuf>,
    /// The devices have no secure boot (agents only, for development).
    #[arg(long)]
    no_secure_boot: bool,
    /// Root keys to make.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
    root_keys: u8,
    /// Root keys that must sign a new root.
    #[arg(long, value_name = "K", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=5))]
    root_threshold: u8,
}

impl Init {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let observer = context.progress.watch_interrupt();
        let file_name = self.folder.file_name().map(|name| name.to_string_lossy());
        let new = NewProject {
            name: self
                .name
                .unwrap_or_else(|| file_name.as_deref().unwrap_or("product").to_owned()),
            chips: self.chip,
            channels: self.channel,
            base_url: self.base_url,
            secure_boot: match (self.secure_boot_key, self.no_secure_boot) {
                (Some(path), _) => SecureBootSource::ExistingKey(path),
                (None, true) => SecureBootSource::None,
                (None, false) => SecureBootSource::NewKey,
            },
            root_keys: self.root_keys,
            root_threshold: self.root_threshold,
        };
        let project = creation::create(&self.folder, &new, context.time()?, observer)?;
        let folder = self.folder.display();
        let answer = Answer::new(json!({
            "folder": self.folder,
            "product": project.product.to_string(),
            "name": project.name,
            "root-version": 1,
            "secure-boot-digests": project
                .fleets
                .iter()
                .flat_map(|fleet| &fleet.secure_boot_digests)
                .map(ToString::to_string)
                .collect::<std::collections::BTreeSet<_>>(),
        }))
        .line(format_args!("made project {} in {folder}", project.name))
        .line(format_args!(
            "  {folder}/espseal.toml   what the product is: read it, adapt it",
        ))
        .line(format_args!(
            "  {folder}/keys           private keys, mode 0600: back them up, share them with nobody",
        ))
        .line(format_args!(
            "  {folder}/ca             development CA for https://localhost",
        ));
        Ok(answer)
    }
}
