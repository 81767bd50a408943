//! What the firmware did between two restarts, as it tells the host at the end.
//!
//! ```text
//! boot u8, count u8 | end u8, code u16 | operations u32 | stack 6 x u32, steps 5 x u32
//! chunks u32 | chunks own u64 | staging own u64 | everything u64 | crypto alone u32
//! ```

use espseal_agent::agent::{BootOutcome, UpdateOutcome};

use crate::cursor::{Reader, Writer};

/// What the firmware did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journey {
    /// What the agent made of the restart.
    pub boot: Boot,
    /// How it ended.
    pub end: End,
    /// Flash operations.
    pub operations: u32,
    /// Deepest stack of each call into the agent.
    pub stack: Stack,
    /// Instructions, where they were counted.
    pub instructions: Instructions,
}

/// What the agent made of a restart: [`BootOutcome`] without the digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Boot {
    /// Nothing was pending.
    Idle,
    /// The new image ran for the first time.
    AwaitingConfirmation,
    /// The confirmation was finished.
    Confirmed,
    /// The new image had failed so often.
    RolledBack(u8),
    /// The activation was torn so often.
    Torn(u8),
    /// The bootloader cannot roll back.
    NoRollback,
    /// Another slot ran than the selected one.
    Fallback,
    /// The agent refused, see [`End::Refused`].
    Refused,
}

/// How the firmware ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// It restarts into what is selected now.
    Restart,
    /// Its self-test failed, and it restarts without a confirmation.
    SelfTestFailed,
    /// There was nothing to do.
    Settled(Settled),
    /// The agent refused, with this code.
    Refused(u16),
}

/// What a poll led to that led nowhere: [`UpdateOutcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// Nothing newer is on offer.
    UpToDate,
    /// Not for this device yet.
    NotInCohort,
    /// Held back for now.
    Held,
    /// The offer changed.
    OfferChanged,
}

/// Bytes of stack that each method of the agent takes, bridge included; 0 for what was not called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// What the program itself stands on: the agent, its drivers, the flash cipher's keys.
    pub base: u32,
    /// Flash driver and cipher, which have a stack of their own.
    pub flash: u32,
    /// `on_boot`.
    pub on_boot: u32,
    /// `update`.
    pub update: u32,
    /// The steps of `update`.
    pub steps: Steps,
    /// `confirm`.
    pub confirm: u32,
    /// `report`.
    pub report: u32,
}

/// Bytes of stack of the steps of an update, each measured until the observer hears of its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Until the manifest of the offer is verified.
    pub metadata: u32,
    /// Until the content key is unwrapped and matches its commitment.
    pub key: u32,
    /// Fetching, checking, decrypting and writing chunks.
    pub chunks: u32,
    /// Checking the whole image: digest, structure, signature, descriptor.
    pub image: u32,
    /// Asking again and selecting the new image.
    pub activation: u32,
}

/// Instructions, counted by the core.
///
/// *Own* are those outside flash driver and transport: on a real chip the one is the ROM's, the
/// other the network stack's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instructions {
    /// Chunks that were received and written.
    pub chunks: u32,
    /// Own instructions of receiving and writing them.
    pub chunks_own: u64,
    /// Own instructions of the whole staging, checks of the image included.
    pub staging_own: u64,
    /// All instructions from start to end, drivers and bridge included.
    pub everything: u64,
    /// SHA-256 and AES-256-CTR of one chunk, without the agent.
    pub crypto_alone: u32,
}

impl From<&BootOutcome> for Boot {
    fn from(outcome: &BootOutcome) -> Self {
        match outcome {
            BootOutcome::Idle => Self::Idle,
            BootOutcome::AwaitingConfirmation { .. } => Self::AwaitingConfirmation,
            BootOutcome::Confirmed { .. } => Self::Confirmed,
            BootOutcome::RolledBack { failures, .. } => Self::RolledBack(*failures),
            BootOutcome::Torn { attempts, .. } => Self::Torn(*attempts),
            BootOutcome::NoRollback { .. } => Self::NoRollback,
            // The enum may grow; a twin of it here would have to as well.
            _ => Self::Fallback,
        }
    }
}

impl From<&UpdateOutcome> for End {
    fn from(outcome: &UpdateOutcome) -> Self {
        match outcome {
            UpdateOutcome::RestartToBoot { .. } => Self::Restart,
            UpdateOutcome::UpToDate => Self::Settled(Settled::UpToDate),
            UpdateOutcome::NotInCohort => Self::Settled(Settled::NotInCohort),
            UpdateOutcome::Held => Self::Settled(Settled::Held),
            _ => Self::Settled(Settled::OfferChanged),
        }
    }
}

impl Journey {
    /// Bytes of an encoded journey.
    pub const LEN: usize = 85;

