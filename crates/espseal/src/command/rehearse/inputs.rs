//! From options, espseal.toml and the bootloader's own texts to a product.

use std::path::{Path, PathBuf};

use espseal_crypto::flash_encryption::{FlashCryptConfig, FlashKey};
use espseal_crypto::secure_boot::v1::BootloaderKey;
use espseal_format::chip::{Chip, ChipId, SchemeId, chip};
use espseal_format::partition_table::{Entry, PartitionTable, PartitionType};
use espseal_format::signature_block::SignatureScheme;
use espseal_format::units::{Digest, FlashOffset};
use espseal_publish::blame::Blame;
use espseal_publish::files;
use espseal_publish::image_signing::{ImageKind, sign_image};
use espseal_publish::project::{Fleet, Project};
use espseal_publish::rehearsal::evidence::{Evidence, Feature};
use espseal_publish::rehearsal::keys::{Keys, KeysError};
use espseal_publish::rehearsal::product::{
    Content, FlashEncryptionPlan, Product, Provisioning, SecureBootPlan,
};
use espseal_twin::boot::{
    AntiRollback, AppExtent, BootloaderSettings, EncryptionBuild, EncryptionMode, FirstBoot,
    FirstBootLocks, FlashEncryptionSupport, Rollback, SecureBootSupport,
};
use espseal_twin::efuse::{DownloadMode, Jtag};

use super::{DownloadChoice, FlashEncryptionChoice, Rehearse, SecureBootChoice, Switch};
use crate::cli::Context;
use crate::failure::Failure;

/// Largest image or partition that is read.
const LARGEST: u64 = 16 << 20;

/// What a rehearsal works on.
pub(super) struct Inputs {
    pub product: Product,
    pub evidence: Evidence,
    /// What was done to the inputs, for people.
    pub notes: Vec<String>,
}

/// Gathers everything.
pub(super) fn gather(options: &Rehearse, context: &Context) -> Result<Inputs, Failure> {
    let project = project(options, context)?;
    let fleet = fleet(options, project.as_ref())?;
    let chip = match (options.chip, fleet) {
        (Some(id), _) => table_of(id)?,
        (None, Some(fleet)) => fleet.chip,
        (None, None) => return Err(usage("--chip is missing, and there is no espseal.toml here")),
    };
    let from_project = |path: &PathBuf| context.global.project.join(path);
    let bootloader = options
        .bootloader
        .clone()
        .or_else(|| fleet.and_then(|fleet| fleet.bootloader.as_ref().map(from_project)));
    let bootloader = bootloader.ok_or_else(|| usage("--bootloader is missing"))?;
    let table_offset = options.table_offset;
    let table_offset = table_offset.or_else(|| fleet.map(|fleet| fleet.partition_table_offset));
    let table_offset = FlashOffset::new(table_offset.unwrap_or(0x8000));
    let table = match (&options.partitions, fleet) {
        (Some(path), _) => read_table(path, table_offset)?,
        (None, Some(fleet)) => fleet.partitions.clone(),
        (None, None) => return Err(usage("--partitions is missing")),
    };
    let secure_boot = secure_boot_choice(options, fleet);
    let mut notes = Vec::new();
    let mut keys = Keys::load(&options.secure_boot_key)?;
    if let (Some(fleet), true) = (fleet, keys.is_empty()) {
        keys.add_digests(&fleet.secure_boot_digests);
    }
    let plain_bootloader = files::read(&bootloader, "a bootloader image", LARGEST)?;
    let evidence = Evidence::of(&plain_bootloader);
    let mut preparation = Preparation {
        keys: &keys,
        secure_boot,
        notes: &mut notes,
    };
    let bootloader =
        preparation.image(&bootloader, plain_bootloader, ImageKind::Bootloader)?;
    let contents = contents(options, &table, &mut preparation)?;
    let plan = secure_boot_plan(secure_boot, &keys, &contents, chip)?;
    let (encryption, scheme) = flash_encryption_plan(options, chip)?;
    let settings = settings(options, &evidence, &plan, &keys, table_offset, scheme, &mut notes)?;
    Ok(Inputs {
        product: Product {
            chip: chip.id,
            revision: options.chip_revision,
            bootloader,
            settings,
            table,
            table_offset,
            contents,
            secure_boot: plan,
            flash_encryption: encryption,
            provisioning: match options.first_boot {
                true => Provisioning::FirstBoot,
                false => Provisioning::PreEncrypted,
            },
        },
        evidence,
        notes,
    })
}

