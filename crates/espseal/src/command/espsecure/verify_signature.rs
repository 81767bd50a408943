//! `espsecure verify-signature`.

use clap::Args;
use espseal_publish::app_signature::VerificationKey;
use espseal_publish::data_signing::SignedData;
use espseal_publish::secure_boot_key::read_public_key;
use serde_json::json;

use super::file::Input;
use super::signature_info_v2::family;
use super::{Version, padding};
use crate::answer::Answer;
use crate::cli::Outcome;

/// Verifies a signed file with a key.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(super) struct VerifySignature {
    /// Signed file.
    #[arg(value_name = "DATAFILE")]
    datafile: Input,
    /// Version of secure boot.
    #[arg(long, short = 'v', value_enum)]
    version: Version,
    /// Public or private key in PEM; for version 1 also 64 raw bytes, X and Y.
    #[arg(long, short, value_name = "PEM")]
    keyfile: Input,
    /// Version 2: the file may have any length.
    #[arg(long)]
    skip_padding: bool,
}

impl VerifySignature {
    pub(super) fn run(self) -> Outcome {
        let key = self.keyfile.read()?;
        match self.version {
            Version::V1 => {
                let key = VerificationKey::from_file(self.keyfile.path(), &key)?;
                let length = key.verify(self.datafile.path(), &self.datafile.read()?)?;
                Ok(
                    Answer::new(json!({ "verified": true, "signed-length": length }))
                        .listing(format_args!("Signature is valid: {length} bytes.")),
                )
            }
            Version::V2 => {
                let key = read_public_key(self.keyfile.path(), &key)?;
                let padding = padding(self.skip_padding);
                let signed = SignedData::parse(&self.datafile.read()?, padding)?;
                let blocks = signed.verify(&key)?;
                let family = family(key.scheme());
                let answer = Answer::new(json!({
                    "verified": true,
                    "blocks": blocks,
                    "signed-length": signed.signed_len(),
                }));
                Ok(blocks.iter().fold(answer, |answer, number| {
                    answer.listing(format_args!(
                        "Signature block {number} verification successful using the supplied key ({family})."
                    ))
                }))
            }
        }
    }
}
