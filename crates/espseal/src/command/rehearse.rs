//! `espseal rehearse`: boots a product on a virtual device before anything is burnt, and tries what goes
//! wrong.

mod inputs;
mod show;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use espseal_format::chip::ChipId;
use espseal_publish::files::{self, Secrecy};
use espseal_publish::rehearsal::report::{Report, rehearse};
use espseal_publish::rehearsal::signer::Strangers;
use espseal_twin::efuse::{emulator, virt};

use crate::cli::{Context, Outcome};
use crate::failure::Failure;
use espseal_publish::blame::Blame;

/// Rehearses a product on a virtual device: whether it boots, what becomes irreversible, what goes wrong.
///
/// Nothing real is flashed or burnt. What the bootloader has compiled in is read from its own texts;
/// options say what the texts cannot tell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal rehearse --chip esp32c3 --bootloader build/bootloader/bootloader.bin \\
      --partitions partitions.csv --app build/lamp.bin --secure-boot v2 \\
      --secure-boot-key keys/sb.pem --flash-encryption release --rollback on
  espseal rehearse --app lamp-signed.bin          # the rest from espseal.toml
  espseal rehearse ... --first-boot               # the bootloader burns and encrypts
  espseal rehearse ... --out rehearsed            # flash.bin and eFuse files, to run elsewhere

Exit code 1 when the product would not boot, would not be locked as asked, or would brick.")]
pub(crate) struct Rehearse {
    /// The chip, such as esp32c3; the only one of espseal.toml when left out.
    #[arg(long, value_parser = super::chip)]
    chip: Option<ChipId>,
    /// Revision of the silicon, such as 3.0 or v0.4; one that is sold when left out.
    #[arg(long, value_name = "MAJOR.MINOR", value_parser = revision)]
    chip_revision: Option<u16>,
    /// Second-stage bootloader.
    #[arg(long, value_name = "FILE")]
    bootloader: Option<PathBuf>,
    /// Partition table, CSV or binary.
    #[arg(long, value_name = "FILE")]
    partitions: Option<PathBuf>,
    /// Where the bootloader expects the partition table.
    #[arg(long, value_name = "OFFSET", value_parser = super::number)]
    table_offset: Option<u32>,
    /// App image; several fill factory, ota_0, ota_1, ... in this order, unless a label says where.
    #[arg(long, value_name = "[LABEL=]FILE", required = true)]
    app: Vec<String>,
    /// Contents of a data partition.
    #[arg(long, value_name = "LABEL=FILE")]
    data: Vec<String>,
    /// Secure boot.
    #[arg(long, value_enum)]
    secure_boot: Option<SecureBootChoice>,
    /// Key of secure boot: a private PEM signs unsigned images; for images that are signed already, a
    /// public PEM, or the digest in eFuse as 64 hexadecimal digits.
    #[arg(long, value_name = "KEY")]
    secure_boot_key: Vec<String>,
    /// Flash encryption.
    #[arg(long, value_enum, default_value = "off")]
    flash_encryption: FlashEncryptionChoice,
    /// Flash encryption key, as espsecure writes it; a random one when left out.
    #[arg(long, value_name = "FILE")]
    flash_key: Option<PathBuf>,
    /// Whether the bootloader has rollback compiled in.
    #[arg(long, value_enum)]
    rollback: Option<Switch>,
    /// Whether the bootloader has anti-rollback compiled in.
    #[arg(long, value_enum)]
    anti_rollback: Option<Switch>,
    /// The factory flashes plaintext; the bootloader burns and encrypts on the first boot.
    #[arg(long, conflicts_with = "pre_encrypted")]
    first_boot: bool,
    /// The factory burns, and flashes what is encrypted already; the default.
    #[arg(long)]
    pre_encrypted: bool,
    /// Leave JTAG open on the first boot (CONFIG_SECURE_BOOT_ALLOW_JTAG).
    #[arg(long, requires = "first_boot")]
    allow_jtag: bool,
    /// What the bootloader does with the download mode on the first boot.
    #[arg(long, value_enum, requires = "first_boot")]
    download_mode: Option<DownloadChoice>,
    /// Folder to write flash.bin, efuse-virt.bin and efuse-emulator.bin to; they hold keys.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Overwrite files in --out.
    #[arg(long, requires = "out")]
    force: bool,
}

/// Secure boot, as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SecureBootChoice {
    Off,
    V1,
    V2,
}

/// Flash encryption, as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FlashEncryptionChoice {
    Off,
    Development,
    Release,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Download mode after the first boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DownloadChoice {
    Open,
    Secure,
    Off,
}

impl Rehearse {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let inputs = inputs::gather(&self, context)?;
        if let (Some(folder), false) = (&self.out, self.force) {
            refuse_to_overwrite(folder)?;
        }
        let report = rehearse(&inputs.product, &Strangers::default())
            .map_err(|error| Failure::new(Blame::Refused, error))?;
        if let Some(folder) = &self.out {
            write(folder, &report)?;
        }
        Ok(show::answer(&inputs, &report, self.out.as_deref()))
    }
}

/// The files of `--out`.
const FILES: [&str; 3] = ["flash.bin", "efuse-virt.bin", "efuse-emulator.bin"];

fn refuse_to_overwrite(folder: &std::path::Path) -> Result<(), Failure> {
    match FILES.into_iter().find(|name| folder.join(name).exists()) {
        None => Ok(()),
        Some(name) => Err(Failure::new(
            Blame::Usage,
            format_args!(
                "{} exists; --force overwrites it",
                folder.join(name).display()
            ),
        )),
    }
}

/// Writes flash and eFuses as the factory leaves them, for the owner alone.
fn write(folder: &std::path::Path, report: &Report) -> Result<(), Failure> {
    let Some((flash, efuses)) = &report.factory else {
        return Ok(());
    };
    files::make_folder(folder, Secrecy::Private)?;
    let contents = [flash.clone(), virt::encode(efuses), emulator::encode(efuses)];
    for (name, bytes) in FILES.into_iter().zip(contents) {
        files::replace(&folder.join(name), &bytes, Secrecy::Private)?;
    }
    Ok(())
}

/// Reads a revision such as `v0.4`.
fn revision(text: &str) -> Result<u16, String> {
    let wrong = || "expected a revision such as 3.0 or v0.4".to_owned();
    let text = text.strip_prefix('v').unwrap_or(text);
    let (major, minor) = text.split_once('.').ok_or_else(wrong)?;
    let number = |text: &str| text.parse::<u16>().ok().filter(|number| *number < 100);
    let (major, minor) = number(major).zip(number(minor)).ok_or_else(wrong)?;
    Ok(major * 100 + minor)
}
