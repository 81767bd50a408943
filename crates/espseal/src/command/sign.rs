//! `espseal sign`: signs an image for secure boot v2.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use espseal_publish::files::{self, Secrecy};
use espseal_publish::image_check::read_image;
use espseal_publish::image_signing::{ImageKind, append_signatures, sign_image};
use espseal_publish::keys::KeyError;
use espseal_publish::pkcs11::{HsmConfig, HsmKey};
use espseal_publish::secure_boot_key::{ImageSigner, SecureBootKey};
use serde_json::json;

use crate::answer::Answer;
use crate::cli::{Context, Outcome};
use crate::failure::Failure;

/// Signs an app or bootloader image for secure boot v2.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("signer").multiple(true))]
#[command(after_help = "\
Examples:
  espseal sign build/lamp.bin --output lamp-signed.bin
  espseal sign --bootloader build/bootloader.bin --key ~/keys/sb.pem --output bootloader-signed.bin
  espseal sign --append lamp-signed.bin --key ~/keys/next.pem --output lamp-signed-twice.bin
  espseal sign build/lamp.bin --hsm-config hsm.ini --output lamp-signed.bin

An HSM's file is espsecure's: [hsm_config] with pkcs11_lib, slot, label, and label_pubkey if it differs.
The PIN is in `credentials` (then the file has mode 0600), in the environment variable that
`credentials_env` names, or in the file that `credentials_file` names; it is never asked for.
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
    #[arg(long, value_name = "PEM", group = "signer")]
    key: Vec<PathBuf>,
    /// Key in an HSM, as espsecure's --hsm-config names it; it signs after those of --key.
    #[arg(long, value_name = "INI", group = "signer")]
    hsm_config: Option<PathBuf>,
    /// The image is a second-stage bootloader.
    #[arg(long, conflicts_with = "append")]
    bootloader: bool,
    /// Keep the signatures of a signed image and add to them.
    #[arg(long, requires = "signer")]
    append: bool,
}

impl Sign {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let hsm = self.hsm_config.as_deref().map(open_hsm).transpose()?;
        let paths = match self.key.is_empty() && hsm.is_none() {
            true => vec![context.global.project.join("keys/secure-boot.pem")],
            false => self.key,
        };
        let keys = paths.iter().map(|path| SecureBootKey::load(path));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let keys = keys.iter().map(|key| key as &dyn ImageSigner);
        let in_hsm = hsm.iter().map(|key| key as &dyn ImageSigner);
        let keys: Vec<&dyn ImageSigner> = keys.chain(in_hsm).collect();
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

fn open_hsm(path: &Path) -> Result<HsmKey, KeyError> {
    Ok(HsmKey::open(&HsmConfig::load(path)?)?)
}
