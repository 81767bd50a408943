//! `espseal espsecure`: espsecure's commands and flags, with espseal's code behind them.
//!
//! Also when the program is called through a link named `espsecure`. One file a command; each maps
//! arguments, the work is in `espseal-publish`. What espsecure 5.6 takes is taken, the old spellings
//! with underscores included, and the files are the same; the messages are espseal's own.
//!
//! Source: `espsecure --help` and observed behaviour of espsecure 5.6.0.

use std::ffi::OsStr;
use std::path::Path;

use clap::{Parser, Subcommand, ValueEnum};
use espseal_publish::data_signing::Padding;

use crate::cli::{Context, Global, Outcome};

mod decrypt_flash_data;
mod digest_private_key;
mod digest_sdc_public_key;
mod digest_secure_bootloader;
mod encrypt_flash_data;
mod extract_public_key;
mod file;
mod flash_data;
mod generate_flash_encryption_key;
mod generate_sdc_certificate;
mod generate_signing_key;
mod hsm;
mod integer;
mod key_digest;
mod sign_data;
mod signature_info_v2;
mod verify_signature;

/// Takes the commands and flags of espsecure and writes the same files.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  espseal espsecure sign-data --version 2 --keyfile key.pem --output signed.bin app.bin
  ln -s espseal espsecure && ./espsecure digest-sbv2-public-key --keyfile key.pem --output digest.bin

`espsecure COMMAND --help` shows the flags of a command.
Exit codes are espsecure's: 0 done, 2 anything else."
)]
pub(crate) struct Espsecure {
    #[command(subcommand)]
    command: Command,
}

/// One of espsecure's commands.
#[derive(Debug, Subcommand)]
enum Command {
    #[command(alias = "decrypt_flash_data")]
    DecryptFlashData(decrypt_flash_data::DecryptFlashData),
    #[command(alias = "digest_private_key")]
    DigestPrivateKey(digest_private_key::DigestPrivateKey),
    /// Old name of digest-sbv2-public-key.
    #[command(alias = "digest_rsa_public_key")]
    DigestRsaPublicKey(key_digest::KeyDigest),
    #[command(alias = "digest_sbv2_public_key")]
    DigestSbv2PublicKey(key_digest::KeyDigest),
    #[command(alias = "digest_sdc_public_key")]
    DigestSdcPublicKey(digest_sdc_public_key::DigestSdcPublicKey),
    #[command(alias = "digest_secure_bootloader")]
    DigestSecureBootloader(digest_secure_bootloader::DigestSecureBootloader),
    #[command(alias = "encrypt_flash_data")]
    EncryptFlashData(encrypt_flash_data::EncryptFlashData),
    #[command(alias = "extract_public_key")]
    ExtractPublicKey(extract_public_key::ExtractPublicKey),
    #[command(alias = "generate_flash_encryption_key")]
    GenerateFlashEncryptionKey(generate_flash_encryption_key::GenerateFlashEncryptionKey),
    #[command(alias = "generate_sdc_certificate")]
    GenerateSdcCertificate(generate_sdc_certificate::GenerateSdcCertificate),
    #[command(alias = "generate_signing_key")]
    GenerateSigningKey(generate_signing_key::GenerateSigningKey),
    #[command(alias = "sign_data")]
    SignData(sign_data::SignData),
    #[command(alias = "signature_info_v2")]
    SignatureInfoV2(signature_info_v2::SignatureInfoV2),
    #[command(alias = "verify_signature")]
    VerifySignature(verify_signature::VerifySignature),
}

impl Espsecure {
    /// Runs the command.
    pub(super) fn run(self, context: &Context) -> Outcome {
        let outcome = match self.command {
            Command::DecryptFlashData(command) => command.run(context),
            Command::EncryptFlashData(command) => command.run(context),
            Command::DigestPrivateKey(command) => command.run(),
            Command::DigestRsaPublicKey(command) => command.run(),
            Command::DigestSbv2PublicKey(command) => command.run(),
            Command::DigestSdcPublicKey(command) => command.run(),
            Command::DigestSecureBootloader(command) => command.run(),
            Command::ExtractPublicKey(command) => command.run(),
            Command::GenerateFlashEncryptionKey(command) => command.run(),
            Command::GenerateSdcCertificate(command) => command.run(),
            Command::GenerateSigningKey(command) => command.run(),
            Command::SignData(command) => command.run(context),
            Command::SignatureInfoV2(command) => command.run(),
            Command::VerifySignature(command) => command.run(),
        };
        outcome.map_err(crate::failure::Failure::into_espsecure)
    }
}

/// Version of secure boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Version {
    #[value(name = "1")]
    V1,
    #[value(name = "2")]
    V2,
}

/// What `--skip-padding` asks for.
const fn padding(skip: bool) -> Padding {
    match skip {
        true => Padding::None,
        false => Padding::ToSector,
    }
}

/// The program when it is called through a link named `espsecure`.
#[derive(Debug, Parser)]
#[command(name = "espsecure", disable_version_flag = true)]
pub(crate) struct Link {
    #[command(flatten)]
    pub(crate) espsecure: Espsecure,
}

impl Link {
    /// Whether the program is called by that name.
    pub(crate) fn is_called(program: Option<&OsStr>) -> bool {
        let name = program.map(Path::new).and_then(Path::file_name);
        name.is_some_and(|name| {
            ["espsecure", "espsecure.py", "espsecure.exe"]
                .iter()
                .any(|known| name == *known)
        })
    }

    /// The same call in the words of `espseal`.
    pub(crate) fn into_cli(self) -> crate::cli::Cli {
        crate::cli::Cli {
            global: Global {
                json: false,
                project: ".".into(),
            },
            command: super::Command::Espsecure(self.espsecure),
        }
    }
}