fn usage(message: impl std::fmt::Display) -> Failure {
    Failure::new(Blame::Usage, message)
}

fn table_of(id: ChipId) -> Result<&'static Chip, Failure> {
    chip(id).ok_or_else(|| usage(format_args!("espseal has no table for {id} yet")))
}

/// The project, where the options leave something out.
fn project(options: &Rehearse, context: &Context) -> Result<Option<Project>, Failure> {
    let complete =
        options.chip.is_some() && options.bootloader.is_some() && options.partitions.is_some();
    match complete {
        true => Ok(None),
        false => Ok(Some(Project::open(&context.global.project)?)),
    }
}

fn fleet<'a>(options: &Rehearse, project: Option<&'a Project>) -> Result<Option<&'a Fleet>, Failure> {
    let Some(project) = project else {
        return Ok(None);
    };
    match (options.chip, project.fleets.as_slice()) {
        (Some(id), _) => Ok(project.fleet(id)),
        (None, [fleet]) => Ok(Some(fleet)),
        (None, _) => Err(usage("espseal.toml has several chips: say which with --chip")),
    }
}

fn read_table(path: &Path, offset: FlashOffset) -> Result<PartitionTable, Failure> {
    let bytes = files::read(path, "a partition table", LARGEST)?;
    let refused = |cause: &dyn std::fmt::Display| {
        Failure::new(Blame::Usage, format_args!("{}: {cause}", path.display()))
    };
    match bytes.starts_with(&[0xAA, 0x50]) {
        true => PartitionTable::parse(&bytes).map_err(|error| refused(&error)),
        false => {
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| refused(&"neither a binary partition table nor CSV text"))?;
            PartitionTable::parse_csv(text, offset).map_err(|error| refused(&error))
        }
    }
}

fn secure_boot_choice(options: &Rehearse, fleet: Option<&Fleet>) -> SecureBootChoice {
    let usual = match fleet {
        Some(fleet) if fleet.has_secure_boot() => SecureBootChoice::V2,
        _ if !options.secure_boot_key.is_empty() => SecureBootChoice::V2,
        _ => SecureBootChoice::Off,
    };
    options.secure_boot.unwrap_or(usual)
}

/// Signs what is unsigned.
struct Preparation<'a> {
    keys: &'a Keys,
    secure_boot: SecureBootChoice,
    notes: &'a mut Vec<String>,
}

impl Preparation<'_> {
    fn image(&mut self, path: &Path, bytes: Vec<u8>, kind: ImageKind) -> Result<Vec<u8>, Failure> {
        let done = match self.secure_boot {
            SecureBootChoice::Off => return Ok(bytes),
            SecureBootChoice::V1 if kind == ImageKind::Bootloader => return Ok(bytes),
            SecureBootChoice::V1 => self.keys.sign_v1(&bytes)?,
            SecureBootChoice::V2 if Keys::is_signed(&bytes) || !self.keys.can_sign() => None,
            SecureBootChoice::V2 => {
                Some(sign_image(path, &bytes, kind, &self.keys.signers())?.bytes)
            }
        };
        let name = path.display();
        Ok(match done {
            Some(signed) => {
                self.notes.push(format!("{name}: signed for this rehearsal"));
                signed
            }
            None => {
                self.notes.push(format!("{name}: taken as it is, with the signature it has"));
                bytes
            }
        })
    }
}

