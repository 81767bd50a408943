//! Errors of signed metadata: `0x02xx`.

use core::fmt;

use espseal_format::units::{Digest, Position};

use super::Document;

/// The metadata is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetadataError {
    /// The bytes are not the document, or its fields contradict each other.
    Malformed {
        /// Which document.
        document: Document,
    },
    /// No signature by a key of the role, or too few of them.
    Signature {
        /// Which document.
        document: Document,
    },
    /// The document belongs to another product.
    WrongProduct {
        /// Which document.
        document: Document,
    },
    /// The bytes do not hash to the digest the document is named by.
    WrongDigest {
        /// Which document.
        document: Document,
        /// The digest in the document that named it.
        expected: Digest,
        /// The digest of the bytes that came.
        found: Digest,
    },
    /// A root skips a version or goes back.
    RootVersion {
        /// The version that has to follow.
        expected: u32,
        /// The version found.
        found: u32,
    },
    /// A root lowers the generation of a role.
    GenerationFell {
        /// Generation in the trusted root.
        trusted: u32,
        /// Generation in the new one.
        found: u32,
    },
    /// The root has expired by a trusted clock.
    RootExpired {
        /// When it expired.
        expires: u64,
        /// The clock.
        time: u64,
    },
    /// `now` names an older root than the one already trusted.
    RootRollback {
        /// Version already trusted.
        trusted: u32,
        /// Version in `now`.
        found: u32,
    },
    /// A document of another generation than the root assigns to its role.
    Generation {
        /// Which document.
        document: Document,
        /// Generation in the root.
        expected: u32,
        /// Generation in the document.
        found: u32,
    },
    /// An older document than one already seen.
    Rollback {
        /// Which document.
        document: Document,
        /// Lowest position accepted.
        floor: Position,
        /// Position found.
        found: Position,
    },
    /// The document has expired.
    Expired {
        /// Which document.
        document: Document,
        /// When it expired.
        expires: u64,
        /// The time it was compared with.
        time: u64,
    },
    /// `now` claims a later time than the root allows.
    TimeBeyondRoot {
        /// The latest time allowed.
        max_time: u64,
        /// The time claimed.
        found: u64,
    },
    /// `releases` names no epoch for this device's group.
    NoEpoch {
        /// The group.
        group: u32,
    },
    /// A root demands several signatures for a role whose documents carry one.
    RoleThreshold {
        /// Which document could never be accepted.
        document: Document,
        /// The threshold.
        threshold: u8,
    },
    /// The installed position was given to another manifest.
    PositionReused {
        /// The position.
        position: Position,
    },
}

impl MetadataError {
    /// The stable number of this error.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Malformed { .. } => 0x0201,
            Self::Signature { .. } => 0x0202,
            Self::WrongProduct { .. } => 0x0203,
            Self::WrongDigest { .. } => 0x0204,
            Self::RootVersion { .. } => 0x0205,
            Self::GenerationFell { .. } => 0x0206,
            Self::RootExpired { .. } => 0x0207,
            Self::RootRollback { .. } => 0x0208,
            Self::Generation { .. } => 0x0209,
            Self::Rollback { .. } => 0x020A,
            Self::Expired { .. } => 0x020B,
            Self::TimeBeyondRoot { .. } => 0x020C,
            Self::NoEpoch { .. } => 0x020D,
            Self::RoleThreshold { .. } => 0x020E,
            Self::PositionReused { .. } => 0x020F,
        }
    }
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { document } => write!(f, "{document} is malformed; publish it anew"),
            Self::Signature { document } => {
                write!(
                    f,
                    "{document} lacks the signatures the trusted root asks for"
                )
            }
            Self::WrongProduct { document } => {
                write!(
                    f,
                    "{document} belongs to another product; check the base URL"
                )
            }
            Self::WrongDigest {
                document,
                expected,
                found,
            } => {
                write!(
                    f,
                    "{document} hashes to {found}, not to {expected}; the repository is damaged"
                )
            }
            Self::RootVersion { expected, found } => {
                write!(f, "root has version {found} where {expected} has to follow")
            }
            Self::GenerationFell { trusted, found } => {
                write!(f, "root lowers a generation from {trusted} to {found}")
            }
            Self::RootExpired { expires, time } => {
                write!(
                    f,
                    "root expired at {expires}, it is {time}; sign a new root"
                )
            }
            Self::RootRollback { trusted, found } => {
                write!(
                    f,
                    "now names root {found}, but root {trusted} is trusted already"
                )
            }
            Self::Generation {
                document,
                expected,
                found,
            } => {
                write!(
                    f,
                    "{document} is of generation {found}, the root assigns {expected}"
                )
            }
            Self::Rollback {
                document,
                floor,
                found,
            } => {
                write!(
                    f,
                    "{document} stands at {found}, but {floor} was seen; the server is stale"
                )
            }
            Self::Expired {
                document,
                expires,
                time,
            } => {
                write!(
                    f,
                    "{document} expired at {expires}, it is at least {time}; sign it anew"
                )
            }
            Self::TimeBeyondRoot { max_time, found } => {
                write!(f, "now claims time {found}, the root caps it at {max_time}")
            }
            Self::NoEpoch { group } => {
                write!(f, "releases names no epoch for group {group}; publish one")
            }
            Self::RoleThreshold {
                document,
                threshold,
            } => {
                write!(
                    f,
                    "root asks for {threshold} signatures on {document}, which carries one"
                )
            }
            Self::PositionReused { position } => {
                write!(
                    f,
                    "position {position} is installed with another manifest; raise seq"
                )
            }
        }
    }
}
