//! Why a device is not made.

use std::path::PathBuf;

use espseal_format::chip::ChipId;
use espseal_twin::efuse::{EfuseError, Mac};
use espseal_twin::factory::FactoryError;

use crate::blame::Blame;
use crate::efuse_plan::refusals::Refusal;
use crate::escrow::EscrowError;
use crate::files::FileError;
use crate::image_check::ImageRefused;
use crate::nvs::error::NvsError;

/// Failure of making devices.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MakeError {
    /// The project says nothing of how the chip is locked.
    #[error(
        "espseal.toml has no [chip.security] for {chip}; say there how its devices are locked (docs/provisioning.md), \
         `flash-encryption = \"off\"` included"
    )]
    NoSecurity {
        /// The chip.
        chip: ChipId,
    },
    /// The project does not name what is flashed.
    #[error("espseal.toml names no `{field}` for {chip}; a device needs {needs}")]
    NotNamed {
        /// The chip.
        chip: ChipId,
        /// The field.
        field: &'static str,
        /// Why.
        needs: &'static str,
    },
    /// Secure boot v1 binds the bootloader to a key of its own.
    #[error(
        "secure boot v1 is not made here: its bootloader's digest needs a key that every device shares or a \
         bootloader of its own; use v2 on an ESP32 of revision 3, or let the bootloader turn v1 on"
    )]
    SecureBootV1,
    /// The project says that keys are burnt, and that secure boot is off.
    #[error(
        "espseal.toml has secure-boot-digests for {chip}, and [chip.security] leaves secure boot off; \
         releases would count on a check that no device makes: set `secure-boot`, or empty the list"
    )]
    SecureBootOff {
        /// The chip.
        chip: ChipId,
    },
    /// There are more apps than partitions.
    #[error(
        "espseal.toml names {apps} apps, the partition table has {slots} app partitions; leave out \
         the ones that are not flashed"
    )]
    ManyApps {
        /// Images.
        apps: usize,
        /// Partitions.
        slots: usize,
    },
    /// What would be secret would stand in plaintext.
    #[error("{what} needs flash encryption, which is off for {chip}: {advice}")]
    NeedsEncryption {
        /// What.
        what: &'static str,
        /// The chip.
        chip: ChipId,
        /// What to do.
        advice: &'static str,
    },
    /// A partition that is needed is not there, or not as it has to be.
    #[error("the partition table has no {expected}; {advice}")]
    Partition {
        /// What is looked for.
        expected: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// The partition is written by the factory itself.
    #[error("{label} is filled by the factory itself; leave it out of --data")]
    Reserved {
        /// Label of the partition.
        label: String,
    },
    /// The chip has no HMAC peripheral.
    #[error("{chip} has no HMAC peripheral, which `{option}` needs; {advice}")]
    NoHmac {
        /// The chip.
        chip: ChipId,
        /// What was asked for.
        option: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// Devices without keys cannot be enrolled.
    #[error(
        "{chip} devices get no key of their own, so there is nothing to enrol them by: set `device-key = true` in \
         [chip.security], add an encrypted partition `device_key` on a chip without HMAC, or use --no-enroll"
    )]
    NoDeviceKey {
        /// The chip.
        chip: ChipId,
    },
    /// More than one channel could be meant.
    #[error("{chip} devices can follow {found}; choose one with --channel")]
    Channel {
        /// The chip.
        chip: ChipId,
        /// Channels.
        found: String,
    },
    /// The eFuses would keep the app from booting.
    #[error(
        "{}: the app has secure version {found}, and secure-version = {burnt} is burnt: no device would boot; \
         build the app with {burnt} or more",
        path.display()
    )]
    SecureVersion {
        /// The image.
        path: PathBuf,
        /// Of the app.
        found: u32,
        /// Of [chip.security].
        burnt: u32,
    },
    /// The virtual device does not start.
    #[error("a virtual device made like this does not start its app: {log}")]
    DoesNotBoot {
        /// What the twin says.
        log: Box<str>,
    },
    /// A list of devices, or its configuration, has a mistake.
    #[error("{}, line {line}: {cause}", path.display())]
    Order {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        cause: OrderProblem,
    },
    /// A value of a device cannot be stored.
    #[error("device {name}: {cause}")]
    Values {
        /// The device.
        name: String,
        /// What is wrong.
        cause: NvsError,
    },
    /// The batch was begun with something else.
    #[error(
        "the batch in {} was begun with another {what}; go on with the same, or begin a new batch in \
         another folder",
        path.display()
    )]
    OtherInputs {
        /// The folder.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// The folder holds something else.
    #[error("{} is not empty and holds no batch; choose another folder", path.display())]
    NotABatch {
        /// The folder.
        path: PathBuf,
    },
    /// Another espseal makes this batch.
    #[error("another espseal works on the batch in {}; wait for it", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// A file of the batch cannot be understood.
    #[error("{} is damaged ({cause}); restore it, or remove the folder of that device to make it anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The address is another device's.
    #[error(
        "MAC address {mac} belongs to device {name} of this batch; a chip takes the files of one device only"
    )]
    MacTaken {
        /// The address.
        mac: Mac,
        /// The device.
        name: String,
    },
    /// The device has another address.
    #[error(
        "device {name} is for the chip {known}, not {found}; a device's files are for one chip only"
    )]
    OtherMac {
        /// The device.
        name: String,
        /// The address that is known.
        known: Mac,
        /// The one given.
        found: Mac,
    },
    /// No such device.
    #[error("the batch has no finished device `{name}`")]
    NoSuchDevice {
        /// The name.
        name: String,
    },
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
    /// A key cannot be derived.
    #[error("the device's keys cannot be derived")]
    Keys,
    /// The user interrupted.
    #[error("interrupted; finished devices stay, run it again for the rest")]
    Interrupted,
    /// The image is not flashed.
    #[error(transparent)]
    Image(#[from] ImageRefused),
    /// The flash cannot be laid out like this.
    #[error(transparent)]
    Layout(#[from] FactoryError),
    /// The eFuses cannot be burnt like this.
    #[error(transparent)]
    Plan(#[from] Refusal),
    /// The chip is not known.
    #[error(transparent)]
    Efuse(#[from] EfuseError),
    /// Shared NVS values cannot be stored.
    #[error(transparent)]
    Nvs(#[from] NvsError),
    /// The flash key cannot be kept.
    #[error(transparent)]
    Escrow(#[from] EscrowError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What is wrong with a list of devices or its configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderProblem {
    /// The file is not UTF-8.
    #[error("the file is no UTF-8 text")]
    Text,
    /// There are no devices.
    #[error("the list names no device; expected a header and a row for each")]
    NoDevices,
    /// There is no column for names.
    #[error("there is no column `name` (or `id`)")]
    NoName,
    /// A configured value has no column.
    #[error("there is no column `{expected}`, which the configuration of NVS values names")]
    NoColumn {
        /// The key.
        expected: String,
    },
    /// A column is for nothing.
    #[error(
        "the column `{found}` is none that espseal knows; name it in the configuration of NVS values (--nvs-columns)"
    )]
    UnknownColumn {
        /// The column.
        found: String,
    },
    /// A column or key stands twice.
    #[error("`{found}` stands twice")]
    ColumnTwice {
        /// The column.
        found: String,
    },
    /// A row has too few or too many fields.
    #[error("the row has {found} fields, expected {expected}")]
    Fields {
        /// Columns.
        expected: usize,
        /// Fields.
        found: usize,
    },
    /// A name cannot be that of a folder.
    #[error(
        "`{found}` is no name for a device: expected 1 to 64 of A-Z, a-z, 0-9, -, _ and ., not starting with ."
    )]
    Name {
        /// The name.
        found: String,
    },
    /// A name stands twice.
    #[error("device `{found}` stands twice")]
    NameTwice {
        /// The name.
        found: String,
    },
    /// The address is none.
    #[error("`{found}` is no MAC address of a chip: expected such as 7c:df:a1:00:00:01")]
    Mac {
        /// The text.
        found: String,
    },
    /// An address stands twice.
    #[error("MAC address {found} stands twice")]
    MacTwice {
        /// The address.
        found: Mac,
    },
    /// The configuration is none.
    #[error(
        "expected key,type,encoding and perhaps REPEAT, without a header, as for ESP-IDF's manufacturing utility"
    )]
    Configuration,
}

impl MakeError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Interrupted => Blame::Interrupted,
            Self::NoRandomness | Self::Keys | Self::Busy { .. } => Blame::Io,
            Self::OtherInputs { .. }
            | Self::Damaged { .. }
            | Self::DoesNotBoot { .. }
            | Self::SecureVersion { .. }
            | Self::NeedsEncryption { .. }
            | Self::MacTaken { .. }
            | Self::OtherMac { .. }
            | Self::Layout(_) => Blame::Refused,
            Self::Image(error) => error.blame(),
            Self::Plan(error) => error.blame(),
            Self::Nvs(cause) | Self::Values { cause, .. } => cause.blame(),
            Self::Escrow(error) => error.blame(),
            Self::File(_) => Blame::Io,
            _ => Blame::Usage,
        }
    }
}