/// Apps and data, by label.
fn contents(
    options: &Rehearse,
    table: &PartitionTable,
    preparation: &mut Preparation<'_>,
) -> Result<Vec<Content>, Failure> {
    let mut contents: Vec<Content> = Vec::new();
    for argument in &options.app {
        let (label, path) = match argument.split_once('=') {
            Some((label, path)) => (label.to_owned(), PathBuf::from(path)),
            None => {
                let free = app_partitions(table).into_iter().find(|entry| {
                    let label = entry.label.to_string();
                    contents.iter().all(|content| content.label != label)
                });
                let free = free.ok_or_else(|| {
                    usage(format_args!("no app partition is left for {argument}"))
                })?;
                (free.label.to_string(), PathBuf::from(argument))
            }
        };
        let bytes = files::read(&path, "an app image", LARGEST)?;
        let bytes = preparation.image(&path, bytes, ImageKind::App)?;
        contents.push(Content { label, bytes });
    }
    for argument in &options.data {
        let (label, path) = argument
            .split_once('=')
            .ok_or_else(|| usage(format_args!("--data {argument}: expected LABEL=FILE")))?;
        let bytes = files::read(Path::new(path), "contents of a partition", LARGEST)?;
        let label = label.to_owned();
        contents.push(Content { label, bytes });
    }
    Ok(contents)
}

/// The app partitions in the order in which a build fills them: factory, then the slots.
fn app_partitions(table: &PartitionTable) -> Vec<&Entry> {
    let entries = table.entries.iter();
    let mut apps: Vec<_> = entries
        .filter(|entry| entry.kind == PartitionType::App)
        .collect();
    apps.sort_by_key(|entry| entry.subtype);
    apps
}

fn secure_boot_plan(
    choice: SecureBootChoice,
    keys: &Keys,
    contents: &[Content],
    chip: &Chip,
) -> Result<SecureBootPlan, Failure> {
    Ok(match choice {
        SecureBootChoice::Off => SecureBootPlan::Off,
        SecureBootChoice::V1 => {
            let mut bytes = zeroize::Zeroizing::new([0; 32]);
            getrandom::fill(bytes.as_mut_slice())
                .map_err(|_| Failure::new(Blame::Io, "this system gives no random numbers"))?;
            let key = BootloaderKey::from_file(bytes.as_slice())
                .map_err(|error| Failure::new(Blame::Usage, error))?;
            SecureBootPlan::V1 { key }
        }
        SecureBootChoice::V2 => {
            let digests = keys.digests().to_vec();
            if digests.is_empty() {
                return Err(usage("secure boot v2 needs --secure-boot-key"));
            }
            let images = contents.iter().map(|content| content.bytes.as_slice());
            let scheme = keys.scheme().or_else(|| images.clone().find_map(Keys::scheme_of));
            let scheme = scheme.unwrap_or_else(|| usual_scheme(chip));
            SecureBootPlan::V2 { scheme, digests }
        }
    })
}

/// The scheme that a chip has when nothing else tells.
fn usual_scheme(chip: &Chip) -> SignatureScheme {
    use espseal_format::chip::SecureBootScheme;
    use espseal_format::signature_block::Curve;
    let rsa = chip
        .secure_boot
        .iter()
        .any(|known| known.scheme == SecureBootScheme::V2Rsa);
    match rsa {
        true => SignatureScheme::Rsa3072,
        false => SignatureScheme::Ecdsa(Curve::P256),
    }
}

fn flash_encryption_plan(
    options: &Rehearse,
    chip: &Chip,
) -> Result<(FlashEncryptionPlan, SchemeId), Failure> {
    let usual = chip.flash_encryption.first();
    let usual = usual.ok_or_else(|| usage("this chip has no flash encryption"))?;
    let mode = match options.flash_encryption {
        FlashEncryptionChoice::Off => return Ok((FlashEncryptionPlan::Off, usual.scheme)),
        FlashEncryptionChoice::Development => EncryptionMode::Development,
        FlashEncryptionChoice::Release => EncryptionMode::Release,
    };
    let bytes = match &options.flash_key {
        Some(path) => files::read_private(path, "a flash encryption key", 64)?,
        None => {
            let mut bytes = zeroize::Zeroizing::new(vec![0; usual.length]);
            getrandom::fill(&mut bytes)
                .map_err(|_| Failure::new(Blame::Io, "this system gives no random numbers"))?;
            bytes
        }
    };
    let known = chip.flash_encryption.iter();
    let fitting = known.filter(|known| known.length == bytes.len()).next();
    let scheme = fitting.map(|known| known.scheme).ok_or_else(|| {
        usage(format_args!(
            "no flash encryption of {} has a key of {} bytes",
            chip.name(),
            bytes.len()
        ))
    })?;
    let key = FlashKey::from_file(scheme, &bytes).map_err(usage)?;
    let plan = FlashEncryptionPlan::On {
        key,
        mode,
        config: FlashCryptConfig::DEFAULT,
    };
    Ok((plan, scheme))
}

