//! What stops a direct release.

use std::path::PathBuf;

use espseal_crypto::flash_encryption::Misaligned;
use espseal_format::chip::ChipId;
use espseal_format::units::DeviceId;

use crate::blame::Blame;
use crate::escrow::EscrowError;

/// Failure of making direct images.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectError {
    /// Devices would refuse direct images.
    #[error(
        "the {chip} fleet has no secure boot, without which nothing authenticates what a device \
         boots; name its digests as `secure-boot-digests`, or publish without --direct"
    )]
    NoSecureBoot {
        /// The fleet's chip.
        chip: ChipId,
    },
    /// There is no flash key to encrypt for.
    #[error(
        "the {chip} fleet is not to have flash encryption, and a direct image is its ciphertext; \
         set `flash-encryption` under [chip.security], or publish without --direct"
    )]
    NoFlashEncryption {
        /// The fleet's chip.
        chip: ChipId,
    },
    /// There is nowhere to put it.
    #[error(
        "the partition table of the {chip} fleet lacks a journal (data, subtype 0x40) or two OTA \
         slots; expected both: direct images go to the OTA slot that does not run"
    )]
    Table {
        /// The fleet's chip.
        chip: ChipId,
    },
    /// No device of the channel has a key in escrow.
    #[error(
        "{} holds the flash key of no agent that is enrolled on this channel; expected one at \
         least: keep keys with `espseal factory --escrow`",
        folder.display()
    )]
    NoKeys {
        /// The folder.
        folder: PathBuf,
    },
    /// The key is of another chip than the device.
    #[error(
        "the escrowed flash key of device {device} is of an {found}, the device is an {expected}; \
         correct the escrow"
    )]
    OtherChip {
        /// The device.
        device: DeviceId,
        /// Chip of the device.
        expected: ChipId,
        /// Chip of the key.
        found: ChipId,
    },
    /// The image is too long.
    #[error("an image of {length} bytes is too long for a direct image of at most 16 MB")]
    Padding {
        /// Its length.
        length: usize,
    },
    /// A slot does not begin where ciphertext can.
    #[error(transparent)]
    Misaligned(#[from] Misaligned),
    /// What was encrypted does not decrypt.
    #[error(
        "the direct image of device {device} does not decrypt to the image it was made from; \
         nothing was published: test this machine's memory, then run it again"
    )]
    NotOpened {
        /// The device.
        device: DeviceId,
    },
    /// The escrow refuses.
    #[error(transparent)]
    Escrow(#[from] EscrowError),
}

impl DirectError {
    /// Who has to act.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::NoKeys { .. } => Blame::Usage,
            Self::NotOpened { .. } => Blame::Io,
            Self::Escrow(error) => error.blame(),
            _ => Blame::Refused,
        }
    }
}
