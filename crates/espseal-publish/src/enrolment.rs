//! Device records: who may receive firmware.
//!
//! A provisioning step hands over one TOML file for each device:
//!
//! ```toml
//! kind = "agent"                       # or "esp-idf-rsa", "esp-idf-ecies"
//! chip = "esp32c3"
//! channel = "production"
//! encryption-key = "04…"               # agent: HPKE public key, SEC1 point, 130 hex digits
//! report-key = "04…"                   # agent: public key of its reports
//! rsa-public-key = """-----BEGIN PUBLIC KEY-----…"""     # esp-idf-rsa: RSA-3072
//! ecies-public-key = """-----BEGIN PUBLIC KEY-----…"""   # esp-idf-ecies: P-256
//! ```
//!
//! The project keeps it as `devices/<device id>.toml`, with `revoked` once that is decided.

pub mod ecies;
mod error;
pub mod registry;

use std::path::Path;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa::PublicEncryptingKey;
use espseal_format::chip::ChipId;
use espseal_format::units::{ChannelName, DeviceId, Digest, PublicKeyBytes};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::project::{Project, names};
use crate::toml_error::TomlError;

pub use error::EnrolmentError;

/// Largest device file that is read.
const LARGEST_RECORD: u64 = 16 << 10;
/// The public exponent that ESP-IDF's tools make, and the only one accepted.
const RSA_EXPONENT: &[u8] = &[1, 0, 1];
/// Bytes in the modulus of RSA-3072, the size `esp_encrypted_img` has room for.
const RSA_MODULUS_LEN: usize = 384;

/// An enrolled device.
#[derive(Clone, Debug)]
pub struct Device {
    /// Pseudonym: SHA-256 of its public key.
    pub id: DeviceId,
    /// Its chip.
    pub chip: ChipId,
    /// The channel it follows.
    pub channel: ChannelName,
    /// How firmware reaches it.
    pub recipient: Recipient,
    /// Whether it still receives firmware.
    pub standing: Standing,
}

/// How firmware is encrypted for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// An espseal agent: the epoch key is wrapped with HPKE.
    Agent {
        /// HPKE public key.
        encryption: PublicKeyBytes,
        /// Public key of its signed reports.
        report: PublicKeyBytes,
    },
    /// An unmodified ESP-IDF device: the content key is wrapped with RSA-3072, PKCS#1 v1.5.
    EspIdfRsa {
        /// DER `SubjectPublicKeyInfo`.
        public_key: Vec<u8>,
    },
    /// An unmodified ESP-IDF device: it gets files of its own, sealed with ECIES.
    EspIdfEcies {
        /// The point that its HMAC key gives.
        public_key: PublicKeyBytes,
    },
}

/// Whether a device still receives firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Enrolled,
    /// It does not, from the epoch that was started when this was decided.
    Revoked,
}

/// A device file as written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    kind: Kind,
    chip: String,
    channel: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rsa_public_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ecies_public_key: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    revoked: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Agent,
    EspIdfRsa,
    EspIdfEcies,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape serde asks for"
)]
fn is_false(value: &bool) -> bool {
    !value
}

impl File {
    /// A field that belongs to another kind of device.
    fn surplus(&self) -> Option<&'static str> {
        let fields = [
            ("encryption-key", &self.encryption_key, Kind::Agent),
            ("report-key", &self.report_key, Kind::Agent),
            ("rsa-public-key", &self.rsa_public_key, Kind::EspIdfRsa),
            (
                "ecies-public-key",
                &self.ecies_public_key,
                Kind::EspIdfEcies,
            ),
        ];
        let mut surplus = fields
            .into_iter()
            .filter(|(_, value, kind)| value.is_some() && *kind != self.kind);
        surplus.next().map(|(field, ..)| field)
    }
}

impl Device {
    /// Reads and checks a device file against the project.
    ///
    /// # Errors
    /// [`EnrolmentError`] naming the field, what it holds and what belongs there.
    pub fn load(path: &Path, project: &Project) -> Result<Self, EnrolmentError> {
        let bytes = files::read(path, "a device record", LARGEST_RECORD)?;
        let text =
            str::from_utf8(&bytes).map_err(|_| EnrolmentError::Text { path: path.into() })?;
        let file: File = toml::from_str(text).map_err(|cause| EnrolmentError::Syntax {
            path: path.into(),
            cause: TomlError::new(text, &cause),
        })?;
        Self::check(path, project, &file)
    }