/// How the bootloader was built: its own texts, overridden by options.
fn settings(
    options: &Rehearse,
    evidence: &Evidence,
    plan: &SecureBootPlan,
    keys: &Keys,
    partition_table: FlashOffset,
    scheme: SchemeId,
    notes: &mut Vec<String>,
) -> Result<BootloaderSettings, Failure> {
    let on = |option: Option<Switch>, feature| match option {
        Some(switch) => switch == Switch::On,
        None => evidence.has(feature),
    };
    let secure_boot = match plan {
        SecureBootPlan::V1 { .. } if evidence.has(Feature::SecureBootV1) => SecureBootSupport::V1 {
            verification_key: keys.verification_key()?,
        },
        SecureBootPlan::V2 { scheme, .. } if evidence.has(Feature::SecureBootV2) => {
            SecureBootSupport::V2(match evidence.scheme {
                Some(SignatureScheme::Rsa3072) => SignatureScheme::Rsa3072,
                _ => *scheme,
            })
        }
        // A bootloader that verifies signatures refuses to run without secure boot.
        SecureBootPlan::Off if evidence.has(Feature::SecureBootV2) => {
            SecureBootSupport::V2(evidence.scheme.unwrap_or(SignatureScheme::Rsa3072))
        }
        _ => SecureBootSupport::Absent,
    };
    let flash_encryption = match evidence.has(Feature::FlashEncryption) {
        false => FlashEncryptionSupport::Absent,
        true => FlashEncryptionSupport::CompiledIn(EncryptionBuild {
            mode: match evidence.has(Feature::FlashEncryptionRelease) {
                true => EncryptionMode::Release,
                false => EncryptionMode::Development,
            },
            scheme,
            extent: AppExtent::Image,
        }),
    };
    let enables = options.first_boot && !evidence.has(Feature::RequireAlreadyEnabled);
    if options.first_boot && !enables {
        notes.push("the bootloader only takes devices that the factory has locked".into());
    }
    Ok(BootloaderSettings {
        partition_table,
        rollback: match on(options.rollback, Feature::Rollback) {
            true => Rollback::Enabled,
            false => Rollback::Disabled,
        },
        anti_rollback: match on(options.anti_rollback, Feature::AntiRollback) {
            true => AntiRollback::Enabled,
            false => AntiRollback::Disabled,
        },
        secure_boot,
        flash_encryption,
        first_boot: match enables {
            false => FirstBoot::Refuses,
            true => FirstBoot::Enables(FirstBootLocks {
                jtag: if options.allow_jtag { Jtag::Open } else { Jtag::Off },
                download: match options.download_mode {
                    None | Some(DownloadChoice::Open) => DownloadMode::Open,
                    Some(DownloadChoice::Secure) => DownloadMode::Secure,
                    Some(DownloadChoice::Off) => DownloadMode::Off,
                },
            }),
        },
        ..BootloaderSettings::PLAIN
    })
}

impl From<KeysError> for Failure {
    fn from(error: KeysError) -> Self {
        Self::new(error.blame(), error)
    }
}

/// Digests as people write them.
pub(super) fn digest_list(digests: &[Digest]) -> String {
    let all: Vec<_> = digests.iter().map(ToString::to_string).collect();
    all.join(", ")
}
