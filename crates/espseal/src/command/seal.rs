//! `espseal seal`: one file for one unmodified ESP-IDF device, without a project.

use std::path::{Path, PathBuf};

use clap::Args;
use espseal_format::units::PublicKeyBytes;
use espseal_publish::enrolment::ecies::{self, EciesKeyError};
use espseal_publish::enrolment::read_rsa_public_key;
use espseal_publish::files::{self, Secrecy};
use espseal_publish::idf_recipient::ecies::seal_file;
use espseal_publish::idf_recipient::seal_for;
use serde_json::json;

use crate::answer::Answer;
use crate::cli::Outcome;
use crate::failure::Failure;

/// Largest file that is sealed: what the flash of any chip holds.
const LARGEST: u64 = 16 << 20;

/// Seals a file for one unmodified ESP-IDF device, as `esp_encrypted_img` opens it.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  espseal seal lamp-signed.bin --recipient device-rsa.pem --output lamp.enc
  espseal seal lamp-signed.bin --recipient device_pub_key.pem --output lamp.enc    # ECIES

The key decides on the scheme. The output is what esp_enc_img_gen makes: 512 bytes of header, then the
body. For a fleet there is `espseal publish`: with the RSA scheme one body and a header for each
device, with the ECIES scheme a file for each device.")]
pub(crate) struct Seal {
    /// File to seal, usually a signed app image.
    input: PathBuf,
    /// PEM file with the device's public key: RSA-3072, or P-256 for the ECIES scheme.
    #[arg(long, value_name = "PEM")]
    recipient: PathBuf,
    /// Where to write; an existing file is not overwritten.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

impl Seal {
    pub(super) fn run(self) -> Outcome {
        let recipient = Recipient::read(&self.recipient)?;
        let plaintext = files::read(&self.input, "a file to seal", LARGEST)?;
        let length = plaintext.len();
        let (scheme, sealed) = recipient.seal(plaintext)?;
        files::create(&self.output, &sealed, Secrecy::Public)?;
        Ok(Answer::new(json!({
            "output": self.output,
            "scheme": scheme,
            "plaintext-length": length,
            "length": sealed.len(),
        }))
        .line(format_args!(
            "sealed {} for {} ({scheme}): {}, {} bytes",
            self.input.display(),
            self.recipient.display(),
            self.output.display(),
            sealed.len()
        )))
    }
}

/// Whose public key it is.
enum Recipient {
    /// DER of an RSA-3072 key.
    Rsa(Vec<u8>),
    /// Point of the ECIES scheme.
    Ecies(PublicKeyBytes),
}

impl Recipient {
    fn read(path: &Path) -> Result<Self, Failure> {
        match ecies::read_public_key(path) {
            Ok(point) => Ok(Self::Ecies(point)),
            Err(EciesKeyError::OtherKey { .. }) => Ok(Self::Rsa(read_rsa_public_key(path)?)),
            Err(error) => Err(error.into()),
        }
    }

    fn seal(&self, plaintext: Vec<u8>) -> Result<(&'static str, Vec<u8>), Failure> {
        match self {
            Self::Rsa(key) => seal_for(key, plaintext)
                .map(|sealed| ("RSA-3072", sealed))
                .map_err(|error| Failure::new(error.blame(), error)),
            Self::Ecies(key) => seal_file(key, &plaintext)
                .map(|sealed| ("ECIES", sealed.bytes))
                .map_err(|error| Failure::new(error.blame(), error)),
        }
    }
}
