//! `espseal flash`: shows what a whole flash chip holds.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use espseal_format::units::FlashOffset;
use espseal_twin::inspect::dump::{FlashMap, Known};
use espseal_twin::inspect::finding::Severity;
use espseal_twin::inspect::flash::Flash;

use super::flash_options::{FlashOptions, read_input};
use crate::cli::Outcome;

mod describe;

/// Shows what a whole flash chip holds.
#[derive(Debug, Subcommand)]
pub(crate) enum FlashVerb {
    Show(Show),
}

impl FlashVerb {
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::Show(verb) => verb.run(),
        }
    }
}

/// Maps a whole dump: what is where, erased, plain or encrypted, in order or not.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  esptool read-flash 0 ALL dump.bin && espseal flash show dump.bin
  espseal flash show dump.bin --chip esp32 --flash-key flash-key.bin
  espseal flash show dump.bin --chip esp32c3 --flash-key flash-key.bin --json

Without the key, what is called encrypted only looks so. An error that would keep a device from
booting makes the exit code 1.")]
pub(crate) struct Show {
    /// Dump of a flash chip from address 0; `-` for standard input.
    dump: PathBuf,
    #[command(flatten)]
    flash: FlashOptions,
}

impl Show {
    fn run(self) -> Outcome {
        let bytes = read_input(&self.dump, "a flash dump")?;
        let cipher = self.flash.cipher(&bytes)?;
        let flash = Flash::new(&bytes, FlashOffset::new(0), cipher.as_ref());
        let known = Known {
            chip: self.flash.chip,
            table_offset: self.flash.table_offset,
        };
        let map = FlashMap::of(&flash, &known);
        let is_error = |severity| severity == Severity::Error;
        let refused = map
            .findings
            .iter()
            .any(|finding| is_error(finding.severity()));
        let answer = describe::describe(&map);
        Ok(match refused {
            true => answer.refused(),
            false => answer,
        })
    }
}
