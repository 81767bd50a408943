//! What ESP-IDF's bootloader decides, written from its source and independently of the agent.
//!
//! Source: ESP-IDF `bootloader_utility.c`, `bootloader_utility_get_selected_boot_partition` and
//! `bootloader_utility_load_boot_image`, without anti-rollback.

use espseal_agent::config::Layout;
use espseal_agent::flash::Flash as _;
use espseal_agent::platform::Slot;
use espseal_crypto::secure_boot;
use espseal_format::image::ImageLayout;
use espseal_format::otadata::{OtaState, OtadataEntry};
use espseal_format::signature_block::SignatureSector;
use espseal_format::units::{Digest, FlashOffset, SECTOR_SIZE};

use super::flash::{RamFault, RamFlash};

/// How the bootloader was built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rollback {
    Enabled,
    Disabled,
}

/// Starts a slot; `Ok(None)` when nothing verifies.
pub(crate) fn boot(
    flash: &mut RamFlash,
    layout: &Layout,
    rollback: Rollback,
    burnt: Option<Digest>,
) -> Result<Option<Slot>, RamFault> {
    let mut entries = [read_entry(flash, layout, 0)?, read_entry(flash, layout, 1)?];
    if rollback == Rollback::Enabled {
        for (sector, entry) in entries.iter_mut().enumerate() {
            if entry.state == OtaState::PendingVerify {
                *entry = entry.with_state(OtaState::Aborted);
                write_entry(flash, layout, sector, entry)?;
            }
        }
    }
    let count = i32::from(layout.slot_count());
    let mut initial = false;
    let mut start = -1;
    if entries.iter().all(OtadataEntry::is_invalid) {
        if layout.factory.is_none() {
            start = 0;
            initial = entries
                .iter()
                .all(|entry| entry.seq == u32::MAX || !entry.has_good_crc());
        }
    } else if let Some(active) = active(&entries) {
        start = (entries[active].seq.wrapping_sub(1) % count as u32) as i32;
        if rollback == Rollback::Enabled && entries[active].state == OtaState::New {
            let pending = entries[active].with_state(OtaState::PendingVerify);
            write_entry(flash, layout, active, &pending)?;
        }
    }
    for index in (-1..=start).rev().chain(start + 1..count) {
        let slot = if index < 0 {
            Slot::Factory
        } else {
            Slot::Ota(index as u8)
        };
        if starts(flash, layout, slot, burnt)? {
            if initial && index >= 0 {
                write_entry(
                    flash,
                    layout,
                    0,
                    &OtadataEntry::new(index as u32 + 1, OtaState::Valid),
                )?;
            }
            return Ok(Some(slot));
        }
    }
    Ok(None)
}

fn active(entries: &[OtadataEntry; 2]) -> Option<usize> {
    match (entries[0].is_valid(), entries[1].is_valid()) {
        (true, true) => Some(usize::from(entries[1].seq > entries[0].seq)),
        (true, false) => Some(0),
        (false, true) => Some(1),
        (false, false) => None,
    }
}

/// Whether the image in `slot` would be started.
fn starts(
    flash: &mut RamFlash,
    layout: &Layout,
    slot: Slot,
    burnt: Option<Digest>,
) -> Result<bool, RamFault> {
    let Some(region) = layout.region(slot) else {
        return Ok(false);
    };
    let start = region.offset.get();
    let bytes = flash.peek(start..start + region.size);
    let Ok(image) = ImageLayout::parse(&bytes) else {
        return Ok(false);
    };
    let Some(burnt) = burnt else {
        return Ok(true);
    };
    let signed = image.signed_len as usize;
    let Some(sector) = bytes.get(signed..signed + SECTOR_SIZE) else {
        return Ok(false);
    };
    let digest = Digest::of(&bytes[..signed]);
    let blocks = SignatureSector::parse(sector.try_into().unwrap());
    let verifies = blocks
        .rsa_blocks()
        .any(|(_, block)| secure_boot::verify_rsa(block, &digest) == Ok(burnt));
    Ok(verifies)
}

fn read_entry(
    flash: &mut RamFlash,
    layout: &Layout,
    sector: usize,
) -> Result<OtadataEntry, RamFault> {
    let mut bytes = [0; 32];
    flash.read(at(layout, sector), &mut bytes)?;
    Ok(OtadataEntry::from_bytes(&bytes))
}

fn write_entry(
    flash: &mut RamFlash,
    layout: &Layout,
    sector: usize,
    entry: &OtadataEntry,
) -> Result<(), RamFault> {
    let mut bytes = [0xFF; SECTOR_SIZE];
    bytes[..32].copy_from_slice(&entry.encode());
    flash.replace_sector(at(layout, sector), &bytes)
}

fn at(layout: &Layout, sector: usize) -> FlashOffset {
    layout
        .otadata
        .checked_add((sector * SECTOR_SIZE) as u32)
        .unwrap()
}
