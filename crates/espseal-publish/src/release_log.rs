//! The append-only log of everything the role keys have signed.
//!
//! A line is on the disk before the signature it speaks of leaves this process. So even with the
//! repository lost, one version is never signed for two documents, and one `seq` never names two
//! manifests. A line is one JSON object, ended by a line feed; a torn last line belongs to a
//! signature that was never given away and is cut off.

use std::fs;
use std::path::{Path, PathBuf};

use espseal_format::units::{Digest, Position};
use serde::{Deserialize, Serialize};

use crate::blame::Blame;
use crate::files::{self, FileError, Secrecy};

/// Largest log that is read: some 400,000 lines.
const LARGEST_LOG: u64 = 64 << 20;

/// What one line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// A role signed a document.
    Signed {
        /// The role.
        role: LoggedRole,
        /// Generation of the role; 0 for root.
        generation: u32,
        /// Version of the document.
        version: u64,
        /// SHA-256 of the signed payload.
        #[serde(with = "hexadecimal")]
        payload: Digest,
    },
    /// A release got its place in the order of installations.
    Assigned {
        /// Generation of the releases role.
        generation: u32,
        /// `seq` of the offer.
        seq: u64,
        /// Manifest that has it.
        #[serde(with = "hexadecimal")]
        manifest: Digest,
    },
    /// A `now` became visible, and with it the `releases` it names.
    Published {
        /// Generation of the now role.
        generation: u32,
        /// Version of the `now`.
        version: u64,
        /// SHA-256 of the COSE bytes of `releases`.
        #[serde(with = "hexadecimal")]
        releases: Digest,
    },
}

/// The roles whose signatures are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoggedRole {
    /// Root of trust.
    Root,
    /// Offers and epochs.
    Releases,
    /// Short-lived confirmation.
    Now,
}

/// The log, read whole.
#[derive(Debug)]
pub struct ReleaseLog {
    path: PathBuf,
    events: Vec<Event>,
}

impl ReleaseLog {
    /// Starts an empty log.
    ///
    /// # Errors
    /// [`LogError::File`] when the file exists or cannot be written.
    pub fn create(path: &Path) -> Result<Self, LogError> {
        files::create(path, b"", Secrecy::Public)?;
        Ok(Self {
            path: path.into(),
            events: Vec::new(),
        })
    }

    /// Reads a log, cutting off a torn last line.
    ///
    /// # Errors
    /// [`LogError::Missing`] when it is not there, [`LogError::Line`] when a whole line is not
    /// understood, [`LogError::File`] when it cannot be read.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let text = match files::read(path, "the release log", LARGEST_LOG) {
            Ok(text) => text,
            Err(FileError::Empty { .. }) => Vec::new(),
            Err(FileError::Read { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {
                return Err(LogError::Missing { path: path.into() });
            }
            Err(error) => return Err(error.into()),
        };
        let whole = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let kept = text.get(..whole).unwrap_or_default();
        let events = kept
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .enumerate()
            .map(|(index, line)| {
                serde_json::from_slice(line).map_err(|cause| LogError::Line {
                    path: path.into(),
                    line: index + 1,
                    cause,
                })
            })
            .collect::<Result<_, _>>()?;
        if whole < text.len() {
            fs::OpenOptions::new()
                .write(true)
                .open(path)
                .and_then(|file| {
                    file.set_len(whole as u64)?;
                    file.sync_all()
                })
                .map_err(|cause| FileError::Write {
                    path: path.into(),
                    cause,
                })?;
        }
        Ok(Self {
            path: path.into(),
            events,
        })
    }

    /// Records that a role is about to sign `payload` as a version, before it does.
    ///
    /// # Errors
    /// As [`check`](Self::check), and [`LogError::File`] when the line cannot be written.
    pub fn sign(
        &mut self,
        role: LoggedRole,
        at: Position,
        payload: Digest,
    ) -> Result<(), LogError> {
        self.check(role, at, payload)?;
        self.append(Event::Signed {
            role,
            generation: at.generation,
            version: at.version,
            payload,
        })
    }

    /// Whether a role may sign `payload` as a version.
    ///
    /// # Errors
    /// [`LogError::Reused`] when the version was signed for another payload, or lies below one
    /// that was signed.
    pub fn check(&self, role: LoggedRole, at: Position, payload: Digest) -> Result<(), LogError> {
        match self.newest(role) {
            Some((newest, signed)) if at < newest || (at == newest && payload != signed) => {
                Err(LogError::Reused {
                    role,
                    at,
                    newest,
                    signed,
                })
            }
            _ => Ok(()),
        }
    }

