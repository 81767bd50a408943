//! Carries a plan out on a virtual chip, from wherever the chip stands.

use std::fmt;

use espseal_format::units::Digest;
use espseal_twin::efuse::espefuse_rules::{self, EspefuseRefusal};
use espseal_twin::efuse::{EfuseError, Efuses, KeyProtection, KeyToBurn, KeyUse};
use zeroize::Zeroizing;

use super::plan::{KeyName, KeyPart, Plan, PlannedKey};
use super::state::{State, raw};
use crate::blame::Blame;

/// The keys of one chip, as their key files have them. Prints nothing.
#[derive(Default)]
pub struct Material {
    keys: Vec<(KeyName, Zeroizing<Vec<u8>>)>,
    /// Whether keys that are not there are made up, to try a plan out.
    stands_in: bool,
}

impl Material {
    /// Keys for trying a plan out: they are nobody's.
    pub(super) fn stand_in() -> Self {
        Self {
            keys: Vec::new(),
            stands_in: true,
        }
    }

    /// Adds the digests of secure boot keys.
    #[must_use]
    pub fn with_digests(mut self, digests: &[Digest]) -> Self {
        for (slot, digest) in (0..).zip(digests) {
            let key = Zeroizing::new(digest.0.to_vec());
            self.keys.push((KeyName::Digest(slot), key));
        }
        self
    }

    /// Adds a key.
    #[must_use]
    pub fn with(mut self, name: KeyName, key: Zeroizing<Vec<u8>>) -> Self {
        self.keys.push((name, key));
        self
    }

    /// Checks that every key for the steps from this one on is there, whole, and no pattern of one byte.
    ///
    /// # Errors
    /// [`ApplyError::NoKey`], [`ApplyError::KeyLength`], [`ApplyError::BlankKey`].
    pub fn check(&self, plan: &Plan, step: usize) -> Result<(), ApplyError> {
        for (key, expected) in plan.secrets_from(step) {
            let bytes = self.get(key).ok_or(ApplyError::NoKey { key })?;
            let found = bytes.len();
            if found != expected {
                return Err(ApplyError::KeyLength {
                    key,
                    expected,
                    found,
                });
            }
            if bytes.iter().all(|byte| Some(byte) == bytes.first()) {
                return Err(ApplyError::BlankKey { key });
            }
        }
        Ok(())
    }

    fn get(&self, name: KeyName) -> Option<&[u8]> {
        let mut keys = self.keys.iter();
        keys.find(|row| row.0 == name).map(|row| row.1.as_slice())
    }

    /// Burns keys in one command.
    pub(super) fn burn(
        &self,
        efuses: &mut Efuses,
        keys: &[PlannedKey],
    ) -> Result<(), EspefuseRefusal> {
        let mut burns = Vec::new();
        for key in keys {
            let bytes = self.part(key, efuses)?;
            burns.push((key.number, KeyUse::Purpose(key.purpose), bytes));
        }
        let burns: Vec<_> = burns
            .iter()
            .map(|(block, usage, key)| KeyToBurn {
                block: *block,
                usage: *usage,
                key,
            })
            .collect();
        espefuse_rules::burn_key(efuses, &burns, KeyProtection::Usual)
    }

    /// What of a key file goes into one block.
    fn part(
        &self,
        key: &PlannedKey,
        efuses: &Efuses,
    ) -> Result<Zeroizing<Vec<u8>>, EspefuseRefusal> {
        let bytes = match self.get(key.key) {
            Some(bytes) => bytes.to_vec(),
            None if self.stands_in => {
                let length = match key.purpose {
                    espseal_format::efuse::KeyPurpose::XtsAes128KeyDerived => 16,
                    _ if key.key.is_secret() => efuses.coding_scheme().data_size(),
                    _ => 32,
                };
                return Ok(Zeroizing::new(vec![0x5A; length]));
            }
            None => {
                let block = key.number;
                return Err(EfuseError::NoKeyBlock { block }.into());
            }
        };
        let mut bytes = Zeroizing::new(bytes);
        match key.part {
            KeyPart::Whole => {}
            KeyPart::First => bytes.truncate(32),
            KeyPart::Second => {
                let first = bytes.len().min(32);
                bytes.drain(..first);
            }
        }
        Ok(bytes)
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").finish_non_exhaustive()
    }
}

