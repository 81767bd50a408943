//! `espseal nvs build`: an NVS image from CSV files.

use std::path::{Path, PathBuf};

use clap::Args;
use espseal_publish::files::{self, Secrecy};
use espseal_publish::nvs::image::Version;
use espseal_publish::nvs::source::Source;
use serde_json::json;

use super::super::number;
use super::KeySource;
use crate::answer::Answer;
use crate::cli::Outcome;

/// Builds an NVS partition image from CSV, plain or encrypted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal nvs build lamp.csv --size 0x6000 -o nvs.bin
  espseal nvs build lamp.csv device-0001.csv --size 0x6000 --keys nvs-keys.bin -o nvs.bin
  espseal nvs build lamp.csv --size 0x6000 --hmac-key hmac.bin -o nvs.bin

The image is byte for byte that of esp-idf-nvs-partition-gen 0.3. A namespace that is begun again behind
another one, keys before the first namespace, and text that would be cut or lose its end are refused.
Files that a row of type `file` names count from this folder, as they do there.")]
pub(crate) struct Build {
    /// CSV files with the columns key, type, encoding and value, one after the other.
    #[arg(required = true)]
    csv: Vec<PathBuf>,
    /// Bytes of the partition: a multiple of 0x1000; from 0x3000 on firmware can write to it.
    #[arg(long, value_parser = number)]
    size: u32,
    /// Where to write the image; it must not exist. A plain one is private.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Version of the format: 1 keeps each blob on one page.
    #[arg(long, value_name = "1|2", default_value = "2", value_parser = version)]
    version: Version,
    #[command(flatten)]
    keys: KeySource,
}

impl Build {
    pub(super) fn run(self) -> Outcome {
        let cipher = self.keys.cipher()?;
        let mut source = Source::new(self.size, self.version)?;
        for csv in &self.csv {
            source.read(csv, Path::new("."))?;
        }
        let image = source.image.finish(cipher.as_ref());
        let secrecy = match cipher {
            Some(_) => Secrecy::Public,
            None => Secrecy::Private,
        };
        files::create(&self.output, &image, secrecy)?;
        let (pages, used) = (image.len() >> 12, source.image.used_pages());
        let how = if cipher.is_some() {
            "encrypted"
        } else {
            "plain"
        };
        let remarks: Vec<String> = source.remarks.iter().map(ToString::to_string).collect();
        let mut answer = Answer::new(json!({
            "output": self.output,
            "length": image.len(),
            "pages-used": used,
            "encrypted": cipher.is_some(),
            "read-only": source.image.is_read_only(),
            "remarks": remarks,
        }))
        .line(format_args!(
            "{}: {how}, {used} of {pages} pages used",
            self.output.display()
        ));
        for remark in &remarks {
            answer = answer.line(format_args!("note: {remark}"));
        }
        Ok(match source.image.is_read_only() {
            true => answer.line(
                "note: firmware cannot write to fewer than 3 pages: give the partition the flag `readonly`",
            ),
            false => answer,
        })
    }
}

fn version(text: &str) -> Result<Version, String> {
    match text {
        "1" => Ok(Version::One),
        "2" => Ok(Version::Two),
        _ => Err("expected 1 or 2".into()),
    }
}
