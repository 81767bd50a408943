//! Partition tables and images that the bootloader refuses, each in its own words.

use espseal_format::chip::ChipId;
use espseal_format::units::FlashOffset;
use espseal_twin::boot::{AppSlot, BootFailure, BootOutcome, BootloaderSettings};
use espseal_twin::device::VirtualDevice;
use espseal_twin::nor::NorFlash;

use crate::decisions::three_apps;
use crate::support::*;

#[test]
fn a_spoilt_partition_table_stops_everything_and_says_why() {
    for (at, words) in [
        (0, "partition 0 invalid magic number"),
        (36, "Incorrect MD5 checksum"),
    ] {
        let mut device = three_apps(ChipId::Esp32C3);
        let mut sector = [0; 4096];
        device.bus().read(TABLE_OFFSET, &mut sector).unwrap();
        sector[at] ^= 0x10;
        device.bus().replace_sector(TABLE_OFFSET, &sector).unwrap();
        let report = device.power_on();
        assert_eq!(
            report.outcome,
            BootOutcome::Failed(BootFailure::PartitionTable)
        );
        assert!(report.log.says(words), "{}", report.log);
    }
}

#[test]
fn partitions_past_the_flash_that_the_bootloader_knows_are_refused() {
    let mut device = three_apps(ChipId::Esp32C3);
    let mut table = table(TWO_SLOTS);
    table.entries.last_mut().unwrap().size = 0x40_0000;
    let mut bytes = [0xFF; 0xC00];
    table.encode(&mut bytes).unwrap();
    let mut sector = [0xFF; 4096];
    sector[..0xC00].copy_from_slice(&bytes);
    device.bus().replace_sector(TABLE_OFFSET, &sector).unwrap();
    let report = device.power_on();
    assert_eq!(
        report.outcome,
        BootOutcome::Failed(BootFailure::PartitionTable)
    );
    assert!(
        report.log.says("exceeds flash chip size 0x400000"),
        "{}",
        report.log
    );
}

#[test]
fn an_otadata_partition_of_one_sector_is_refused() {
    let mut device = three_apps(ChipId::Esp32C3);
    let mut table = table(TWO_SLOTS);
    table
        .entries
        .iter_mut()
        .find(|entry| entry.offset.get() == OTADATA)
        .unwrap()
        .size = 0x1000;
    let mut sector = [0xFF; 4096];
    let mut bytes = [0xFF; 0xC00];
    table.encode(&mut bytes).unwrap();
    sector[..0xC00].copy_from_slice(&bytes);
    device.bus().replace_sector(TABLE_OFFSET, &sector).unwrap();
    let report = device.power_on();
    assert_eq!(
        report.outcome,
        BootOutcome::Failed(BootFailure::OtadataUnreadable)
    );
}

/// Each spoilt header or segment is refused with the bootloader's own words.
#[test]
fn images_are_refused_for_each_reason_the_bootloader_knows() {
    let chip = ChipId::Esp32C3;
    let good = app(chip, 1, 0);
    let resum = |mut image: Vec<u8>| {
        let end = image.len() - 32;
        let digest = espseal_format::units::Digest::of(&image[..end]);
        image[end..].copy_from_slice(&digest.0);
        image
    };
    let with = |at: usize, value: &[u8]| {
        let mut image = good.clone();
        image[at..at + value.len()].copy_from_slice(value);
        resum(image)
    };
    let short = image(chip, &[(0x3FC9_0000, vec![1; 100])]);
    for (bad, words) in [
        (
            with(0, &[0xE8]),
            "has invalid magic byte (nothing flashed here?)",
        ),
        (with(1, &[17]), "segment count 17 exceeds max 16"),
        (with(12, &[9, 0]), "mismatch chip ID, expected 5, found 9"),
        (
            with(15, &[5, 0]),
            "chip revision check failed. Required >= v0.5, found v0.4.",
        ),
        (
            with(17, &[3, 0]),
            "chip revision check failed. Required <= v0.3, found v0.4.",
        ),
        (with(24, &[0x21]), "doesn't match data"),
        (with(28, &[0x89]), "invalid segment length"),
        (
            with(32 + 5000, &[0, 0, 0, 0x20]),
            "invalid: bad load address range",
        ),
        (with(100, &[0xAA]), "Checksum failed. Calculated"),
        (short, "is too short for app description"),
    ] {
        let csv = [TWO_SLOTS, WITH_FACTORY].concat();
        let spoilt: &[(&str, &[u8])] = &[("factory", &good)];
        let mut device = device(chip, &csv, spoilt, Locked::Open, settings());
        let signed = signer().sign(&bad);
        let mut bus = device.bus();
        for (index, sector) in (0..).zip(signed.chunks(4096)) {
            let at = FlashOffset::new(FACTORY + index * 4096);
            bus.erase_sector(at).unwrap();
            bus.write(at, sector).unwrap();
        }
        device.set_settings(BootloaderSettings {
            secure_boot: espseal_twin::boot::SecureBootSupport::Absent,
            ..settings()
        });
        let report = device.power_on();
        assert_eq!(
            report.outcome,
            BootOutcome::Failed(BootFailure::NoBootableApp),
            "{words}"
        );
        assert!(report.log.says(words), "{words}\n{}", report.log);
    }
}

