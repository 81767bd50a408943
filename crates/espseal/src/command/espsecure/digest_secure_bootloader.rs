//! `espsecure digest-secure-bootloader`.

use std::path::PathBuf;

use clap::Args;
use espseal_publish::bootloader_digest;
use espseal_publish::files::{self, Secrecy};
use serde_json::json;

use super::file::Input;
use crate::answer::Answer;
use crate::cli::Outcome;

/// Puts IV and digest of secure boot v1 in front of a bootloader.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(super) struct DigestSecureBootloader {
    /// Bootloader image.
    image: Input,
    /// Key in eFuse block 2: 32 bytes, 24 with coding scheme 3/4.
    #[arg(long, short, value_name = "FILE")]
    keyfile: Input,
    /// Where to write; flashed to 0x0.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// IV of 128 bytes, for tests only; random when left out.
    #[arg(long, value_name = "FILE")]
    iv: Option<Input>,
}

impl DigestSecureBootloader {
    pub(super) fn run(self) -> Outcome {
        self.image.must_differ_from(&self.output)?;
        let key = bootloader_digest::key(self.keyfile.path(), &self.keyfile.read()?)?;
        let iv = match &self.iv {
            Some(iv) => bootloader_digest::iv(iv.path(), &iv.read()?)?,
            None => bootloader_digest::random_iv()?,
        };
        let image = self.image.read()?;
        let file = bootloader_digest::prefix(self.image.path(), &image, &key, &iv)?;
        files::replace(&self.output, &file, Secrecy::Public)?;
        Ok(Answer::new(json!({
            "output": self.output,
            "length": file.len(),
        }))
        .listing(format_args!(
            "digest and image written to {}: flash it to 0x0",
            self.output.display()
        )))
    }
}
