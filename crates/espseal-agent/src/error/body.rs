//! Errors of key wraps, bodies and images: `0x03xx`.

use core::fmt;

use espseal_format::units::{ChunkIndex, Digest};

/// Key wrap, body or image are not what was signed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// The shard has no entry for this device: it was left out of the epoch.
    NotARecipient {
        /// The group.
        group: u32,
        /// The epoch.
        epoch: u32,
    },
    /// The shard's entry does not open with this device's key.
    ShardEntry,
    /// The epoch key is not the one `releases` commits to.
    EpochCommitment,
    /// The body's key wrap does not open with the epoch key.
    Wrap,
    /// The content key is not the one the manifest commits to.
    KeyCommitment,
    /// A page of chunk hashes is not the signed one.
    PageHash {
        /// Its number, from 0.
        page: u32,
    },
    /// A chunk is not the signed one.
    ChunkHash {
        /// Which chunk.
        chunk: ChunkIndex,
    },
    /// The image in flash is not the signed one.
    ImageDigest {
        /// The digest signed for.
        expected: Digest,
        /// The digest of what stands in flash.
        found: Digest,
    },
    /// The image is not an app image that the bootloader would start.
    ImageStructure,
    /// The image ends elsewhere than the manifest says.
    ImageLength {
        /// Where the manifest says.
        expected: u32,
        /// Where the image's own header says.
        found: u32,
    },
    /// The image's header names another chip.
    ImageChip {
        /// `chip_id` of this device.
        expected: u16,
        /// `chip_id` in the header.
        found: u16,
    },
    /// The image has no secure-boot signature.
    Unsigned,
    /// No signature of the image verifies with an unrevoked key burnt in eFuse.
    UnknownSigner,
    /// The app descriptor contradicts the manifest.
    Descriptor {
        /// The field.
        field: DescriptorField,
    },
    /// The shard's entries are out of order or repeat a device.
    ShardFormat,
}

/// A field of the app descriptor that the manifest repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DescriptorField {
    /// The descriptor itself: it is missing or its magic is wrong.
    Magic,
    /// `project_name`.
    Project,
    /// `version`.
    Version,
    /// `secure_version`.
    SecureVersion,
}

impl BodyError {
    /// The stable number of this error.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::NotARecipient { .. } => 0x0301,
            Self::ShardEntry => 0x0302,
            Self::EpochCommitment => 0x0303,
            Self::Wrap => 0x0304,
            Self::KeyCommitment => 0x0305,
            Self::PageHash { .. } => 0x0306,
            Self::ChunkHash { .. } => 0x0307,
            Self::ImageDigest { .. } => 0x0308,
            Self::ImageStructure => 0x0309,
            Self::ImageLength { .. } => 0x030A,
            Self::ImageChip { .. } => 0x030B,
            Self::Unsigned => 0x030C,
            Self::UnknownSigner => 0x030D,
            Self::Descriptor { .. } => 0x030E,
            Self::ShardFormat => 0x030F,
        }
    }

    /// Whether the signed release itself is at fault, so that fetching it again cannot help.
    ///
    /// Only these count towards quarantine: what a hostile server can cause must not.
    pub(crate) const fn condemns_release(&self) -> bool {
        matches!(
            self,
            Self::ImageDigest { .. }
                | Self::ImageStructure
                | Self::ImageLength { .. }
                | Self::ImageChip { .. }
                | Self::Unsigned
                | Self::UnknownSigner
                | Self::Descriptor { .. }
        )
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARecipient { group, epoch } => {
                write!(
                    f,
                    "epoch {epoch} of group {group} has no key for this device; enrol it"
                )
            }
            Self::ShardEntry => f.write_str("this device's shard entry does not open with its key"),
            Self::EpochCommitment => f.write_str("epoch key differs from the signed commitment"),
            Self::Wrap => f.write_str("key wrap does not open with the epoch key"),
            Self::KeyCommitment => f.write_str("content key differs from the signed commitment"),
            Self::PageHash { page } => write!(f, "hash page {page} differs from the signed digest"),
            Self::ChunkHash { chunk } => write!(f, "chunk {chunk} differs from its signed hash"),
            Self::ImageDigest { expected, found } => {
                write!(f, "image in flash hashes to {found}, signed is {expected}")
            }
            Self::ImageStructure => f.write_str("image would not pass the bootloader's checks"),
            Self::ImageLength { expected, found } => {
                write!(f, "image ends at {found}, the manifest says {expected}")
            }
            Self::ImageChip { expected, found } => {
                write!(f, "image is for chip id {found}, this chip is {expected}")
            }
            Self::Unsigned => f.write_str("image has no secure-boot signature; sign, then publish"),
            Self::UnknownSigner => {
                f.write_str("no image signature verifies with an unrevoked key in eFuse")
            }
            Self::Descriptor { field } => {
                write!(
                    f,
                    "app descriptor and manifest differ in {field}; publish the built image"
                )
            }
            Self::ShardFormat => f.write_str("epoch shard is out of order; publish it anew"),
        }
    }
}

impl fmt::Display for DescriptorField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Magic => "magic",
            Self::Project => "project_name",
            Self::Version => "version",
            Self::SecureVersion => "secure_version",
        })
    }
}