/// How far a chip has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// So many steps are done.
    After(usize),
    /// So many steps are done, and the next one is half done.
    Within(usize),
}

impl Plan {
    /// Finds out how far a chip has come: nothing but its eFuses is asked.
    ///
    /// # Errors
    /// [`ApplyError::Elsewhere`] when it is neither before nor after any step.
    pub fn position(&self, efuses: &Efuses) -> Result<Position, ApplyError> {
        let now = State::of(efuses, &self.watched, &self.digests);
        if let Some(done) = self.states.iter().position(|state| *state == now) {
            return Ok(Position::After(done));
        }
        let mut pairs = self.states.windows(2);
        let within = pairs.position(|pair| match pair {
            [before, after] => now.is_between(before, after),
            _ => false,
        });
        within
            .map(Position::Within)
            .ok_or_else(|| self.elsewhere(&now))
    }

    /// Carries out what is missing, and returns how many steps that was.
    ///
    /// # Errors
    /// [`ApplyError`]; the steps before stay burnt, and a new run goes on from there.
    pub fn apply(&self, efuses: &mut Efuses, material: &Material) -> Result<usize, ApplyError> {
        let mut burnt = 0;
        while self.apply_next(efuses, material)?.is_some() {
            burnt += 1;
        }
        Ok(burnt)
    }

    /// Carries out the next step that is missing, and returns its number, from 0; `None` when none is.
    ///
    /// # Errors
    /// [`ApplyError`]; nothing is burnt then, unless the step came out otherwise than planned.
    pub fn apply_next(
        &self,
        efuses: &mut Efuses,
        material: &Material,
    ) -> Result<Option<usize>, ApplyError> {
        let (Position::After(number) | Position::Within(number)) = self.position(efuses)?;
        let Some(step) = self.steps.get(number) else {
            return Ok(None);
        };
        material.check(self, number)?;
        step.burn
            .carry_out(efuses, material)
            .map_err(|cause| ApplyError::Step {
                number: number + 1,
                step: step.to_string().into(),
                cause,
            })?;
        let now = State::of(efuses, &self.watched, &self.digests);
        match self.states.get(number + 1) == Some(&now) {
            true => Ok(Some(number)),
            false => Err(self.elsewhere(&now)),
        }
    }

    /// What does not fit: each field that holds what neither the start nor any step leaves there.
    fn elsewhere(&self, now: &State) -> ApplyError {
        let mut fields = Vec::new();
        for (index, (watched, seen)) in self.watched.iter().zip(&now.0).enumerate() {
            let mut states = self.states.iter().filter_map(|state| state.0.get(index));
            if !states.any(|state| state == seen) {
                let found = raw(watched, seen, &self.digests);
                fields.push(format!("{} is {found}", watched.field.name));
            }
        }
        ApplyError::Elsewhere {
            fields: match fields.is_empty() {
                true => "its fields are of different steps".into(),
                false => fields.join(", ").into(),
            },
        }
    }
}

/// Why a plan was not carried out to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// A key is not at hand.
    #[error("the plan burns {key}, and no file was given for it: name it with --{}", key.id())]
    NoKey {
        /// The key.
        key: KeyName,
    },
    /// A key file is too long or too short.
    #[error("{key} has {found} bytes, the plan burns {expected}: make the key for this plan")]
    KeyLength {
        /// The key.
        key: KeyName,
        /// Bytes that the plan burns.
        expected: usize,
        /// Bytes in the file.
        found: usize,
    },
    /// A key is one byte repeated.
    #[error("{key} is one byte repeated: draw a random one")]
    BlankKey {
        /// The key.
        key: KeyName,
    },
    /// The chip is neither before nor after any step.
    #[error(
        "the chip is neither before nor after any step of this plan ({fields}): it is another chip, or was burnt by \
         somebody else; plan anew from its present state"
    )]
    Elsewhere {
        /// What does not fit.
        fields: Box<str>,
    },
    /// A step fails.
    #[error("step {number}, {step}: {cause}")]
    Step {
        /// Its number, from 1.
        number: usize,
        /// What it burns.
        step: Box<str>,
        /// Why.
        cause: EspefuseRefusal,
    },
}

impl ApplyError {
    /// Who has to act.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::NoKey { .. } | Self::KeyLength { .. } => Blame::Usage,
            _ => Blame::Refused,
        }
    }
}
