//! `espseal partitions`: shows partition tables and builds them from CSV.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use comfy_table::Table;
use espseal_format::chip::SecureBootScheme;
use espseal_format::image::FlashSize;
use espseal_format::partition_table::csv::Places;
use espseal_format::partition_table::{
    Checksum, Entry, Flags, PartitionTable, TABLE_LEN, TableError,
};
use espseal_format::units::FlashOffset;
use espseal_publish::blame::Blame;
use espseal_publish::files::{self, Secrecy};
use espseal_twin::inspect::flash::Flash;
use serde_json::json;

use super::flash_options::{FlashOptions, offset, read_input};
use crate::answer::Answer;
use crate::cli::Outcome;
use crate::failure::Failure;

/// Shows partition tables and builds them from CSV, as gen_esp32part.py does.
#[derive(Debug, Subcommand)]
pub(crate) enum Partitions {
    Show(Show),
    Build(Build),
}

impl Partitions {
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::Show(verb) => verb.run(),
            Self::Build(verb) => verb.run(),
        }
    }
}

/// Shows a partition table: binary, CSV, or out of a whole dump.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal partitions show build/partition_table/partition-table.bin
  espseal partitions show dump.bin --flash-key flash-key.bin --chip esp32c3
  espseal partitions show partition-table.bin --csv > partitions.csv")]
pub(crate) struct Show {
    /// Binary table, CSV table or flash dump; `-` for standard input.
    file: PathBuf,
    /// Print it as CSV, as gen_esp32part.py writes it.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    flash: FlashOptions,
}

impl Show {
    fn run(self) -> Outcome {
        let bytes = read_input(&self.file, "a partition table or a flash dump")?;
        let table = self.read(&bytes)?;
        if self.csv {
            let mut text = String::new();
            // Writing to a string does not fail.
            let _ = table.write_csv(&mut text);
            return Ok(Answer::new(json!({ "csv": text })).listing(text.trim_end()));
        }
        let broken = table.verify(self.flash.table_offset).err();
        let answer = describe(&table, broken.as_ref().map(ToString::to_string));
        Ok(match broken {
            None => answer,
            Some(rule) => answer
                .line(format_args!("the table breaks a rule: {rule}"))
                .refused(),
        })
    }

    /// Finds out which of the three forms the file has.
    fn read(&self, bytes: &[u8]) -> Result<PartitionTable, Failure> {
        let refused = |error: &dyn std::fmt::Display| {
            Failure::new(
                Blame::Refused,
                format_args!("{}: {error}", self.file.display()),
            )
        };
        let binary = match PartitionTable::parse(bytes) {
            Ok(table) => return Ok(table),
            Err(error) => error,
        };
        let looks_binary = !matches!(binary, TableError::Magic { offset: 0, .. });
        if looks_binary && bytes.len() <= 0x1000 {
            return Err(refused(&binary));
        }
        if let Ok(text) = str::from_utf8(bytes) {
            let places = Places {
                table: self.flash.table_offset,
                bootloader: None,
                recovery_bootloader: None,
            };
            return PartitionTable::parse_csv_unverified(text, &places)
                .map_err(|error| refused(&error));
        }
        let cipher = self.flash.cipher(bytes)?;
        if bytes.len() <= 0x1000 {
            // The table alone, as it stands in flash.
            let part = Flash::new(bytes, self.flash.table_offset, cipher.as_ref());
            let plain = part.decrypt(TABLE_LEN);
            return plain
                .map_or(Err(binary), |plain| PartitionTable::parse(&plain))
                .map_err(|error| refused(&error));
        }
        self.flash
            .table(&Flash::new(bytes, FlashOffset::new(0), cipher.as_ref()))
    }
}

/// Builds a binary partition table from CSV.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal partitions build partitions.csv -o partition-table.bin
  espseal partitions build partitions.csv -o table.bin --flash-size 4MB --secure v2 --offset 0xc000

The bytes are those of gen_esp32part.py; variables ($NAME) are not expanded.")]
pub(crate) struct Build {
    /// Table in CSV; `-` for standard input.
    csv: PathBuf,
    /// Where to write the binary table; it must not exist.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Where the table is to lie in flash.
    #[arg(long, default_value = "0x8000", value_parser = offset)]
    offset: FlashOffset,
    /// Where the bootloader lies, for a partition of type `bootloader`.
    #[arg(long, value_parser = offset)]
    primary_bootloader_offset: Option<FlashOffset>,
    /// Where the recovery bootloader lies, for a partition of that subtype.
    #[arg(long, value_parser = offset)]
    recovery_bootloader_offset: Option<FlashOffset>,
    /// Refuse a table that does not fit the flash chip: 1MB to 128MB.
    #[arg(long, value_name = "SIZE", value_parser = flash_size)]
    flash_size: Option<FlashSize>,
    /// Check that app partitions suit secure boot.
    #[arg(long)]
    secure: Option<Secure>,
    /// Leave the MD5 out, as bootloaders before ESP-IDF 3.1 need it.
    #[arg(long)]
    disable_md5sum: bool,
}

