//! What `encrypt`, `decrypt` and espsecure's commands for flash data share.

use std::path::{Path, PathBuf};

use clap::Args;
use espseal_crypto::flash_encryption::{FlashCipher, FlashCryptConfig, FlashKey};
use espseal_format::chip::{ChipId, SchemeId, chip as chip_table};
use espseal_format::units::FlashOffset;
use espseal_publish::blame::Blame;
use espseal_publish::files::{self, Draft, FileError, Input, Secrecy};
use espseal_publish::flash_encryption::{Direction, Done, Job, Padding};
use espseal_publish::observer::Observer;
use serde_json::json;

use super::chip;
use super::escrow_options::{self, EscrowOptions};
use super::flash_options::{crypt_config, offset};
use crate::answer::Answer;
use crate::cli::{Context, Outcome};
use crate::failure::Failure;

/// Largest key file: a key of XTS-AES-256 has 64 bytes.
const LARGEST_KEY: u64 = 64;
/// An ESP32 maps no more than 16 MB of flash.
const ESP32_FLASH_END: FlashOffset = FlashOffset::new(16 << 20);

/// Options of `encrypt` and `decrypt`.
#[derive(Debug, Args)]
pub(super) struct FlashData {
    /// File to read; `-` for standard input.
    input: PathBuf,
    /// Chip, such as esp32c3.
    #[arg(long, value_parser = chip)]
    chip: ChipId,
    /// Flash encryption key, as espsecure's key file has it (16, 24, 32 or 64 bytes); only its owner
    /// may be able to read it.
    #[arg(long, value_name = "FILE", required_unless_present = "keys_by_mac")]
    flash_key: Option<PathBuf>,
    #[command(flatten)]
    escrow: EscrowOptions,
    /// Where the first byte stands in flash: a multiple of 16.
    #[arg(long, value_name = "OFFSET", value_parser = offset)]
    address: FlashOffset,
    /// eFuse FLASH_CRYPT_CONFIG of the device; ESP32 only.
    #[arg(long, value_name = "0..15", default_value = "15", value_parser = crypt_config)]
    flash_crypt_config: FlashCryptConfig,
    /// Where to write; an existing file is not overwritten. `-` for standard output.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

impl FlashData {
    /// Does it.
    pub(super) fn run(self, direction: Direction, context: &Context) -> Outcome {
        let to_standard_output = self.output == Path::new("-");
        if to_standard_output && context.global.json {
            let message =
                "--json and the data would both go to standard output; name a file with --output";
            return Err(Failure::new(Blame::Usage, message));
        }
        let (key, config) = self.key()?;
        let job = Job {
            cipher: &FlashCipher::new(&key, config),
            direction,
            offset: self.address,
            padding: match direction {
                Direction::Encrypt => Padding::Erased,
                Direction::Decrypt => Padding::Refuse,
            },
            flash_end: (key.scheme() == SchemeId::Esp32Aes).then_some(ESP32_FLASH_END),
        };
        let sink = Sink::create(&self.output)?;
        let observer = context.progress.watch_interrupt();
        let (done, sink) = sink.take(&job, &self.input, &self.output, observer)?;
        if done.read == 0 {
            return Err(FileError::Empty {
                path: self.input,
                expected: "data for flash",
            }
            .into());
        }
        sink.keep()?;
        let written = done.read.saturating_add(done.padded as u64);
        let what = match direction {
            Direction::Encrypt => "encrypted",
            Direction::Decrypt => "decrypted",
        };
        let padding = match done.padded {
            0 => String::new(),
            padded => format!(", the last {padded} of them 0xFF to fill a block"),
        };
        Ok(Answer::new(json!({
            "output": self.output,
            "address": self.address.get(),
            "length": written,
            "padding": done.padded,
        }))
        .line(format_args!(
            "{what} {} at {} for {}: {}, {written} bytes{padding}",
            self.input.display(),
            self.address,
            self.chip,
            self.output.display(),
        )))
    }

    /// Reads the key for the chip, from its file or out of escrow.
    fn key(&self) -> Result<(FlashKey, FlashCryptConfig), Failure> {
        if let Some(escrowed) = self.escrow.open()? {
            escrow_options::same_chip(&escrowed, Some(self.chip))?;
            return Ok((escrowed.key, escrowed.config));
        }
        let path = self.flash_key.as_deref().unwrap_or(Path::new(""));
        let bytes = files::read_private(path, "a flash encryption key", LARGEST_KEY)?;
        let keys = chip_table(self.chip)
            .map(|chip| chip.flash_encryption)
            .unwrap_or_default();
        let known = keys
            .iter()
            .find_map(|key| FlashKey::from_file(key.scheme, &bytes).ok());
        let known = known.map(|key| (key, self.flash_crypt_config));
        known.ok_or_else(|| {
            let message = format_args!(
                "{} has {} bytes, which is no flash encryption key of {}",
                path.display(),
                bytes.len(),
                self.chip
            );
            Failure::new(Blame::Usage, message)
        })
    }
}

/// Where the data goes.
pub(super) enum Sink {
    /// A new file.
    New(Draft),
    /// A file that may be there already.
    Replacement(Draft),
    /// Standard output, which takes what comes at once.
    StandardOutput,
}

impl Sink {
    /// Begins a file that must not exist; a device or a pipe may.
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::StandardOutput);
        }
        let is_special = path.metadata().is_ok_and(|metadata| !metadata.is_file());
        if path.symlink_metadata().is_ok() && !is_special {
            return Err(FileError::Exists { path: path.into() }.into());
        }
        Ok(Self::New(Draft::begin(path, Secrecy::Public)?))
    }

    /// Begins a file that takes the place of what is there.
    pub(super) fn replace(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::StandardOutput);
        }
        Ok(Self::Replacement(Draft::begin(path, Secrecy::Public)?))
    }

    /// Lets a job fill it.
    pub(super) fn take(
        mut self,
        job: &Job<'_>,
        input: &Path,
        output: &Path,
        observer: &dyn Observer,
    ) -> Result<(Done, Self), Failure> {
        let mut input = Input::open(input)?;
        let done = match &mut self {
            Self::New(draft) | Self::Replacement(draft) => {
                job.run(&mut input, draft, output, observer)
            }
            Self::StandardOutput => job.run(&mut input, &mut std::io::stdout(), output, observer),
        }?;
        Ok((done, self))
    }

    /// Gives the file its name.
    pub(super) fn keep(self) -> Result<(), Failure> {
        match self {
            Self::New(draft) => draft.create()?,
            Self::Replacement(draft) => draft.replace()?,
            Self::StandardOutput => {}
        }
        Ok(())
    }
}
