//! What stops the release authority.

use std::path::PathBuf;

use espseal_format::chip::ChipId;
use espseal_format::units::{ChannelName, Digest, Position};

use crate::blame::Blame;
use crate::direct::DirectError;
use crate::enrolment::EnrolmentError;
use crate::epochs::EpochError;
use crate::files::FileError;
use crate::idf_recipient::HeaderError;
use crate::idf_recipient::ecies::SealedFileError;
use crate::image_check::ImageRefused;
use crate::keys::KeyError;
use crate::metadata_signing::SigningError;
use crate::project::ProjectError;
use crate::rehearsal::RehearsalFailed;
use crate::release_log::LogError;
use crate::repository::StoreError;
use crate::seal::SealError;

/// Failure of an operation of the release authority.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// Another espseal works in the project.
    #[error(
        "another espseal has held {} for a minute; wait for it to finish, or end it",
        path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The user interrupted.
    #[error("interrupted; nothing was published")]
    Interrupted,
    /// A root in the project folder is damaged.
    #[error(
        "{} is not a root signed by its own keys and those before it; restore it from a backup",
        path.display()
    )]
    DamagedRoot {
        /// The file.
        path: PathBuf,
    },
    /// Root has expired.
    #[error(
        "the root expired at {expired}, the clock says {time} (seconds since 1970); expected a root \
         that is valid: sign the next one with `espseal root`"
    )]
    RootExpired {
        /// When it expired.
        expired: u64,
        /// What the clock says.
        time: u64,
    },
    /// A root is gone.
    #[error(
        "roots/ ends with root {found}, the release log says root {logged} was signed; restore \
         roots/{logged}.cose from a backup, or from root/ of the repository: a second root {logged} would split the \
         fleet"
    )]
    RootMissing {
        /// Newest root that is there.
        found: u32,
        /// Newest root that was signed.
        logged: u64,
    },
    /// The log is older than what was published.
    #[error(
        "the repository's `now` is {found} (generation.version) and signed by this project, whose \
         release log ends at {logged}: the log is an old copy; restore state/releases.log from where \
         the last command ran, since versions it has forgotten would be signed twice. If none ran \
         elsewhere, somebody else has the `now` key: put the now.cose that was published back, then run \
         `espseal root --replace now`. Nothing was signed"
    )]
    LogBehind {
        /// Version found.
        found: Position,
        /// Newest version that the log knows.
        logged: Position,
    },
    /// `releases` has expired.
    #[error(
        "`releases` expired at {expired} (seconds since 1970), so that no device takes what is on offer, \
         whatever `now` says; sign it anew with `espseal rollout` or publish a release"
    )]
    ReleasesExpired {
        /// When they expired.
        expired: u64,
    },
    /// The repository is empty though something was published.
    #[error(
        "{}/now.cose is missing, but the release log says {published} (generation.version) was \
         published; restore the repository from a backup, or start a new one with \
         `espseal publish --new-repository`: versions and seq go on counting",
        path.display()
    )]
    RepositoryLost {
        /// The repository.
        path: PathBuf,
        /// Newest `now` that became visible.
        published: Position,
    },
    /// The repository holds an old `now`.
    #[error(
        "{}/now.cose has version {found} (generation.version); expected {published}, the newest \
         published: somebody put an old copy there, restore the current one",
        path.display()
    )]
    RepositoryRolledBack {
        /// The repository.
        path: PathBuf,
        /// Version found.
        found: Position,
        /// Newest version that became visible.
        published: Position,
    },
    /// A repository file is not what was signed.
    #[error(
        "repository file {path} is not what was published; expected the bytes the release log \
         knows: restore it from a backup, or start over with `espseal publish --new-repository`"
    )]
    RepositoryDamaged {
        /// Path in the repository.
        path: String,
    },
    /// Nothing was published yet.
    #[error("nothing was published yet; begin with `espseal publish APP --channel CHANNEL`")]
    NothingPublished,
    /// A channel offers nothing for a chip.
    #[error("channel {channel} offers nothing{}; publish a release first", for_chip(*chip))]
    NoOffer {
        /// The channel.
        channel: ChannelName,
        /// The chip asked for, if one was.
        chip: Option<ChipId>,
    },
    /// The channel does not serve the chip.
    #[error(
        "{} is built for {found}; channel {channel} serves {expected}: choose the image or the \
         channel that fits",
        path.display()
    )]
    WrongChip {
        /// The image.
        path: PathBuf,
        /// Its chip.
        found: ChipId,
        /// The channel.
        channel: ChannelName,
        /// Chips of the channel.
        expected: String,
    },
    /// No device could ever take the release.
    #[error(
        "--min-seq is {min_seq}, the release itself is seq {seq}; expected a lower one: devices run \
         earlier releases when they update"
    )]
    MinSeq {
        /// Lowest installed `seq` asked for.
        min_seq: u64,
        /// `seq` of the release.
        seq: u64,
    },
    /// No device runs anything of this generation yet.
    #[error(
        "--min-seq is {min_seq}, but this is the first release of generation {generation}: devices run \
         releases of earlier generations, which count as lower than any seq of this one; publish it \
         without --min-seq"
    )]
    NewGeneration {
        /// Lowest installed `seq` asked for.
        min_seq: u64,
        /// Generation of the releases role.
        generation: u32,
    },
    /// The clock runs behind what was signed.
    #[error(
        "this machine's clock says {time}, the last `now` was signed at {last} (seconds since 1970); \
         devices would refuse a `now` that goes back: set the clock right"
    )]
    ClockBehind {
        /// What the clock says.
        time: u64,
        /// Time of the last `now`.
        last: u64,
    },
    /// The content key that a body wrap holds is not the one committed to.
    #[error(
        "the wrap of body {body} does not open to the content key its manifest commits to; restore \
         the repository from a backup, or publish a new release for the chip it is for"
    )]
    WrongWrap {
        /// Digest of the body.
        body: Digest,
    },
    /// The manifest cannot be encoded.
    #[error("the manifest cannot be encoded: {cause}")]
    Manifest {
        /// What the encoder says.
        cause: String,
    },
    /// The project file refuses.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// The image is not released.
    #[error(transparent)]
    Image(#[from] ImageRefused),
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The virtual device did not update.
    #[error(transparent)]
    Rehearsal(#[from] RehearsalFailed),
    /// An epoch cannot be made or opened.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// A direct image cannot be made.
    #[error(transparent)]
    Direct(#[from] DirectError),
    /// An ESP-IDF header cannot be made.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A file for one ESP-IDF device could not be sealed.
    #[error(transparent)]
    SealedFile(#[from] SealedFileError),
    /// Metadata cannot be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The release log refuses.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A device record refuses.
    #[error(transparent)]
    Enrolment(#[from] EnrolmentError),
    /// The repository cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl AuthorityError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Interrupted => Blame::Interrupted,
            Self::Locked { .. }
            | Self::RepositoryLost { .. }
            | Self::RootMissing { .. }
            | Self::File(_) => Blame::Io,
            Self::NothingPublished
            | Self::MinSeq { .. }
            | Self::NewGeneration { .. }
            | Self::NoOffer { .. } => Blame::Usage,
            Self::DamagedRoot { .. }
            | Self::RootExpired { .. }
            | Self::LogBehind { .. }
            | Self::ReleasesExpired { .. }
            | Self::RepositoryRolledBack { .. }
            | Self::RepositoryDamaged { .. }
            | Self::WrongChip { .. }
            | Self::ClockBehind { .. }
            | Self::WrongWrap { .. }
            | Self::Manifest { .. }
            | Self::Rehearsal(_) => Blame::Refused,
            Self::Project(error) => error.blame(),
            Self::Image(error) => error.blame(),
            Self::Seal(error) => error.blame(),
            Self::Epoch(error) => error.blame(),
            Self::Direct(error) => error.blame(),
            Self::Header(error) => error.blame(),
            Self::SealedFile(error) => error.blame(),
            Self::Signing(error) => error.blame(),
            Self::Log(error) => error.blame(),
            Self::Key(error) => error.blame(),
            Self::Enrolment(error) => error.blame(),
            Self::Store(error) => error.blame(),
        }
    }
}

fn for_chip(chip: Option<ChipId>) -> String {
    chip.map_or(String::new(), |chip| format!(" for {chip}"))
}
