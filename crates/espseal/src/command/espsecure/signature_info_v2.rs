//! `espsecure signature-info-v2`.

use clap::Args;
use espseal_format::signature_block::SignatureScheme;
use espseal_format::units::Digest;
use espseal_publish::data_signing::{Padding, SignedData};
use serde_json::json;

use super::file::Input;
use crate::answer::Answer;
use crate::cli::Outcome;

/// Shows the signature blocks of a file and the digests of their public keys.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(super) struct SignatureInfoV2 {
    /// Signed file.
    #[arg(value_name = "DATAFILE")]
    datafile: Input,
}

impl SignatureInfoV2 {
    pub(super) fn run(self) -> Outcome {
        let signed = SignedData::read(self.datafile.open()?, Padding::ToSector)?;
        signed.check_digests()?;
        let blocks: Vec<_> = signed
            .leading_blocks()
            .map(|(number, place)| {
                json!({
                    "block": number,
                    "scheme": place.scheme.to_string(),
                    "key-digest": place.key.to_string(),
                    "verified": place.verified.is_ok(),
                })
            })
            .collect();
        let mut answer = Answer::new(json!({ "blocks": blocks }));
        for (number, place) in signed.leading_blocks() {
            let family = family(place.scheme);
            // These two lines are what scripts look for.
            answer = answer
                .listing(format_args!(
                    "Signature block {number} is valid ({family})."
                ))
                .listing(format_args!(
                    "Public key digest for block {number}: {}",
                    spaced(&place.key)
                ));
            if let Err(error) = place.verified {
                answer = answer.line(format_args!("but block {number} does not verify: {error}"));
            }
        }
        if blocks.len() < signed.places().len() {
            answer = answer.listing(format_args!(
                "Signature block {} absent/invalid.",
                blocks.len()
            ));
        }
        Ok(answer)
    }
}

/// The scheme as espsecure's output names it.
pub(super) const fn family(scheme: SignatureScheme) -> &'static str {
    match scheme {
        SignatureScheme::Rsa3072 => "RSA",
        SignatureScheme::Ecdsa(_) => "ECDSA",
    }
}

/// Bytes with blanks between them.
fn spaced(digest: &Digest) -> String {
    let bytes: Vec<_> = digest.0.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}
