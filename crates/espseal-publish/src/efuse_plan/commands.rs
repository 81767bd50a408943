//! Each step as a command of `espefuse` 5.6.0. Keys stand there by file name, never by value.

use espseal_format::efuse::{KeyPurpose, KeyRole};

use super::plan::{Burn, KeyName, KeyPart, Plan, PlannedKey, PlannedStep};

/// A word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// As it stands.
    Text(String),
    /// The name of a file that holds this part of a key.
    File(KeyName, KeyPart),
}

impl Plan {
    /// The command of a step, without the options that go before it.
    #[must_use]
    pub fn command(&self, step: &PlannedStep) -> Vec<Word> {
        let mut words = Vec::new();
        match &step.burn {
            Burn::Keys(keys) => {
                words.push(text("burn-key"));
                for key in keys {
                    self.key(key, &mut words);
                }
            }
            Burn::Fields(fields) => {
                words.push(text("burn-efuse"));
                for (name, value) in fields {
                    words.push(text(name));
                    words.push(Word::Text(format!("{value:#x}")));
                }
            }
            Burn::ReadProtect(name) => words.extend([text("read-protect-efuse"), text(name)]),
            Burn::WriteProtect(name) => words.extend([text("write-protect-efuse"), text(name)]),
        }
        words
    }

    /// Block, file and purpose; the ESP32's blocks go by the name of what they are for.
    fn key(&self, key: &PlannedKey, words: &mut Vec<Word>) {
        let mut keys = self.chip.efuse.keys.iter();
        let entry = keys.find(|entry| usize::from(entry.key.block) == key.number);
        let fixed = entry.is_some_and(|entry| {
            matches!(entry.role, KeyRole::FlashEncryption | KeyRole::SecureBoot)
        });
        let purpose = KeyPurpose::name(key.purpose).unwrap_or_default();
        let file = Word::File(key.key, key.part);
        match fixed {
            true => words.extend([text(purpose), file]),
            false => words.extend([text(key.block), file, text(purpose)]),
        }
    }

    /// The command of a step as a line for people.
    #[must_use]
    pub fn command_line(&self, step: &PlannedStep) -> String {
        let words: Vec<_> = self
            .command(step)
            .into_iter()
            .map(|word| match word {
                Word::Text(text) => text,
                Word::File(key, KeyPart::Whole) => format!("{}.bin", key.id()),
                Word::File(key, KeyPart::First) => format!("{}.first-half.bin", key.id()),
                Word::File(key, KeyPart::Second) => format!("{}.second-half.bin", key.id()),
            })
            .collect();
        words.join(" ")
    }
}

fn text(word: &str) -> Word {
    Word::Text(word.into())
}
