//! `espsecure digest-private-key`.

use clap::Args;
use espseal_publish::files::Secrecy;
use espseal_publish::secure_boot_key::SecureBootKey;
use serde_json::json;

use super::file::{Input, Output};
use crate::answer::Answer;
use crate::cli::Outcome;

/// Writes the SHA-256 of a secure boot v1 private key: the bootloader's digest key.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(super) struct DigestPrivateKey {
    /// Where to write; an existing file is replaced. `-` is standard output.
    #[arg(value_name = "DIGEST-FILE")]
    digest_file: Output,
    /// ECDSA P-256 private key in PEM.
    #[arg(long, short, value_name = "PEM")]
    keyfile: Input,
    /// Bits of the digest: 192 for coding scheme 3/4, else all 256.
    #[arg(
        long,
        short = 'l',
        value_name = "BITS",
        default_value_t = 256,
        allow_negative_numbers = true
    )]
    keylen: i64,
}

impl DigestPrivateKey {
    pub(super) fn run(self) -> Outcome {
        self.keyfile.must_differ_from(self.digest_file.path())?;
        let key = SecureBootKey::from_pem(self.keyfile.path(), &self.keyfile.read()?)?;
        let digest = key.private_digest()?;
        let length = match self.keylen {
            192 => 24,
            _ => digest.len(),
        };
        let bytes = digest.get(..length).unwrap_or_default();
        let answer = Answer::new(json!({
            "output": self.digest_file.path(),
            "bits": length * 8,
        }));
        let what = format!("{} bits of the private key's SHA-256", length * 8);
        self.digest_file
            .write(bytes, Secrecy::Private, answer, &what)
    }
}
