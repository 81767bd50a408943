//! From files and options to the product that is rehearsed.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use espseal_crypto::flash_encryption::FlashKey;
use espseal_format::partition_table::{Entry, PartitionTable};
use espseal_format::signature_block::SignatureScheme;
use espseal_format::units::FlashOffset;
use espseal_publish::blame::Blame;
use espseal_publish::files;
use espseal_publish::image_signing::{ImageKind, sign_image};
use espseal_publish::rehearsal::evidence::{Evidence, Feature, Finding};
use espseal_publish::rehearsal::images;
use espseal_publish::rehearsal::keys::{Keys, KeysError};
use espseal_publish::rehearsal::product::{
    Content, FlashEncryptionPlan, Product, Provisioning, SecureBootPlan,
};
use espseal_twin::boot::{
    AntiRollback, AppExtent, BootloaderSettings, EncryptionBuild, EncryptionMode, FirstBoot,
    FirstBootJtag, FirstBootLocks, FlashEncryptionSupport, Rollback, SecureBootSupport,
};
use espseal_twin::efuse::{CodingScheme, DownloadMode};
use zeroize::Zeroizing;

use super::Rehearse;
use super::product::Named;
use crate::cli::Context;
use crate::failure::Failure;

/// Largest bootloader, table, app or partition content.
pub(super) const LARGEST: u64 = 128 << 20;
/// Largest key file of flash encryption and of the bootloader's digest.
const LARGEST_KEY: u64 = 64;

/// `--secure-boot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SecureBootChoice {
    /// None.
    Off,
    /// Version 1 (ESP32).
    V1,
    /// Version 2, with the scheme of the keys.
    V2,
}

/// `--flash-encryption`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EncryptionChoice {
    /// None.
    Off,
    /// It can still be turned off.
    Development,
    /// For ever.
    Release,
}

/// Whether the bootloader has a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Built {
    /// As its texts say.
    Auto,
    /// It has.
    On,
    /// It has not.
    Off,
}

/// The product, and what its bootloader says about itself.
pub(crate) struct Inputs {
    pub(super) product: Product,
    pub(super) evidence: Evidence,
    /// What was done to the files before they were flashed.
    pub(super) notes: Vec<String>,
}

impl Rehearse {
    /// Reads every file and puts the product together.
    pub(super) fn inputs(&self, context: &Context) -> Result<Inputs, Failure> {
        let named = Named::new(self, context)?;
        let chip = named.chip;
        let mut notes = Vec::new();
        let bootloader = files::read(&named.bootloader, "a bootloader image", LARGEST)?;
        let evidence = Evidence::of(&bootloader);
        let mut keys = Keys::load(&self.secure_boot_key).map_err(keys_failed)?;
        keys.add_digests(&named.digests);
        let choice = named.secure_boot.unwrap_or(match keys.is_empty() {
            true => SecureBootChoice::Off,
            false => SecureBootChoice::V2,
        });
        let sign = |path: &Path, image: Vec<u8>, kind, notes: &mut Vec<String>| {
            sign(path, image, kind, choice, &keys, notes)
        };
        let bootloader = sign(
            &named.bootloader,
            bootloader,
            ImageKind::Bootloader,
            &mut notes,
        )?;
        let mut contents = Vec::new();
        let mut slots = boot_order(&named.table);
        for path in &named.apps {
            let image = files::read(path, "an app image", LARGEST)?;
            let image = sign(path, image, ImageKind::App, &mut notes)?;
            let label = slots.next().ok_or_else(|| {
                usage(format_args!(
                    "{}: the table has no app partition left for it",
                    path.display()
                ))
            })?;
            contents.push(Content {
                label,
                bytes: image,
            });
        }
        for (label, path) in &self.data {
            contents.push(Content {
                label: label.clone(),
                bytes: files::read(path, "the contents of a partition", LARGEST)?,
            });
        }
        let scheme = keys
            .scheme()
            .or(named.scheme)
            .or_else(|| contents.first().and_then(|app| Keys::scheme_of(&app.bytes)));
        let (secure_boot, support) = self.secure_boot(choice, scheme, &keys)?;
        let flash_encryption = self.flash_encryption(&named)?;
        let coding = match &flash_encryption {
            FlashEncryptionPlan::On { key, .. } if key.file().len() == 24 => {
                CodingScheme::ThreeQuarters
            }
            _ => CodingScheme::None,
        };
        let settings = self.settings(named.table_offset, &evidence, support, &flash_encryption);
        let product = Product {
            chip: chip.id,
            revision: self.chip_revision.or_else(|| {
                let silicon = images::silicon(&bootloader).filter(|silicon| silicon.id == chip.id);
                silicon.map(|silicon| silicon.usual_revision)
            }),
            coding,
            bootloader,
            settings,
            table: named.table,
            table_offset: named.table_offset,
            contents,
            secure_boot,
            flash_encryption,
            provisioning: match self.first_boot {
                true => Provisioning::FirstBoot,
                false => Provisioning::PreEncrypted,
            },
        };
        Ok(Inputs {
            product,
            evidence,
            notes,
        })
    }

