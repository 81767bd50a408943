//! `espseal sign`: signs an image for secure boot v2.

use std::path::PathBuf;

use clap::Args;
use espseal_publish::files::{self, Secrecy};
use espseal_publish::image_check::read_image;
use espseal_publish::image_signing::{ImageKind, sign_image};
use espseal_publish::rsa_signer::SecureBootKey;
use serde_json::json;

use crate::answer::Answer;
use crate::cli::{Context, Outcome};
use crate::failure::Failure;

/// Signs an app or bootloader image for secure boot v2 (RSA-3072-PSS).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal sign build/lamp.bin --output lamp-signed.bin
  espseal sign --bootloader build/bootloader.bin --key ~/keys/sb.pem --output bootloader-signed.bin

An app that does not end on an MMU page is padded as `esptool elf2image --secure-pad-v2` does.")]
pub(crate) struct Sign {
    /// Unsigned image.
    image: PathBuf,
    /// Where to write the signed image; it must not exist.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Signing key, RSA-3072 in PEM; keys/secure-boot.pem of the project when left out.
    #[arg(long, value_name = "PEM")]
    key: Option<PathBuf>,
    /// The image is a second-stage bootloader.
    #[arg(long)]
    bootloader: bool,
}

impl Sign {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let path = self
            .key
            .unwrap_or_else(|| context.global.project.join("keys/secure-boot.pem"));
        let key = SecureBootKey::load(&path)?;
        let (image, _) =
            read_image(&self.image).map_err(|error| Failure::new(error.blame(), error))?;
        let kind = match self.bootloader {
            true => ImageKind::Bootloader,
            false => ImageKind::App,
        };
        let signed = sign_image(&self.image, &image, kind, &key)?;
        files::create(&self.output, &signed.bytes, Secrecy::Public)?;
        let output = self.output.display();
        Ok(Answer::new(json!({
            "output": self.output,
            "chip": signed.chip.target(),
            "key-digest": signed.key.to_string(),
            "padding": signed.padding,
            "length": signed.bytes.len(),
        }))
        .line(format_args!(
            "signed {} for {} with key {}",
            self.image.display(),
            signed.chip,
            signed.key
        ))
        .line(format_args!(
            "  {output}: {} bytes, {} of them padding",
            signed.bytes.len(),
            signed.padding
        )))
    }
}
