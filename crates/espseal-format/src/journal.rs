//! The agent's journal: one record in each of two flash sectors, and root bodies in two more.
//!
//! Writing overwrites the older record, so that a power cut leaves the newer one. Layout (368
//! bytes, little-endian):
//!
//! ```text
//!   0..4    magic ESJ1                        92..124  target: plaintext digest
//!   4..8    counter u32                      124..168  confirmed: gen u32, seq u64, manifest
//!   8       state                            168..200  confirmed: plaintext digest
//!   9       target slot                      200..208  report counter u64
//!  10       attempts                         208..344  quarantine: 4 x (manifest, failures, 0)
//!  11       root sector                      344..352  reserved, zero
//!  12..16   root version u32                 352..368  SHA-256(0..352)[0..16]
//!  16..28   releases floor: gen u32, version u64
//!  28..40   now floor: gen u32, version u64
//!  40..48   time floor u64
//!  48..92   target: gen u32, seq u64, manifest
//! ```
//!
//! The truncated hash finds torn and worn writes; it keeps nobody out. What keeps an attacker out
//! is flash encryption, and what an old record could undo is bounded by the floors in the image.
//!
//! Source: `docs/protocol.md`, "Journal".

use core::fmt;

use crate::units::{Digest, Position};

mod bytes;
mod root_body;

pub use root_body::{MAX_ROOT_LEN, RootBodyError, encode_root_body, parse_root_body};

use bytes::{Input, Output};

/// Length of a record in bytes.
pub const RECORD_LEN: usize = 368;
/// Most manifests in quarantine.
pub const QUARANTINE: usize = 4;

/// Everything the agent remembers across a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Tells the newer record from the older one; see [`newest`].
    pub counter: u32,
    /// How far the current update has come.
    pub state: State,
    /// Slot that the update goes to.
    pub target_slot: u8,
    /// Activations of the target that were torn so far.
    pub attempts: u8,
    /// Where the current root lies.
    pub root: RootLocation,
    /// Version of the current root.
    pub root_version: u32,
    /// No older `releases` is accepted.
    pub releases_floor: Position,
    /// No older `now` is accepted.
    pub now_floor: Position,
    /// No earlier time is believed, in seconds since 1970.
    pub time_floor: u64,
    /// What is being installed.
    pub target: Install,
    /// What was last confirmed; zeros stand for the factory image.
    pub confirmed: Install,
    /// Counter of the last report.
    pub report_counter: u64,
    /// Releases that failed.
    pub quarantine: [Quarantine; QUARANTINE],
}

/// A release, as installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Install {
    /// Generation of `releases`, and `seq`.
    pub position: Position,
    /// SHA-256 of the manifest.
    pub manifest: Digest,
    /// SHA-256 of the signed image.
    pub plaintext: Digest,
}

impl Install {
    /// The image that the factory flashed.
    pub const FACTORY: Self = Self {
        position: Position {
            generation: 0,
            version: 0,
        },
        manifest: ZERO,
        plaintext: ZERO,
    };

    /// Whether this is [`Install::FACTORY`]: no manifest has an all-zero digest.
    #[must_use]
    pub fn is_factory(&self) -> bool {
        *self == Self::FACTORY
    }
}

impl Default for Install {
    fn default() -> Self {
        Self::FACTORY
    }
}

/// How often a release has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// SHA-256 of the manifest; zeros mark a free entry.
    pub manifest: Digest,
    /// Failures so far.
    pub failures: u8,
}

impl Default for Quarantine {
    fn default() -> Self {
        Self {
            manifest: ZERO,
            failures: 0,
        }
    }
}

/// How far an update has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// No update is under way.
    #[default]
    Idle,
    /// The target slot is being written.
    Staging,
    /// The target slot is complete; otadata is about to select it.
    Activating,
    /// The new image runs and is about to be marked valid.
    Confirming,
    /// The new image has been marked valid.
    Confirmed,
}

/// Where the current root lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RootLocation {
    /// In the running image.
    #[default]
    BuiltIn,
    /// In journal sector 2.
    A,
    /// In journal sector 3.
    B,
}

