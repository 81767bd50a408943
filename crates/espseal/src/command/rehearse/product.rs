//! What is rehearsed: from the options, and what they leave out from `espseal.toml`.

use std::path::PathBuf;

use espseal_crypto::flash_encryption::FlashCryptConfig;
use espseal_format::chip::{Chip, ChipId};
use espseal_format::partition_table::PartitionTable;
use espseal_format::signature_block::SignatureScheme;
use espseal_format::units::{Digest, FlashOffset};
use espseal_publish::blame::Blame;
use espseal_publish::efuse_plan::wish::{SecureBootWish, Wish};
use espseal_publish::files;
use espseal_publish::project::{Fleet, Project};
use espseal_twin::boot::EncryptionMode;

use super::Rehearse;
use super::inputs::{EncryptionChoice, LARGEST, SecureBootChoice, usage};
use crate::cli::Context;
use crate::failure::Failure;

/// ESP-IDF's default of `CONFIG_PARTITION_TABLE_OFFSET`.
const USUAL_TABLE_OFFSET: FlashOffset = FlashOffset::new(0x8000);

/// Every input that options or the project name, before a file of the firmware is read.
pub(super) struct Named {
    pub(super) chip: &'static Chip,
    pub(super) bootloader: PathBuf,
    pub(super) table: PartitionTable,
    pub(super) table_offset: FlashOffset,
    pub(super) apps: Vec<PathBuf>,
    /// Digests of the product's keys, unless options name the keys.
    pub(super) digests: Vec<Digest>,
    /// Secure boot, where it is said.
    pub(super) secure_boot: Option<SecureBootChoice>,
    /// Scheme of the signatures, where it is said.
    pub(super) scheme: Option<SignatureScheme>,
    pub(super) flash_encryption: EncryptionChoice,
    /// Bytes of the flash encryption key, where they are said.
    pub(super) flash_key_length: Option<usize>,
    pub(super) crypt_config: FlashCryptConfig,
}

impl Named {
    /// Options first. The project is asked as soon as one of chip, bootloader, table and app is left
    /// out, and then for everything that no option names.
    pub(super) fn new(options: &Rehearse, context: &Context) -> Result<Self, Failure> {
        let fleet = match options {
            Rehearse {
                chip: Some(_),
                bootloader: Some(_),
                partitions: Some(_),
                app,
                ..
            } if !app.is_empty() => None,
            _ => Some(fleet(context, options.chip)?),
        };
        let fleet = fleet.as_ref();
        let chip = match (options.chip, fleet) {
            (Some(id), _) => chip_table(id)?,
            (None, Some(fleet)) => fleet.chip,
            (None, None) => return Err(missing("chip", "chip = \"...\"")),
        };
        let table_offset = options
            .table_offset
            .or_else(|| fleet.map(|fleet| FlashOffset::new(fleet.partition_table_offset)))
            .unwrap_or(USUAL_TABLE_OFFSET);
        let table = match (&options.partitions, fleet) {
            (Some(path), _) => read_table(path, table_offset)?,
            (None, Some(fleet)) => fleet.partitions.clone(),
            (None, None) => return Err(missing("partitions", "partition-table = \"...\"")),
        };
        let bootloader = options
            .bootloader
            .clone()
            .or_else(|| fleet.and_then(|fleet| fleet.bootloader.clone()))
            .ok_or_else(|| missing("bootloader", "bootloader = \"...\""))?;
        let apps = match (options.app.is_empty(), fleet) {
            (true, Some(fleet)) => fleet.apps.clone(),
            _ => options.app.clone(),
        };
        if apps.is_empty() {
            return Err(missing("app", "apps = [\"...\"]"));
        }
        let wish = fleet.and_then(|fleet| fleet.security.as_ref());
        let digests = match (fleet, options.secure_boot_key.is_empty()) {
            (Some(fleet), true) => fleet.secure_boot_digests.clone(),
            _ => Vec::new(),
        };
        let encryption = wish.and_then(|wish| wish.flash_encryption);
        Ok(Self {
            chip,
            bootloader,
            table,
            table_offset,
            apps,
            digests,
            secure_boot: options.secure_boot.or_else(|| wish.map(secure_boot)),
            scheme: wish.and_then(scheme),
            flash_encryption: options.flash_encryption.unwrap_or_else(|| {
                encryption.map_or(EncryptionChoice::Off, |wish| match wish.mode {
                    EncryptionMode::Development => EncryptionChoice::Development,
                    EncryptionMode::Release => EncryptionChoice::Release,
                })
            }),
            flash_key_length: encryption.map(|wish| wish.key_length),
            crypt_config: options.flash_crypt_config.unwrap_or_else(|| {
                encryption.map_or(FlashCryptConfig::DEFAULT, |wish| wish.config)
            }),
        })
    }
}

