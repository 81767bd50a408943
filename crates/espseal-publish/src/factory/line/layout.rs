//! What all devices share: where each thing stands, and what is checked before anything is made.

use std::path::Path;

use espseal_format::chip::HmacPeripheral;
use espseal_format::partition_table::{Entry, PartitionType, Subtype};
use espseal_format::units::{ChannelName, FlashOffset, SECTOR_SIZE};
use espseal_twin::factory::{FactoryPlan, Plaintext, Security};

use super::{FLASH_SIZES, KEY_PARTITION, KeyPlace, LARGEST_IMAGE, NOBODY, NvsPart, Request};
use crate::efuse_plan::wish::Wish;
use crate::factory::error::MakeError;
use crate::files;
use crate::image_check::check_image;
use crate::nvs::image::Version;
use crate::nvs::source::Source;
use crate::project::{Fleet, names};

/// Where devices have their own key, and whether it is safe there.
pub(super) fn key_place(request: &Request<'_>, wish: &Wish) -> Result<KeyPlace, MakeError> {
    let (fleet, chip) = (request.fleet, request.fleet.chip);
    let partition = fleet.partitions.find_by_name(KEY_PARTITION);
    if wish.device_key.is_some() {
        return match chip.hmac {
            HmacPeripheral::Present => Ok(KeyPlace::Hmac),
            HmacPeripheral::Absent => Err(MakeError::NoHmac {
                chip: chip.id,
                option: "device-key",
                advice: "leave it out and add an encrypted data partition `device_key`",
            }),
        };
    }
    if let Some(entry) = partition {
        if !entry.is_encrypted() {
            return Err(MakeError::Partition {
                expected: "partition `device_key` that is encrypted",
                advice: "give it the flag `encrypted`: it holds the device's private keys",
            });
        }
        if wish.flash_encryption.is_none() {
            return Err(MakeError::NeedsEncryption {
                what: "the device key in flash",
                chip: chip.id,
                advice: "turn it on in [chip.security], or remove the partition `device_key`",
            });
        }
        return Ok(KeyPlace::Flash(start(entry)));
    }
    match request.enrols {
        true => Err(MakeError::NoDeviceKey { chip: chip.id }),
        false => Ok(KeyPlace::None),
    }
}

/// The channel that devices follow.
pub(super) fn channel(request: &Request<'_>) -> Result<Option<ChannelName>, MakeError> {
    let chip = request.fleet.chip.id;
    let serves = |name: &str| {
        let mut channels = request.project.channels.iter();
        channels.find(|channel| channel.name.as_str() == name && channel.chips.contains(&chip))
    };
    let mut of_chip = request.project.channels.iter();
    let mut of_chip = of_chip
        .by_ref()
        .filter(|channel| channel.chips.contains(&chip));
    let all = || names(request.project.channels.iter().map(|channel| &channel.name));
    let unclear = || MakeError::Channel { chip, found: all() };
    match (request.channel, of_chip.next(), of_chip.next()) {
        (Some(name), ..) => serves(name)
            .map(|channel| Some(channel.name.clone()))
            .ok_or_else(unclear),
        (None, Some(only), None) => Ok(Some(only.name.clone())),
        (None, None, _) if !request.enrols => Ok(None),
        _ => Err(unclear()),
    }
}

pub(super) fn nvs_keys(fleet: &Fleet) -> Option<&Entry> {
    fleet
        .partitions
        .find(PartitionType::Data, Subtype::DATA_NVS_KEYS)
}

/// The NVS partition with what all devices share.
pub(super) fn nvs_part(request: &Request<'_>, wish: &Wish) -> Result<Option<NvsPart>, MakeError> {
    let fleet = request.fleet;
    if request.nvs_hmac && wish.device_key.is_none() {
        return Err(MakeError::NoHmac {
            chip: fleet.chip.id,
            option: "--nvs-hmac",
            advice: "it needs `device-key = true` in [chip.security]",
        });
    }
    if request.nvs.is_empty() && !request.has_values {
        return Ok(None);
    }
    let table = &fleet.partitions;
    let entry = table.find(PartitionType::Data, Subtype::DATA_NVS);
    let entry = entry.ok_or(MakeError::Partition {
        expected: "partition of type data, subtype nvs",
        advice: "add one, or leave the NVS values out",
    })?;
    let mut source = Source::new(entry.size, Version::Two)?;
    for path in &request.nvs {
        let folder = path.parent().unwrap_or(Path::new("."));
        source.read(path, folder)?;
    }
    Ok(Some(NvsPart {
        offset: start(entry),
        source,
        hmac: request.nvs_hmac,
    }))
}

pub(super) fn start(entry: &Entry) -> usize {
    usize::try_from(entry.offset.get()).unwrap_or(usize::MAX)
}