impl RootLocation {
    /// Bytes from the start of the journal to the sector; `None` for the built-in root.
    #[must_use]
    pub const fn distance(self) -> Option<u32> {
        match self {
            Self::BuiltIn => None,
            Self::A => Some(0x2000),
            Self::B => Some(0x3000),
        }
    }
}

impl Record {
    /// Parses the record at the start of a sector; what follows it is not looked at.
    ///
    /// # Errors
    /// [`JournalError`] when the sector holds no complete record: erased, torn, worn or written by
    /// something else.
    pub fn parse(sector: &[u8]) -> Result<Self, JournalError> {
        let record: &[u8; RECORD_LEN] = sector.first_chunk().ok_or(JournalError::Length {
            expected: RECORD_LEN,
            found: sector.len(),
        })?;
        let [m0, m1, m2, m3, ..] = *record;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(JournalError::Magic {
                expected: MAGIC,
                found: [m0, m1, m2, m3],
            });
        }
        let (body, found) = split(record);
        let expected = truncated_hash(body);
        if *found != expected {
            return Err(JournalError::Hash {
                expected,
                found: *found,
            });
        }
        Self::read(&mut Input::new(body))
    }

    /// Encodes the record.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD_LEN] {
        let mut record = [0; RECORD_LEN];
        self.write(&mut Output::new(&mut record));
        let hash = truncated_hash(split(&record).0);
        if let Some(place) = record.last_chunk_mut() {
            *place = hash;
        }
        record
    }

    /// Returns the counter of the record that replaces this one.
    #[must_use]
    pub const fn next_counter(&self) -> u32 {
        self.counter.wrapping_add(1)
    }

    /// Whether this record was written after `other`.
    ///
    /// Counters compare as serial numbers, so that 0 follows `u32::MAX`: of two records that an
    /// agent wrote, one is always the successor of the other.
    #[must_use]
    pub const fn is_newer_than(&self, other: &Self) -> bool {
        let ahead = self.counter.wrapping_sub(other.counter);
        ahead != 0 && ahead < 1 << 31
    }

    /// Returns how often a release has failed on this device.
    #[must_use]
    pub fn failures(&self, manifest: &Digest) -> u8 {
        let mut entries = self.quarantine.iter();
        let entry = entries.find(|entry| entry.failures > 0 && entry.manifest == *manifest);
        entry.map_or(0, |entry| entry.failures)
    }

    fn read(input: &mut Input<'_>) -> Result<Self, JournalError> {
        input.skip(MAGIC.len());
        let record = Self {
            counter: input.u32(),
            state: State::from_u8(input.u8())?,
            target_slot: input.u8(),
            attempts: input.u8(),
            root: RootLocation::from_u8(input.u8())?,
            root_version: input.u32(),
            releases_floor: input.position(),
            now_floor: input.position(),
            time_floor: input.u64(),
            target: input.install(),
            confirmed: input.install(),
            report_counter: input.u64(),
            quarantine: {
                let mut quarantine = [Quarantine::default(); QUARANTINE];
                for entry in &mut quarantine {
                    entry.manifest = input.digest();
                    entry.failures = input.u8();
                    input.reserved(1)?;
                }
                quarantine
            },
        };
        input.reserved(8)?;
        Ok(record)
    }

    fn write(&self, output: &mut Output<'_>) {
        output.bytes(&MAGIC);
        output.bytes(&self.counter.to_le_bytes());
        output.bytes(&[
            self.state.to_u8(),
            self.target_slot,
            self.attempts,
            self.root.to_u8(),
        ]);
        output.bytes(&self.root_version.to_le_bytes());
        output.position(self.releases_floor);
        output.position(self.now_floor);
        output.bytes(&self.time_floor.to_le_bytes());
        output.install(&self.target);
        output.install(&self.confirmed);
        output.bytes(&self.report_counter.to_le_bytes());
        for entry in &self.quarantine {
            output.bytes(&entry.manifest.0);
            output.bytes(&[entry.failures, 0]);
        }
    }
}

