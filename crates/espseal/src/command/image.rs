//! `espseal image`: shows and checks app and bootloader images.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use espseal_format::units::FlashOffset;
use espseal_publish::blame::Blame;
use espseal_twin::inspect::flash::Flash;
use espseal_twin::inspect::image::{Inspection, is_header};

use super::flash_options::{FlashOptions, offset, read_input};
use crate::cli::Outcome;
use crate::failure::Failure;

mod describe;
mod verify;

pub(crate) use describe::{image_json, kind};

/// Shows and checks app and bootloader images of every chip.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    Info(Info),
    Verify(verify::Verify),
}

impl Image {
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::Info(verb) => verb.run(),
            Self::Verify(verb) => verb.run(),
        }
    }
}

/// Shows everything that an image says about itself.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal image info build/lamp.bin
  espseal image info dump.bin --partition ota_0 --flash-key flash-key.bin --chip esp32c3
  espseal image info sealed-for-ota_1.bin --address 0x1a0000 --flash-key key.bin --chip esp32
  curl -s https://example.org/app.bin | espseal image info - --json

A wrong checksum, hash or signature is shown and makes the exit code 1.")]
pub(crate) struct Info {
    #[command(flatten)]
    source: Source,
}

/// Where an image comes from.
#[derive(Debug, Args)]
struct Source {
    /// Image or whole flash dump; `-` for standard input.
    file: PathBuf,
    /// Where the image starts in a dump.
    #[arg(long, value_parser = offset, conflicts_with = "partition")]
    offset: Option<FlashOffset>,
    /// Partition of a dump that holds the image, or `bootloader`.
    #[arg(long, value_name = "LABEL")]
    partition: Option<String>,
    /// Flash address that an encrypted image is for; of a dump, where it stands.
    #[arg(long, value_parser = offset)]
    address: Option<FlashOffset>,
    #[command(flatten)]
    flash: FlashOptions,
}

impl Info {
    fn run(self) -> Outcome {
        let found = self.source.open()?;
        let answer = found.describe(&self.source.file);
        Ok(match found.image.is_sound() {
            true => answer,
            false => answer.refused(),
        })
    }
}

/// An image, and how it stood in the file.
struct Found {
    image: Inspection,
    stored: Stored,
    /// Address of its first byte in flash, if it came out of a dump.
    address: FlashOffset,
}

/// How an image stood in the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stored {
    Plain,
    Encrypted,
}

impl Source {
    /// Reads the file and finds the image in it.
    fn open(&self) -> Result<Found, Failure> {
        let bytes = read_input(&self.file, "an image")?;
        let cipher = self.flash.cipher(&bytes)?;
        let dump = Flash::new(&bytes, FlashOffset::new(0), cipher.as_ref());
        let (start, size) = self.place(&dump)?;
        let part = dump.part(start, size);
        let part = match self.address {
            Some(address) => part.as_if_at(address),
            None => part,
        };
        let refused = |error: &dyn std::fmt::Display| {
            let file = self.file.display();
            let at = match start.get() {
                0 => String::new(),
                _ => format!(" at {start}"),
            };
            Failure::new(Blame::Refused, format_args!("{file}{at}: {error}"))
        };
        if part.is_empty() {
            let length = bytes.len();
            return Err(refused(&format_args!("the file ends at {length:#x}")));
        }
        let address = part.address();
        if address.get() % 16 != 0 && part.has_key() {
            let message = format_args!("--address {address} is no multiple of 16");
            return Err(Failure::new(Blame::Usage, message));
        }
        let plain = Inspection::of(part.raw());
        let (image, stored) = match (plain, is_header(part.raw())) {
            (Ok(image), _) => (image, Stored::Plain),
            (Err(error), Some(_)) => return Err(refused(&error)),
            (Err(error), None) => match Inspection::of_encrypted(&part) {
                Some(Ok(image)) => (image, Stored::Encrypted),
                Some(Err(error)) => {
                    return Err(refused(&format_args!(
                        "decrypted for address {address}: {error}"
                    )));
                }
                None => return Err(refused(&error)),
            },
        };
        Ok(Found {
            image,
            stored,
            address,
        })
    }

    /// Where the image starts in the file, and how many bytes it may take.
    fn place(&self, dump: &Flash<'_>) -> Result<(FlashOffset, u32), Failure> {
        match &self.partition {
            None => Ok((self.offset.unwrap_or_default(), u32::MAX)),
            Some(label) if label == "bootloader" => {
                let chip = self
                    .flash
                    .chip_of(dump)
                    .and_then(espseal_format::chip::chip);
                let start = chip.map(|chip| chip.bootloader_offset).ok_or_else(|| {
                    Failure::new(
                        Blame::Usage,
                        "no bootloader found that says which chip this is: name it with --chip",
                    )
                })?;
                let room = self.flash.table_offset.get().saturating_sub(start.get());
                Ok((start, room))
            }
            Some(label) => {
                let entry = self.flash.partition(dump, label)?;
                Ok((entry.offset, entry.size))
            }
        }
    }
}
