//! `espseal rehearse`: what will happen to a product, before anything is flashed or burnt.

mod describe;
mod inputs;
mod product;

pub(super) use inputs::{data, revision};

use std::path::PathBuf;

use clap::Args;
use espseal_format::chip::ChipId;
use espseal_format::units::FlashOffset;
use espseal_publish::blame::Blame;
use espseal_publish::files::{self, Secrecy};
use espseal_publish::rehearsal::catalogue::Status;
use espseal_publish::rehearsal::report::{Report, rehearse};
use espseal_publish::rehearsal::signer::Strangers;
use espseal_twin::efuse::{emulator, virt};

use super::chip;
use super::flash_options::{crypt_config, offset};
use crate::cli::{Context, Outcome};
use crate::failure::Failure;

/// Makes the device virtually, boots it, says what is irreversible, and tries what goes wrong.
///
/// Nothing is burnt and no input is changed. The exit code is 1 when the device would not boot, would
/// be bricked, or does something that the catalogue does not expect.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal rehearse                               # all of it from espseal.toml: see below
  espseal rehearse --project lamp --chip esp32c3 --app build/lamp-signed.bin
  espseal rehearse --chip esp32c3 --bootloader bootloader.bin --partitions partitions.csv --app lamp.bin \\
      --secure-boot-key secure-boot.pem --flash-encryption release
  espseal rehearse --chip esp32s3 --bootloader bootloader.bin --partitions table.bin --app lamp.bin --first-boot \\
      --flash-encryption development --data nvs=nvs.bin --json
  espseal rehearse --chip esp32 --chip-revision 1.1 --bootloader b.bin --partitions p.csv --app a.bin \\
      --secure-boot v1 --secure-boot-key p256.pem --bootloader-key digest.key --out rehearsed

When --chip, --bootloader, --partitions or --app is left out, the project's espseal.toml is asked, and then for all that no
option names: in [[chip]] `bootloader`, `partition-table`, `partition-table-offset`, `apps` and `secure-boot-digests`, in
[chip.security] `secure-boot`, `flash-encryption`, `flash-key-bits` and `flash-crypt-config`.

A feature that is `auto` is what the bootloader's own texts say; where they say nothing, security is taken to be
compiled in as planned, rollback and anti-rollback not to be.")]
pub(crate) struct Rehearse {
    /// Chip, such as esp32c3; the only one of the project when left out.
    #[arg(long, value_parser = chip)]
    chip: Option<ChipId>,
    /// Revision of the silicon, such as 3.0; one that is sold when left out.
    #[arg(long, value_name = "MAJOR.MINOR", value_parser = inputs::revision)]
    chip_revision: Option<u16>,
    /// Second-stage bootloader; `bootloader` of the project when left out.
    #[arg(long, value_name = "FILE")]
    bootloader: Option<PathBuf>,
    /// Partition table, binary or CSV; `partition-table` of the project when left out.
    #[arg(long, value_name = "FILE")]
    partitions: Option<PathBuf>,
    /// Where the bootloader expects the partition table; 0x8000 unless the project says otherwise.
    #[arg(long, value_name = "OFFSET", value_parser = offset)]
    table_offset: Option<FlashOffset>,
    /// App image; the first goes to factory or ota_0, the next to the slots after it. `apps` of the
    /// project when left out.
    #[arg(long, value_name = "FILE")]
    app: Vec<PathBuf>,
    /// What else is flashed, as LABEL=FILE.
    #[arg(long, value_name = "LABEL=FILE", value_parser = inputs::data)]
    data: Vec<(String, PathBuf)>,
    /// Secure boot; v2 when a key is named.
    #[arg(long, value_enum)]
    secure_boot: Option<inputs::SecureBootChoice>,
    /// PEM of a private key (signs images that are not signed yet) or public key, or a digest in
    /// hexadecimal; one to three.
    #[arg(long, value_name = "PEM|DIGEST")]
    secure_boot_key: Vec<String>,
    /// Key of the bootloader's digest, secure boot v1 only; drawn when left out.
    #[arg(long, value_name = "FILE")]
    bootloader_key: Option<PathBuf>,
    /// Flash encryption; off unless the project says otherwise.
    #[arg(long, value_enum)]
    flash_encryption: Option<inputs::EncryptionChoice>,
    /// Flash encryption key, as espsecure's key file has it; drawn when left out.
    #[arg(long, value_name = "FILE")]
    flash_key: Option<PathBuf>,
    /// eFuse FLASH_CRYPT_CONFIG; ESP32 only. 15 unless the project says otherwise.
    #[arg(long, value_name = "0..15", value_parser = crypt_config)]
    flash_crypt_config: Option<espseal_crypto::flash_encryption::FlashCryptConfig>,
    /// The factory flashes plaintext; the bootloader burns and encrypts on its first boot.
    #[arg(long)]
    first_boot: bool,
    /// Whether the bootloader was built with rollback.
    #[arg(long, value_enum, default_value = "auto")]
    rollback: inputs::Built,
    /// Whether the bootloader was built with anti-rollback.
    #[arg(long, value_enum, default_value = "auto")]
    anti_rollback: inputs::Built,
    /// Whether the bootloader was built with secure boot.
    #[arg(long, value_enum, default_value = "auto")]
    bootloader_secure_boot: inputs::Built,
    /// Whether the bootloader was built with flash encryption.
    #[arg(long, value_enum, default_value = "auto")]
    bootloader_flash_encryption: inputs::Built,
    /// Folder for flash.bin, efuse-virt.bin and efuse-emulator.bin; they hold keys.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overwrite these files.
    #[arg(long, requires = "out")]
    force: bool,
}

impl Rehearse {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let inputs = self.inputs(context)?;
        let report = rehearse(&inputs.product, &Strangers::default())
            .map_err(|error| Failure::new(Blame::Refused, format_args!("{error}")))?;
        let written = match &self.out {
            Some(folder) => self.write(folder, &report)?,
            None => Vec::new(),
        };
        let answer = describe::answer(&report, &inputs, &written, context.global.json);
        let surprised = report.count(Status::Surprise) > 0;
        Ok(match report.verdict.is_good() && !surprised {
            true => answer,
            false => answer.refused(),
        })
    }

    /// Writes the device as the factory leaves it; the emulator's file and flash hold secrets.
    fn write(&self, folder: &std::path::Path, report: &Report) -> Result<Vec<PathBuf>, Failure> {
        let Some((flash, efuses)) = &report.factory else {
            return Ok(Vec::new());
        };
        files::make_folder(folder, Secrecy::Private)?;
        let mut written = Vec::new();
        for (name, bytes) in [
            ("flash.bin", flash.clone()),
            ("efuse-virt.bin", virt::encode(efuses)),
            ("efuse-emulator.bin", emulator::encode(efuses)),
        ] {
            let path = folder.join(name);
            match self.force {
                true => files::replace(&path, &bytes, Secrecy::Private)?,
                false => files::create(&path, &bytes, Secrecy::Private)?,
            }
            written.push(path);
        }
        Ok(written)
    }
}