/// The bootloader looks at its own header too, which the ROM did not.
#[test]
fn bootloader_for_another_chip_or_revision_starts_nothing() {
    use espseal_twin::boot::SecureBootSupport::Absent;
    let chip = ChipId::Esp32C3;
    let apps: &[(&str, &[u8])] = &[("ota_0", &app(chip, 1, 0))];
    for (at, value, words) in [
        (12, 9, Some("mismatch chip ID, expected 5, found 9")),
        (
            15,
            5,
            Some("chip revision check failed. Required >= v0.5, found v0.4."),
        ),
        (15, 4, None),
        // The highest revision says nothing of a bootloader.
        (17, 3, None),
        // No size that ESP-IDF knows counts as 2 MB, which this table fits into.
        (3, 0x9F, None),
        (3, 0xFF, None),
    ] {
        let mut device = device(chip, TWO_SLOTS, apps, Locked::Open, settings());
        device.set_settings(BootloaderSettings {
            secure_boot: Absent,
            ..settings()
        });
        let mut bus = device.bus();
        let mut sector = [0; 4096];
        bus.read(FlashOffset::new(0), &mut sector).unwrap();
        sector[at] = value;
        bus.replace_sector(FlashOffset::new(0), &sector).unwrap();
        let report = device.power_on();
        match words {
            Some(words) => {
                let failure = BootOutcome::Failed(BootFailure::ForeignBootloader);
                assert_eq!(report.outcome, failure, "{}", report.log);
                assert!(report.log.says(words), "{words}\n{}", report.log);
            }
            None => assert_eq!(slot(&report), AppSlot::Ota(0), "{}", report.log),
        }
    }
}

/// Of the descriptor the bootloader reads the magic word where pages have more than one size, and
/// the revisions, which it takes from whatever stands there.
#[test]
fn bootloader_reads_numbers_of_the_descriptor_and_no_text() {
    use espseal_twin::boot::SecureBootSupport::Absent;
    let chip = ChipId::Esp32C3;
    let boots = |bend: &dyn Fn(&mut [u8])| {
        let mut image = app(chip, 1, 0);
        let before = image[32..288].iter().fold(0, |sum, byte| sum ^ byte);
        bend(&mut image[32..288]);
        let after = image[32..288].iter().fold(0, |sum, byte| sum ^ byte);
        // A byte that nobody reads keeps the sum of the segments as it was.
        image[32 + 250] ^= before ^ after;
        let end = image.len() - 32;
        let digest = espseal_format::units::Digest::of(&image[..end]);
        image[end..].copy_from_slice(&digest.0);
        let apps: &[(&str, &[u8])] = &[("ota_0", &image)];
        let mut device = device(chip, TWO_SLOTS, apps, Locked::Open, settings());
        device.set_settings(BootloaderSettings {
            secure_boot: Absent,
            ..settings()
        });
        device.power_on().running().is_some()
    };
    assert!(boots(&|text| text[48] = 0xE9));
    assert!(boots(&|magic| magic[0] = 0));
    let too_new = |bytes: &mut [u8]| bytes[176..178].copy_from_slice(&0x1234_u16.to_le_bytes());
    assert!(!boots(&too_new));
    assert!(!boots(&|bytes| {
        bytes[0] = 0;
        too_new(bytes);
    }));
}

