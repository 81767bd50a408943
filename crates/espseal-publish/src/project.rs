//! A maker's project folder: `espseal.toml` and the files around it.
//!
//! ```text
//! espseal.toml            what the product is (public, belongs in version control)
//! partitions/<chip>.csv   partition table of each chip
//! roots/<version>.cose    every root that was signed
//! devices/<id>.toml       enrolled devices (public keys only)
//! state/releases.log      append-only log of what was signed
//! state/lock              held while the release authority works
//! keys/                   private: role keys, secure boot key; keys/epochs/ epoch keys
//! ca/                     development CA and server certificate
//! repository/             what any static host may serve
//! ```

mod configuration;
mod security;

use std::path::{Path, PathBuf};

use espseal_format::chip::{Chip, ChipId};
use espseal_format::partition_table::{self, PartitionTable};
use espseal_format::signature_block::SignatureScheme;
use espseal_format::units::{ChannelName, Digest, Product};

use crate::blame::Blame;
use crate::efuse_plan::wish::{SecureBootWish, Wish};
use crate::files::{self, FileError};
use crate::toml_error::TomlError;

/// Name of the project file.
pub const PROJECT_FILE: &str = "espseal.toml";
/// Most channels, and most pairs of channel and chip, that one `releases` describes.
pub const MOST_OFFERS: usize = 8;
/// Largest project file or partition table that is read.
const LARGEST_TEXT: u64 = 256 << 10;

/// A project, read and checked.
#[derive(Debug)]
pub struct Project {
    folder: PathBuf,
    /// Human name of the product.
    pub name: String,
    /// Identifier of the product.
    pub product: Product,
    /// Vendor identifier in manifests.
    pub vendor: [u8; 16],
    /// Device class identifier in manifests.
    pub class: [u8; 16],
    /// Where devices find the repository.
    pub base_url: String,
    /// How long signed documents live.
    pub lifetimes: Lifetimes,
    /// Key of `releases`: a PEM file, or an `.ini` file of an HSM.
    pub releases_key: PathBuf,
    /// Key of `now`, likewise.
    pub now_key: PathBuf,
    /// One entry for each chip the product is built on.
    pub fleets: Vec<Fleet>,
    /// Channels, one group each.
    pub channels: Vec<Channel>,
}

/// How long signed documents live, in seconds; none is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of a root.
    pub root: u64,
    /// Of a `releases`.
    pub releases: u64,
    /// Of a manifest.
    pub manifest: u64,
    /// Of a `now`.
    pub now: u64,
}

/// The devices of one chip: what was burnt into their eFuses and how their flash is laid out.
#[derive(Debug)]
pub struct Fleet {
    /// The chip.
    pub chip: &'static Chip,
    /// Their partition table.
    pub partitions: PartitionTable,
    /// Where the partition table lies in flash.
    pub partition_table_offset: u32,
    /// Digests of the secure boot keys in their eFuses; empty without secure boot.
    pub secure_boot_digests: Vec<Digest>,
    /// Width of the anti-rollback counter that their bootloader uses.
    pub secure_version_bits: u8,
    /// Their signed bootloader, if the project names it: rehearsals start with it.
    pub bootloader: Option<PathBuf>,
    /// Signed app images of a device that leaves the factory, if the project names them: slot by slot.
    pub apps: Vec<PathBuf>,
    /// How far they are to be locked, if the project says it.
    pub security: Option<Wish>,
}

impl Fleet {
    /// Size in bytes of the smallest app slot: an image must fit every slot.
    #[must_use]
    pub fn smallest_slot(&self) -> u32 {
        self.partitions
            .app_slots()
            .iter()
            .map(|slot| slot.size)
            .min()
            .unwrap_or(0)
    }

    /// How their images are to be signed, if the project says it.
    #[must_use]
    pub fn wished_scheme(&self) -> Option<SignatureScheme> {
        match self.security.as_ref()?.secure_boot.as_ref()? {
            SecureBootWish::V2 { scheme, .. } => Some(*scheme),
            SecureBootWish::V1 => None,
        }
    }

    /// Whether their ROM verifies signatures.
    #[must_use]
    pub fn has_secure_boot(&self) -> bool {
        !self.secure_boot_digests.is_empty()
    }
}

/// A stream of releases for one group of devices.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its name.
    pub name: ChannelName,
    /// Group whose epoch key opens its bodies; no two channels share one.
    pub group: u32,
    /// Chips that it serves.
    pub chips: Vec<ChipId>,
}

