//! `espsecure generate-sdc-certificate`.

use std::path::{Path, PathBuf};

use clap::Args;
use espseal_format::sdc::{ChipInfo, Unlock};
use espseal_publish::blame::Blame;
use espseal_publish::debug_certificate::{self, DeviceError};
use espseal_publish::files::{self, Secrecy};
use espseal_publish::keys::KeyError;
use espseal_publish::pkcs11::HsmKey;
use espseal_publish::secure_boot_key::{ImageSigner, SecureBootKey, read_public_key};
use serde_json::json;

use super::file::Input;
use super::hsm::Hsm;
use crate::answer::Answer;
use crate::cli::Outcome;
use crate::failure::Failure;

/// Makes a certificate that opens one device for one debug session.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(super) struct GenerateSdcCertificate {
    /// ECDSA P-256 private key in PEM.
    #[arg(
        long,
        short,
        value_name = "PEM",
        required_unless_present = "hsm",
        conflicts_with_all = ["hsm", "hsm_config"]
    )]
    keyfile: Option<Input>,
    #[command(flatten)]
    hsm: Hsm,
    /// Where to write; an existing file is replaced.
    #[arg(long, short, value_name = "FILE", default_value = "sdc_cert.bin")]
    output: PathBuf,
    /// Public key of the key in the HSM; not used with --keyfile, which holds it.
    #[arg(long, value_name = "PEM")]
    pub_key: Option<Input>,
    /// Open JTAG.
    #[arg(long)]
    enable_jtag: bool,
    /// Allow download mode once more.
    #[arg(long)]
    enable_download_reuse: bool,
    /// Boot from SPI flash whatever the strapping pins say.
    #[arg(long)]
    enable_force_spi_boot: bool,
    /// JSON file that says what to open, over the flags above: a list of `groups`, one of which is the
    /// `group` "config_flags" with `entries` of `key` (enable_jtag, ...) and `value`.
    #[arg(long, value_name = "FILE")]
    usc: Option<Input>,
    /// MAC address of the device, or a file with it (.bin: 6 bytes, .hex: text).
    #[arg(long, required_unless_present = "chip_info")]
    mac: Option<String>,
    /// Session counter in the device's eFuse: 0, 1, 3 or 7.
    #[arg(long, value_name = "N", default_value = "0", value_parser = integer, allow_negative_numbers = true)]
    sdc_session_counter: i64,
    /// File with chip info and nonce of the device, 64 bytes, in place of --mac.
    #[arg(long, value_name = "FILE")]
    chip_info: Option<Input>,
    /// Say more; espseal says it all the same.
    #[arg(long)]
    verbose: bool,
}

impl GenerateSdcCertificate {
    pub(super) fn run(self) -> Outcome {
        let inputs = self.keyfile.iter().chain(&self.pub_key).chain(&self.usc);
        for input in inputs.chain(&self.chip_info) {
            input.must_differ_from(&self.output)?;
        }
        let unlock = self.unlock()?;
        let chip = self.chip()?;
        let certificate = debug_certificate::sign(unlock, &chip, &*self.key()?)?;
        if let Some(parent) = self
            .output
            .parent()
            .filter(|parent| *parent != Path::new(""))
        {
            files::make_folder(parent, Secrecy::Public)?;
        }
        files::replace(&self.output, &certificate.encode(), Secrecy::Public)?;
        Ok(Answer::new(json!({
            "output": self.output,
            "chip-info": chip.digest.to_string(),
            "jtag": unlock.has(Unlock::JTAG),
            "download-reuse": unlock.has(Unlock::DOWNLOAD_REUSE),
            "force-spi-boot": unlock.has(Unlock::FORCE_SPI_BOOT),
        }))
        .listing(format_args!(
            "certificate for chip info {} written to {}",
            chip.digest,
            self.output.display()
        )))
    }

    fn unlock(&self) -> Result<Unlock, Failure> {
        let unlock = [
            (self.enable_jtag, Unlock::JTAG),
            (self.enable_download_reuse, Unlock::DOWNLOAD_REUSE),
            (self.enable_force_spi_boot, Unlock::FORCE_SPI_BOOT),
        ]
        .into_iter()
        .filter(|(wanted, _)| *wanted)
        .fold(Unlock::default(), |all, (_, one)| all.and(one));
        match &self.usc {
            Some(file) => Ok(debug_certificate::apply_usc(
                unlock,
                file.path(),
                &file.read()?,
            )?),
            None => Ok(unlock),
        }
    }

    /// Opens the key that signs.
    fn key(&self) -> Result<Box<dyn ImageSigner>, Failure> {
        let Some(config) = self.hsm.config()? else {
            // The arguments' parser asks for one of them.
            let file = self.keyfile.as_ref().ok_or(KeyError::NotP256)?;
            return Ok(Box::new(SecureBootKey::from_pem(
                file.path(),
                &file.read()?,
            )?));
        };
        let key = HsmKey::open(&config).map_err(KeyError::from)?;
        if let Some(file) = &self.pub_key {
            let stated = read_public_key(file.path(), &file.read()?)?;
            if stated.digest() != key.public_key().digest() {
                let message = format_args!("{file} is not the public key of the key in the HSM");
                return Err(Failure::new(Blame::Usage, message));
            }
        }
        Ok(Box::new(key))
    }

    fn chip(&self) -> Result<ChipInfo, Failure> {
        if let Some(file) = &self.chip_info {
            return Ok(debug_certificate::chip_info_from_file(
                file.path(),
                &file.read()?,
            )?);
        }
        let text = self.mac.as_deref().unwrap_or_default();
        let mac = mac(text)?;
        let nonce = debug_certificate::random_nonce()?;
        Ok(debug_certificate::chip_info(
            mac,
            self.sdc_session_counter,
            nonce,
        )?)
    }
}

/// Reads a MAC address, or the file that holds it.
fn mac(text: &str) -> Result<[u8; 6], Failure> {
    let file = Input::from(text);
    let extension = file
        .path()
        .extension()
        .and_then(|extension| extension.to_str());
    match extension {
        Some("bin") => {
            let bytes = file.read()?;
            <[u8; 6]>::try_from(bytes.as_slice()).map_err(|_| {
                let found = bytes.len();
                Failure::new(
                    Blame::Usage,
                    format_args!("{file} has {found} bytes; expected 6"),
                )
            })
        }
        Some("hex") => {
            let bytes = file.read()?;
            let wrong = || DeviceError::Mac { found: text.into() };
            let text = std::str::from_utf8(&bytes).map_err(|_| wrong())?;
            Ok(debug_certificate::parse_mac(text)?)
        }
        _ => Ok(debug_certificate::parse_mac(text)?),
    }
}

/// Reads an integer, decimal or with 0x.
fn integer(text: &str) -> Result<i64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "expected an integer".into())
}
