//! Refusals by this device's own rules, `0x04xx`, and misuse by its firmware, `0x06xx`.

use core::fmt;

use espseal_format::metadata::direct::FlashScheme;
use espseal_format::units::{Digest, FlashOffset, Position, SecurityVersion};

use crate::platform::Slot;

/// This device may not or cannot take the update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// The manifest is for devices of another vendor.
    WrongVendor,
    /// The manifest is for devices of another class.
    WrongClass,
    /// The manifest is for another chip.
    WrongChip {
        /// `chip_id` of this device.
        expected: u16,
        /// `chip_id` in the manifest.
        found: u16,
    },
    /// The offer is older than what is installed.
    Downgrade {
        /// What is installed.
        installed: Position,
        /// What is offered.
        offered: Position,
    },
    /// What is installed is too old to go to this release directly.
    TooOld {
        /// What is installed.
        installed: Position,
        /// Lowest position to come from.
        minimum: Position,
    },
    /// The release's secure version is below what eFuse or the running image demand.
    SecureVersion {
        /// Lowest secure version accepted.
        floor: SecurityVersion,
        /// The release's.
        found: SecurityVersion,
    },
    /// The image does not fit the slot.
    TooLarge {
        /// Size of the slot in bytes.
        slot_size: u32,
        /// Length of the image in bytes.
        length: u32,
    },
    /// There is no OTA slot other than the running one.
    NoTargetSlot,
    /// The bootloader started another slot than the selected one.
    RunningNotSelected {
        /// The slot that runs.
        running: Slot,
        /// The slot otadata selects.
        selected: Slot,
    },
    /// The running image is not confirmed yet.
    NotConfirmed,
    /// The bootloader does not track the first boot of an image, so it cannot roll back.
    NoRollback,
    /// Neither this device nor its policy allows images without a burnt secure-boot key.
    NoBurntDigest,
    /// The manifest failed twice and is not tried again.
    Quarantined {
        /// SHA-256 of the manifest.
        manifest: Digest,
    },
    /// The running image is not the one the journal activated.
    WrongImage {
        /// Digest in the journal.
        expected: Digest,
    },
    /// A direct image is on offer, and flash encryption is off.
    FlashNotEncrypted,
    /// The direct manifest is for another release.
    DirectRelease {
        /// SHA-256 of the manifest it names, which is not on offer.
        found: Digest,
    },
    /// The direct manifest is for another device.
    DirectDevice,
    /// The direct image is encrypted by another scheme, or with another `FLASH_CRYPT_CONFIG`.
    DirectScheme {
        /// What eFuses say.
        expected: FlashScheme,
        /// What the direct manifest says.
        found: FlashScheme,
    },
    /// The direct image is encrypted for another place than the slot to update.
    DirectSlot {
        /// First byte of the slot to update.
        expected: FlashOffset,
        /// The place it is for.
        found: FlashOffset,
    },
    /// The direct image's probes are encrypted for another place than the journal.
    DirectJournal {
        /// First byte of the journal.
        expected: FlashOffset,
        /// The place they are for.
        found: FlashOffset,
    },
    /// The direct image is not as long as the padded image of the release.
    DirectLength {
        /// Length of the image in bytes, padded.
        expected: u32,
        /// What the direct manifest says.
        found: u32,
    },
    /// The direct image is not encrypted with this device's flash key.
    WrongFlashKey,
}

/// The caller or the configuration is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// Partitions overlap, are empty, off sector boundaries, or there is no OTA slot.
    Layout,
    /// The built-in root is not a root of this product.
    BuiltInRoot,
    /// `confirm` was called while nothing awaits confirmation.
    NothingToConfirm,
    /// The running slot is not in the layout.
    RunningSlot {
        /// The slot the platform named.
        running: Slot,
    },
    /// A poll or report could not be encoded.
    Encoding,
}

