//! What stops flash keys on their way into escrow and out of it.

use std::path::PathBuf;

use crate::blame::Blame;
use crate::files::FileError;

/// Failure of keeping or opening an escrowed key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EscrowError {
    /// A recipient cannot be used.
    #[error("`{found}` is no recipient for flash keys: {reason}")]
    Recipient {
        /// The text.
        found: String,
        /// Why.
        reason: &'static str,
    },
    /// Nobody could open the keys.
    #[error(
        "{} no age recipient; expected lines that start with age1, as `age-keygen -y` prints them",
        path.as_ref().map_or("there is".into(), |path| format!("{} holds", path.display()))
    )]
    NoRecipients {
        /// The file, when it is one.
        path: Option<PathBuf>,
    },
    /// A line of an identity file is none.
    #[error(
        "{}, line {line}: expected an age identity that starts with AGE-SECRET-KEY-1, as \
         `age-keygen` writes it; plugins and SSH keys do not serve here",
        path.display()
    )]
    Identity {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The identity file is itself encrypted.
    #[error(
        "{} is encrypted with a passphrase; decrypt it for the time it is needed: `age -d {} > \
         identity.txt`, with umask 077",
        path.display(), path.display()
    )]
    LockedIdentity {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no identity.
    #[error(
        "{} holds no age identity; expected a line that starts with AGE-SECRET-KEY-1",
        path.display()
    )]
    NoIdentity {
        /// The file.
        path: PathBuf,
    },
    /// Nothing says whose key it is.
    #[error(
        "this key has neither a MAC address nor a device id, so nobody could find it again; name \
         the MAC address, or give the device a key of its own"
    )]
    Nobody,
    /// The age library does not encrypt.
    #[error("the key cannot be encrypted: {0}")]
    Sealing(Box<str>),
    /// The folder has a key of this device already.
    #[error(
        "{} holds a key for {what} {value} already; a device has one flash key: move the old file \
         away if the device was given another chip",
        folder.display()
    )]
    Known {
        /// The folder.
        folder: PathBuf,
        /// By what it is known.
        what: &'static str,
        /// The value of that.
        value: Box<str>,
    },
    /// The folder has no such key.
    #[error(
        "none of the {keys} keys in {} is for {what} {value}; it was made without --escrow, or \
         before the address was known (`espseal factory learn`)",
        folder.display()
    )]
    NotHere {
        /// The folder.
        folder: PathBuf,
        /// By what it was looked for.
        what: &'static str,
        /// The value of that.
        value: Box<str>,
        /// Keys that are there.
        keys: usize,
    },
    /// The folder has more than one.
    #[error(
        "{} holds {keys} keys for {what} {value}; a device has one: move away the ones that are \
         not burnt into it",
        folder.display()
    )]
    Several {
        /// The folder.
        folder: PathBuf,
        /// By what it was looked for.
        what: &'static str,
        /// The value of that.
        value: Box<str>,
        /// Keys that match.
        keys: usize,
    },
    /// None of the identities opens it.
    #[error(
        "{} is not encrypted for any identity of the file given; use the one whose recipient \
         --escrow named",
        path.display()
    )]
    WrongIdentity {
        /// The file.
        path: PathBuf,
    },
    /// The file is no age file, or not whole.
    #[error(
        "{} is damaged or no age file; restore it from a backup",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file was decrypted and holds something else.
    #[error(
        "{} holds no flash key that this espseal understands ({field}); was it made by another \
         program or a later version?",
        path.display()
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// The field that is wrong.
        field: &'static str,
    },
    /// The key inside is for another device than the name says.
    #[error(
        "{} is named for {field} {expected}, and the key inside is for {found}; restore both files \
         from a backup: somebody renamed them",
        path.display()
    )]
    OtherDevice {
        /// The file.
        path: PathBuf,
        /// What differs.
        field: &'static str,
        /// What the name, or the caller, says.
        expected: Box<str>,
        /// What is there.
        found: Box<str>,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl EscrowError {
    /// Who has to act.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::WrongIdentity { .. }
            | Self::Damaged { .. }
            | Self::Content { .. }
            | Self::OtherDevice { .. }
            | Self::Known { .. }
            | Self::Several { .. } => Blame::Refused,
            Self::File(FileError::Empty { .. }) => Blame::Usage,
            Self::File(_) | Self::Sealing(_) => Blame::Io,
            _ => Blame::Usage,
        }
    }
}
