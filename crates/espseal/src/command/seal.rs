//! `espseal seal`: one file for one unmodified ESP-IDF device, without a project.

use std::path::PathBuf;

use clap::Args;
use espseal_publish::enrolment::read_rsa_public_key;
use espseal_publish::files::{self, Secrecy};
use espseal_publish::idf_recipient::seal_for;
use serde_json::json;

use crate::answer::Answer;
use crate::cli::Outcome;
use crate::failure::Failure;

/// Largest file that is sealed: what the flash of any chip holds.
const LARGEST: u64 = 16 << 20;

/// Seals a file for one unmodified ESP-IDF device, as `esp_encrypted_img` opens it.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  espseal seal lamp-signed.bin --recipient device-rsa.pem --output lamp.enc

The output is what esp_enc_img_gen makes with the RSA scheme: 512 bytes of header, then the body.
`espseal publish` makes one body for the whole fleet and a header for each enrolled device instead.")]
pub(crate) struct Seal {
    /// File to seal, usually a signed app image.
    input: PathBuf,
    /// PEM file with the device's RSA-3072 public key.
    #[arg(long, value_name = "PEM")]
    recipient: PathBuf,
    /// Where to write; an existing file is not overwritten.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

impl Seal {
    pub(super) fn run(self) -> Outcome {
        let recipient = read_rsa_public_key(&self.recipient)?;
        let plaintext = files::read(&self.input, "a file to seal", LARGEST)?;
        let length = plaintext.len();
        let sealed =
            seal_for(&recipient, plaintext).map_err(|error| Failure::new(error.blame(), error))?;
        files::create(&self.output, &sealed, Secrecy::Public)?;
        Ok(Answer::new(json!({
            "output": self.output,
            "plaintext-length": length,
            "length": sealed.len(),
        }))
        .line(format_args!(
            "sealed {} for {}: {}, {} bytes",
            self.input.display(),
            self.recipient.display(),
            self.output.display(),
            sealed.len()
        )))
    }
}
