//! A plan: irreversible steps in order, and the states of the chip between them.

use std::fmt;

use espseal_format::chip::Chip;
use espseal_format::efuse::KeyPurpose;
use espseal_format::units::Digest;
use espseal_twin::efuse::Mac;

use super::order;
use super::present::Present;
use super::reasons::{LeftOpen, Reason};
use super::refusals::Refusal;
use super::state::{Seen, State, Watched};
use super::wish::Wish;

/// An ordered list of burns. It names keys and holds none.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The chip.
    pub chip: &'static Chip,
    /// Its revision, `major * 100 + minor`.
    pub revision: u16,
    /// The one chip that this is for; `None` when it is for any in the same state.
    pub mac: Option<Mac>,
    /// Digests that are burnt or found, slot by slot.
    pub digests: Vec<Digest>,
    /// What to burn, in order; nothing when the chip is as wished.
    pub steps: Vec<PlannedStep>,
    /// The fields that tell how far a chip has come.
    pub watched: Vec<Watched>,
    /// What they hold before the first step, and after each.
    pub states: Vec<State>,
    /// What stays open in the end.
    pub left_open: Vec<LeftOpen>,
}

/// One irreversible step: one command of espefuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStep {
    /// What is burnt.
    pub burn: Burn,
    /// Why, and why here.
    pub reason: Reason,
}

/// What one step burns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Burn {
    /// Keys with their purposes and protections.
    Keys(Vec<PlannedKey>),
    /// Bits of fields, all of them in one block.
    Fields(Vec<(&'static str, u64)>),
    /// A key block is hidden from software.
    ReadProtect(&'static str),
    /// A field or block keeps its value.
    WriteProtect(&'static str),
}

/// A key, or half of one, and its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedKey {
    /// Which key.
    pub key: KeyName,
    /// Which part of its file.
    pub part: KeyPart,
    /// Name of the block.
    pub block: &'static str,
    /// Number of the block.
    pub number: usize,
    /// What it is for.
    pub purpose: KeyPurpose,
}

/// A key that a plan burns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyName {
    /// The flash encryption key.
    Flash,
    /// The key that a device derives its own key from.
    Device,
    /// The key that opens JTAG again.
    Jtag,
    /// The key of secure boot v1.
    Bootloader,
    /// The digest of a secure boot key, by its slot. It is public.
    Digest(u8),
}

/// Part of a key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// All of it.
    Whole,
    /// Its first 32 bytes.
    First,
    /// Its last 32 bytes.
    Second,
}

/// Plans the way from the present state to the wished one.
///
/// # Errors
/// [`Refusal`] when the end state cannot be, contradicts what is burnt, or the way to it would lock
/// somebody out who must not be.
pub fn plan(wish: &Wish, present: &Present) -> Result<Plan, Refusal> {
    order::plan(wish, present)
}

impl Plan {
    /// The secret keys that have to be at hand, with the bytes in their files.
    #[must_use]
    pub fn secrets(&self) -> Vec<(KeyName, usize)> {
        self.secrets_from(0)
    }

    /// The same for the steps from this one on, counted from 0: keys that are burnt may be gone.
    #[must_use]
    pub fn secrets_from(&self, step: usize) -> Vec<(KeyName, usize)> {
        let mut all: Vec<(KeyName, usize)> = Vec::new();
        let steps = self.steps.iter().skip(step);
        for key in steps.flat_map(|step| step.burn.keys()) {
            if key.key.is_secret() {
                let length = self.part_length(key);
                match all.iter_mut().find(|(name, _)| *name == key.key) {
                    Some((_, total)) => *total = total.saturating_add(length),
                    None => all.push((key.key, length)),
                }
            }
        }
        all
    }

    /// What a step changes: the field, and what it holds before and after.
    pub fn changes(
        &self,
        step: usize,
    ) -> impl Iterator<Item = (&Watched, &super::state::Seen, &super::state::Seen)> {
        let states = self
            .states
            .get(step)
            .zip(self.states.get(step.saturating_add(1)));
        let pairs = states
            .into_iter()
            .flat_map(|(before, after)| before.0.iter().zip(&after.0));
        self.watched
            .iter()
            .zip(pairs)
            .filter(|(_, (before, after))| before != after)
            .map(|(watched, (before, after))| (watched, before, after))
    }

    /// Bytes of a key file that go into one block.
    fn part_length(&self, key: &PlannedKey) -> usize {
        match key.purpose {
            KeyPurpose::XtsAes128KeyDerived => 16,
            _ if self.is_coded() => 24,
            _ => 32,
        }
    }

    /// Whether the ESP32's key blocks are coded 3/4.
    fn is_coded(&self) -> bool {
        let coding = self
            .watched
            .iter()
            .position(|watched| watched.field.name == "CODING_SCHEME");
        let first = self.states.first();
        let seen = coding.and_then(|at| first?.0.get(at));
        seen == Some(&Seen::Bits(1))
    }
}

impl Burn {
    /// The keys among what is burnt.
    #[must_use]
    pub fn keys(&self) -> &[PlannedKey] {
        match self {
            Self::Keys(keys) => keys,
            _ => &[],
        }
    }
}

impl KeyName {
    /// Whether it is to be kept from others.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        !matches!(self, Self::Digest(_))
    }

    /// The name in a plan's file, and in the script's environment in capitals.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Flash => "flash-key",
            Self::Device => "device-key",
            Self::Jtag => "jtag-key",
            Self::Bootloader => "bootloader-key",
            Self::Digest(0) => "digest-0",
            Self::Digest(1) => "digest-1",
            Self::Digest(_) => "digest-2",
        }
    }

    /// The key of this name.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        let all = [
            Self::Flash,
            Self::Device,
            Self::Jtag,
            Self::Bootloader,
            Self::Digest(0),
            Self::Digest(1),
            Self::Digest(2),
        ];
        all.into_iter().find(|name| name.id() == id)
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash => f.write_str("the flash encryption key"),
            Self::Device => f.write_str("the device key"),
            Self::Jtag => f.write_str("the key that opens JTAG"),
            Self::Bootloader => f.write_str("the key of secure boot v1"),
            Self::Digest(slot) => write!(f, "secure-boot digest {slot}"),
        }
    }
}

impl fmt::Display for PlannedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.burn {
            Burn::Keys(keys) => {
                for (index, key) in keys.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    let part = match key.part {
                        KeyPart::Whole => "",
                        KeyPart::First => " (first half)",
                        KeyPart::Second => " (second half)",
                    };
                    write!(f, "{separator}{}{part} into {}", key.key, key.block)?;
                }
                Ok(())
            }
            Burn::Fields(fields) => {
                for (index, (name, value)) in fields.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(f, "{separator}{name} = {value:#x}")?;
                }
                Ok(())
            }
            Burn::ReadProtect(name) => write!(f, "read protection of {name}"),
            Burn::WriteProtect(name) => write!(f, "write protection of {name}"),
        }
    }
}
