//! `espseal decrypt`: what stands in a device's encrypted flash.

use clap::Args;
use espseal_publish::flash_encryption::Direction;

use super::flash_data::FlashData;
use crate::cli::{Context, Outcome};

/// Decrypts data that was read from the flash of one device.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal decrypt app.enc --chip esp32c3 --flash-key device-0001.key --address 0x10000 --output app.bin
  esptool read-flash 0x10000 0x100000 app.enc && espseal decrypt app.enc --chip esp32 \\
      --flash-key device-0001.key --address 0x10000 --output app.bin

A wrong key, address or chip gives noise, not an error; so does erased flash. To look into a whole
dump, `espseal flash show` takes the key as well.")]
pub(crate) struct Decrypt {
    #[command(flatten)]
    data: FlashData,
}

impl Decrypt {
    pub(super) fn run(self, context: &Context) -> Outcome {
        self.data.run(Direction::Decrypt, context)
    }
}
