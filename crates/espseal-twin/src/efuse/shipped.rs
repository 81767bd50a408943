//! What Espressif burns before it sells a chip: silicon revision and MAC address.

use core::fmt;

use espseal_format::chip::{self, ChipId};
use espseal_format::efuse::Field;

use super::{EfuseError, Efuses, Silicon, put};

/// Factory MAC address, most significant byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// CRC-8 as the ESP32 stores it next to the address: Dallas/Maxim, polynomial 0x31 reflected.
    ///
    /// Source: ESP32 technical reference manual, eFuse controller.
    #[must_use]
    pub fn crc8(self) -> u8 {
        self.0.iter().fold(0, |crc, byte| {
            (0..8).fold(crc ^ byte, |crc, _| {
                (crc >> 1) ^ if crc & 1 == 1 { 0x8C } else { 0 }
            })
        })
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Efuses {
    /// Makes the eFuses of a chip as it leaves Espressif: silicon revision and MAC address burnt.
    ///
    /// The revision is major * 100 + minor; without one, it is that of chips that are sold.
    ///
    /// # Errors
    /// [`EfuseError::UnknownChip`], [`EfuseError::NoSuchRevision`].
    pub fn as_shipped(chip: ChipId, revision: Option<u16>, mac: Mac) -> Result<Self, EfuseError> {
        let newest = chip::chip(chip).ok_or(EfuseError::UnknownChip(chip))?;
        let revision = revision.unwrap_or(newest.usual_revision);
        let model = chip::chip_of_revision(chip, revision);
        let model = model.ok_or(EfuseError::NoSuchRevision { chip, revision })?;
        let mut efuses = Self::of_model(model);
        let map = efuses.map();
        let (major, minor) = (revision / 100, revision % 100);
        let burnt = if chip == ChipId::Esp32 {
            let (major, silicon) =
                esp32_major(major).ok_or(EfuseError::NoSuchRevision { chip, revision })?;
            efuses.silicon = silicon;
            major
        } else {
            major
        };
        efuses.ship_parts(map.wafer_version_major, burnt);
        efuses.ship_parts(map.wafer_version_minor, minor);
        if efuses.revision() != revision {
            return Err(EfuseError::NoSuchRevision { chip, revision });
        }
        let address = mac
            .0
            .iter()
            .fold(0, |address, byte| address << 8 | u64::from(*byte));
        efuses.ship(&map.mac, address)?;
        if let Some(crc) = map.field("MAC_CRC") {
            efuses.ship(crc, mac.crc8().into())?;
        }
        Ok(efuses)
    }

    /// Revision of the silicon, major * 100 + minor.
    #[must_use]
    pub fn revision(&self) -> u16 {
        let map = self.map();
        let major = self.parts(map.wafer_version_major);
        let minor = self.parts(map.wafer_version_minor);
        let major = match (self.chip(), self.silicon) {
            // The third bit is wired: it is set in the silicon that all three bits name.
            (ChipId::Esp32, Silicon::Current) if major == 0b11 => 3,
            (ChipId::Esp32, _) => u16::from(major & 1 != 0) + u16::from(major == 0b11),
            _ => major,
        };
        major.saturating_mul(100).saturating_add(minor)
    }

    /// The factory MAC address.
    #[must_use]
    pub fn mac(&self) -> Mac {
        let [_, _, mac @ ..] = self.get(&self.map().mac).to_be_bytes();
        Mac(mac)
    }

    /// Takes the table of the revision that was read, which lies where it does in every table.
    ///
    /// # Errors
    /// [`EfuseError::NoSuchRevision`] when no table describes it.
    pub(super) fn of_read_revision(mut self) -> Result<Self, EfuseError> {
        let (chip, revision) = (self.chip(), self.revision());
        let model = chip::chip_of_revision(chip, revision);
        self.model = model.ok_or(EfuseError::NoSuchRevision { chip, revision })?;
        Ok(self)
    }

    /// Reads a number from fields that hold its bits, lowest first.
    fn parts(&self, fields: &[Field]) -> u16 {
        let number = fields
            .iter()
            .rev()
            .fold(0, |number, field| number << field.width | self.get(field));
        u16::try_from(number).unwrap_or(u16::MAX)
    }

    /// Writes a number's bits into fields, lowest first; bits that do not fit are left out.
    fn ship_parts(&mut self, fields: &[Field], number: u16) {
        let mut rest = u64::from(number);
        for field in fields {
            let mask = (1_u64 << field.width).wrapping_sub(1);
            // It fits: it is masked.
            let _ = self.ship(field, rest & mask);
            rest >>= field.width;
        }
    }

    /// Writes a field before the chip is sold, without a trace in the controller.
    fn ship(&mut self, field: &Field, value: u64) -> Result<(), EfuseError> {
        match self.blocks.get_mut(usize::from(field.block)) {
            Some(block) => put(field, block, value),
            None => Ok(()),
        }
    }
}

/// Bits of the major number that are burnt on an ESP32, and what is wired.
fn esp32_major(major: u16) -> Option<(u16, Silicon)> {
    match major {
        0 => Some((0b00, Silicon::BeforeRevision3)),
        1 => Some((0b01, Silicon::BeforeRevision3)),
        2 => Some((0b11, Silicon::BeforeRevision3)),
        3 => Some((0b11, Silicon::Current)),
        _ => None,
    }
}
