use std::fs;

use espseal_format::app_desc::AppDescriptor;
use espseal_format::chip::chip;
use espseal_format::image::app_padding;
use espseal_format::partition_table::PartitionTable;
use espseal_format::units::{Digest, SECTOR_SIZE};

use super::error::RelocateError;
use super::*;

/// Offset of the app descriptor in an image: after header and first segment header.
const APP_DESC: usize = 32;
const TABLE_LEN: u32 = 0x1000;
const FLASH_LEN: u32 = 4 * 1024 * 1024;

fn all() -> [&'static Defaults; 2] {
    [&ESP32, &ESP32C3]
}

/// A minimal bootloader of one DRAM segment with these words.
fn bootloader_of(words: &[u32]) -> Vec<u8> {
    let mut image = vec![0; 24];
    image[0] = 0xE9;
    image[1] = 1;
    image[23] = 1;
    image.extend(0x3FFF_0000_u32.to_le_bytes());
    image.extend(u32::try_from(words.len() * 4).unwrap().to_le_bytes());
    image.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    let checksum = image[32..].iter().fold(0xEF, |sum, byte| sum ^ byte);
    image.resize((image.len() + 1).next_multiple_of(16), 0);
    *image.last_mut().unwrap() = checksum;
    image.extend(Digest::of(&image).0);
    image
}

fn relocate(image: &mut [u8]) -> Result<(), RelocateError> {
    relocate_partition_table(image, ESP_IDF_TABLE_OFFSET, FlashOffset::new(0x9000))
}

#[test]
fn relocation_changes_the_one_literal_and_repairs_checksum_and_hash() {
    let mut image = bootloader_of(&[1, 0x8000, 0x1_8000, 0x0080_0000]);
    relocate(&mut image).unwrap();
    assert_eq!(image, bootloader_of(&[1, 0x9000, 0x1_8000, 0x0080_0000]));
}

#[test]
fn relocation_refuses_a_bootloader_without_the_literal() {
    let mut image = bootloader_of(&[1, 2, 0x7000]);
    let before = image.clone();
    assert_eq!(
        relocate(&mut image),
        Err(RelocateError::NotOne {
            value: ESP_IDF_TABLE_OFFSET,
            found: 0
        })
    );
    assert_eq!(image, before);
}

#[test]
fn relocation_refuses_a_bootloader_with_two_literals() {
    let mut image = bootloader_of(&[0x8000, 2, 0x8000]);
    let before = image.clone();
    assert_eq!(
        relocate(&mut image),
        Err(RelocateError::NotOne {
            value: ESP_IDF_TABLE_OFFSET,
            found: 2
        })
    );
    assert_eq!(image, before);
}

#[test]
fn relocation_refuses_a_damaged_bootloader() {
    let mut image = bootloader_of(&[0x8000, 2]);
    image[36] ^= 1;
    assert!(matches!(relocate(&mut image), Err(RelocateError::Image(_))));
}

#[test]
fn relocated_esp32_bootloader_differs_in_literal_flash_size_and_repairs_only() {
    let stock = ESP32.stock_bootloader;
    let adapted = ESP32.bootloader().unwrap();
    assert_eq!(adapted.len(), stock.len());
    let changed: Vec<usize> = (0..stock.len())
        .filter(|&at| stock[at] != adapted[at])
        .collect();
    let hash = stock.len() - 32;
    assert_eq!(
        changed
            .iter()
            .copied()
            .filter(|&at| at < hash)
            .collect::<Vec<_>>(),
        [3, 0x1a29, hash - 1]
    );
}

/// The Xtensa instruction `l32r` (low nibble 1) loads a word by a 16-bit word offset backwards.
/// Looked for at every byte of the code, aligned or not, so that no reference can be missed.
#[test]
fn the_esp32_bootloader_loads_the_table_offset_in_two_places_only() {
    let literal = 0x4007_8248_u32;
    let bootloader = ESP32.stock_bootloader;
    let layout = ImageLayout::parse(bootloader).unwrap();
    let mut references = Vec::new();
    for segment in layout
        .segments
        .iter()
        .filter(|s| s.load_addr >= 0x4000_0000)
    {
        let start = usize::try_from(segment.data_offset).unwrap();
        let data = &bootloader[start..start + usize::try_from(segment.data_len).unwrap()];
        for (pc, bytes) in (segment.load_addr..).zip(data.windows(3)) {
            let words = 0xFFFF_0000 | u32::from(u16::from_le_bytes([bytes[1], bytes[2]]));
            let target = ((pc + 3) & !3).wrapping_add(words << 2);
            if bytes[0] & 0x0F == 1 && target == literal {
                references.push(pc);
            }
        }
    }
    assert_eq!(references, [0x4007_996a, 0x4007_9980]);
}

#[test]
fn bootloaders_are_for_4_mb_and_valid_to_esptool() {
    let folder = tempfile::tempdir().unwrap();
    for defaults in all() {
        let image = defaults.bootloader().unwrap();
        let layout = ImageLayout::parse(&image).unwrap();
        assert_eq!(layout.header.chip(), defaults.chip);
        let path = folder.path().join("bootloader.bin");
        fs::write(&path, &image).unwrap();
        let info = oracles::run(oracles::tool("esptool").arg("image-info").arg(&path));
        assert!(info.contains("Flash size: 4MB"), "{info}");
        assert_eq!(info.matches("(valid)").count(), 2, "{info}");
    }
}