    /// Records that a manifest takes a `seq`, before anything names it.
    ///
    /// # Errors
    /// [`LogError::SeqTaken`] when another manifest has it, [`LogError::SeqBehind`] when a later
    /// one was given; [`LogError::File`] when the line cannot be written.
    pub fn assign(&mut self, at: Position, manifest: Digest) -> Result<(), LogError> {
        self.check_seq(at, Some(manifest))?;
        self.append(Event::Assigned {
            generation: at.generation,
            seq: at.version,
            manifest,
        })
    }

    /// Whether a `seq` may be given to `manifest`; with `None`, to a manifest not made yet.
    ///
    /// # Errors
    /// As [`ReleaseLog::assign`].
    pub fn check_seq(&self, at: Position, manifest: Option<Digest>) -> Result<(), LogError> {
        let assigned = self.assigned();
        let next = assigned
            .clone()
            .map(|(place, _)| place)
            .filter(|place| place.generation == at.generation)
            .map(|place| place.version)
            .max()
            .map_or(1, |newest| newest.saturating_add(1));
        for (place, taken) in assigned {
            if place == at && manifest != Some(taken) {
                return Err(LogError::SeqTaken { at, taken, next });
            }
        }
        if at.version < next && manifest.is_none_or(|wanted| !self.has(at, wanted)) {
            return Err(LogError::SeqBehind { at, next });
        }
        Ok(())
    }

    /// Records that a `now` became visible.
    ///
    /// # Errors
    /// [`LogError::File`].
    pub fn published(&mut self, at: Position, releases: Digest) -> Result<(), LogError> {
        self.append(Event::Published {
            generation: at.generation,
            version: at.version,
            releases,
        })
    }

    /// The newest version that a role signed, with its payload.
    #[must_use]
    pub fn newest(&self, role: LoggedRole) -> Option<(Position, Digest)> {
        self.events
            .iter()
            .filter_map(|event| match *event {
                Event::Signed {
                    role: signer,
                    generation,
                    version,
                    payload,
                } if signer == role => Some((
                    Position {
                        generation,
                        version,
                    },
                    payload,
                )),
                _ => None,
            })
            .max_by_key(|(at, _)| *at)
    }

    /// Whether a role signed exactly this payload.
    #[must_use]
    pub fn has_signed(&self, role: LoggedRole, digest: Digest) -> bool {
        self.events.iter().any(|event| {
            matches!(event, Event::Signed { role: signer, payload, .. }
                if *signer == role && *payload == digest)
        })
    }

    /// The version that a role signs next in a generation, from 1.
    #[must_use]
    pub fn next_version(&self, role: LoggedRole, generation: u32) -> u64 {
        match self.newest(role) {
            Some((at, _)) if at.generation == generation => at.version.saturating_add(1),
            _ => 1,
        }
    }

    /// The `seq` that the next release gets in a generation, from 1.
    #[must_use]
    pub fn next_seq(&self, generation: u32) -> u64 {
        self.assigned()
            .filter(|(at, _)| at.generation == generation)
            .map(|(at, _)| at.version)
            .max()
            .map_or(1, |newest| newest.saturating_add(1))
    }

    /// Whether a release got its place in an earlier generation.
    #[must_use]
    pub fn has_seq_before(&self, generation: u32) -> bool {
        self.assigned().any(|(at, _)| at.generation < generation)
    }

    /// The newest `now` known to have become visible, and the `releases` it names.
    #[must_use]
    pub fn newest_published(&self) -> Option<(Position, Digest)> {
        self.events
            .iter()
            .filter_map(|event| match *event {
                Event::Published {
                    generation,
                    version,
                    releases,
                } => Some((
                    Position {
                        generation,
                        version,
                    },
                    releases,
                )),
                _ => None,
            })
            .max_by_key(|(at, _)| *at)
    }

    fn assigned(&self) -> impl Iterator<Item = (Position, Digest)> + Clone + '_ {
        self.events.iter().filter_map(|event| match *event {
            Event::Assigned {
                generation,
                seq,
                manifest,
            } => Some((
                Position {
                    generation,
                    version: seq,
                },
                manifest,
            )),
            _ => None,
        })
    }

    fn has(&self, at: Position, manifest: Digest) -> bool {
        self.assigned().any(|entry| entry == (at, manifest))
    }

    fn append(&mut self, event: Event) -> Result<(), LogError> {
        if self.events.contains(&event) {
            return Ok(());
        }
        let mut line = serde_json::to_vec(&event).map_err(|cause| LogError::Line {
            path: self.path.clone(),
            line: self.events.len() + 1,
            cause,
        })?;
        line.push(b'\n');
        files::append(&self.path, &line)?;
        self.events.push(event);
        Ok(())
    }
}

