//! `espseal.toml` as written by hand, and the checks that make a [`Project`] of it.

use std::path::Path;

use espseal_format::chip::{self, ChipId};
use espseal_format::partition_table::PartitionTable;
use espseal_format::units::{ChannelName, Digest, FlashOffset, Product};
use serde::Deserialize;

use super::security::FileSecurity;
use super::{Channel, Fleet, LARGEST_TEXT, Lifetimes, MOST_OFFERS, Project, ProjectError, names};
use crate::files;
use crate::toml_error::TomlError;

/// Seconds in an hour.
const HOUR: u64 = 3600;
/// Seconds in a day.
const DAY: u64 = 24 * HOUR;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    format: u32,
    name: String,
    product: String,
    vendor: String,
    class: String,
    base_url: String,
    #[serde(default)]
    lifetimes: FileLifetimes,
    #[serde(default)]
    role_keys: FileRoleKeys,
    #[serde(default)]
    chip: Vec<FileChip>,
    #[serde(default)]
    channel: Vec<FileChannel>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FileLifetimes {
    root_days: Option<u32>,
    releases_days: Option<u32>,
    manifest_days: Option<u32>,
    now_hours: Option<u32>,
}

/// PEM files, or `.ini` files that say where in an HSM the keys are.
#[derive(Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
struct FileRoleKeys {
    releases: String,
    now: String,
}