/// Chooses between the records in journal sectors 0 and 1: returns the number of the sector with
/// the newer record, and the record; `None` when neither holds one.
///
/// The next record belongs in the other sector.
#[must_use]
pub fn newest(a: &[u8], b: &[u8]) -> Option<(usize, Record)> {
    match (Record::parse(a), Record::parse(b)) {
        (Ok(a), Ok(b)) if b.is_newer_than(&a) => Some((1, b)),
        (Ok(a), _) => Some((0, a)),
        (Err(_), Ok(b)) => Some((1, b)),
        (Err(_), Err(_)) => None,
    }
}

/// First bytes of a record.
const MAGIC: [u8; 4] = *b"ESJ1";
/// Bytes of a truncated hash.
const HASH_LEN: usize = 16;
/// Digest that no document has.
const ZERO: Digest = Digest([0; 32]);

impl State {
    const fn to_u8(self) -> u8 {
        match self {
            Self::Idle => 0,
            Self::Staging => 1,
            Self::Activating => 2,
            Self::Confirming => 3,
            Self::Confirmed => 4,
        }
    }

    const fn from_u8(found: u8) -> Result<Self, JournalError> {
        match found {
            0 => Ok(Self::Idle),
            1 => Ok(Self::Staging),
            2 => Ok(Self::Activating),
            3 => Ok(Self::Confirming),
            4 => Ok(Self::Confirmed),
            found => Err(JournalError::Range {
                field: "state",
                max: 4,
                found,
            }),
        }
    }
}

impl RootLocation {
    const fn to_u8(self) -> u8 {
        match self {
            Self::BuiltIn => 0,
            Self::A => 1,
            Self::B => 2,
        }
    }

    const fn from_u8(found: u8) -> Result<Self, JournalError> {
        match found {
            0 => Ok(Self::BuiltIn),
            1 => Ok(Self::A),
            2 => Ok(Self::B),
            found => Err(JournalError::Range {
                field: "root sector",
                max: 2,
                found,
            }),
        }
    }
}

/// Splits a record into what is hashed and the hash.
fn split(record: &[u8; RECORD_LEN]) -> (&[u8], &[u8; HASH_LEN]) {
    record.split_last_chunk().unwrap_or((&[], &[0; HASH_LEN]))
}

/// First half of a SHA-256.
fn truncated_hash(body: &[u8]) -> [u8; HASH_LEN] {
    let mut hash = [0; HASH_LEN];
    for (slot, byte) in hash.iter_mut().zip(Digest::of(body).0) {
        *slot = byte;
    }
    hash
}

/// A sector without a complete record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalError {
    /// Fewer bytes than a record.
    Length {
        /// Length of a record.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The sector does not begin like a record: never written, or erased.
    Magic {
        /// First bytes of a record.
        expected: [u8; 4],
        /// First bytes of the sector.
        found: [u8; 4],
    },
    /// The record was written only in part, or has decayed.
    Hash {
        /// Hash of what the sector holds.
        expected: [u8; HASH_LEN],
        /// Hash stored with it.
        found: [u8; HASH_LEN],
    },
    /// A number that is not assigned: a later version wrote the record.
    Range {
        /// The field.
        field: &'static str,
        /// Highest number that is assigned.
        max: u8,
        /// Number found.
        found: u8,
    },
    /// A reserved byte is in use: a later version wrote the record.
    Reserved {
        /// Offset of the byte, which should be zero.
        offset: usize,
        /// The byte.
        found: u8,
    },
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { expected, found } => {
                write!(
                    f,
                    "a journal record is {expected} bytes long, found {found}"
                )
            }
            Self::Magic { expected, found } => write!(
                f,
                "a journal record begins {expected:02x?}, found {found:02x?}: the sector was \
                 never written or has been erased"
            ),
            Self::Hash { expected, found } => write!(
                f,
                "the journal record hashes to {expected:02x?} but stores {found:02x?}: the write \
                 was cut, use the other sector"
            ),
            Self::Range { field, max, found } => {
                write!(f, "journal {field} lies in 0 to {max}, found {found}")
            }
            Self::Reserved { offset, found } => {
                write!(
                    f,
                    "journal byte {offset} is reserved and zero, found {found:#04x}"
                )
            }
        }
    }
}

impl core::error::Error for JournalError {}

#[cfg(test)]
mod tests;