impl Project {
    /// Reads the project in `folder`.
    ///
    /// # Errors
    /// [`ProjectError`] when the file or a partition table is missing or says what cannot be.
    pub fn open(folder: &Path) -> Result<Self, ProjectError> {
        let path = folder.join(PROJECT_FILE);
        let bytes = match files::read(&path, "a project description", LARGEST_TEXT) {
            Err(FileError::Read { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {
                return Err(ProjectError::NotAProject {
                    folder: folder.into(),
                });
            }
            done => done?,
        };
        configuration::parse(folder, &path, &bytes)
    }

    /// The folder of the project.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file or folder of the project by its name in the module's table.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The repository of the project.
    #[must_use]
    pub fn repository(&self) -> PathBuf {
        self.folder.join("repository")
    }

    /// Finds a channel.
    ///
    /// # Errors
    /// [`ProjectError::UnknownChannel`].
    pub fn channel(&self, name: &str) -> Result<&Channel, ProjectError> {
        self.channels
            .iter()
            .find(|channel| channel.name.as_str() == name)
            .ok_or_else(|| ProjectError::UnknownChannel {
                found: name.into(),
                expected: names(self.channels.iter().map(|channel| &channel.name)),
            })
    }

    /// Finds the fleet of a chip; `None` when the product is not built on it.
    #[must_use]
    pub fn fleet(&self, chip: ChipId) -> Option<&Fleet> {
        self.fleets.iter().find(|fleet| fleet.chip.id == chip)
    }
}

/// Joins names for a message.
#[must_use]
pub fn names<T: ToString>(items: impl Iterator<Item = T>) -> String {
    let all: Vec<_> = items.map(|item| item.to_string()).collect();
    all.join(", ")
}

/// Failure of reading a project.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// The folder holds no project.
    #[error(
        "{} holds no {PROJECT_FILE}; go to a project folder, name one with --project, or make one \
         with `espseal init`",
        folder.display()
    )]
    NotAProject {
        /// The folder.
        folder: PathBuf,
    },
    /// The file is no TOML of the right shape.
    #[error("{} is not understood: {cause}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says, with line and column.
        cause: TomlError,
    },
    /// The file is not UTF-8 text.
    #[error("{} is no UTF-8 text; expected {expected}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
    },
    /// A value cannot be.
    #[error("{}: {field} is {found}; expected {expected}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// An expiry is missing or zero.
    #[error(
        "{}: lifetimes.{field} is {}; expected at least 1: a document that never expires lets a \
         server freeze devices on it",
        path.display(), found.map_or("missing".to_owned(), |n| n.to_string())
    )]
    NoExpiry {
        /// The file.
        path: PathBuf,
        /// The lifetime.
        field: &'static str,
        /// Its value.
        found: Option<u32>,
    },
    /// A partition table is malformed.
    #[error("partition table {} is malformed: {cause}", path.display())]
    PartitionTable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: partition_table::csv::CsvError,
    },
    /// A partition table has too few app slots.
    #[error(
        "partition table {} has {found} OTA app slots; expected at least 2, since the running one \
         is never written",
        path.display()
    )]
    TooFewSlots {
        /// The file.
        path: PathBuf,
        /// Slots found.
        found: usize,
    },
    /// The numbers of the app slots have a gap.
    #[error(
        "partition table {} has {counted} OTA app slots, of which only ota_0 to the {found}th follow one \
         another; expected no gap: the bootloader counts all of them and would choose another slot \
         than the one that was updated",
        path.display()
    )]
    SlotGap {
        /// The file.
        path: PathBuf,
        /// Slots before the gap.
        found: usize,
        /// Slots that the bootloader counts.
        counted: usize,
    },
    /// An app slot has no room.
    #[error(
        "{}: app partition {label} has 0 bytes; expected a slot that an image fits into",
        path.display()
    )]
    EmptySlot {
        /// The file.
        path: PathBuf,
        /// Label of the partition.
        label: String,
    },
    /// No such channel.
    #[error("there is no channel `{found}`; expected one of: {expected}")]
    UnknownChannel {
        /// Name asked for.
        found: String,
        /// Channels of the project.
        expected: String,
    },
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl ProjectError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::NoExpiry { .. } => Blame::Refused,
            Self::File(FileError::Empty { .. }) => Blame::Usage,
            Self::File(_) => Blame::Io,
            _ => Blame::Usage,
        }
    }
}