    /// Secure boot as planned, and as a bootloader has it that was built for it.
    fn secure_boot(
        &self,
        choice: SecureBootChoice,
        scheme: Option<SignatureScheme>,
        keys: &Keys,
    ) -> Result<(SecureBootPlan, SecureBootSupport), Failure> {
        Ok(match choice {
            SecureBootChoice::Off => (SecureBootPlan::Off, SecureBootSupport::Absent),
            SecureBootChoice::V1 => {
                let verification_key = keys.verification_key().map_err(keys_failed)?;
                let key = match &self.bootloader_key {
                    Some(path) => Zeroizing::new(
                        files::read_private(path, "a bootloader digest key", LARGEST_KEY)?.to_vec(),
                    ),
                    None => drawn(32)?,
                };
                (
                    SecureBootPlan::V1 { key },
                    SecureBootSupport::V1 { verification_key },
                )
            }
            SecureBootChoice::V2 => {
                let Some(scheme) = scheme.filter(|_| !keys.is_empty()) else {
                    return Err(usage(
                        "secure boot v2 needs --secure-boot-key: a private or public key in PEM, or the digest of the key that signed the images",
                    ));
                };
                let digests = keys.digests().to_vec();
                (
                    SecureBootPlan::V2 { scheme, digests },
                    SecureBootSupport::V2(scheme),
                )
            }
        })
    }

    fn flash_encryption(&self, named: &Named) -> Result<FlashEncryptionPlan, Failure> {
        let chip = named.chip;
        let mode = match named.flash_encryption {
            EncryptionChoice::Off => return Ok(FlashEncryptionPlan::Off),
            EncryptionChoice::Development => EncryptionMode::Development,
            EncryptionChoice::Release => EncryptionMode::Release,
        };
        let bytes = match &self.flash_key {
            Some(path) => Zeroizing::new(
                files::read_private(path, "a flash encryption key", LARGEST_KEY)?.to_vec(),
            ),
            None => {
                let usual = chip.flash_encryption.first().map_or(0, |kind| kind.length);
                drawn(named.flash_key_length.unwrap_or(usual))?
            }
        };
        let mut kinds = chip.flash_encryption.iter();
        let kind = kinds
            .find(|kind| kind.length == bytes.len())
            .ok_or_else(|| {
                let lengths: Vec<_> = chip
                    .flash_encryption
                    .iter()
                    .map(|kind| kind.length.to_string())
                    .collect();
                usage(format_args!(
                    "the flash encryption key has {} bytes; {} takes {}",
                    bytes.len(),
                    chip.name(),
                    lengths.join(" or ")
                ))
            })?;
        let key = FlashKey::from_file(kind.scheme, &bytes).map_err(usage)?;
        let config = named.crypt_config;
        Ok(FlashEncryptionPlan::On { key, mode, config })
    }

