//! `espseal nvs`: builds NVS partition images from CSV, shows what one holds, makes their keys.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use espseal_crypto::nvs_encryption::{NvsCipher, NvsKeys};
use espseal_publish::nvs::keys;

use crate::cli::Outcome;
use crate::failure::Failure;

mod build;
mod generate_keys;
mod show;

/// Builds NVS partition images from CSV, shows what one holds, makes their keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Nvs {
    Build(build::Build),
    Show(show::Show),
    Keys(generate_keys::Keys),
}

impl Nvs {
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::Build(verb) => verb.run(),
            Self::Show(verb) => verb.run(),
            Self::Keys(verb) => verb.run(),
        }
    }
}

/// Where the keys of an encrypted image come from.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct KeySource {
    /// Keys, as the `nvs_keys` partition holds them before flash encryption; only their owner may be
    /// able to read them.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// 32-byte eFuse key of the HMAC scheme, from which a device derives its keys.
    #[arg(long, value_name = "FILE")]
    hmac_key: Option<PathBuf>,
}

impl KeySource {
    fn read(&self) -> Result<Option<NvsKeys>, Failure> {
        Ok(match (&self.keys, &self.hmac_key) {
            (Some(path), _) => Some(keys::read(path)?),
            (None, Some(path)) => Some(keys::read_hmac(path)?),
            (None, None) => None,
        })
    }

    fn cipher(&self) -> Result<Option<NvsCipher>, Failure> {
        Ok(self.read()?.as_ref().map(NvsCipher::new))
    }
}