    /// Reads a journey; `None` for anything that [`Self::encode`] does not write.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let boot = match (reader.u8()?, reader.u8()?) {
            (0, 0) => Boot::Idle,
            (1, 0) => Boot::AwaitingConfirmation,
            (2, 0) => Boot::Confirmed,
            (3, failures) => Boot::RolledBack(failures),
            (4, attempts) => Boot::Torn(attempts),
            (5, 0) => Boot::NoRollback,
            (6, 0) => Boot::Fallback,
            (7, 0) => Boot::Refused,
            _ => return None,
        };
        let end = match (reader.u8()?, reader.u16()?) {
            (0, 0) => End::Restart,
            (1, 0) => End::SelfTestFailed,
            (2, 0) => End::Settled(Settled::UpToDate),
            (3, 0) => End::Settled(Settled::NotInCohort),
            (4, 0) => End::Settled(Settled::Held),
            (5, 0) => End::Settled(Settled::OfferChanged),
            (6, code) => End::Refused(code),
            _ => return None,
        };
        let journey = Self {
            boot,
            end,
            operations: reader.u32()?,
            stack: Stack {
                base: reader.u32()?,
                flash: reader.u32()?,
                on_boot: reader.u32()?,
                update: reader.u32()?,
                confirm: reader.u32()?,
                report: reader.u32()?,
                steps: Steps {
                    metadata: reader.u32()?,
                    key: reader.u32()?,
                    chunks: reader.u32()?,
                    image: reader.u32()?,
                    activation: reader.u32()?,
                },
            },
            instructions: Instructions {
                chunks: reader.u32()?,
                chunks_own: reader.u64()?,
                staging_own: reader.u64()?,
                everything: reader.u64()?,
                crypto_alone: reader.u32()?,
            },
        };
        reader.end(journey)
    }

    /// Writes the journey.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        // Its length is what the fields add up to: a test says so.
        let _ = self.write(&mut Writer::new(&mut out));
        out
    }

    fn write(&self, writer: &mut Writer<'_>) -> Option<()> {
        let (boot, count) = match self.boot {
            Boot::Idle => (0, 0),
            Boot::AwaitingConfirmation => (1, 0),
            Boot::Confirmed => (2, 0),
            Boot::RolledBack(failures) => (3, failures),
            Boot::Torn(attempts) => (4, attempts),
            Boot::NoRollback => (5, 0),
            Boot::Fallback => (6, 0),
            Boot::Refused => (7, 0),
        };
        let (end, code) = match self.end {
            End::Restart => (0, 0),
            End::SelfTestFailed => (1, 0),
            End::Settled(Settled::UpToDate) => (2, 0),
            End::Settled(Settled::NotInCohort) => (3, 0),
            End::Settled(Settled::Held) => (4, 0),
            End::Settled(Settled::OfferChanged) => (5, 0),
            End::Refused(code) => (6, code),
        };
        let Stack {
            base,
            flash,
            on_boot,
            update,
            confirm,
            report,
            steps,
        } = self.stack;
        let counted = &self.instructions;
        writer.put(&[boot, count, end])?.put(&code.to_le_bytes())?;
        for number in [
            self.operations,
            base,
            flash,
            on_boot,
            update,
            confirm,
            report,
            steps.metadata,
            steps.key,
            steps.chunks,
            steps.image,
            steps.activation,
            counted.chunks,
        ] {
            writer.put(&number.to_le_bytes())?;
        }
        for number in [counted.chunks_own, counted.staging_own, counted.everything] {
            writer.put(&number.to_le_bytes())?;
        }
        writer.put(&counted.crypto_alone.to_le_bytes())?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    fn journey(boot: Boot, end: End) -> Journey {
        Journey {
            boot,
            end,
            operations: 0x0102_0304,
            stack: Stack {
                base: 9,
                flash: 10,
                on_boot: 1,
                update: 2,
                confirm: 3,
                report: 4,
                steps: Steps {
                    metadata: 11,
                    key: 12,
                    chunks: 13,
                    image: 14,
                    activation: 15,
                },
            },
            instructions: Instructions {
                chunks: 5,
                chunks_own: 6 << 40,
                staging_own: 7,
                everything: u64::MAX,
                crypto_alone: 0xFFFF_FFFF,
            },
        }
    }

    #[test]
    fn every_journey_is_read_as_it_was_written() {
        let boots = [
            Boot::Idle,
            Boot::AwaitingConfirmation,
            Boot::Confirmed,
            Boot::RolledBack(2),
            Boot::Torn(1),
            Boot::NoRollback,
            Boot::Fallback,
            Boot::Refused,
        ];
        let ends = [
            End::Restart,
            End::SelfTestFailed,
            End::Settled(Settled::UpToDate),
            End::Settled(Settled::NotInCohort),
            End::Settled(Settled::Held),
            End::Settled(Settled::OfferChanged),
            End::Refused(0x0304),
        ];
        for boot in boots {
            for end in ends {
                let written = journey(boot, end);
                assert_eq!(Journey::parse(&written.encode()), Some(written));
            }
        }
    }

    #[test]
    fn no_truncated_lengthened_or_unknown_journey_is_read() {
        let bytes = journey(Boot::Idle, End::Restart).encode();
        for length in 0..bytes.len() {
            assert_eq!(Journey::parse(&bytes[..length]), None);
        }
        assert_eq!(Journey::parse(&[&bytes[..], &[0]].concat()), None);
        for (place, value) in [(0, 8), (1, 1), (2, 7), (3, 1)] {
            let mut unknown = bytes;
            unknown[place] = value;
            assert_eq!(Journey::parse(&unknown), None, "{place}");
        }
    }
}
