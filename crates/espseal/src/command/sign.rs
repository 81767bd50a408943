//! `espseal sign`: signs an image for secure boot v2.

use std::path::PathBuf;

use clap::Args;
use espseal_publish::files::{self, Secrecy};
use espseal_publish::image_check::read_image;
use espseal_publish::image_signing::{ImageKind, append_signatures, sign_image};
use espseal_publish::secure_boot_key::{ImageSigner, SecureBootKey};
use serde_json::json;

use crate::answer::Answer;
use crate::cli::{Context, Outcome};
use crate::failure::Failure;

/// Signs an app or bootloader image for secure boot v2.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal sign build/lamp.bin --output lamp-signed.bin
  espseal sign --bootloader build/bootloader.bin --key ~/keys/sb.pem --output bootloader-signed.bin
  espseal sign --append lamp-signed.bin --key ~/keys/next.pem --output lamp-signed-twice.bin

The key says the scheme: RSA-3072, or ECDSA P-192, P-256 or P-384; the chip must verify it.
An app that does not end on an MMU page is padded as `esptool elf2image --secure-pad-v2` does.")]
pub(crate) struct Sign {
    /// Unsigned image; with --append a signed one.
    image: PathBuf,
    /// Where to write the signed image; it must not exist.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Signing key in PEM, once for each of up to three signatures; keys/secure-boot.pem of the
    /// project when left out.
    #[arg(long, value_name = "PEM")]
    key: Vec<PathBuf>,
    /// The image is a second-stage bootloader.
    #[arg(long, conflicts_with = "append")]
    bootloader: bool,
    /// Keep the signatures of a signed image and add to them.
    #[arg(long, requires = "key")]
    append: bool,
}

impl Sign {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let paths = match self.key.is_empty() {
            true => vec![context.global.project.join("keys/secure-boot.pem")],
            false => self.key,
        };
        let keys = paths.iter().map(|path| SecureBootKey::load(path));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let keys: Vec<&dyn ImageSigner> = keys.iter().map(|key| key as &dyn ImageSigner).collect();
        let (image, _) =
            read_image(&self.image).map_err(|error| Failure::new(error.blame(), error))?;
        let signed = match (self.append, self.bootloader) {
            (true, _) => append_signatures(&self.image, &image, &keys)?,
            (false, true) => sign_image(&self.image, &image, ImageKind::Bootloader, &keys)?,
            (false, false) => sign_image(&self.image, &image, ImageKind::App, &keys)?,
        };
        files::create(&self.output, &signed.bytes, Secrecy::Public)?;
        let output = self.output.display();
        let digests: Vec<_> = signed.keys.iter().map(ToString::to_string).collect();
        Ok(Answer::new(json!({
            "output": self.output,
            "chip": signed.chip.target(),
            "key-digest": digests.first(),
            "key-digests": digests,
            "padding": signed.padding,
            "length": signed.bytes.len(),
        }))
        .line(format_args!(
            "signed {} for {} with key {}",
            self.image.display(),
            signed.chip,
            digests.join(", ")
        ))
        .line(format_args!(
            "  {output}: {} bytes, {} of them padding",
            signed.bytes.len(),
            signed.padding
        )))
    }
}