/// Failure of the release log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Another document has the version.
    #[error(
        "{role:?} {at} cannot be signed: {newest} was signed for payload {signed}; expected a \
         later version: two documents of one version would let a server choose, restore the log"
    )]
    Reused {
        /// The role.
        role: LoggedRole,
        /// Version asked for.
        at: Position,
        /// Newest version signed.
        newest: Position,
        /// Its payload.
        signed: Digest,
    },
    /// Another manifest has the `seq`.
    #[error(
        "seq {at} (generation.seq) is taken by manifest {taken}; expected one that was never \
         signed, at least {next}: leave --seq out to get it"
    )]
    SeqTaken {
        /// Place asked for.
        at: Position,
        /// Manifest that has it.
        taken: Digest,
        /// Lowest free `seq`.
        next: u64,
    },
    /// A later `seq` was given already.
    #[error(
        "seq {at} (generation.seq) lies behind the releases signed so far; expected at least \
         {next}: leave --seq out to get it"
    )]
    SeqBehind {
        /// Place asked for.
        at: Position,
        /// Lowest free `seq`.
        next: u64,
    },
    /// The log is not there.
    #[error(
        "the release log {} is missing; restore it from a backup: without it nobody can tell \
         which versions were signed",
        path.display()
    )]
    Missing {
        /// Where it belongs.
        path: PathBuf,
    },
    /// A line is not understood.
    #[error(
        "line {line} of the release log {} is damaged: {cause}; restore the log from a backup",
        path.display()
    )]
    Line {
        /// The log.
        path: PathBuf,
        /// Line number from 1.
        line: usize,
        /// What the parser says.
        cause: serde_json::Error,
    },
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl LogError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Reused { .. } | Self::SeqTaken { .. } | Self::SeqBehind { .. } => Blame::Refused,
            Self::Missing { .. } | Self::Line { .. } | Self::File(_) => Blame::Io,
        }
    }
}

/// A digest as 64 hexadecimal digits.
mod hexadecimal {
    use espseal_format::units::Digest;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(digest)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(from)?;
        Digest::from_hex(&text).ok_or_else(|| D::Error::custom("expected 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(generation: u32, version: u64) -> Position {
        Position {
            generation,
            version,
        }
    }

    #[test]
    fn one_seq_never_names_two_manifests_even_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let mut log = ReleaseLog::create(&path).unwrap();
        assert_eq!(log.next_seq(1), 1);
        log.assign(at(1, 5), one).unwrap();
        let mut log = ReleaseLog::open(&path).unwrap();
        log.assign(at(1, 5), one).unwrap();
        let taken = log.assign(at(1, 5), two);
        assert!(matches!(taken, Err(LogError::SeqTaken { next: 6, .. })));
        let taken = log.check_seq(at(1, 5), None);
        assert!(matches!(taken, Err(LogError::SeqTaken { .. })));
        let behind = log.assign(at(1, 4), two);
        assert!(matches!(behind, Err(LogError::SeqBehind { next: 6, .. })));
        assert_eq!((log.next_seq(1), log.next_seq(2)), (6, 1));
        log.assign(at(2, 1), two).unwrap();
    }

    #[test]
    fn one_version_is_never_signed_for_two_payloads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let mut log = ReleaseLog::create(&path).unwrap();
        log.sign(LoggedRole::Now, at(1, 2), one).unwrap();
        log.sign(LoggedRole::Now, at(1, 2), one).unwrap();
        for place in [at(1, 2), at(1, 1), at(0, 9)] {
            let refused = log.sign(LoggedRole::Now, place, two);
            assert!(matches!(refused, Err(LogError::Reused { .. })), "{place}");
        }
        log.sign(LoggedRole::Releases, at(1, 1), two).unwrap();
        log.sign(LoggedRole::Now, at(2, 1), two).unwrap();
        assert_eq!(log.next_version(LoggedRole::Now, 2), 2);
        assert_eq!(log.next_version(LoggedRole::Now, 3), 1);
    }

    #[test]
    fn torn_last_line_is_cut_off_and_a_damaged_line_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = ReleaseLog::create(&path).unwrap();
        log.assign(at(1, 1), Digest::of(b"1")).unwrap();
        let whole = fs::read(&path).unwrap();
        files::append(&path, b"{\"assigned\":{\"gen").unwrap();
        let log = ReleaseLog::open(&path).unwrap();
        assert_eq!(log.next_seq(1), 2);
        assert_eq!(fs::read(&path).unwrap(), whole);
        files::append(&path, b"{}\n").unwrap();
        let damaged = ReleaseLog::open(&path);
        assert!(matches!(damaged, Err(LogError::Line { line: 2, .. })));
        fs::remove_file(&path).unwrap();
        let missing = ReleaseLog::open(&path);
        assert!(matches!(missing, Err(LogError::Missing { .. })));
    }
}