#[test]
fn signed_bootloader_ends_where_the_partition_table_starts_or_before() {
    for defaults in all() {
        let padded = defaults
            .bootloader()
            .unwrap()
            .len()
            .next_multiple_of(SECTOR_SIZE);
        let start = chip(defaults.chip).unwrap().bootloader_offset.get();
        let end = start + u32::try_from(padded + SECTOR_SIZE).unwrap();
        assert!(end <= defaults.partition_table_offset.get(), "{end:#x}");
    }
}

#[test]
fn releases_are_valid_to_esptool_and_named_in_their_descriptors() {
    let folder = tempfile::tempdir().unwrap();
    for defaults in all() {
        for (image, version) in defaults.releases.into_iter().zip(["1.0.0", "2.0.0"]) {
            let path = folder.path().join("app.bin");
            fs::write(&path, image).unwrap();
            let info = oracles::run(oracles::tool("esptool").arg("image-info").arg(&path));
            assert_eq!(info.matches("(valid)").count(), 2, "{info}");

            let bytes = image[APP_DESC..].first_chunk().unwrap();
            let descriptor = AppDescriptor::parse(bytes).unwrap();
            assert!(descriptor.project().starts_with("espseal-demo-"));
            assert_eq!(descriptor.version(), version);
            assert_eq!(descriptor.secure_version().get(), 0);
            assert_eq!(descriptor.mmu_page_size(), Some(0x1_0000));
        }
    }
}

/// What ESP-IDF's bootloader checks of an app before it maps and starts it
/// (`esp_image_format.c`, `bootloader_common_loader.c`), and what it needs without checking.
#[test]
fn releases_meet_what_the_bootloader_asks_of_an_app() {
    for defaults in all() {
        let chip = chip(defaults.chip).unwrap();
        for image in defaults.releases {
            let layout = ImageLayout::parse(image).unwrap();
            assert_eq!(layout.header.chip(), defaults.chip);
            layout
                .check_mapping(chip.mapping, chip.mmu_page_size())
                .unwrap();
            app_padding(&layout, chip.mmu_page_size()).unwrap();
            assert_eq!(usize::try_from(layout.image_len).unwrap(), image.len());
            let mapped: Vec<_> = layout
                .segments
                .iter()
                .filter(|segment| chip.is_mapped(segment.load_addr))
                .collect();
            assert_eq!(mapped.len(), 2, "data and code, else the bootloader aborts");
            let (data, code) = (mapped[0], mapped[1]);
            assert_eq!(data.data_offset, 32, "the descriptor comes first");
            let entry = layout.header.entry_addr.get();
            assert!((code.load_addr..code.load_addr + code.data_len).contains(&entry));
        }
    }
}

#[test]
fn espsecure_signs_and_verifies_every_release() {
    let folder = tempfile::tempdir().unwrap();
    let [key, app, signed] = ["key.pem", "app.bin", "signed.bin"].map(|n| folder.path().join(n));
    let espsecure = || oracles::tool("espsecure");
    oracles::run(
        espsecure()
            .args([
                "generate-signing-key",
                "--version",
                "2",
                "--scheme",
                "rsa3072",
            ])
            .arg(&key),
    );
    for defaults in all() {
        for image in defaults.releases {
            fs::write(&app, image).unwrap();
            oracles::run(
                espsecure()
                    .args(["sign-data", "--version", "2", "--keyfile"])
                    .arg(&key)
                    .arg("--output")
                    .arg(&signed)
                    .arg(&app),
            );
            assert_eq!(fs::read(&signed).unwrap().len(), image.len() + SECTOR_SIZE);
            oracles::run(
                espsecure()
                    .args(["verify-signature", "--version", "2", "--keyfile"])
                    .arg(&key)
                    .arg(&signed),
            );
        }
    }
}

#[test]
fn partition_tables_have_two_equal_slots_that_hold_a_signed_release() {
    for defaults in all() {
        let offset = defaults.partition_table_offset;
        let table = PartitionTable::parse_csv(defaults.partitions, offset).unwrap();
        table.verify(offset).unwrap();
        let slots = table.app_slots();
        assert_eq!(slots.len(), 2);
        assert_eq!(slots[0].size, slots[1].size);
        assert_eq!(slots[1].offset.get() + slots[1].size, FLASH_LEN);
        assert!(table.factory().is_none());
        assert!(table.otadata().is_some());
        for slot in &slots {
            assert_eq!(slot.offset.get() % 0x1_0000, 0);
            for image in defaults.releases {
                assert!(image.len() + SECTOR_SIZE <= usize::try_from(slot.size).unwrap());
            }
        }
        let first = table.entries.iter().map(|entry| entry.offset.get()).min();
        assert_eq!(first, Some(offset.get() + TABLE_LEN));
    }
}
