//! `espsecure verify-signature`.

use clap::Args;
use espseal_publish::app_signature::VerificationKey;
use espseal_publish::blame::Blame;
use espseal_publish::data_signing::SignedData;
use espseal_publish::keys::KeyError;
use espseal_publish::pkcs11;
use espseal_publish::secure_boot_key::read_public_key;
use serde_json::json;

use super::file::Input;
use super::hsm::Hsm;
use super::signature_info_v2::family;
use super::{Version, padding};
use crate::answer::Answer;
use crate::cli::Outcome;
use crate::failure::Failure;

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
    keyfile: Option<Input>,
    /// Version 2: the file may have any length.
    #[arg(long)]
    skip_padding: bool,
    #[command(flatten)]
    hsm: Hsm,
}

impl VerifySignature {
    pub(super) fn run(self) -> Outcome {
        match self.version {
            Version::V1 => {
                let keyfile = self.keyfile()?;
                let key = VerificationKey::from_file(keyfile.path(), &keyfile.read()?)?;
                let length = key.verify(self.datafile.path(), self.datafile.open()?)?;
                Ok(
                    Answer::new(json!({ "verified": true, "signed-length": length }))
                        .listing(format_args!("Signature is valid: {length} bytes.")),
                )
            }
            Version::V2 => {
                let key = match self.hsm.config()? {
                    Some(config) => pkcs11::read_public_key(&config).map_err(KeyError::from)?,
                    None => {
                        let keyfile = self.keyfile()?;
                        read_public_key(keyfile.path(), &keyfile.read()?)?
                    }
                };
                let padding = padding(self.skip_padding);
                let signed = SignedData::read(self.datafile.open()?, padding)?;
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
    fn keyfile(&self) -> Result<&Input, Failure> {
        let missing = || Failure::new(Blame::Usage, "name the key with --keyfile");
        self.keyfile.as_ref().ok_or_else(missing)
    }
}