impl DeviceError {
    /// The stable number of this error.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::WrongVendor => 0x0401,
            Self::WrongClass => 0x0402,
            Self::WrongChip { .. } => 0x0403,
            Self::Downgrade { .. } => 0x0404,
            Self::TooOld { .. } => 0x0405,
            Self::SecureVersion { .. } => 0x0406,
            Self::TooLarge { .. } => 0x0407,
            Self::NoTargetSlot => 0x0408,
            Self::RunningNotSelected { .. } => 0x0409,
            Self::NotConfirmed => 0x040A,
            Self::NoRollback => 0x040B,
            Self::NoBurntDigest => 0x040C,
            Self::Quarantined { .. } => 0x040D,
            Self::WrongImage { .. } => 0x040E,
            Self::FlashNotEncrypted => 0x040F,
            Self::DirectRelease { .. } => 0x0410,
            Self::DirectDevice => 0x0411,
            Self::DirectScheme { .. } => 0x0412,
            Self::DirectSlot { .. } => 0x0413,
            Self::DirectJournal { .. } => 0x0414,
            Self::DirectLength { .. } => 0x0415,
            Self::WrongFlashKey => 0x0416,
        }
    }
}

impl Misuse {
    /// The stable number of this error.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Layout => 0x0601,
            Self::BuiltInRoot => 0x0602,
            Self::NothingToConfirm => 0x0603,
            Self::RunningSlot { .. } => 0x0604,
            Self::Encoding => 0x0605,
        }
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongVendor => f.write_str("release is for another vendor"),
            Self::WrongClass => f.write_str("release is for another device class"),
            Self::WrongChip { expected, found } => {
                write!(f, "release is for chip id {found}, this chip is {expected}")
            }
            Self::Downgrade { installed, offered } => {
                write!(
                    f,
                    "{offered} is offered, {installed} is installed; offer a higher seq"
                )
            }
            Self::TooOld { installed, minimum } => {
                write!(
                    f,
                    "{installed} is installed, the release asks for {minimum}; offer a stepping stone"
                )
            }
            Self::SecureVersion { floor, found } => {
                write!(
                    f,
                    "release has secure version {found}, this device demands {floor}"
                )
            }
            Self::TooLarge { slot_size, length } => {
                write!(f, "image has {length} bytes, the slot {slot_size}")
            }
            Self::NoTargetSlot => f.write_str("no other OTA slot; the partition table needs two"),
            Self::RunningNotSelected { running, selected } => {
                write!(
                    f,
                    "{running} runs though {selected} is selected; the selected image is damaged"
                )
            }
            Self::NotConfirmed => f.write_str("running image is not confirmed; confirm it first"),
            Self::NoRollback => f.write_str(
                "bootloader cannot roll back; build it with CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE",
            ),
            Self::NoBurntDigest => f.write_str(
                "no unrevoked secure-boot digest in eFuse; burn one or relax the policy",
            ),
            Self::Quarantined { manifest } => {
                write!(
                    f,
                    "manifest {manifest} failed twice on this device; publish another release"
                )
            }
            Self::WrongImage { expected } => {
                write!(
                    f,
                    "running image does not hash to {expected}, which the journal activated"
                )
            }
            Self::FlashNotEncrypted => f.write_str(
                "flash encryption is off; a direct image is ciphertext, publish a sealed one",
            ),
            Self::DirectRelease { found } => write!(
                f,
                "direct image is for manifest {found}, which is not on offer; publish it anew"
            ),
            Self::DirectDevice => f.write_str("direct image is for another device"),
            Self::DirectScheme { expected, found } => write!(
                f,
                "direct image is encrypted with {found}, this flash with {expected}; correct the escrow"
            ),
            Self::DirectSlot { expected, found } => write!(
                f,
                "direct image is encrypted for {found}, the slot to update is at {expected}"
            ),
            Self::DirectJournal { expected, found } => write!(
                f,
                "direct image takes the journal to be at {found}, it is at {expected}; publish with \
                 this device's partition table"
            ),
            Self::DirectLength { expected, found } => write!(
                f,
                "direct image has {found} bytes, the image padded to sectors {expected}"
            ),
            Self::WrongFlashKey => f.write_str(
                "direct image is not encrypted with this device's flash key; correct the escrow",
            ),
        }
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout => f.write_str("partition layout is not usable"),
            Self::BuiltInRoot => f.write_str("built-in root is not a root of this product"),
            Self::NothingToConfirm => f.write_str("no image awaits confirmation"),
            Self::RunningSlot { running } => {
                write!(f, "running slot {running} is not in the layout")
            }
            Self::Encoding => f.write_str("poll or report could not be encoded"),
        }
    }
}
