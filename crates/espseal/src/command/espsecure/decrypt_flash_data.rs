//! `espsecure decrypt-flash-data`.

use clap::Args;
use espseal_publish::flash_encryption::Direction;

use super::file::Input;
use super::flash_data::FlashFlags;
use crate::cli::{Context, Outcome};

/// Decrypts data that was read from encrypted flash, with its key.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(super) struct DecryptFlashData {
    #[command(flatten)]
    flags: FlashFlags,
    /// File to decrypt; `-` is standard input.
    #[arg(value_name = "ENCRYPTED-FILE")]
    encrypted_file: Input,
}

impl DecryptFlashData {
    pub(super) fn run(self, context: &Context) -> Outcome {
        self.flags
            .run(Direction::Decrypt, &self.encrypted_file, context)
    }
}
