//! What `encrypt-flash-data` and `decrypt-flash-data` share.

use std::path::{Path, PathBuf};

use clap::Args;
use espseal_crypto::flash_encryption::{FlashCipher, FlashCryptConfig, FlashKey};
use espseal_format::chip::SchemeId;
use espseal_format::units::FlashOffset;
use espseal_publish::blame::Blame;
use espseal_publish::flash_encryption::{Direction, Job, Padding};
use serde_json::json;

use super::file::Input;
use super::integer::integer;
use crate::answer::Answer;
use crate::cli::{Context, Outcome};
use crate::command::flash_data::Sink;
use crate::failure::Failure;

/// Flags of both commands.
#[derive(Debug, Args)]
pub(super) struct FlashFlags {
    /// Flash encryption key: 24 or 32 bytes for the ESP32; 16, 32 or 64 with --aes-xts. `-` is
    /// standard input.
    #[arg(long, short, value_name = "FILE")]
    keyfile: Input,
    /// Where to write; an existing file is replaced. `-` is standard output.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Where the first byte stands in flash: a multiple of 16.
    #[arg(long, short, value_name = "OFFSET", value_parser = integer, allow_hyphen_values = true)]
    address: i128,
    /// eFuse FLASH_CRYPT_CONFIG of the device; its four lowest bits count. ESP32 only.
    #[arg(
        long,
        alias = "flash_crypt_conf",
        value_name = "NUMBER",
        default_value = "0xF",
        value_parser = integer,
        allow_hyphen_values = true
    )]
    flash_crypt_conf: i128,
    /// XTS-AES, as every chip but the ESP32 has it.
    #[arg(long, short = 'x', alias = "aes_xts")]
    aes_xts: bool,
}

impl FlashFlags {
    /// Does it. What espsecure pads for the ESP32, it refuses for XTS-AES.
    pub(super) fn run(self, direction: Direction, data: &Input, context: &Context) -> Outcome {
        data.must_differ_from(&self.output)?;
        self.keyfile.must_differ_from(&self.output)?;
        let key = self.key()?;
        let offset = u32::try_from(self.address).map_err(|_| {
            let message = format_args!(
                "the address {} is not in flash, expected 0 to 0xfffffff0",
                self.address
            );
            Failure::new(Blame::Usage, message)
        })?;
        let config = u8::try_from(self.flash_crypt_conf & 0xF).unwrap_or_default();
        let config = FlashCryptConfig::new(config).unwrap_or(FlashCryptConfig::DEFAULT);
        let job = Job {
            cipher: &FlashCipher::new(&key, config),
            direction,
            offset: FlashOffset::new(offset),
            padding: match (direction, self.aes_xts) {
                (Direction::Encrypt, false) => Padding::Random,
                _ => Padding::Refuse,
            },
            flash_end: None,
        };
        let observer = context.progress.watch_interrupt();
        let sink = Sink::replace(&self.output)?;
        let (done, sink) = sink.take(&job, data.path(), &self.output, observer)?;
        match (done.read, self.aes_xts) {
            (0, true) => {
                let message = format_args!("{data} is empty; expected data of flash");
                return Err(Failure::new(Blame::Usage, message));
            }
            // As espsecure: no data, no file.
            (0, false) => drop(sink),
            _ => sink.keep()?,
        }
        Ok(self.answer(done.padded, config))
    }

    fn answer(&self, padded: usize, config: FlashCryptConfig) -> Answer {
        let mut answer = Answer::new(json!({ "output": self.output, "padding": padded }));
        if padded != 0 {
            answer = answer.line(format_args!(
                "filled the last block with {padded} random bytes: data is encrypted in blocks of 16"
            ));
        }
        if !self.aes_xts && config.get() == 0 {
            answer = answer.line(
                "warning: with FLASH_CRYPT_CONFIG 0, equal data is equal at every address of flash",
            );
        }
        match self.output == Path::new("-") {
            true => answer,
            false => answer.line(format_args!("wrote {}", self.output.display())),
        }
    }

    /// Reads the key file.
    fn key(&self) -> Result<FlashKey, Failure> {
        let file = self.keyfile.read()?;
        let scheme = match (self.aes_xts, file.len()) {
            (false, _) => SchemeId::Esp32Aes,
            (true, 64) => SchemeId::XtsAes256,
            (true, _) => SchemeId::XtsAes128,
        };
        FlashKey::from_file(scheme, &file).map_err(|error| {
            let hint = match self.aes_xts {
                true => "32 bytes are a key of XTS-AES-128, 64 of XTS-AES-256",
                false => "for other chips give --aes-xts",
            };
            let message = format_args!("{}: {error}; {hint}", self.keyfile);
            Failure::new(Blame::Usage, message)
        })
    }
}
