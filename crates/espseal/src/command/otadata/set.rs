//! `espseal otadata set`: selects a slot as the agent does.

use clap::Args;
use espseal_format::otadata::{OtaState, OtadataEntry};
use espseal_format::units::FlashOffset;
use espseal_publish::blame::Blame;
use espseal_twin::inspect::otadata::{EntryForm, Reading, sector_with};
use serde_json::json;

use super::{Source, state};
use crate::answer::Answer;
use crate::cli::Outcome;
use crate::command::flash_options::Destination;
use crate::failure::Failure;

/// Selects a slot: writes the entry that is not selected, as the agent and ESP-IDF do.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal otadata set dump.bin --slot ota_1 --output mended.bin
  espseal otadata set dump.bin --slot ota_0 --state valid --flash-key flash-key.bin \\
      --chip esp32 --in-place
  espseal otadata set otadata.bin --slot ota_1 --slots 2 --flash-key key.bin --chip esp32c3 \\
      --address 0xd000 --output otadata-new.bin

With --flash-key the sector is written encrypted; without it, plain.")]
pub(crate) struct Set {
    #[command(flatten)]
    source: Source,
    /// Slot to boot next: ota_0 to ota_15.
    #[arg(long, value_parser = slot)]
    slot: u8,
    /// State of the new entry: new, pending, valid, invalid, aborted or undefined.
    #[arg(long, default_value = "new", value_parser = state)]
    state: OtaState,
    #[command(flatten)]
    destination: Destination,
}

impl Set {
    pub(super) fn run(self) -> Outcome {
        let mut opened = self.source.open()?;
        let refused = |message: &dyn std::fmt::Display| Failure::new(Blame::Refused, message);
        let looks_encrypted = |entry: &espseal_twin::inspect::otadata::EntryView| {
            entry.form == EntryForm::LooksEncrypted
        };
        if opened.cipher.is_none() && opened.view.entries.iter().any(looks_encrypted) {
            return Err(refused(
                &"otadata looks encrypted: give the key with --flash-key, or a plain entry would be written that the bootloader reads as noise",
            ));
        }
        let otadata = opened.otadata();
        let slots = opened.slots.ota;
        let seq = otadata.next_seq_for(self.slot, slots).ok_or_else(|| {
            let slot = self.slot;
            Failure::new(
                Blame::Usage,
                format_args!("there is no ota_{slot}: the partition table has {slots} app slots"),
            )
        })?;
        let sector = otadata.next_sector();
        let entry = OtadataEntry::new(seq, self.state);
        let (offset, mut bytes) = sector_with(sector, &entry);
        let address = FlashOffset::new(opened.address.get().saturating_add(offset));
        let reading = match &opened.cipher {
            Some(cipher) => {
                cipher
                    .encrypt(address, &mut bytes)
                    .map_err(|error| refused(&error))?;
                Reading::FlashEncryption
            }
            None => Reading::Plain,
        };
        let start = (opened.start + offset) as usize;
        let place = opened.bytes.get_mut(start..).unwrap_or_default();
        let place = place.get_mut(..bytes.len()).ok_or_else(|| {
            refused(&format_args!(
                "otadata entry {sector} at {start:#x} is cut short"
            ))
        })?;
        place.copy_from_slice(&bytes);
        let written = self.destination.write(&self.source.file, &opened.bytes)?;
        let how = match reading {
            Reading::Plain => "plain",
            Reading::FlashEncryption => "encrypted",
        };
        Ok(Answer::new(json!({
            "output": written,
            "entry": sector,
            "address": address.get(),
            "seq": seq,
            "slot": self.slot,
            "state": self.state.to_string(),
            "encrypted": reading == Reading::FlashEncryption,
        }))
        .line(format_args!(
            "wrote {}: entry {sector} at {address}, {how}, ota_seq {seq}, ota_{}, state {}",
            written.display(),
            self.slot,
            self.state
        )))
    }
}

fn slot(text: &str) -> Result<u8, String> {
    text.strip_prefix("ota_")
        .and_then(|number| number.parse().ok())
        .filter(|number| *number < 16)
        .ok_or_else(|| "expected ota_0 to ota_15".into())
}
