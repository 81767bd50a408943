//! Kinds, subtypes, names and flags of partitions.

use core::fmt;

/// Kind of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PartitionType {
    /// 0: an app image.
    App,
    /// 1: data.
    Data,
    /// 2: a second-stage bootloader.
    Bootloader,
    /// 3: a partition table.
    PartitionTable,
    /// 0x40..=0xFE are free for custom use; others are not assigned.
    Other(u8),
}

impl PartitionType {
    /// Reads the stored value.
    #[must_use]
    pub const fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::App,
            1 => Self::Data,
            2 => Self::Bootloader,
            3 => Self::PartitionTable,
            other => Self::Other(other),
        }
    }

    /// Returns the stored value.
    #[must_use]
    pub const fn to_u8(self) -> u8 {
        match self {
            Self::App => 0,
            Self::Data => 1,
            Self::Bootloader => 2,
            Self::PartitionTable => 3,
            Self::Other(other) => other,
        }
    }

    /// Returns the name in a CSV table.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::App => Some("app"),
            Self::Data => Some("data"),
            Self::Bootloader => Some("bootloader"),
            Self::PartitionTable => Some("partition_table"),
            Self::Other(_) => None,
        }
    }

    /// Looks up a CSV name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        (0..=3).map(Self::from_u8).find(|kind| {
            kind.name()
                .is_some_and(|known| known.eq_ignore_ascii_case(name))
        })
    }
}

/// What a partition is for; the meaning depends on its [`PartitionType`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subtype(pub u8);

impl Subtype {
    /// App: started when no OTA slot is selected.
    pub const FACTORY: Self = Self(0x00);
    /// App: started on a pin at boot.
    pub const TEST: Self = Self(0x20);
    /// Data: otadata.
    pub const DATA_OTA: Self = Self(0x00);
    /// Data: radio calibration.
    pub const DATA_PHY: Self = Self(0x01);
    /// Data: key-value storage.
    pub const DATA_NVS: Self = Self(0x02);
    /// Data: core dump.
    pub const DATA_COREDUMP: Self = Self(0x03);
    /// Data: keys of encrypted NVS.
    pub const DATA_NVS_KEYS: Self = Self(0x04);
    /// Data: unspecified; what an empty CSV field means.
    pub const UNDEFINED: Self = Self(0x06);
    /// Data: otadata of a trusted execution environment.
    pub const DATA_TEE_OTA: Self = Self(0x90);
    /// Data: espseal's journal (`docs/protocol.md`).
    pub const DATA_ESPSEAL: Self = Self(0x40);
    /// Bootloader or table: the one that is used.
    pub const PRIMARY: Self = Self(0x00);
    /// Bootloader: the recovery copy.
    pub const RECOVERY: Self = Self(0x02);

    /// App: OTA slot 0 to 15.
    #[must_use]
    pub const fn ota(slot: u8) -> Self {
        Self(0x10 | (slot & 0x0F))
    }

    /// Whether the subtype of an app partition is an OTA slot.
    #[must_use]
    pub const fn is_ota(self) -> bool {
        self.0 & 0xF0 == 0x10
    }

    /// Returns the OTA slot of an app partition.
    #[must_use]
    pub const fn slot(self) -> Option<u8> {
        if self.is_ota() {
            Some(self.0 & 0x0F)
        } else {
            None
        }
    }

    /// Returns the name in a CSV table.
    #[must_use]
    pub fn name(self, kind: PartitionType) -> Option<&'static str> {
        NAMES
            .iter()
            .find(|row| row.0 == kind && row.1 == self.0)
            .map(|row| row.2)
    }

    /// Looks up a CSV name.
    pub(super) fn from_name(kind: PartitionType, name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|row| row.0 == kind && row.2.eq_ignore_ascii_case(name))
            .map(|row| Self(row.1))
    }
}

const NAMES: &[(PartitionType, u8, &str)] = {
    use PartitionType::{App, Bootloader, Data, PartitionTable};
    &[
        (App, 0x00, "factory"),
        (App, 0x10, "ota_0"),
        (App, 0x11, "ota_1"),
        (App, 0x12, "ota_2"),
        (App, 0x13, "ota_3"),
        (App, 0x14, "ota_4"),
        (App, 0x15, "ota_5"),
        (App, 0x16, "ota_6"),
        (App, 0x17, "ota_7"),
        (App, 0x18, "ota_8"),
        (App, 0x19, "ota_9"),
        (App, 0x1A, "ota_10"),
        (App, 0x1B, "ota_11"),
        (App, 0x1C, "ota_12"),
        (App, 0x1D, "ota_13"),
        (App, 0x1E, "ota_14"),
        (App, 0x1F, "ota_15"),
        (App, 0x20, "test"),
        (App, 0x30, "tee_0"),
        (App, 0x31, "tee_1"),
        (Data, 0x00, "ota"),
        (Data, 0x01, "phy"),
        (Data, 0x02, "nvs"),
        (Data, 0x03, "coredump"),
        (Data, 0x04, "nvs_keys"),
        (Data, 0x05, "efuse"),
        (Data, 0x06, "undefined"),
        (Data, 0x80, "esphttpd"),
        (Data, 0x81, "fat"),
        (Data, 0x82, "spiffs"),
        (Data, 0x83, "littlefs"),
        (Data, 0x90, "tee_ota"),
        (Bootloader, 0x00, "primary"),
        (Bootloader, 0x01, "ota"),
        (Bootloader, 0x02, "recovery"),
        (PartitionTable, 0x00, "primary"),
        (PartitionTable, 0x01, "ota"),
    ]
};

/// Name of a partition: 16 bytes, padded with NUL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label([u8; 16]);

impl Label {
    /// Makes a name; `None` when it is longer than 16 bytes or contains NUL.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        bytes
            .get_mut(..name.len())?
            .copy_from_slice(name.as_bytes());
        (!name.contains('\0')).then_some(Self(bytes))
    }

    /// Takes the stored bytes; `None` when the name in them is not UTF-8.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        core::str::from_utf8(until_nul(&bytes)).ok()?;
        Some(Self(bytes))
    }

    /// Returns the stored bytes, with what may stand behind the NUL.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(until_nul(&self.0)).unwrap_or_default()
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Bytes before the first NUL, or all of them.
fn until_nul(bytes: &[u8; 16]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Flags of a partition; unknown ones are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u32);

impl Flags {
    /// Kept encrypted when flash encryption is on.
    pub const ENCRYPTED: Self = Self(1 << 0);
    /// Not to be written.
    pub const READONLY: Self = Self(1 << 1);

    /// Whether all of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the flags of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
