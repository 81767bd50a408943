//! `espseal otadata show`: both entries, and what a bootloader makes of them.

use clap::Args;
use espseal_format::otadata::{OtadataError, slot_of};
use espseal_twin::boot::{AppSlot, Decision, Rollback};
use espseal_twin::inspect::otadata::{
    EntryForm, EntryView, Factory, Forecast, Reading, Slots, forecast,
};
use serde_json::{Value, json};

use super::{Opened, Source};
use crate::answer::Answer;
use crate::cli::Outcome;

/// Shows both entries and what the bootloader would do next, with and without rollback.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal otadata show dump.bin
  espseal otadata show dump.bin --flash-key flash-key.bin --chip esp32c3
  espseal otadata show otadata.bin --slots 2 --json")]
pub(crate) struct Show {
    #[command(flatten)]
    source: Source,
}

impl Show {
    pub(super) fn run(self) -> Outcome {
        let opened = self.source.open()?;
        let entries: Vec<_> = opened
            .view
            .entries
            .iter()
            .map(|entry| entry_json(entry, opened.slots))
            .collect();
        let mut json = json!({
            "address": opened.address.get(),
            "slots": opened.slots.ota,
            "factory": opened.slots.factory == Factory::Present,
            "entries": entries,
            "selected": opened.otadata().selected().map(|(sector, _)| sector),
        });
        let mut answer = Answer::new(Value::Null);
        for (index, entry) in opened.view.entries.iter().enumerate() {
            answer = answer.listing(format_args!(
                "entry {index}: {}",
                describe(entry, opened.slots)
            ));
        }
        for (name, rollback) in [("with", Rollback::Enabled), ("without", Rollback::Disabled)] {
            let Some(entries) = opened.view.as_read(opened.view.reading()) else {
                answer = answer.listing(format_args!(
                    "{name} rollback: unknown, the entries look encrypted and there is no key that opens them"
                ));
                continue;
            };
            let forecast = forecast(&entries, opened.slots, rollback);
            if let Some(object) = json.as_object_mut() {
                let key = format!("{name}-rollback");
                object.insert(key, forecast_json(&forecast, opened.slots));
            }
            let words = words(&forecast, opened.slots);
            answer = answer.listing(format_args!("{name} rollback: {}", words.join("; ")));
        }
        let mixed = mixed(&opened);
        if let Some(warning) = mixed {
            answer = answer.line(format_args!("warning: {warning}"));
        }
        Ok(answer.with_json(json))
    }
}

/// One plain and one encrypted entry: a device reads only one of them.
fn mixed(opened: &Opened) -> Option<&'static str> {
    let forms = opened.view.entries.map(|entry| entry.form);
    let encrypted = opened.view.reading() == Reading::FlashEncryption;
    (encrypted && forms.contains(&EntryForm::Plain)).then_some(
        "one entry is plain and one is encrypted: a device with flash encryption reads the plain one as noise",
    )
}

fn describe(entry: &EntryView, slots: Slots) -> String {
    let form = form(entry.form);
    match entry.parse() {
        Ok(parsed) => {
            let slot = slot_of(parsed.seq, slots.ota);
            let slot = slot.map_or("no slot".into(), |slot| format!("ota_{slot}"));
            let (seq, state, crc) = (parsed.seq, parsed.state, parsed.crc);
            format!("{form}, ota_seq {seq} ({slot}), state {state}, crc {crc:#010x} right")
        }
        Err(_) if entry.form == EntryForm::Erased => form.into(),
        Err(_) if entry.form == EntryForm::LooksEncrypted => {
            format!("{form}: give its key with --flash-key")
        }
        Err(OtadataError::Erased) => format!("{form}, blank"),
        Err(error) => format!("{form}, {error}"),
    }
}

const fn form(form: EntryForm) -> &'static str {
    match form {
        EntryForm::Erased => "erased",
        EntryForm::Plain => "plain",
        EntryForm::Encrypted => "encrypted",
        EntryForm::LooksEncrypted => "looks encrypted",
    }
}

fn entry_json(entry: &EntryView, slots: Slots) -> Value {
    match entry.parse() {
        Ok(parsed) => json!({
            "form": form(entry.form),
            "seq": parsed.seq,
            "slot": slot_of(parsed.seq, slots.ota),
            "state": parsed.state.to_string(),
            "crc": parsed.crc,
            "crc-right": true,
        }),
        Err(error) => json!({ "form": form(entry.form), "error": error.to_string() }),
    }
}

fn forecast_json(forecast: &Forecast, slots: Slots) -> Value {
    json!({ "tries-first": forecast.first.to_string(), "steps": words(forecast, slots) })
}

/// What the bootloader does, step by step.
fn words(forecast: &Forecast, slots: Slots) -> Vec<String> {
    let mut words: Vec<_> = forecast
        .decisions
        .iter()
        .map(|decision| match decision {
            Decision::Aborted { entry } => format!(
                "marks entry {entry} ABORTED, because its app was pending and did not confirm"
            ),
            Decision::Selected { entry, slot } => format!("entry {entry} selects {slot}"),
            Decision::MarkedPending { entry } => {
                format!("marks entry {entry} PENDING_VERIFY: this boot is its only trial")
            }
            Decision::Defaulted => "no entry is in use".into(),
            Decision::OtadataInvalid => {
                "no entry is usable, though not both are blank: tries every app".into()
            }
            Decision::WroteActualSequence { seq } => {
                format!("after it has loaded ota_0, writes ota_seq {seq} to entry 0")
            }
            other => format!("{other:?}"),
        })
        .collect();
    let fallback = match (forecast.first, slots.factory) {
        (AppSlot::Ota(_), Factory::Present) => "any other slot and the factory app",
        (AppSlot::Ota(_), Factory::Absent) => "any other slot",
        _ => "the OTA slots",
    };
    words.push(format!(
        "boots {}, or {fallback} if that does not verify",
        forecast.first
    ));
    words
}
