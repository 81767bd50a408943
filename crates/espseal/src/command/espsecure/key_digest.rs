//! `espsecure digest-sbv2-public-key` and its old name `digest-rsa-public-key`.

use std::path::PathBuf;

use clap::Args;
use espseal_publish::files::{self, Secrecy};
use espseal_publish::secure_boot_key::read_public_key;
use serde_json::json;

use super::file::Input;
use crate::answer::Answer;
use crate::cli::Outcome;

/// Writes the digest of a secure boot v2 public key, as burnt in eFuse.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(super) struct KeyDigest {
    /// Private or public key in PEM.
    #[arg(long, short, value_name = "PEM")]
    keyfile: Input,
    /// Where to write the 32 bytes; an existing file is replaced.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

impl KeyDigest {
    pub(super) fn run(self) -> Outcome {
        self.keyfile.must_differ_from(&self.output)?;
        let key = read_public_key(self.keyfile.path(), &self.keyfile.read()?)?;
        let digest = key.digest();
        files::replace(&self.output, &digest.0, Secrecy::Public)?;
        Ok(Answer::new(json!({
            "output": self.output,
            "scheme": key.scheme().to_string(),
            "key-digest": digest.to_string(),
        }))
        .listing(format_args!(
            "digest {digest} of the {} key written to {}",
            key.scheme(),
            self.output.display()
        )))
    }
}
