//! `espsecure encrypt-flash-data`.

use clap::Args;
use espseal_publish::flash_encryption::Direction;

use super::file::Input;
use super::flash_data::FlashFlags;
use crate::cli::{Context, Outcome};

/// Encrypts data for flash with a known key: as the chip would hold it.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(super) struct EncryptFlashData {
    #[command(flatten)]
    flags: FlashFlags,
    /// File to encrypt; `-` is standard input.
    #[arg(value_name = "PLAINTEXT-FILE")]
    plaintext_file: Input,
}

impl EncryptFlashData {
    pub(super) fn run(self, context: &Context) -> Outcome {
        self.flags
            .run(Direction::Encrypt, &self.plaintext_file, context)
    }
}
