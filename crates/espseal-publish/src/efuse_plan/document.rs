//! A plan as a JSON document, for programs and for `espseal efuse apply`.
//!
//! `steps` and `states` are what is carried out; sentences are for readers and are not read back.

use espseal_format::chip::{Chip, ChipId, chip};
use espseal_format::efuse::{Field, KeyPurpose};
use espseal_format::units::Digest;
use espseal_twin::efuse::Mac;
use serde::{Deserialize, Serialize};

use super::plan::{Burn, KeyName, KeyPart, Plan, PlannedKey, PlannedStep};
use super::reasons::{LeftOpen, Reason};
use super::state::{Seen, State, Watched, raw};
use crate::blame::Blame;

/// Version of the document.
const FORMAT: u32 = 1;

/// The document.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Document {
    format: u32,
    chip: String,
    revision: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    digests: Vec<String>,
    keys: Vec<DocumentKeyFile>,
    steps: Vec<DocumentStep>,
    watched: Vec<DocumentWatched>,
    states: Vec<Vec<String>>,
    left_open: Vec<DocumentNote>,
    no_longer_debugged: Vec<DocumentEnd>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct DocumentKeyFile {
    key: String,
    bytes: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct DocumentStep {
    burn: DocumentBurn,
    reason: String,
    why: String,
    ends: Vec<DocumentConsequence>,
    command: String,
    check: Vec<DocumentCheck>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum DocumentBurn {
    Keys(Vec<DocumentKey>),
    Fields(Vec<DocumentField>),
    ReadProtect(String),
    WriteProtect(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct DocumentKey {
    key: String,
    part: DocumentPart,
    block: String,
    purpose: String,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum DocumentPart {
    Whole,
    First,
    Second,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct DocumentField {
    field: String,
    value: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct DocumentConsequence {
    about: String,
    ends: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct DocumentCheck {
    field: String,
    mask: u64,
    before: String,
    after: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct DocumentWatched {
    field: String,
    mask: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct DocumentNote {
    id: String,
    note: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct DocumentEnd {
    after_step: usize,
    what: String,
}

impl Document {
    /// The document of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        Self {
            format: FORMAT,
            chip: plan.chip.id.target().unwrap_or_default().into(),
            revision: plan.revision,
            mac: plan.mac.map(|mac| mac.to_string()),
            digests: plan.digests.iter().map(ToString::to_string).collect(),
            keys: plan
                .secrets()
                .into_iter()
                .map(|(key, bytes)| DocumentKeyFile {
                    key: key.id().into(),
                    bytes,
                })
                .collect(),
            steps: plan
                .steps
                .iter()
                .enumerate()
                .map(|(index, step)| DocumentStep::of(plan, index, step))
                .collect(),
            watched: plan
                .watched
                .iter()
                .map(|watched| DocumentWatched {
                    field: watched.field.name.into(),
                    mask: watched.mask,
                })
                .collect(),
            states: plan
                .states
                .iter()
                .map(|state| state.0.iter().map(seen).collect())
                .collect(),
            left_open: plan
                .left_open
                .iter()
                .map(|open| DocumentNote {
                    id: open.id().into(),
                    note: open.to_string(),
                })
                .collect(),
            no_longer_debugged: plan
                .debugging()
                .into_iter()
                .map(|(after_step, what)| DocumentEnd {
                    after_step,
                    what: what.into(),
                })
                .collect(),
        }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn parse(bytes: &[u8]) -> Result<Plan, DocumentError> {
        let document: Self = serde_json::from_slice(bytes)
            .map_err(|error| DocumentError::Syntax(error.to_string().into()))?;
        document.plan()
    }

    fn plan(&self) -> Result<Plan, DocumentError> {
        if self.format != FORMAT {
            return Err(DocumentError::Format {
                expected: FORMAT,
                found: self.format,
            });
        }
        let id: Option<ChipId> = self.chip.parse().ok();
        let chip = id
            .and_then(chip)
            .ok_or_else(|| unknown("chip", &self.chip))?;
        let read = Read { chip };
        let watched = self
            .watched
            .iter()
            .map(|watched| {
                let field = read.field(&watched.field)?;
                let mask = watched.mask;
                Ok(Watched { field, mask })
            })
            .collect::<Result<Vec<_>, DocumentError>>()?;
        let states = self
            .states
            .iter()
            .map(|state| {
                let values: Result<Vec<_>, _> = state.iter().map(|text| parse_seen(text)).collect();
                Ok(State(values?))
            })
            .collect::<Result<Vec<_>, DocumentError>>()?;
        let (expected, found) = (self.steps.len().saturating_add(1), states.len());
        if expected != found || states.iter().any(|state| state.0.len() != watched.len()) {
            return Err(DocumentError::States { expected, found });
        }
        Ok(Plan {
            chip,
            revision: self.revision,
            mac: match &self.mac {
                Some(text) => Some(mac(text).ok_or_else(|| unknown("mac", text))?),
                None => None,
            },
            digests: self
                .digests
                .iter()
                .map(|text| Digest::from_hex(text).ok_or_else(|| unknown("digest", text)))
                .collect::<Result<_, _>>()?,
            steps: self
                .steps
                .iter()
                .map(|step| read.step(step))
                .collect::<Result<_, _>>()?,
            watched,
            states,
            left_open: self
                .left_open
                .iter()
                .map(|note| LeftOpen::from_id(&note.id).ok_or_else(|| unknown("note", &note.id)))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl DocumentStep {
    fn of(plan: &Plan, index: usize, step: &PlannedStep) -> Self {
        Self {
            burn: DocumentBurn::of(&step.burn),
            reason: step.reason.id().into(),
            why: step.reason.to_string(),
            ends: step
                .consequences(plan.chip)
                .into_iter()
                .map(|(about, ends)| DocumentConsequence {
                    about,
                    ends: ends.into(),
                })
                .collect(),
            command: plan.command_line(step),
            check: plan
                .changes(index)
                .map(|(watched, before, after)| DocumentCheck {
                    field: watched.field.name.into(),
                    mask: watched.mask,
                    before: raw(watched, before, &plan.digests),
                    after: raw(watched, after, &plan.digests),
                })
                .collect(),
        }
    }
}

impl DocumentBurn {
    fn of(burn: &Burn) -> Self {
        match burn {
            Burn::Keys(keys) => Self::Keys(keys.iter().map(DocumentKey::of).collect()),
            Burn::Fields(fields) => Self::Fields(
                fields
                    .iter()
                    .map(|(field, value)| DocumentField {
                        field: (*field).into(),
                        value: *value,
                    })
                    .collect(),
            ),
            Burn::ReadProtect(name) => Self::ReadProtect((*name).into()),
            Burn::WriteProtect(name) => Self::WriteProtect((*name).into()),
        }
    }
}

impl DocumentKey {
    fn of(key: &PlannedKey) -> Self {
        Self {
            key: key.key.id().into(),
            part: match key.part {
                KeyPart::Whole => DocumentPart::Whole,
                KeyPart::First => DocumentPart::First,
                KeyPart::Second => DocumentPart::Second,
            },
            block: key.block.into(),
            purpose: key.purpose.to_string(),
        }
    }
}

/// Looks names up in a chip's table.
struct Read {
    chip: &'static Chip,
}

impl Read {
    fn field(&self, name: &str) -> Result<&'static Field, DocumentError> {
        let field = self.chip.efuse.field(name);
        field.ok_or_else(|| unknown("field", name))
    }

    fn step(&self, step: &DocumentStep) -> Result<PlannedStep, DocumentError> {
        let reason = Reason::from_id(&step.reason);
        let burn = match &step.burn {
            DocumentBurn::Keys(keys) => Burn::Keys(
                keys.iter()
                    .map(|key| self.key(key))
                    .collect::<Result<_, _>>()?,
            ),
            DocumentBurn::Fields(fields) => Burn::Fields(
                fields
                    .iter()
                    .map(|row| Ok((self.field(&row.field)?.name, row.value)))
                    .collect::<Result<_, DocumentError>>()?,
            ),
            DocumentBurn::ReadProtect(name) => Burn::ReadProtect(self.field(name)?.name),
            DocumentBurn::WriteProtect(name) => Burn::WriteProtect(self.field(name)?.name),
        };
        Ok(PlannedStep {
            burn,
            reason: reason.ok_or_else(|| unknown("reason", &step.reason))?,
        })
    }

    fn key(&self, key: &DocumentKey) -> Result<PlannedKey, DocumentError> {
        let field = self.field(&key.block)?;
        let purpose = KeyPurpose::from_name(&key.purpose);
        Ok(PlannedKey {
            key: KeyName::from_id(&key.key).ok_or_else(|| unknown("key", &key.key))?,
            part: match key.part {
                DocumentPart::Whole => KeyPart::Whole,
                DocumentPart::First => KeyPart::First,
                DocumentPart::Second => KeyPart::Second,
            },
            block: field.name,
            number: usize::from(field.block),
            purpose: purpose.ok_or_else(|| unknown("purpose", &key.purpose))?,
        })
    }
}

fn seen(seen: &Seen) -> String {
    match seen {
        Seen::Bits(bits) => format!("{bits:#x}"),
        Seen::Empty => "empty".into(),
        Seen::Hidden => "hidden".into(),
        Seen::Burnt => "readable".into(),
        Seen::Digest(slot) => format!("digest-{slot}"),
    }
}

fn parse_seen(text: &str) -> Result<Seen, DocumentError> {
    let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    let slot = |text: &str| text.strip_prefix("digest-")?.parse().ok();
    match text {
        "empty" => Ok(Seen::Empty),
        "hidden" => Ok(Seen::Hidden),
        "readable" => Ok(Seen::Burnt),
        other => number(other)
            .map(Seen::Bits)
            .or_else(|| slot(other).map(Seen::Digest))
            .ok_or_else(|| unknown("state", other)),
    }
}

fn mac(text: &str) -> Option<Mac> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(Mac(bytes))
}

fn unknown(what: &'static str, found: &str) -> DocumentError {
    DocumentError::Unknown {
        what,
        found: found.into(),
    }
}

/// Why a file is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// Not the JSON of a plan.
    #[error("no eFuse plan: {0}; make one with `espseal efuse plan --json`")]
    Syntax(Box<str>),
    /// Of another version.
    #[error("format of the plan is {found}, expected {expected}: make it anew with this espseal")]
    Format {
        /// The version that is read.
        expected: u32,
        /// The version of the file.
        found: u32,
    },
    /// A name or value that means nothing.
    #[error("the plan names the {what} `{found}`, which does not exist on this chip")]
    Unknown {
        /// What it should be.
        what: &'static str,
        /// What stands there.
        found: Box<str>,
    },
    /// States and steps do not match.
    #[error(
        "the plan has {found} states for its steps, expected {expected}, each with every watched field"
    )]
    States {
        /// One more than steps.
        expected: usize,
        /// In the file.
        found: usize,
    },
}

impl DocumentError {
    /// Who has to act.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        Blame::Usage
    }
}
