//! `espseal otadata`: shows which slot boots next, and selects another.

use std::path::PathBuf;

use clap::Subcommand;
use espseal_crypto::flash_encryption::FlashCipher;
use espseal_format::otadata::{OtaState, Otadata, PARTITION_LEN};
use espseal_format::units::FlashOffset;
use espseal_publish::blame::Blame;
use espseal_twin::inspect::flash::Flash;
use espseal_twin::inspect::otadata::{Factory, OtadataView, Slots};

use super::flash_options::{FlashOptions, offset, read_input};
use crate::cli::Outcome;
use crate::failure::Failure;

mod set;
mod show;

/// Shows which slot boots next, and selects another.
#[derive(Debug, Subcommand)]
pub(crate) enum OtadataVerb {
    Show(show::Show),
    Set(set::Set),
}

impl OtadataVerb {
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::Show(verb) => verb.run(),
            Self::Set(verb) => verb.run(),
        }
    }
}

/// Where otadata comes from.
#[derive(Debug, clap::Args)]
struct Source {
    /// Whole flash dump, or the otadata partition alone (8 KB); `-` for standard input.
    file: PathBuf,
    /// Where the otadata partition lies, when it comes alone and encrypted.
    #[arg(long, value_parser = offset)]
    address: Option<FlashOffset>,
    /// Number of app slots, when otadata comes alone; a dump's table says it otherwise.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    slots: Option<u8>,
    #[command(flatten)]
    flash: FlashOptions,
}

/// An otadata partition that was found.
struct Opened {
    bytes: Vec<u8>,
    cipher: Option<FlashCipher>,
    /// Offset of the partition in the file.
    start: u32,
    /// Its address in flash.
    address: FlashOffset,
    slots: Slots,
    view: OtadataView,
}

impl Opened {
    /// The entries, as far as they mean something.
    fn otadata(&self) -> Otadata {
        Otadata {
            entries: self.view.entries.map(|entry| entry.parse().ok()),
        }
    }
}

impl Source {
    fn open(&self) -> Result<Opened, Failure> {
        let bytes = read_input(&self.file, "a flash dump or an otadata partition")?;
        let file = self.file.display();
        let cipher = self.flash.cipher(&bytes)?;
        let alone = bytes.len() <= PARTITION_LEN as usize;
        let (start, address, slots) = match alone {
            true => {
                let address = self.address.unwrap_or_default();
                if cipher.is_some() && self.address.is_none() {
                    return Err(Failure::new(
                        Blame::Usage,
                        "an otadata partition alone does not say where it lies: give --address, which flash encryption depends on",
                    ));
                }
                let slots = Slots {
                    ota: self.slots.unwrap_or(2),
                    factory: Factory::Absent,
                };
                (0, address, slots)
            }
            false => {
                let dump = Flash::new(&bytes, FlashOffset::new(0), cipher.as_ref());
                let table = self.flash.table(&dump)?;
                let entry = table.otadata().copied().ok_or_else(|| {
                    Failure::new(
                        Blame::Refused,
                        format_args!("{file}: the partition table has no otadata partition"),
                    )
                })?;
                let mut slots = Slots::of(&table);
                slots.ota = self.slots.unwrap_or(slots.ota);
                (entry.offset.get(), entry.offset, slots)
            }
        };
        let part = bytes.get(start as usize..).unwrap_or_default();
        let part = part.get(..PARTITION_LEN as usize).unwrap_or(part);
        let flash = Flash::new(part, address, cipher.as_ref());
        let view = OtadataView::of(&flash).ok_or_else(|| {
            let length = part.len();
            Failure::new(
                Blame::Refused,
                format_args!("{file}: otadata at {start:#x} is cut short: {length:#x} bytes, expected {PARTITION_LEN:#x}"),
            )
        })?;
        Ok(Opened {
            bytes,
            cipher,
            start,
            address,
            slots,
            view,
        })
    }
}

/// Reads a state as ESP-IDF names it.
fn state(text: &str) -> Result<OtaState, String> {
    match text {
        "new" => Ok(OtaState::New),
        "pending" | "pending-verify" => Ok(OtaState::PendingVerify),
        "valid" => Ok(OtaState::Valid),
        "invalid" => Ok(OtaState::Invalid),
        "aborted" => Ok(OtaState::Aborted),
        "undefined" => Ok(OtaState::Undefined),
        _ => Err("expected new, pending, valid, invalid, aborted or undefined".into()),
    }
}
