//! What the verbs for files and dumps share: the chip, its flash key, the table's place, and how
//! files are read and written.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use espseal_crypto::flash_encryption::{FlashCipher, FlashCryptConfig};
use espseal_format::chip::ChipId;
use espseal_format::partition_table::{Entry, PartitionTable, TABLE_LEN};
use espseal_format::units::FlashOffset;
use espseal_publish::blame::Blame;
use espseal_publish::files::{self, Secrecy};
use espseal_twin::inspect::flash::{Flash, KeyFile, bootloader_chip};

use super::escrow_options::{self, EscrowOptions};
use super::{chip, number};
use crate::failure::Failure;

/// Largest flash chip.
const LARGEST_DUMP: u64 = 128 << 20;
/// Largest key file: a key of XTS-AES-256 has 64 bytes.
const LARGEST_KEY: u64 = 64;

/// How to read a dump.
#[derive(Clone, Debug, Args)]
pub(crate) struct FlashOptions {
    /// Chip, such as esp32c3; found in the bootloader when left out.
    #[arg(long, value_parser = chip)]
    pub(crate) chip: Option<ChipId>,
    /// Flash encryption key, as espsecure's key file has it (16, 24, 32 or 64 bytes).
    #[arg(long, value_name = "FILE")]
    flash_key: Option<PathBuf>,
    #[command(flatten)]
    escrow: EscrowOptions,
    /// eFuse FLASH_CRYPT_CONFIG of the device; ESP32 only.
    #[arg(long, value_name = "0..15", default_value = "15", value_parser = crypt_config)]
    flash_crypt_config: FlashCryptConfig,
    /// Where the partition table lies.
    #[arg(long, value_name = "OFFSET", default_value = "0x8000", value_parser = offset)]
    pub(crate) table_offset: FlashOffset,
}

impl FlashOptions {
    /// Loads the key, if there is one, for the chip that is named or that the dump shows.
    pub(crate) fn cipher(&self, dump: &[u8]) -> Result<Option<FlashCipher>, Failure> {
        if let Some(escrowed) = self.escrow.open()? {
            escrow_options::same_chip(&escrowed, self.chip)?;
            return Ok(Some(escrowed.cipher()));
        }
        let Some(path) = &self.flash_key else {
            return Ok(None);
        };
        let bytes = files::read_private(path, "a flash encryption key", LARGEST_KEY)?;
        KeyFile::new(bytes, self.flash_crypt_config)
            .open(self.chip, dump)
            .map(Some)
            .map_err(|error| {
                Failure::new(Blame::Usage, format_args!("{}: {error}", path.display()))
            })
    }

    /// The chip that is named or that the dump shows.
    pub(crate) fn chip_of(&self, dump: &Flash<'_>) -> Option<ChipId> {
        self.chip.or_else(|| bootloader_chip(dump))
    }

    /// Reads the partition table of a dump, plain or with the key.
    pub(crate) fn table(&self, dump: &Flash<'_>) -> Result<PartitionTable, Failure> {
        let part = dump.part(self.table_offset, 0x1000);
        let plain = PartitionTable::parse(part.raw());
        let decrypted = || {
            part.decrypt(TABLE_LEN)
                .map(|bytes| PartitionTable::parse(&bytes))
        };
        plain.or_else(|error| decrypted().unwrap_or(Err(error))).map_err(|error| {
            let at = self.table_offset;
            Failure::new(
                Blame::Refused,
                format_args!("no partition table at {at}: {error}; --table-offset says where it is, --flash-key opens an encrypted one"),
            )
        })
    }

    /// Finds a partition by its name.
    pub(crate) fn partition(&self, dump: &Flash<'_>, label: &str) -> Result<Entry, Failure> {
        let table = self.table(dump)?;
        table.find_by_name(label).copied().ok_or_else(|| {
            let names: Vec<_> = table
                .entries
                .iter()
                .map(|entry| entry.label.to_string())
                .collect();
            let names = names.join(", ");
            Failure::new(
                Blame::Usage,
                format_args!("there is no partition {label}; the table has {names}"),
            )
        })
    }
}

/// Reads a file, or standard input for `-`.
pub(crate) fn read_input(path: &Path, expected: &'static str) -> Result<Vec<u8>, Failure> {
    if path != Path::new("-") {
        return Ok(files::read(path, expected, LARGEST_DUMP)?);
    }
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(LARGEST_DUMP)
        .read_to_end(&mut bytes)
        .map_err(|cause| {
            Failure::new(
                Blame::Io,
                format_args!("cannot read standard input: {cause}"),
            )
        })?;
    match bytes.is_empty() {
        true => Err(Failure::new(
            Blame::Io,
            format_args!("standard input is empty; expected {expected}"),
        )),
        false => Ok(bytes),
    }
}

/// Where a changed file goes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Destination {
    /// Where to write the result; it must not exist.
    #[arg(long, short, value_name = "FILE", required_unless_present = "in_place")]
    output: Option<PathBuf>,
    /// Overwrite the input instead, whole or not at all.
    #[arg(long, conflicts_with = "output")]
    in_place: bool,
}

impl Destination {
    /// Writes the result; returns where it went.
    pub(crate) fn write(&self, input: &Path, bytes: &[u8]) -> Result<PathBuf, Failure> {
        match &self.output {
            Some(output) => {
                files::create(output, bytes, Secrecy::Public)?;
                Ok(output.clone())
            }
            None if input == Path::new("-") => Err(Failure::new(
                Blame::Usage,
                "standard input cannot be changed in place: name a file with --output",
            )),
            None => {
                files::replace(input, bytes, Secrecy::Public)?;
                Ok(input.into())
            }
        }
    }
}

/// Reads a flash offset.
pub(crate) fn offset(text: &str) -> Result<FlashOffset, String> {
    number(text).map(FlashOffset::new)
}

/// Reads a value of FLASH_CRYPT_CONFIG.
pub(crate) fn crypt_config(text: &str) -> Result<FlashCryptConfig, String> {
    number(text)
        .ok()
        .and_then(|value| FlashCryptConfig::new(u8::try_from(value).ok()?))
        .ok_or_else(|| "expected 0 to 15".into())
}
