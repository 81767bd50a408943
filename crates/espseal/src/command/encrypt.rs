//! `espseal encrypt`: data as a device's encrypted flash holds it.

use clap::Args;
use espseal_publish::flash_encryption::Direction;

use super::flash_data::FlashData;
use crate::cli::{Context, Outcome};

/// Encrypts data as the flash of one device holds it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal encrypt lamp-signed.bin --chip esp32c3 --flash-key device-0001.key --address 0x10000 --output lamp.enc
  espseal encrypt otadata.bin --chip esp32 --flash-key device-0001.key --address 0xd000 --output otadata.enc
  espseal image build ... | espseal encrypt - --chip esp32s3 --flash-key 64-bytes.key --address 0x10000 --output app.enc

The output is what `espsecure encrypt-flash-data` makes, and is written to flash as it is, at the
same address. A last block of less than 16 bytes is filled with 0xFF, as erased flash would be.
Nothing in it shows later changes: secure boot has to. One device's data is noise to another.")]
pub(crate) struct Encrypt {
    #[command(flatten)]
    data: FlashData,
}

impl Encrypt {
    pub(super) fn run(self, context: &Context) -> Outcome {
        self.data.run(Direction::Encrypt, context)
    }
}
