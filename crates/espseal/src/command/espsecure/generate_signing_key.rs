//! `espsecure generate-signing-key`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use espseal_format::signature_block::{Curve, SignatureScheme};
use espseal_publish::keys::KeyError;
use espseal_publish::secure_boot_key::SecureBootKey;
use serde_json::json;

use super::Version;
use crate::answer::Answer;
use crate::cli::Outcome;

/// Makes a signing key for secure boot.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(super) struct GenerateSigningKey {
    /// Where to write the key; it must not exist.
    #[arg(value_name = "KEYFILE")]
    keyfile: PathBuf,
    /// Version of secure boot.
    #[arg(long, short = 'v', value_enum, default_value = "1")]
    version: Version,
    /// Scheme; RSA-3072 when left out, for version 1 always ECDSA P-256.
    #[arg(long, short, value_enum)]
    scheme: Option<Scheme>,
}

/// The schemes in espsecure's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scheme {
    #[value(name = "rsa3072")]
    Rsa3072,
    #[value(name = "ecdsa192")]
    Ecdsa192,
    #[value(name = "ecdsa256")]
    Ecdsa256,
    #[value(name = "ecdsa384")]
    Ecdsa384,
}

impl GenerateSigningKey {
    pub(super) fn run(self) -> Outcome {
        let scheme = match (self.version, self.scheme) {
            (Version::V1, None | Some(Scheme::Ecdsa256)) | (_, Some(Scheme::Ecdsa256)) => {
                SignatureScheme::Ecdsa(Curve::P256)
            }
            (Version::V1, Some(_)) => return Err(KeyError::NotP256.into()),
            (Version::V2, None | Some(Scheme::Rsa3072)) => SignatureScheme::Rsa3072,
            (Version::V2, Some(Scheme::Ecdsa192)) => SignatureScheme::Ecdsa(Curve::P192),
            (Version::V2, Some(Scheme::Ecdsa384)) => SignatureScheme::Ecdsa(Curve::P384),
        };
        SecureBootKey::create(&self.keyfile, scheme)?;
        Ok(Answer::new(json!({
            "output": self.keyfile,
            "scheme": scheme.to_string(),
        }))
        .listing(format_args!(
            "{scheme} private key written to {}, readable by you alone",
            self.keyfile.display()
        )))
    }
}