/// The chip's entry in the project, or its only one.
fn fleet(context: &Context, chip: Option<ChipId>) -> Result<Fleet, Failure> {
    let project = Project::open(&context.global.project).map_err(|error| {
        Failure::new(
            error.blame(),
            format_args!(
                "{error}\nname --chip, --bootloader, --partitions and --app, or a project with --project"
            ),
        )
    })?;
    let names = |fleets: &[Fleet]| {
        let names: Vec<_> = fleets.iter().map(|fleet| fleet.chip.name()).collect();
        names.join(", ")
    };
    let mut fleets = project.fleets;
    match chip {
        Some(id) => {
            let listed = names(&fleets);
            let mut wanted = fleets.into_iter().filter(|fleet| fleet.chip.id == id);
            wanted.next().ok_or_else(|| {
                usage(format_args!(
                    "the project has no [[chip]] for {id}: it has {listed}"
                ))
            })
        }
        None if fleets.len() > 1 => Err(usage(format_args!(
            "the project is built on {}: say which with --chip",
            names(&fleets)
        ))),
        None => fleets
            .pop()
            .ok_or_else(|| missing("chip", "chip = \"...\"")),
    }
}

fn chip_table(id: ChipId) -> Result<&'static Chip, Failure> {
    espseal_format::chip::chip(id).ok_or_else(|| {
        let known = espseal_format::chip::CHIPS.iter();
        let mut known: Vec<_> = known.map(|chip| chip.name()).collect();
        let mut seen = std::collections::BTreeSet::new();
        known.retain(|name| seen.insert(*name));
        usage(format_args!(
            "no table for {id}; there is one for {}",
            known.join(", ")
        ))
    })
}

fn read_table(path: &std::path::Path, offset: FlashOffset) -> Result<PartitionTable, Failure> {
    let bytes = files::read(path, "a partition table", LARGEST)?;
    let refused = |error: &dyn std::fmt::Display| {
        Failure::new(Blame::Refused, format_args!("{}: {error}", path.display()))
    };
    match bytes.starts_with(&[0xAA, 0x50]) {
        true => PartitionTable::parse(&bytes).map_err(|error| refused(&error)),
        false => {
            let text = std::str::from_utf8(&bytes).map_err(|error| refused(&error))?;
            PartitionTable::parse_csv(text, offset).map_err(|error| refused(&error))
        }
    }
}

fn secure_boot(wish: &Wish) -> SecureBootChoice {
    match wish.secure_boot {
        None => SecureBootChoice::Off,
        Some(SecureBootWish::V1) => SecureBootChoice::V1,
        Some(SecureBootWish::V2 { .. }) => SecureBootChoice::V2,
    }
}

fn scheme(wish: &Wish) -> Option<SignatureScheme> {
    match &wish.secure_boot {
        Some(SecureBootWish::V2 { scheme, .. }) => Some(*scheme),
        _ => None,
    }
}

fn missing(option: &str, line: &str) -> Failure {
    usage(format_args!(
        "neither --{option} nor `{line}` in the project's [[chip]] says what to rehearse"
    ))
}
