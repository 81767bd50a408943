//! `espsecure sign-data`.

use std::path::{Path, PathBuf};

use clap::Args;
use espseal_crypto::secure_boot::PublicKey;
use espseal_format::sha256::Sha256;
use espseal_format::units::Digest;
use espseal_publish::app_signature::VerificationKey;
use espseal_publish::blame::Blame;
use espseal_publish::data_signing::{DataError, DataToSign, Ending, Transit, signature_from_file};
use espseal_publish::files::{Draft, Secrecy};
use espseal_publish::keys::KeyError;
use espseal_publish::observer::Observer;
use espseal_publish::pkcs11::HsmKey;
use espseal_publish::secure_boot_key::{ImageSigner, SecureBootKey, read_public_key};
use serde_json::json;

use super::file::Input;
use super::hsm::Hsm;
use super::{Version, padding};
use crate::answer::Answer;
use crate::cli::{Context, Outcome};
use crate::failure::Failure;

/// Signs a file for secure boot.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(super) struct SignData {
    /// File to sign.
    #[arg(value_name = "DATAFILE")]
    datafile: Input,
    /// Version of secure boot.
    #[arg(long, short = 'v', value_enum)]
    version: Version,
    /// Private key in PEM; several make several signatures.
    #[arg(long, short, value_name = "PEM", num_args = 1..)]
    keyfile: Vec<Input>,
    /// Where to write; the input is replaced when left out.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Keep the signatures of a signed file and add to them.
    #[arg(long, short, alias = "append_signatures")]
    append_signatures: bool,
    /// Public keys of signatures that were made elsewhere.
    #[arg(long, value_name = "PEM", num_args = 1..)]
    pub_key: Vec<Input>,
    /// Signatures that were made elsewhere, in the order of their keys: raw for RSA, DER for ECDSA; for
    /// version 1 r and s, raw.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    signature: Vec<Input>,
    /// Version 2: do not fill the file up to 4096 bytes.
    #[arg(long)]
    skip_padding: bool,
    #[command(flatten)]
    hsm: Hsm,
}

impl SignData {
    pub(super) fn run(self, context: &Context) -> Outcome {
        if let Some(output) = &self.output {
            self.datafile.must_differ_from(output)?;
        }
        let output = match &self.output {
            Some(output) => output.clone(),
            None if self.datafile.is_standard_input() => {
                let message = "standard input cannot be signed in place; name an --output";
                return Err(Failure::new(Blame::Usage, message));
            }
            None => self.datafile.path().to_owned(),
        };
        let mut draft = Draft::begin(&output, Secrecy::Public)?;
        let transit = Transit {
            input: self.datafile.open()?,
            output: &mut draft,
            observer: context.progress.watch_interrupt(),
        };
        let answer = match self.version {
            Version::V1 => self.sign_v1(transit, &output),
            Version::V2 => self.sign_v2(transit, &output),
        }?;
        draft.replace_flushed()?;
        Ok(answer)
    }

    /// Appends the 68 bytes of version 1.
    fn sign_v1(&self, mut transit: Transit<'_, impl Observer>, output: &Path) -> Outcome {
        if self.hsm.is_wanted() {
            let message = "secure boot v1 does not sign with an HSM; name a --keyfile";
            return Err(Failure::new(Blame::Usage, message));
        }
        if self.keyfile.len() > 1 || self.pub_key.len() > 1 || self.signature.len() > 1 {
            let message = "secure boot v1 has room for one signature; name one key";
            return Err(Failure::new(Blame::Usage, message));
        }
        let (mut hasher, mut length) = (Sha256::new(), 0_u64);
        let mut copy = || -> Result<Digest, Failure> {
            transit.copy_but_last(0, |piece| {
                hasher.update(piece);
                length = length.saturating_add(piece.len() as u64);
            })?;
            Ok(std::mem::take(&mut hasher).finish())
        };
        let (first_key, first_signature) = (self.pub_key.first(), self.signature.first());
        let signed = match (self.keyfile.first(), first_key.zip(first_signature)) {
            (_, Some((key, signature))) => {
                let key = VerificationKey::from_file(key.path(), &key.read()?)?;
                let signature = signature.read()?;
                key.attach(self.datafile.path(), &copy()?, &signature)?
            }
            (Some(key), None) if first_signature.is_none() => {
                let key = SecureBootKey::from_pem(key.path(), &key.read()?)?;
                key.sign_v1(&copy()?)?
            }
            _ => return Err(DataError::NoSignature.into()),
        };
        transit.output.put(&signed.encode())?;
        Ok(self.answer(output, length, 1, 0))
    }

    /// Appends or completes the signature sector of version 2.
    fn sign_v2(&self, mut transit: Transit<'_, impl Observer>, output: &Path) -> Outcome {
        let ending = match self.append_signatures {
            true => Ending::Signatures,
            false => Ending::Data,
        };
        let padding = padding(self.skip_padding);
        let data = if let Some(config) = self.hsm.config()? {
            let key = HsmKey::open(&config).map_err(KeyError::from)?;
            let mut data = DataToSign::copy(&mut transit, ending, padding)?;
            data.sign(&[&key], transit.output)?;
            data
        } else if self.signature.is_empty() {
            let keys = self.keyfile.iter().map(|key| -> Result<_, Failure> {
                Ok(SecureBootKey::from_pem(key.path(), &key.read()?)?)
            });
            let keys = keys.collect::<Result<Vec<_>, _>>()?;
            let signers: Vec<_> = keys.iter().map(|key| key as &dyn ImageSigner).collect();
            let mut data = DataToSign::copy(&mut transit, ending, padding)?;
            data.sign(&signers, transit.output)?;
            data
        } else {
            let signatures = self.signatures_made_elsewhere()?;
            let mut data = DataToSign::copy(&mut transit, ending, padding)?;
            data.add(&signatures)?;
            data
        };
        transit.output.put(&data.sector())?;
        Ok(self.answer(output, data.signed_len(), data.signatures(), data.padding()))
    }

    /// Pairs `--pub-key` with `--signature`.
    fn signatures_made_elsewhere(&self) -> Result<Vec<(PublicKey, Vec<u8>)>, Failure> {
        if self.pub_key.len() != self.signature.len() {
            return Err(DataError::Unpaired {
                signatures: self.signature.len(),
                keys: self.pub_key.len(),
            }
            .into());
        }
        let pairs = self.pub_key.iter().zip(&self.signature).zip(1..);
        pairs
            .map(|((key, signature), number)| {
                let key = read_public_key(key.path(), &key.read()?)?;
                let signature = signature_from_file(&key, &signature.read()?)
                    .ok_or(DataError::ForeignSignature { number })?;
                Ok((key, signature))
            })
            .collect()
    }

    fn answer(&self, output: &Path, length: u64, signatures: usize, padding: usize) -> Answer {
        Answer::new(json!({
            "output": output,
            "signed-length": length,
            "padding": padding,
            "signatures": signatures,
        }))
        .listing(format_args!(
            "Signed {length} bytes of {}, {padding} of them padding: {}, {signatures} signature{}.",
            self.datafile,
            output.display(),
            if signatures == 1 { "" } else { "s" }
        ))
    }
}
