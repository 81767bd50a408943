//! What `demo` and `init` start from when the maker brings nothing: firmware, bootloader and
//! partition table of each chip, inside the executable.
//!
//! The firmware is the project's own (`firmware/images`, as built); the bootloaders are ESP-IDF's,
//! taken from the package `espflash` by `build.rs` and adapted here the way a maker's
//! configuration would have it: 4 MB flash, and on the ESP32 the partition table at 0x9000.

use espseal_format::chip::ChipId;
use espseal_format::image::{FlashSize, ImageLayout, set_flash_size};
use espseal_format::units::FlashOffset;

mod error;
mod relocate;

pub(crate) use error::BootloaderError;
pub(crate) use relocate::relocate_partition_table;

/// Where ESP-IDF puts the partition table unless told otherwise, and where the bootloaders from
/// `espflash` look for it.
pub(crate) const ESP_IDF_TABLE_OFFSET: FlashOffset = FlashOffset::new(0x8000);

/// The built-in inputs of one chip.
#[derive(Debug)]
pub(crate) struct Defaults {
    /// The chip.
    pub(crate) chip: ChipId,
    /// App images of release 1.0.0 and 2.0.0: unsigned, ending on an MMU page.
    pub(crate) releases: [&'static [u8]; 2],
    /// Partition table as CSV.
    pub(crate) partitions: &'static str,
    /// Where the partition table stands.
    pub(crate) partition_table_offset: FlashOffset,
    /// The bootloader as `espflash` carries it.
    stock_bootloader: &'static [u8],
}

/// ESP32-C3: firmware in Rust over esp-hal.
static ESP32C3: Defaults = Defaults {
    chip: ChipId::Esp32C3,
    releases: [
        include_bytes!("../../../firmware/images/esp32c3-release-1.bin"),
        include_bytes!("../../../firmware/images/esp32c3-release-2.bin"),
    ],
    partitions: include_str!("../../../firmware/images/esp32c3-partitions.csv"),
    partition_table_offset: ESP_IDF_TABLE_OFFSET,
    stock_bootloader: include_bytes!(concat!(env!("OUT_DIR"), "/esp32c3-bootloader.bin")),
};

/// ESP32: firmware in C. The bootloader with its signature sector reaches from 0x1000 to 0x9000.
static ESP32: Defaults = Defaults {
    chip: ChipId::Esp32,
    releases: [
        include_bytes!("../../../firmware/images/esp32-release-1.bin"),
        include_bytes!("../../../firmware/images/esp32-release-2.bin"),
    ],
    partitions: include_str!("../../../firmware/images/esp32-partitions.csv"),
    partition_table_offset: FlashOffset::new(0x9000),
    stock_bootloader: include_bytes!(concat!(env!("OUT_DIR"), "/esp32-bootloader.bin")),
};

/// Returns the built-in inputs for a chip, if there are any.
#[must_use]
pub(crate) fn for_chip(chip: ChipId) -> Option<&'static Defaults> {
    [&ESP32, &ESP32C3]
        .into_iter()
        .find(|defaults| defaults.chip == chip)
}

impl Defaults {
    /// Returns ESP-IDF's bootloader for 4 MB flash and this partition table offset: unsigned, not
    /// padded.
    ///
    /// # Errors
    /// [`BootloaderError`] when the bootloader is not the one that this was written for; the build
    /// checks that it is.
    pub(crate) fn bootloader(&self) -> Result<Vec<u8>, BootloaderError> {
        let mut image = self.stock_bootloader.to_vec();
        if self.partition_table_offset != ESP_IDF_TABLE_OFFSET {
            relocate_partition_table(
                &mut image,
                ESP_IDF_TABLE_OFFSET,
                self.partition_table_offset,
            )?;
        }
        let mut layout = ImageLayout::parse(&image)?;
        set_flash_size(&mut image, &mut layout, FlashSize::Mb4)?;
        Ok(image)
    }
}

#[cfg(test)]
mod tests;
