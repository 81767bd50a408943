//! What espefuse calls each field: aliases, category, and how it shows the value.
//!
//! Where a field lies and what protects it stands in `espseal_format::chip`.

mod esp32;
mod esp32c2;
mod esp32c3;
mod esp32c5;
mod esp32c6;
mod esp32c61;
mod esp32h2;
mod esp32p4;
mod esp32s2;
mod esp32s3;

use espseal_format::chip::{Chip, ChipId};

/// One field of a summary.
#[derive(Debug)]
pub(super) struct Row {
    /// Name in summaries.
    pub(super) name: &'static str,
    /// Other names that commands take.
    pub(super) aliases: &'static [&'static str],
    /// Group in the summary.
    pub(super) category: Category,
    /// How the value is given and shown.
    pub(super) kind: Kind,
    /// Whether `burn-efuse` takes it.
    pub(super) listed: bool,
}

/// Groups of a summary, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    Calibration,
    Config,
    Flash,
    Identity,
    Jtag,
    Mac,
    Security,
    SpiPad,
    Usb,
    Vdd,
    Wdt,
}

impl Category {
    /// All of them, in order.
    pub(super) const ALL: [Self; 11] = [
        Self::Calibration,
        Self::Config,
        Self::Flash,
        Self::Identity,
        Self::Jtag,
        Self::Mac,
        Self::Security,
        Self::SpiPad,
        Self::Usb,
        Self::Vdd,
        Self::Wdt,
    ];

    /// Name in JSON.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Calibration => "calibration",
            Self::Config => "config",
            Self::Flash => "flash",
            Self::Identity => "identity",
            Self::Jtag => "jtag",
            Self::Mac => "MAC",
            Self::Security => "security",
            Self::SpiPad => "spi pad",
            Self::Usb => "usb",
            Self::Vdd => "vdd",
            Self::Wdt => "wdt",
        }
    }
}

/// How a value is given and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One bit.
    Flag,
    /// A number.
    Number,
    /// A number whose set bits count; without a value, one more is set.
    Count,
    /// A number that has a name; where the name is empty it has none.
    Named(&'static [&'static str]),
    /// [`Kind::Count`] with names.
    NamedCount(&'static [&'static str]),
    /// What a key is for.
    Purpose,
    /// Bytes.
    Bytes,
    /// A MAC address or the end of one.
    Mac,
    /// A pin of the ESP32: 30 and 31 stand for 32 and 33.
    Pin,
    /// The ESP32's reference voltage: sign and magnitude in steps of 7 mV around 1100 mV.
    Vref,
    /// Put together from these fields, lowest bits first.
    Parts(&'static [&'static str]),
    /// `MAC` with `MAC_EXT` in its middle.
    Eui64,
    /// Major number of the ESP32's revision.
    Revision,
}

/// A field that `burn-efuse` takes.
const fn row(
    name: &'static str,
    aliases: &'static [&'static str],
    category: Category,
    kind: Kind,
) -> Row {
    Row {
        name,
        aliases,
        category,
        kind,
        listed: true,
    }
}

/// A field that is only shown.
const fn shown(
    name: &'static str,
    aliases: &'static [&'static str],
    category: Category,
    kind: Kind,
) -> Row {
    Row {
        listed: false,
        ..row(name, aliases, category, kind)
    }
}

/// The fields of a chip; nothing for one without a table.
pub(super) const fn rows(chip: &Chip) -> &'static [Row] {
    match chip.id {
        ChipId::Esp32 => esp32::ROWS,
        ChipId::Esp32S2 => esp32s2::ROWS,
        ChipId::Esp32S3 => esp32s3::ROWS,
        ChipId::Esp32C2 => esp32c2::ROWS,
        ChipId::Esp32C3 => esp32c3::ROWS,
        ChipId::Esp32C5 => esp32c5::ROWS,
        ChipId::Esp32C6 => esp32c6::ROWS,
        ChipId::Esp32C61 => esp32c61::ROWS,
        ChipId::Esp32H2 => esp32h2::ROWS,
        ChipId::Esp32P4 if chip.revisions.start < 300 => esp32p4::before_revision_3::ROWS,
        ChipId::Esp32P4 => esp32p4::ROWS,
        _ => &[],
    }
}