/// `DISABLE_WAFER_VERSION_MAJOR` and `DISABLE_BLK_VERSION_MAJOR` lift the highest versions that an
/// image allows, and not the lowest.
#[test]
fn an_efuse_lifts_the_highest_revision_that_an_image_allows() {
    use espseal_twin::boot::SecureBootSupport::Absent;
    let chip = ChipId::Esp32C3;
    let good = app(chip, 1, 0);
    let open = BootloaderSettings {
        secure_boot: Absent,
        ..settings()
    };
    let boots = |at: usize, bound: u16, burns: &[&str]| {
        let mut image = good.clone();
        for (at, byte) in (at..).zip(bound.to_le_bytes()) {
            if at >= 32 {
                // A byte that nobody reads keeps the sum of the segments as it was.
                image[32 + 240] ^= image[at] ^ byte;
            }
            image[at] = byte;
        }
        let end = image.len() - 32;
        let digest = espseal_format::units::Digest::of(&image[..end]);
        image[end..].copy_from_slice(&digest.0);
        let csv = "factory,app,factory,0x20000,0x20000\n";
        let made = device(chip, csv, &[("factory", &good)], Locked::Open, open);
        let flash = NorFlash::from_bytes(made.flash().contents().to_vec()).unwrap();
        let mut efuses = made.efuses().clone();
        for field in burns {
            efuses.burn(field, 1).unwrap();
        }
        let mut device = VirtualDevice::new(flash, efuses, open);
        let mut bus = device.bus();
        for (index, sector) in (0..).zip(image.chunks(4096)) {
            let at = FlashOffset::new(0x20000 + index * 4096);
            bus.erase_sector(at).unwrap();
            bus.write(at, sector).unwrap();
        }
        device.power_on().running().is_some()
    };
    let (wafer, blocks) = ("DISABLE_WAFER_VERSION_MAJOR", "DISABLE_BLK_VERSION_MAJOR");
    // The header's highest and lowest chip revision.
    assert!(boots(17, 4, &[]));
    assert!(!boots(17, 3, &[]));
    assert!(boots(17, 3, &[wafer]));
    assert!(!boots(17, 3, &[blocks]));
    assert!(!boots(15, 5, &[wafer]));
    // The descriptor's highest version of the eFuse blocks, which are of 1.0 or later here.
    let major = "BLK_VERSION_MAJOR";
    assert!(boots(210, 99, &[]));
    assert!(!boots(210, 99, &[major]));
    assert!(boots(210, 99, &[major, blocks]));
    assert!(!boots(210, 99, &[major, wafer]));
}

#[test]
fn an_image_longer_than_its_partition_and_a_wrong_hash_are_refused() {
    use espseal_twin::boot::SecureBootSupport::Absent;
    let chip = ChipId::Esp32C3;
    let open = BootloaderSettings {
        secure_boot: Absent,
        ..settings()
    };
    let csv = "factory,app,factory,0x20000,0x10000\n";
    let mut app = app(chip, 1, 0);
    let mut device1 = device(chip, csv, &[("factory", &app)], Locked::Open, open);
    assert_eq!(slot(&device1.power_on()), AppSlot::Factory);
    let mut sector = [0xFF; 4096];
    let mut bytes = [0xFF; 0xC00];
    let mut small = table(csv);
    small.entries[0].size = 0x1000;
    small.encode(&mut bytes).unwrap();
    sector[..0xC00].copy_from_slice(&bytes);
    device1.bus().replace_sector(TABLE_OFFSET, &sector).unwrap();
    let report = device1.power_on();
    assert!(
        report.log.says("doesn't fit in partition length 4096"),
        "{}",
        report.log
    );

    *app.last_mut().unwrap() ^= 1;
    let mut device2 = device(chip, csv, &[("factory", &app)], Locked::Open, open);
    let report = device2.power_on();
    assert_eq!(
        report.outcome,
        BootOutcome::Failed(BootFailure::NoBootableApp)
    );
    assert!(
        report.log.says("Image hash failed - image is corrupt"),
        "{}",
        report.log
    );
}
