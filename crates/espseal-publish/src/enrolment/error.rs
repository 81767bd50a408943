//! What stops an enrolment.

use std::path::PathBuf;

use espseal_format::chip::ChipId;
use espseal_format::units::{ChannelName, DeviceId};

use super::ecies::EciesKeyError;
use crate::blame::Blame;
use crate::files::FileError;
use crate::project::ProjectError;
use crate::toml_error::TomlError;

/// Failure of reading or keeping a device record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolmentError {
    /// The file is not UTF-8 text.
    #[error("device record {} is no UTF-8 text; expected TOML", path.display())]
    Text {
        /// The file.
        path: PathBuf,
    },
    /// The file is no TOML of the right shape.
    #[error("device record {} is not understood: {cause}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says, with line and column.
        cause: TomlError,
    },
    /// A field that this kind of device needs is not there.
    #[error("device record {} has no `{field}`; a device of this kind needs one", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
    },
    /// A field belongs to another kind of device.
    #[error(
        "device record {} has `{field}`, which belongs to another kind of device; remove it or \
         correct `kind`",
        path.display()
    )]
    Surplus {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
    },
    /// The chip is not one the channel serves.
    #[error(
        "device record {}: chip is `{found}`; channel {channel} serves {expected}",
        path.display()
    )]
    WrongChip {
        /// The file.
        path: PathBuf,
        /// Chip of the record.
        found: String,
        /// Its channel.
        channel: ChannelName,
        /// Chips of the channel.
        expected: String,
    },
    /// A public key is not a point on P-256.
    #[error(
        "device record {}: {field} starts with `{found}` and is no point on P-256; expected 130 \
         hexadecimal digits that start with 04",
        path.display()
    )]
    NoPoint {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// First digits of its value.
        found: String,
    },
    /// One key serves for encryption and reports.
    #[error(
        "device record {}: encryption-key and report-key are the same; expected two keys, so that \
         signing a report never touches the key that opens firmware",
        path.display()
    )]
    SameKey {
        /// The file.
        path: PathBuf,
    },
    /// The RSA key cannot be read.
    #[error(
        "device record {}: rsa-public-key is no RSA public key; expected PEM that starts with \
         -----BEGIN PUBLIC KEY-----",
        path.display()
    )]
    RsaUnreadable {
        /// The file.
        path: PathBuf,
    },
    /// The RSA key has the wrong size.
    #[error(
        "device record {}: rsa-public-key has {found} bits; expected 3072, the size that \
         esp_encrypted_img has room for",
        path.display()
    )]
    RsaSize {
        /// The file.
        path: PathBuf,
        /// Bits of its modulus.
        found: usize,
    },
    /// The RSA key has an unusual exponent.
    #[error(
        "device record {}: rsa-public-key has another exponent than 65537; make a new key pair",
        path.display()
    )]
    RsaExponent {
        /// The file.
        path: PathBuf,
    },
    /// Without secure boot an ESP-IDF device would run whatever the server sends.
    #[error(
        "device record {}: unmodified ESP-IDF, but the {chip} fleet has no secure-boot-digests \
         in espseal.toml; expected secure boot: without it such a device runs anything a server \
         encrypts to its public key. Use the espseal agent or enable secure boot",
        path.display()
    )]
    NoSecureBoot {
        /// The file.
        path: PathBuf,
        /// The chip.
        chip: ChipId,
    },
    /// The device is enrolled already.
    #[error(
        "device {id} is enrolled already ({}); expected a key that no other device has",
        path.display()
    )]
    Duplicate {
        /// Its id.
        id: DeviceId,
        /// Where its record is.
        path: PathBuf,
    },
    /// The key was revoked and cannot come back.
    #[error("device {id} was revoked; give the device a new key and enrol that")]
    WasRevoked {
        /// Its id.
        id: DeviceId,
    },
    /// No such device.
    #[error(
        "no enrolled device has an id that starts with `{found}`; `espseal device list` shows them"
    )]
    Unknown {
        /// Id or first digits asked for.
        found: String,
    },
    /// More than one device could be meant.
    #[error("{count} devices have an id that starts with `{found}`; give more digits")]
    Ambiguous {
        /// First digits asked for.
        found: String,
        /// Devices that match.
        count: usize,
    },
    /// A kept record does not hold the key its name says.
    #[error(
        "{} holds the key of device {found}; expected the device it is named after: restore it \
         from a backup",
        path.display()
    )]
    Misnamed {
        /// The file.
        path: PathBuf,
        /// Device whose key it holds.
        found: DeviceId,
    },
    /// The key of the ECIES scheme is unusable.
    #[error(transparent)]
    Ecies(#[from] EciesKeyError),
    /// Channel or chip do not fit the project.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl EnrolmentError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::NoPoint { .. }
            | Self::SameKey { .. }
            | Self::RsaSize { .. }
            | Self::RsaExponent { .. }
            | Self::NoSecureBoot { .. }
            | Self::Duplicate { .. }
            | Self::WasRevoked { .. }
            | Self::WrongChip { .. }
            | Self::Misnamed { .. } => Blame::Refused,
            Self::Ecies(error) => error.blame(),
            Self::Project(error) => error.blame(),
            Self::File(FileError::Empty { .. }) => Blame::Usage,
            Self::File(_) => Blame::Io,
            _ => Blame::Usage,
        }
    }
}