impl Default for FileRoleKeys {
    fn default() -> Self {
        Self {
            releases: "keys/releases.pem".into(),
            now: "keys/now.pem".into(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FileChip {
    chip: String,
    partition_table: String,
    #[serde(default = "default_partition_table_offset")]
    partition_table_offset: u32,
    secure_boot_digests: Vec<String>,
    secure_version_bits: Option<u8>,
    bootloader: Option<String>,
    #[serde(default)]
    apps: Vec<String>,
    security: Option<FileSecurity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FileChannel {
    name: String,
    group: u32,
    chips: Vec<String>,
}

/// ESP-IDF's default of `CONFIG_PARTITION_TABLE_OFFSET`.
fn default_partition_table_offset() -> u32 {
    0x8000
}

/// Reads and checks a project file.
pub(super) fn parse(folder: &Path, path: &Path, bytes: &[u8]) -> Result<Project, ProjectError> {
    let text = str::from_utf8(bytes).map_err(|_| ProjectError::Text {
        path: path.into(),
        expected: "TOML",
    })?;
    let file: File = toml::from_str(text).map_err(|cause| ProjectError::Syntax {
        path: path.into(),
        cause: TomlError::new(text, &cause),
    })?;
    let check = Check { path };
    if file.format != 1 {
        return Err(check.value("format", file.format, "1, the only one this espseal reads"));
    }
    if !file.base_url.starts_with("https://") {
        return Err(check.value(
            "base-url",
            &file.base_url,
            "a URL that starts with https://",
        ));
    }
    let fleets = file
        .chip
        .iter()
        .map(|entry| check.fleet(folder, entry))
        .collect::<Result<Vec<_>, _>>()?;
    let project = Project {
        folder: folder.into(),
        product: Product(check.id("product", &file.product)?),
        vendor: check.id("vendor", &file.vendor)?,
        class: check.id("class", &file.class)?,
        lifetimes: check.lifetimes(&file.lifetimes)?,
        releases_key: folder.join(&file.role_keys.releases),
        now_key: folder.join(&file.role_keys.now),
        channels: file
            .channel
            .iter()
            .map(|entry| check.channel(&fleets, entry))
            .collect::<Result<_, _>>()?,
        name: file.name,
        base_url: file.base_url,
        fleets,
    };
    check.whole(&project)?;
    Ok(project)
}

/// Builds errors that name the file.
struct Check<'a> {
    path: &'a Path,
}

impl Check<'_> {
    fn value(
        &self,
        field: &'static str,
        found: impl ToString,
        expected: &'static str,
    ) -> ProjectError {
        ProjectError::Value {
            path: self.path.into(),
            field,
            found: format!("`{}`", found.to_string()),
            expected,
        }
    }

    fn id(&self, field: &'static str, text: &str) -> Result<[u8; 16], ProjectError> {
        Product::from_hex(text)
            .map(|id| id.0)
            .ok_or_else(|| self.value(field, text, "32 lower-case hexadecimal digits"))
    }

    fn lifetimes(&self, file: &FileLifetimes) -> Result<Lifetimes, ProjectError> {
        let needed = |field, found: Option<u32>, unit: u64| match found {
            Some(count) if count > 0 => Ok(u64::from(count) * unit),
            _ => Err(ProjectError::NoExpiry {
                path: self.path.into(),
                field,
                found,
            }),
        };
        Ok(Lifetimes {
            root: needed("root-days", file.root_days, DAY)?,
            releases: needed("releases-days", file.releases_days, DAY)?,
            manifest: needed("manifest-days", file.manifest_days, DAY)?,
            now: needed("now-hours", file.now_hours, HOUR)?,
        })
    }

    fn fleet(&self, folder: &Path, file: &FileChip) -> Result<Fleet, ProjectError> {
        let known = "a chip that espseal has a table for, such as esp32c3";
        let id: ChipId = file
            .chip
            .parse()
            .map_err(|_| self.value("chip.chip", &file.chip, known))?;
        let chip = chip::chip(id).ok_or_else(|| self.value("chip.chip", &file.chip, known))?;
        let mut digests = Vec::new();
        for text in &file.secure_boot_digests {
            let field = "chip.secure-boot-digests";
            let digest = Digest::from_hex(text)
                .ok_or_else(|| self.value(field, text, "64 lower-case hexadecimal digits"))?;
            if digest.0 == [0; 32] || digest.0 == [0xFF; 32] {
                return Err(self.value(field, text, "the digest of a key, not a blank block"));
            }
            digests.push(digest);
        }
        if digests.len() > usize::from(chip.digest_slots) {
            let expected = "no more digests than the chip's eFuses hold";
            return Err(self.value("chip.secure-boot-digests", digests.len(), expected));
        }
        let bits = file.secure_version_bits.unwrap_or(chip.secure_version_bits);
        if bits > chip.secure_version_bits {
            let expected = "no more than the bits of the chip's eFuse counter";
            return Err(self.value("chip.secure-version-bits", bits, expected));
        }
        let security = match &file.security {
            Some(section) => Some(
                section
                    .wish(chip, &digests)
                    .map_err(|unfit| self.value(unfit.field, unfit.found, unfit.expected))?,
            ),
            None => None,
        };
        Ok(Fleet {
            chip,
            security,
            partitions: read_partitions(folder, file)?,
            partition_table_offset: file.partition_table_offset,
            secure_boot_digests: digests,
            secure_version_bits: bits,
            bootloader: file.bootloader.as_ref().map(|name| folder.join(name)),
            apps: file.apps.iter().map(|name| folder.join(name)).collect(),
        })
    }

    fn channel(&self, fleets: &[Fleet], file: &FileChannel) -> Result<Channel, ProjectError> {
        let name = ChannelName::new(&file.name).ok_or_else(|| {
            self.value(
                "channel.name",
                &file.name,
                "1 to 24 characters of [a-z0-9-]",
            )
        })?;
        let chips = file
            .chips
            .iter()
            .map(|text| {
                text.parse()
                    .ok()
                    .filter(|id| fleets.iter().any(|fleet| fleet.chip.id == *id))
                    .ok_or_else(|| {
                        self.value("channel.chips", text, "a chip with a [[chip]] entry")
                    })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if chips.is_empty() {
            return Err(self.value("channel.chips", "[]", "at least one chip"));
        }
        Ok(Channel {
            name,
            group: file.group,
            chips,
        })
    }

    fn whole(&self, project: &Project) -> Result<(), ProjectError> {
        let chips: Vec<_> = project.fleets.iter().map(|fleet| fleet.chip.id).collect();
        if repeats(&chips) || chips.is_empty() {
            return Err(self.value("chip", names(chips.iter()), "each chip once, at least one"));
        }
        let channels: Vec<_> = project.channels.iter().map(|entry| &entry.name).collect();
        if repeats(&channels) || channels.is_empty() {
            let expected = "each channel once, at least one";
            return Err(self.value("channel", names(channels.iter()), expected));
        }
        let groups: Vec<_> = project.channels.iter().map(|entry| entry.group).collect();
        if repeats(&groups) {
            let expected = "a group of its own for each channel, so that no key opens two";
            return Err(self.value("channel.group", names(groups.iter()), expected));
        }
        if project.channels.iter().any(|entry| repeats(&entry.chips)) {
            return Err(self.value("channel.chips", "a chip twice", "each chip once"));
        }
        let offers: usize = project.channels.iter().map(|entry| entry.chips.len()).sum();
        if offers > MOST_OFFERS {
            let expected = "at most 8 pairs of channel and chip";
            return Err(self.value("channel", offers, expected));
        }
        Ok(())
    }
}

fn read_partitions(folder: &Path, file: &FileChip) -> Result<PartitionTable, ProjectError> {
    let path = folder.join(&file.partition_table);
    let bytes = files::read(&path, "a partition table in CSV", LARGEST_TEXT)?;
    let text = str::from_utf8(&bytes).map_err(|_| ProjectError::Text {
        path: path.clone(),
        expected: "a partition table in CSV",
    })?;
    let table = PartitionTable::parse_csv(text, FlashOffset::new(file.partition_table_offset))
        .map_err(|cause| ProjectError::PartitionTable {
            path: path.clone(),
            cause,
        })?;
    let found = table.app_slots().len();
    if found < 2 {
        return Err(ProjectError::TooFewSlots { path, found });
    }
    let counted = table.app_count();
    if counted != found {
        return Err(ProjectError::SlotGap {
            path,
            found,
            counted,
        });
    }
    let empty = table.app_slots().iter().find_map(|slot| match slot.size {
        0 => Some(slot.label.to_string()),
        _ => None,
    });
    if let Some(label) = empty {
        return Err(ProjectError::EmptySlot { path, label });
    }
    Ok(table)
}

fn repeats<T: PartialEq>(items: &[T]) -> bool {
    items
        .iter()
        .enumerate()
        .any(|(index, item)| items.iter().skip(index + 1).any(|other| other == item))
}