/// Lays the flash out, with blanks where each device has something of its own. Also returns the bootloader.
pub(super) fn template(
    request: &Request<'_>,
    wish: &Wish,
    key: KeyPlace,
    nvs: Option<&NvsPart>,
    keys: Option<&Entry>,
) -> Result<(Plaintext, Vec<u8>), MakeError> {
    let (fleet, chip) = (request.fleet, request.fleet.chip);
    let not_named = |field, needs| MakeError::NotNamed {
        chip: chip.id,
        field,
        needs,
    };
    let path = fleet.bootloader.as_ref();
    let path = path.ok_or_else(|| not_named("bootloader", "one to start"))?;
    let bootloader = files::read(path, "a bootloader image", LARGEST_IMAGE)?;
    if fleet.apps.is_empty() {
        return Err(not_named("apps", "one to run"));
    }
    let table = &fleet.partitions;
    let slots: Vec<_> = table
        .factory()
        .into_iter()
        .chain(table.app_slots())
        .collect();
    if fleet.apps.len() > slots.len() {
        return Err(MakeError::ManyApps {
            apps: fleet.apps.len(),
            slots: slots.len(),
        });
    }
    let mut contents: Vec<(String, Vec<u8>)> = Vec::new();
    for (entry, path) in slots.iter().zip(&fleet.apps) {
        let image = app(path, fleet, wish)?;
        contents.push((entry.label.to_string(), image));
    }
    let blank = |entry: &Entry| {
        let size = usize::try_from(entry.size).unwrap_or_default();
        (entry.label.to_string(), vec![0xFF; size])
    };
    let own = [
        nvs.and(table.find(PartitionType::Data, Subtype::DATA_NVS)),
        keys,
        table
            .find_by_name(KEY_PARTITION)
            .filter(|_| matches!(key, KeyPlace::Flash(_))),
        // Encrypted blank, as otadata: what the agent reads first is no noise.
        table.find(PartitionType::Data, Subtype(JOURNAL)),
    ];
    contents.extend(own.into_iter().flatten().map(blank));
    for (label, bytes) in &request.data {
        let taken = contents.iter().any(|(known, _)| known == label);
        if taken
            || table.find_by_name(label).is_some_and(|entry| {
                entry.subtype == Subtype::DATA_OTA && entry.kind == PartitionType::Data
            })
        {
            return Err(MakeError::Reserved {
                label: label.clone(),
            });
        }
        contents.push((label.clone(), bytes.clone()));
    }
    let contents: Vec<(&str, &[u8])> = contents
        .iter()
        .map(|(label, bytes)| (label.as_str(), bytes.as_slice()))
        .collect();
    let ends = table.entries.iter().filter_map(Entry::end);
    let end = ends.map(|end| end.get() as usize).max().unwrap_or(0);
    let mut sizes = FLASH_SIZES.into_iter();
    let plan = FactoryPlan {
        chip: chip.id,
        mac: NOBODY,
        flash_size: sizes.find(|size| *size >= end).unwrap_or(end),
        bootloader: &bootloader,
        table_offset: FlashOffset::new(fleet.partition_table_offset),
        table,
        contents: &contents,
        security: Security::Open,
    };
    let mut plain = plan.plaintext()?;
    if wish.flash_encryption.is_none() {
        plain.encrypted.clear();
    }
    let last = plain.flash.iter().rposition(|byte| *byte != 0xFF);
    let encrypted = plain.encrypted.last().map_or(0, |stretch| stretch.end);
    let values = nvs.map_or(0, |nvs| nvs.offset + nvs.source.image.finish(None).len());
    let end = last.map_or(0, |last| last + 1).max(encrypted).max(values);
    plain.flash.truncate(end.next_multiple_of(SECTOR_SIZE));
    Ok((plain, bootloader))
}

/// Subtype of the agent's journal partition.
const JOURNAL: u8 = 0x40;

/// Reads an app and checks it as a release is checked.
fn app(path: &Path, fleet: &Fleet, wish: &Wish) -> Result<Vec<u8>, MakeError> {
    let bytes = files::read(path, "an app image", LARGEST_IMAGE)?;
    let bytes = match wish.secure_boot {
        None => bytes,
        Some(_) => check_image(path, bytes, fleet, None)?.bytes().to_vec(),
    };
    let (found, burnt) = (secure_version(&bytes), wish.secure_version.get());
    match found {
        Some(found) if found < burnt => Err(MakeError::SecureVersion {
            path: path.into(),
            found,
            burnt,
        }),
        _ => Ok(bytes),
    }
}

/// The secure version in an app's descriptor, which stands behind the first segment's header.
fn secure_version(image: &[u8]) -> Option<u32> {
    let word = |at: usize| {
        let bytes = image.get(at..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    };
    (word(32)? == 0xABCD_5432).then_some(word(36)?)
}
