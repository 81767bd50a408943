//! `espseal nvs keys`: a file of NVS keys, drawn or derived.

use std::path::PathBuf;

use clap::Args;
use espseal_publish::files::{self, Secrecy};
use espseal_publish::nvs::keys;
use serde_json::json;

use crate::answer::Answer;
use crate::cli::Outcome;

/// Makes a file of NVS keys, as the `nvs_keys` partition holds them before flash encryption.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal nvs keys -o nvs-keys.bin
  espseal nvs keys --hmac-key hmac.bin -o nvs-keys.bin

Keys are drawn from the system's random number generator. With --hmac-key they are those that a device
with this eFuse key derives by itself.")]
pub(crate) struct Keys {
    /// 32-byte eFuse key of the HMAC scheme, to derive the keys from.
    #[arg(long, value_name = "FILE")]
    hmac_key: Option<PathBuf>,
    /// Where to write the keys; it must not exist.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

impl Keys {
    pub(super) fn run(self) -> Outcome {
        let keys = match &self.hmac_key {
            Some(path) => keys::read_hmac(path)?,
            None => keys::draw(),
        };
        files::create(&self.output, &keys::partition(&keys), Secrecy::Private)?;
        Ok(Answer::new(json!({ "output": self.output }))
            .line(format_args!("{}: NVS keys", self.output.display())))
    }
}
