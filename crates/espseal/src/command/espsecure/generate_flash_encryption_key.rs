//! `espsecure generate-flash-encryption-key`.

use clap::Args;
use espseal_publish::blame::Blame;
use espseal_publish::files::Secrecy;
use serde_json::json;
use zeroize::Zeroizing;

use super::file::Output;
use crate::answer::Answer;
use crate::cli::Outcome;
use crate::failure::Failure;

/// Most bits that a key file may get; the largest key that a chip takes has 512.
const MOST_BITS: u32 = 1 << 20;

/// Writes a random flash encryption key, for development.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(super) struct GenerateFlashEncryptionKey {
    /// Where to write the key; an existing file is replaced. `-` is standard output.
    #[arg(value_name = "KEY-FILE")]
    key_file: Output,
    /// Bits of the key: 128 or 256 for XTS-AES-128, 512 for XTS-AES-256; for the ESP32 256, or 192
    /// with coding scheme 3/4.
    #[arg(long, short = 'l', value_name = "BITS", default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST_BITS)))]
    keylen: u32,
}

impl GenerateFlashEncryptionKey {
    pub(super) fn run(self) -> Outcome {
        // espsecure drops the bits that make no byte.
        let mut key = Zeroizing::new(vec![0; self.keylen as usize / 8]);
        getrandom::fill(&mut key).map_err(|error| {
            let message = format_args!("the system has no random numbers: {error}");
            Failure::new(Blame::Io, message)
        })?;
        let answer = Answer::new(json!({
            "output": self.key_file.path(),
            "bits": key.len() * 8,
        }));
        let what = format!("{} random bits", key.len() * 8);
        self.key_file.write(&key, Secrecy::Private, answer, &what)
    }
}
