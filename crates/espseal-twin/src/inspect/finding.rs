//! What is wrong with a dump, or worth knowing, each with where and what to do.

use std::fmt;

use espseal_format::chip::ChipId;
use espseal_format::partition_table::{TableError, VerifyError};
use espseal_format::units::FlashOffset;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// A device may still boot.
    Warning,
    /// A device does not boot this, or not what its maker meant.
    Error,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// There is no partition table where it should be.
    NoTable {
        /// Where it should be.
        offset: FlashOffset,
        /// What is wrong with what is there.
        cause: TableError,
    },
    /// What stands where the table should be looks encrypted.
    TableLooksEncrypted {
        /// Where it should be.
        offset: FlashOffset,
    },
    /// The table breaks a rule.
    TableRule(VerifyError),
    /// The chip is not known, so nobody can say where the bootloader is.
    UnknownChip,
    /// No bootloader where the chip's ROM looks for it.
    NoBootloader {
        /// Where it looks.
        offset: FlashOffset,
    },
    /// An image is damaged.
    DamagedImage {
        /// Where.
        region: String,
        /// What is wrong.
        cause: String,
    },
    /// A signature does not verify.
    WrongSignature {
        /// Where.
        region: String,
        /// Number of the block.
        block: usize,
        /// Why.
        cause: String,
    },
    /// Some images are signed and this one is not.
    UnsignedAmongSigned {
        /// Where.
        region: String,
    },
    /// An image shares no signing key with the bootloader.
    OtherKey {
        /// Where.
        region: String,
    },
    /// An image is for another chip.
    OtherChip {
        /// Where.
        region: String,
        /// Chip of the image.
        found: ChipId,
        /// Chip of the bootloader.
        expected: ChipId,
    },
    /// Plain where ESP-IDF reads through flash encryption, and other parts are encrypted.
    PlainUnderEncryption {
        /// Where.
        region: String,
    },
    /// otadata is plain while the rest is encrypted.
    PlainOtadata {
        /// Where.
        region: String,
    },
    /// Encrypted where ESP-IDF reads without flash encryption.
    NeverDecrypted {
        /// Where.
        region: String,
    },
    /// An image was encrypted for another address.
    EncryptedForOtherAddress {
        /// Where it stands.
        region: String,
        /// Where it was meant to stand.
        address: FlashOffset,
        /// What the table has there.
        meant_for: String,
    },
    /// The key opens nothing here.
    NotOpened {
        /// Where.
        region: String,
    },
    /// An otadata entry that is neither blank nor right.
    TornEntry {
        /// Its number.
        entry: usize,
        /// What is wrong with it.
        cause: String,
    },
    /// otadata selects a slot without a bootable image.
    SelectedNotBootable {
        /// The slot.
        slot: String,
    },
    /// Pages of an NVS partition are damaged.
    DamagedNvs {
        /// Where.
        region: String,
        /// Number of damaged pages.
        pages: usize,
    },
    /// A partition ends behind the dump.
    BeyondDump {
        /// The partition.
        region: String,
        /// Bytes of the dump.
        length: u32,
    },
    /// The bootloader takes the flash chip for smaller than the table needs.
    FlashSizeInHeader {
        /// Size in the bootloader's header.
        header: u32,
        /// Where the last partition ends.
        needed: u32,
    },
}

impl Finding {
    /// How much it matters.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::UnknownChip | Self::TableLooksEncrypted { .. } => Severity::Note,
            Self::TornEntry { .. }
            | Self::DamagedNvs { .. }
            | Self::BeyondDump { .. }
            | Self::UnsignedAmongSigned { .. }
            | Self::OtherKey { .. }
            | Self::TableRule(_) => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTable { offset, cause } => write!(
                f,
                "no partition table at {offset}: {cause}; give its place with --table-offset"
            ),
            Self::TableLooksEncrypted { offset } => write!(
                f,
                "what stands at {offset}, where the partition table belongs, looks encrypted: give the key with --flash-key"
            ),
            Self::TableRule(cause) => write!(f, "partition table: {cause}"),
            Self::UnknownChip => {
                f.write_str("no plain bootloader says which chip this is: name it with --chip")
            }
            Self::NoBootloader { offset } => write!(
                f,
                "no bootloader at {offset}, where the ROM looks for it: nothing boots"
            ),
            Self::DamagedImage { region, cause } => write!(f, "{region}: {cause}"),
            Self::WrongSignature {
                region,
                block,
                cause,
            } => write!(f, "{region}: signature block {block}: {cause}"),
            Self::UnsignedAmongSigned { region } => write!(
                f,
                "{region} is not signed, other images are: a device with secure boot does not run it"
            ),
            Self::OtherKey { region } => write!(
                f,
                "{region} is signed, but with no key that also signed the bootloader"
            ),
            Self::OtherChip {
                region,
                found,
                expected,
            } => write!(
                f,
                "{region} is built for {found}, the bootloader for {expected}"
            ),
            Self::PlainUnderEncryption { region } => write!(
                f,
                "{region} is plain, but read through flash encryption: it reads as noise; write it encrypted"
            ),
            Self::PlainOtadata { region } => write!(
                f,
                "{region} is plain while the rest is encrypted: the bootloader reads noise and ignores it; `espseal otadata set` with the key writes it encrypted"
            ),
            Self::NeverDecrypted { region } => write!(
                f,
                "{region} is encrypted, but never read through flash encryption: write it plain"
            ),
            Self::EncryptedForOtherAddress {
                region,
                address,
                meant_for,
            } => write!(
                f,
                "{region} holds an image that was encrypted for {address} ({meant_for}): it reads as noise here; encrypt it for its own address"
            ),
            Self::NotOpened { region } => write!(
                f,
                "{region} looks encrypted, but not with this key for this address"
            ),
            Self::TornEntry { entry, cause } => write!(f, "otadata entry {entry}: {cause}"),
            Self::SelectedNotBootable { slot } => write!(
                f,
                "otadata selects {slot}, which holds no sound image: the bootloader falls back to another"
            ),
            Self::DamagedNvs { region, pages } => write!(
                f,
                "{region}: {pages} pages have a damaged header, NVS gives up what is in them"
            ),
            Self::BeyondDump { region, length } => write!(
                f,
                "{region} ends behind the dump of {length:#x} bytes: read the whole chip"
            ),
            Self::FlashSizeInHeader { header, needed } => write!(
                f,
                "the bootloader's header says {header:#x} bytes of flash, the table needs {needed:#x}: the bootloader refuses the table"
            ),
        }
    }
}
