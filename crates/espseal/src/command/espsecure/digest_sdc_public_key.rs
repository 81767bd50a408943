//! `espsecure digest-sdc-public-key`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use espseal_publish::debug_certificate;
use espseal_publish::files::{self, Secrecy};
use espseal_publish::keys::KeyError;
use espseal_publish::pkcs11;
use espseal_publish::secure_boot_key::{ImageSigner as _, SecureBootKey, read_public_key};
use serde_json::json;

use super::file::Input;
use super::hsm::Hsm;
use crate::answer::Answer;
use crate::cli::Outcome;

/// Writes the digest of a Secure Debug Controller key, as burnt in eFuse.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[command(group = ArgGroup::new("key").required(true).args(["keyfile", "pub_key", "hsm"]))]
pub(super) struct DigestSdcPublicKey {
    /// ECDSA P-256 private key in PEM.
    #[arg(long, short, value_name = "PEM")]
    keyfile: Option<Input>,
    /// ECDSA P-256 public key in PEM.
    #[arg(long, value_name = "PEM")]
    pub_key: Option<Input>,
    #[command(flatten)]
    hsm: Hsm,
    /// Say more; espseal says it all the same.
    #[arg(long)]
    verbose: bool,
    /// Where to write the 32 bytes; an existing file is replaced.
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "sdc_pub_key_digest.bin"
    )]
    output: PathBuf,
}

impl DigestSdcPublicKey {
    pub(super) fn run(self) -> Outcome {
        for input in self.keyfile.iter().chain(&self.pub_key) {
            input.must_differ_from(&self.output)?;
        }
        let key = match (&self.keyfile, &self.pub_key, self.hsm.config()?) {
            (_, _, Some(config)) => pkcs11::read_public_key(&config).map_err(KeyError::from)?,
            (Some(key), ..) => SecureBootKey::from_pem(key.path(), &key.read()?)?.public_key(),
            (None, Some(key), None) => read_public_key(key.path(), &key.read()?)?,
            // The arguments' parser asks for one of them.
            (None, None, None) => return Err(KeyError::NotP256.into()),
        };
        let digest = debug_certificate::efuse_digest(&key)?;
        files::replace(&self.output, &digest.0, Secrecy::Public)?;
        Ok(Answer::new(json!({
            "output": self.output,
            "key-digest": digest.to_string(),
        }))
        .listing(format_args!(
            "digest {digest} written to {}: burn it with purpose SDC_KEY_DIGEST",
            self.output.display()
        )))
    }
}