/// Secure boot that app partitions have to suit.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Secure {
    /// Version 1: sizes in steps of 64 KB.
    V1,
    /// Version 2.
    V2,
}

impl Build {
    fn run(self) -> Outcome {
        let refused = |error: &dyn std::fmt::Display| {
            Failure::new(
                Blame::Refused,
                format_args!("{}: {error}", self.csv.display()),
            )
        };
        let bytes = read_input(&self.csv, "a partition table in CSV")?;
        let text = str::from_utf8(&bytes).map_err(|error| {
            let offset = error.valid_up_to();
            refused(&format_args!(
                "byte at offset {offset:#x} is not UTF-8, expected CSV"
            ))
        })?;
        let places = Places {
            table: self.offset,
            bootloader: self.primary_bootloader_offset,
            recovery_bootloader: self.recovery_bootloader_offset,
        };
        let mut table =
            PartitionTable::parse_csv_unverified(text, &places).map_err(|error| refused(&error))?;
        let scheme = self.secure.map(|secure| match secure {
            Secure::V1 => SecureBootScheme::V1,
            Secure::V2 => SecureBootScheme::V2Rsa,
        });
        table
            .verify_for(self.offset, scheme)
            .map_err(|error| refused(&error))?;
        if let Some(size) = self.flash_size {
            table
                .verify_size_fits(size)
                .map_err(|error| refused(&error))?;
        }
        if self.disable_md5sum {
            table.checksum = Checksum::None;
        }
        let mut encoded = [0; TABLE_LEN];
        table
            .encode(&mut encoded)
            .map_err(|error| refused(&error))?;
        files::create(&self.output, &encoded, Secrecy::Public)?;
        let answer = describe(&table, None);
        Ok(answer.line(format_args!(
            "wrote {}: flash it to {}",
            self.output.display(),
            self.offset
        )))
    }
}

/// A table for people and for scripts.
fn describe(table: &PartitionTable, broken: Option<String>) -> Answer {
    let mut shown = Table::new();
    shown.load_style(comfy_table::presets::NOTHING);
    shown.set_header(["name", "type", "subtype", "offset", "size", "end", "flags"]);
    for entry in &table.entries {
        let end = entry.end().map_or("-".into(), |end| end.to_string());
        shown.add_row([
            entry.label.to_string(),
            kind(entry),
            subtype(entry),
            entry.offset.to_string(),
            format!("{:#x}", entry.size),
            end,
            flags(entry.flags).join(" "),
        ]);
    }
    let entries: Vec<_> = table
        .entries
        .iter()
        .map(|entry| {
            json!({
                "name": entry.label.as_str(),
                "type": kind(entry),
                "subtype": subtype(entry),
                "offset": entry.offset.get(),
                "size": entry.size,
                "flags": flags(entry.flags),
                "encrypted-by-flash-encryption": entry.is_encrypted(),
            })
        })
        .collect();
    let has_md5 = table.checksum == Checksum::Md5;
    Answer::new(json!({ "partitions": entries, "md5": has_md5, "broken-rule": broken }))
        .listing(shown)
}

/// Name of a partition's type, or its number.
pub(crate) fn kind(entry: &Entry) -> String {
    let number = entry.kind.to_u8();
    entry
        .kind
        .name()
        .map_or(format!("{number:#04x}"), Into::into)
}

/// Name of a partition's subtype, or its number.
pub(crate) fn subtype(entry: &Entry) -> String {
    let name = entry.subtype.name(entry.kind);
    name.map_or(format!("{:#04x}", entry.subtype.0), Into::into)
}

fn flags(flags: Flags) -> Vec<String> {
    let mut names = Vec::new();
    for (flag, name) in [
        (Flags::ENCRYPTED, "encrypted"),
        (Flags::READONLY, "readonly"),
    ] {
        if flags.contains(flag) {
            names.push(name.to_owned());
        }
    }
    let rest = flags.0 & !(Flags::ENCRYPTED.0 | Flags::READONLY.0);
    if rest != 0 {
        let mut name = String::new();
        // Writing to a string does not fail.
        let _ = write!(name, "{rest:#x}");
        names.push(name);
    }
    names
}

fn flash_size(text: &str) -> Result<FlashSize, String> {
    let megabytes = text
        .strip_suffix("MB")
        .and_then(|number| number.parse::<u32>().ok());
    (0..8)
        .map(FlashSize::from_nibble)
        .find(|size| size.bytes() == megabytes.and_then(|size| size.checked_mul(1 << 20)))
        .ok_or_else(|| "expected 1MB, 2MB, 4MB, 8MB, 16MB, 32MB, 64MB or 128MB".into())
}
