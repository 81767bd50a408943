//! `espseal image verify`: says whether a device would take an image.

use std::path::PathBuf;

use clap::Args;
use espseal_crypto::secure_boot::PublicKey;
use espseal_format::units::Digest;
use espseal_publish::secure_boot_key::load_public_key;
use espseal_twin::inspect::image::{Inspection, Signature};
use serde_json::json;

use super::{Found, Source};
use crate::answer::Answer;
use crate::cli::Outcome;
use crate::failure::Failure;

/// Checks an image: structure, checksum, SHA-256, mapping and, if asked, who signed it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  espseal image verify build/lamp.bin
  espseal image verify lamp-signed.bin --key secure-boot-public.pem
  espseal image verify dump.bin --partition ota_0 --digest 3f1c... --digest 77aa...

With --key or --digest the image must carry a valid signature by one of the keys.
Exit codes: 0 sound, 1 refused, 2 usage, 3 a file cannot be read.")]
pub(crate) struct Verify {
    #[command(flatten)]
    source: Source,
    /// Public key in PEM that may have signed; repeatable.
    #[arg(long, value_name = "PEM")]
    key: Vec<PathBuf>,
    /// Digest of a public key as eFuses hold it, 64 hexadecimal digits; repeatable.
    #[arg(long, value_name = "HEX", value_parser = digest)]
    digest: Vec<Digest>,
}

impl Verify {
    pub(super) fn run(self) -> Outcome {
        let keys = self
            .key
            .iter()
            .map(|path| load_public_key(path))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Failure::new(error.blame(), error))?;
        let found = self.source.open()?;
        let mut problems: Vec<String> = found
            .image
            .damage()
            .map(|damage| damage.to_string())
            .collect();
        for (index, signature) in found.image.signatures.iter().enumerate() {
            if let Signature::Wrong { cause, .. } = signature {
                problems.push(format!("signature block {index}: {cause}"));
            }
        }
        let mut wanted = self.digest.clone();
        wanted.extend(keys.iter().map(PublicKey::digest));
        let signer = signer(&found.image, &keys, &wanted);
        if let (Err(problem), false) = (&signer, wanted.is_empty()) {
            problems.push(problem.clone());
        }
        Ok(self.answer(&found, &problems, signer.ok()))
    }

    fn answer(&self, found: &Found, problems: &[String], signer: Option<String>) -> Answer {
        let file = self.source.file.display();
        let answer = Answer::new(json!({
            "valid": problems.is_empty(),
            "problems": problems,
            "signed-by": signer,
            "image": found.json(),
        }));
        if problems.is_empty() {
            let by = signer.map_or(String::new(), |key| format!(", signed by {key}"));
            return answer.line(format_args!("{file} is sound{by}"));
        }
        problems.iter().fold(answer.refused(), |answer, problem| {
            answer.line(format_args!("{file}: {problem}"))
        })
    }
}

/// Who signed, of those who may have; of all who did when nobody is named.
fn signer(image: &Inspection, keys: &[PublicKey], wanted: &[Digest]) -> Result<String, String> {
    let is_wanted = |key: &Digest| wanted.is_empty() || wanted.contains(key);
    let signers: Vec<_> = image.signing_keys().collect();
    if let Some(key) = signers.iter().find(|key| is_wanted(key)) {
        return Ok(format!("key {key}"));
    }
    if let Some((signature, digest)) = &image.v1_signature {
        for key in keys {
            if let PublicKey::P256(key) = key
                && let ([r, s], []) = signature.signature.as_chunks()
                && key.verify(&digest.0, &[*r, *s]).is_ok()
            {
                return Ok("the P-256 key (secure boot v1)".into());
            }
        }
    }
    if signers.is_empty() {
        return Err("no valid signature; `espseal sign` makes one".into());
    }
    let names: Vec<_> = signers.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    Err(format!(
        "signed by {names}, which is none of the keys asked for"
    ))
}

fn digest(text: &str) -> Result<Digest, String> {
    Digest::from_hex(&text.to_ascii_lowercase())
        .ok_or_else(|| "expected 64 hexadecimal digits, the SHA-256 of a public key".into())
}
