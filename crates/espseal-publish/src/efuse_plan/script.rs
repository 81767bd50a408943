//! A plan as a bash script of `espefuse` commands.
//!
//! The script keeps no notes. Before and after each step it reads the chip and compares what it sees with
//! the states of the plan: so it goes on where it was interrupted, repeats a step that was
//! half done, and stops at a chip that is neither before nor after any step. Keys are read
//! by espefuse from files; no byte of them stands in the script or in an argument.
//!
//! It needs bash 3.2 or later, awk, od, and espefuse 5.6.

use std::fmt::Write as _;
use std::path::Path;

use espseal_format::efuse::ByteOrder;
use espseal_format::units::Digest;

use super::commands::Word;
use super::plan::{KeyName, KeyPart, Plan, PlannedStep};
use super::reasons::Reason;
use super::state::{State, Watched, raw};

/// What is the same in every script.
const ENGINE: &str = include_str!("script/engine.sh");
/// What stands before the plan.
const HEADER: &str = include_str!("script/header.sh");

impl Plan {
    /// Writes the script. `files` are the key files that it uses unless its environment names others.
    #[must_use]
    pub fn script(&self, files: &[(KeyName, &Path)]) -> String {
        let mut script = String::new();
        let (major, minor) = (self.revision / 100, self.revision % 100);
        let title = format!("{} v{major}.{minor}", self.chip.name());
        script.push_str(&HEADER.replace("@TITLE@", &title));
        let target = self.chip.id.target().unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(script, "CHIP={target}\nSTEPS={}\n", self.steps.len());
        self.keys(&mut script, files);
        self.states(&mut script);
        for (number, step) in (1..).zip(&self.steps) {
            self.step(&mut script, number, step);
        }
        script.push_str(ENGINE);
        script
    }

    /// Key files: a line for each, from the environment or as planned.
    fn keys(&self, script: &mut String, files: &[(KeyName, &Path)]) {
        script.push_str("# Key files, the bytes in each, and the step that burns it.\nKEYS=()\n");
        for (key, length) in self.secrets() {
            let burns = |step: &PlannedStep| step.burn.keys().iter().any(|row| row.key == key);
            let step = self
                .steps
                .iter()
                .position(burns)
                .map_or(0, |index| index + 1);
            let variable = variable(key);
            let mut planned = files.iter().filter(|(name, _)| *name == key);
            let path = planned.next().map_or(String::new(), |(_, path)| {
                quoted(&path.display().to_string())
            });
            let _ = writeln!(
                script,
                "{variable}=${{ESPSEAL_{variable}:-}}; [[ -n ${variable} ]] || {variable}={path}\n\
                 KEYS+=(\"{variable} {length} {step}\")"
            );
        }
        script.push_str("\n# Digests are public.\ndigests() {\n    :\n");
        for (slot, Digest(digest)) in self.digests.iter().enumerate() {
            let bytes = digest.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "\\x{byte:02x}");
                text
            });
            let _ = writeln!(script, "    printf '{bytes}' >\"$work/digest-{slot}\"");
        }
        script.push_str("}\n\n");
    }

    /// What is looked at, and what has to be seen before the first step and after each.
    fn states(&self, script: &mut String) {
        script.push_str(
            "# What is looked at: name, mask of the bits that count, and the key that a block is for.\nWATCHED=(\n",
        );
        for watched in &self.watched {
            let mask = match (watched.is_key(), watched.field.name) {
                (true, _) => "key".into(),
                (_, "MAC") => "text".into(),
                _ => format!("{:#x}", watched.mask),
            };
            let _ = writeln!(
                script,
                "    \"{} {mask} {}\"",
                watched.field.name,
                self.holds(watched)
            );
        }
        script.push_str(")\n\n# What is seen before the first step, and after each.\nSTATES=(\n");
        for state in &self.states {
            let _ = writeln!(script, "    \"{}\"", self.line(state));
        }
        script.push_str(")\n\n");
    }

    fn line(&self, state: &State) -> String {
        let values: Vec<_> = self
            .watched
            .iter()
            .zip(&state.0)
            .map(|(watched, seen)| raw(watched, seen, &self.digests))
            .collect();
        values.join(" ")
    }

    /// The secret key that a watched block is for: variable, part and order; `-` for none.
    fn holds(&self, watched: &Watched) -> String {
        let mut keys = self.steps.iter().flat_map(|step| step.burn.keys());
        let key = keys.find(|key| {
            key.key.is_secret()
                && key.number == usize::from(watched.field.block)
                && watched.is_key()
                && watched.field.bit == 0
        });
        key.map_or_else(
            || "-".into(),
            |key| {
                let order = match key.purpose.byte_order() {
                    ByteOrder::AsGiven => "forward",
                    ByteOrder::Reversed => "backward",
                };
                format!("{} {} {order}", variable(key.key), part(key.part))
            },
        )
    }

    fn step(&self, script: &mut String, number: usize, step: &PlannedStep) {
        let words: Vec<_> = self
            .command(step)
            .into_iter()
            .map(|word| match word {
                Word::Text(text) => text,
                Word::File(KeyName::Digest(slot), _) => format!("\"$work/digest-{slot}\""),
                Word::File(key, KeyPart::Whole) => format!("\"${}\"", variable(key)),
                Word::File(key, half) => {
                    format!("<(part \"${}\" {})", variable(key), part(half))
                }
            })
            .collect();
        let _ = writeln!(
            script,
            "# {}\nTITLES[{number}]={}\nstep_{number}() {{\n    burn {}\n}}\n",
            step.reason,
            quoted(&step.to_string()),
            words.join(" ")
        );
        if step.reason == Reason::DownloadLast {
            let _ = writeln!(script, "SILENT_AFTER={number}\n");
        }
    }
}

const fn part(part: KeyPart) -> &'static str {
    match part {
        KeyPart::Whole => "whole",
        KeyPart::First => "first",
        KeyPart::Second => "second",
    }
}

/// The variable of a key file.
const fn variable(key: KeyName) -> &'static str {
    match key {
        KeyName::Flash => "FLASH_KEY",
        KeyName::Device => "DEVICE_KEY",
        KeyName::Jtag => "JTAG_KEY",
        KeyName::Bootloader => "BOOTLOADER_KEY",
        KeyName::Digest(_) => "DIGEST",
    }
}

/// A word for the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