    /// How the bootloader was built, by its own words where the options leave it open.
    fn settings(
        &self,
        partition_table: FlashOffset,
        evidence: &Evidence,
        support: SecureBootSupport,
        encryption: &FlashEncryptionPlan,
    ) -> BootloaderSettings {
        let version = match support {
            SecureBootSupport::V1 { .. } => Feature::SecureBootV1,
            _ => Feature::SecureBootV2,
        };
        let built = |option, feature, planned| match (option, evidence.finding(feature)) {
            (Built::On, _) | (Built::Auto, Finding::Present(_)) => true,
            (Built::Off, _) | (Built::Auto, Finding::Missing(_)) => false,
            (Built::Auto, Finding::Silent) => planned,
        };
        let secure_boot = match built(self.bootloader_secure_boot, version, true) {
            true => support,
            false => SecureBootSupport::Absent,
        };
        let flash_encryption = match encryption {
            FlashEncryptionPlan::On { key, mode, .. }
                if built(
                    self.bootloader_flash_encryption,
                    Feature::FlashEncryption,
                    true,
                ) =>
            {
                FlashEncryptionSupport::CompiledIn(EncryptionBuild {
                    mode: *mode,
                    scheme: key.scheme(),
                    extent: AppExtent::Partition,
                })
            }
            _ => FlashEncryptionSupport::Absent,
        };
        BootloaderSettings {
            partition_table,
            rollback: match built(self.rollback, Feature::Rollback, false) {
                true => Rollback::Enabled,
                false => Rollback::Disabled,
            },
            anti_rollback: match built(self.anti_rollback, Feature::AntiRollback, false) {
                true => AntiRollback::Enabled,
                false => AntiRollback::Disabled,
            },
            secure_boot,
            flash_encryption,
            first_boot: match self.first_boot {
                false => FirstBoot::Refuses,
                true => FirstBoot::Enables(FirstBootLocks {
                    jtag: FirstBootJtag::Disabled,
                    download: DownloadMode::Secure,
                }),
            },
            ..BootloaderSettings::PLAIN
        }
    }
}

/// Signs an image that is not signed yet, if a key can.
fn sign(
    path: &Path,
    image: Vec<u8>,
    kind: ImageKind,
    choice: SecureBootChoice,
    keys: &Keys,
    notes: &mut Vec<String>,
) -> Result<Vec<u8>, Failure> {
    let signed = match (choice, kind) {
        (SecureBootChoice::V2, _) if keys.can_sign() && !Keys::is_signed(&image) => {
            Some(sign_image(path, &image, kind, &keys.signers())?.bytes)
        }
        (SecureBootChoice::V1, ImageKind::App) => keys.sign_v1(&image).map_err(keys_failed)?,
        _ => None,
    };
    Ok(match signed {
        Some(signed) => {
            notes.push(format!(
                "{} was not signed; it is rehearsed signed",
                path.display()
            ));
            signed
        }
        None => image,
    })
}

/// Labels of the app partitions in the order in which a blank device tries them.
fn boot_order(table: &PartitionTable) -> impl Iterator<Item = String> + use<> {
    let label = |entry: &Entry| entry.label.to_string();
    let factory = table.factory().map(label);
    let slots: Vec<_> = table.app_slots().into_iter().map(label).collect();
    factory.into_iter().chain(slots)
}

/// Random bytes of the host.
fn drawn(length: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut key = Zeroizing::new(vec![0; length]);
    getrandom::fill(&mut key).map_err(|error| {
        Failure::new(
            Blame::Io,
            format_args!("the system gives no random bytes: {error}"),
        )
    })?;
    Ok(key)
}

pub(super) fn usage(message: impl std::fmt::Display) -> Failure {
    Failure::new(Blame::Usage, message)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn keys_failed(error: KeysError) -> Failure {
    Failure::new(error.blame(), &error)
}

/// Reads a revision such as 3.0.
pub(in crate::command) fn revision(text: &str) -> Result<u16, String> {
    let expected = || "expected a revision such as 3.0".to_owned();
    let (major, minor) = text.split_once('.').ok_or_else(expected)?;
    let part = |text: &str| text.parse().ok().filter(|part: &u16| *part < 100);
    match (part(major), part(minor)) {
        (Some(major), Some(minor)) => Ok(major * 100 + minor),
        _ => Err(expected()),
    }
}

/// Reads LABEL=FILE.
pub(in crate::command) fn data(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((label, file)) if !label.is_empty() && !file.is_empty() => {
            Ok((label.into(), file.into()))
        }
        _ => Err("expected LABEL=FILE".into()),
    }
}
