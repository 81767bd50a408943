//! `espsecure extract-public-key`.

use clap::Args;
use espseal_crypto::secure_boot::PublicKey;
use espseal_publish::files::Secrecy;
use espseal_publish::keys::KeyError;
use espseal_publish::secure_boot_key::{ImageSigner as _, SecureBootKey, encode_public_key};
use serde_json::json;

use super::Version;
use super::file::{Input, Output};
use crate::answer::Answer;
use crate::cli::Outcome;

/// Writes the public half of a signing key: raw X and Y for version 1, PEM for version 2.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(super) struct ExtractPublicKey {
    /// Where to write; an existing file is replaced. `-` is standard output.
    #[arg(value_name = "PUBLIC-KEYFILE")]
    public_keyfile: Output,
    /// Version of secure boot.
    #[arg(long, short = 'v', value_enum, default_value = "1")]
    version: Version,
    /// Private key in PEM.
    #[arg(long, short, value_name = "PEM")]
    keyfile: Input,
}

impl ExtractPublicKey {
    pub(super) fn run(self) -> Outcome {
        self.keyfile.must_differ_from(self.public_keyfile.path())?;
        let key = SecureBootKey::from_pem(self.keyfile.path(), &self.keyfile.read()?)?;
        let public = key.public_key();
        let bytes = match (self.version, &public) {
            (Version::V1, PublicKey::P256(key)) => key.coordinates().as_flattened().to_vec(),
            (Version::V1, _) => return Err(KeyError::NotP256.into()),
            (Version::V2, key) => encode_public_key(key)?.into_bytes(),
        };
        let answer = Answer::new(json!({
            "output": self.public_keyfile.path(),
            "scheme": public.scheme().to_string(),
        }));
        let what = format!("the public half of {}", self.keyfile);
        self.public_keyfile
            .write(&bytes, Secrecy::Public, answer, &what)
    }
}