    fn check(path: &Path, project: &Project, file: &File) -> Result<Self, EnrolmentError> {
        let channel = project.channel(&file.channel)?;
        let chip = file
            .chip
            .parse()
            .ok()
            .filter(|chip| channel.chips.contains(chip))
            .ok_or_else(|| EnrolmentError::WrongChip {
                path: path.into(),
                found: file.chip.clone(),
                channel: channel.name.clone(),
                expected: names(channel.chips.iter()),
            })?;
        let wanted = |field: &'static str, value: &Option<String>| match value {
            Some(text) => Ok(text.clone()),
            None => Err(EnrolmentError::Missing {
                path: path.into(),
                field,
            }),
        };
        if let Some(field) = file.surplus() {
            return Err(EnrolmentError::Surplus {
                path: path.into(),
                field,
            });
        }
        let (id, recipient) = match file.kind {
            Kind::Agent => {
                let encryption = point(
                    path,
                    "encryption-key",
                    &wanted("encryption-key", &file.encryption_key)?,
                )?;
                let report = point(path, "report-key", &wanted("report-key", &file.report_key)?)?;
                if encryption == report {
                    return Err(EnrolmentError::SameKey { path: path.into() });
                }
                let recipient = Recipient::Agent { encryption, report };
                (DeviceId::of(&encryption), recipient)
            }
            Kind::EspIdfRsa => {
                check_secure_boot(path, project, chip)?;
                let public_key =
                    rsa_public_key(path, &wanted("rsa-public-key", &file.rsa_public_key)?)?;
                let id = DeviceId(Digest::of(&public_key).0);
                (id, Recipient::EspIdfRsa { public_key })
            }
            Kind::EspIdfEcies => {
                check_secure_boot(path, project, chip)?;
                ecies::check_chip(path, chip)?;
                let text = wanted("ecies-public-key", &file.ecies_public_key)?;
                let public_key = ecies::public_key(path, &text)?;
                let id = ecies::device_id(&public_key);
                (id, Recipient::EspIdfEcies { public_key })
            }
        };
        Ok(Self {
            id,
            chip,
            channel: channel.name.clone(),
            recipient,
            standing: match file.revoked {
                true => Standing::Revoked,
                false => Standing::Enrolled,
            },
        })
    }

    /// Writes the record as the project keeps it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut file = File {
            kind: Kind::Agent,
            chip: self.chip.target().unwrap_or_default().into(),
            channel: self.channel.as_str().into(),
            encryption_key: None,
            report_key: None,
            rsa_public_key: None,
            ecies_public_key: None,
            revoked: self.standing == Standing::Revoked,
        };
        match &self.recipient {
            Recipient::Agent { encryption, report } => {
                file.encryption_key = Some(encryption.to_string());
                file.report_key = Some(report.to_string());
            }
            Recipient::EspIdfRsa { public_key } => {
                file.kind = Kind::EspIdfRsa;
                file.rsa_public_key = Some(to_pem(public_key));
            }
            Recipient::EspIdfEcies { public_key } => {
                file.kind = Kind::EspIdfEcies;
                file.ecies_public_key = Some(ecies::to_pem(public_key));
            }
        }
        toml::to_string(&file).unwrap_or_default()
    }
}

/// Without metadata, secure boot is all that keeps a stranger's image off an ESP-IDF device.
fn check_secure_boot(path: &Path, project: &Project, chip: ChipId) -> Result<(), EnrolmentError> {
    let fleet = project.fleet(chip);
    match fleet.is_some_and(crate::project::Fleet::has_secure_boot) {
        true => Ok(()),
        false => Err(EnrolmentError::NoSecureBoot {
            path: path.into(),
            chip,
        }),
    }
}

/// Reads an uncompressed P-256 point and checks that it lies on the curve.
fn point(path: &Path, field: &'static str, text: &str) -> Result<PublicKeyBytes, EnrolmentError> {
    PublicKeyBytes::from_hex(text)
        .filter(|key| p256::PublicKey::from_sec1_bytes(&key.0).is_ok())
        .ok_or_else(|| EnrolmentError::NoPoint {
            path: path.into(),
            field,
            found: text.chars().take(24).collect(),
        })
}

/// Reads a PEM file with the RSA-3072 public key of an ESP-IDF device into canonical DER.
///
/// # Errors
/// [`EnrolmentError`] saying what is wrong with the key.
pub fn read_rsa_public_key(path: &Path) -> Result<Vec<u8>, EnrolmentError> {
    let bytes = files::read(path, "an RSA public key in PEM", LARGEST_RECORD)?;
    let text = str::from_utf8(&bytes).map_err(|_| EnrolmentError::Text { path: path.into() })?;
    rsa_public_key(path, text)
}

/// Reads an RSA public key of exactly 3072 bits with exponent 65537 into canonical DER.
fn rsa_public_key(path: &Path, text: &str) -> Result<Vec<u8>, EnrolmentError> {
    let unreadable = || EnrolmentError::RsaUnreadable { path: path.into() };
    let der = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map_err(|_| unreadable())?;
    let key = aws_lc_rs::rsa::PublicKey::from_der(&der).map_err(|_| unreadable())?;
    let bits = key.modulus().big_endian_without_leading_zero();
    let top = bits.first().copied().unwrap_or(0);
    let found = bits.len().saturating_mul(8) - top.leading_zeros() as usize;
    if found != RSA_MODULUS_LEN * 8 {
        return Err(EnrolmentError::RsaSize {
            path: path.into(),
            found,
        });
    }
    if key.exponent().big_endian_without_leading_zero() != RSA_EXPONENT {
        return Err(EnrolmentError::RsaExponent { path: path.into() });
    }
    let canonical: PublicKeyX509Der<'_> = key.as_der().map_err(|_| unreadable())?;
    PublicEncryptingKey::from_der(canonical.as_ref()).map_err(|_| unreadable())?;
    Ok(canonical.as_ref().to_vec())
}

/// Writes DER `SubjectPublicKeyInfo` as PEM (RFC 7468).
pub(crate) fn to_pem(der: &[u8]) -> String {
    let unix = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new("PUBLIC KEY", der), unix)
}
