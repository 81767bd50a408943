//! What is said about dumps of virtual devices, in order and not, with the key and without.

use espseal_crypto::flash_encryption::{FlashCipher, FlashCryptConfig};
use espseal_format::chip::ChipId;
use espseal_format::units::FlashOffset;
use espseal_twin::boot::{AppSlot, Rollback};
use espseal_twin::inspect::dump::{Encryption, FlashMap, Form, Known, Place};
use espseal_twin::inspect::finding::{Finding, Severity};
use espseal_twin::inspect::flash::Flash;
use espseal_twin::inspect::otadata::{Factory, Slots, forecast};

use crate::support::*;

/// A device with an app in both slots, and its flash.
fn dump(chip: ChipId, locked: Locked) -> Vec<u8> {
    let (first, second) = (app(chip, 1, 0), app(chip, 2, 0));
    let apps: &[(&str, &[u8])] = &[("ota_0", &first), ("ota_1", &second)];
    let mut device = device(chip, TWO_SLOTS, apps, locked, settings());
    set_otadata(&mut device, 0, Some(entry(1, 2)));
    set_otadata(&mut device, 1, Some(entry(0, u32::MAX)));
    contents(&mut device)
}

fn contents(device: &mut espseal_twin::device::VirtualDevice) -> Vec<u8> {
    let mut bytes = vec![0; FLASH_SIZE];
    device
        .bus()
        .read_raw(FlashOffset::new(0), &mut bytes)
        .unwrap();
    bytes
}

fn cipher(chip: ChipId) -> FlashCipher {
    FlashCipher::new(&flash_key(chip), FlashCryptConfig::DEFAULT)
}

fn map(bytes: &[u8], chip: Option<ChipId>, cipher: Option<&FlashCipher>) -> FlashMap {
    let flash = Flash::new(bytes, FlashOffset::new(0), cipher);
    let table_offset = TABLE_OFFSET;
    FlashMap::of(&flash, &Known { chip, table_offset })
}

fn form(map: &FlashMap, name: &str) -> Form {
    let region = map.regions.iter().find(|region| region.name() == name);
    region.unwrap().form
}

fn errors(map: &FlashMap) -> Vec<&Finding> {
    let is_error = |finding: &&Finding| finding.severity() == Severity::Error;
    map.findings.iter().filter(is_error).collect()
}

#[test]
fn a_device_in_order_has_no_findings_plain_or_encrypted() {
    for chip in CHIPS {
        for (locked, encryption, expected) in [
            (Locked::Open, Encryption::Off, Form::Plain),
            (Locked::Release, Encryption::On, Form::Encrypted),
        ] {
            let key = cipher(chip);
            let bytes = dump(chip, locked);
            let map = map(
                &bytes,
                None,
                Some(&key).filter(|_| locked == Locked::Release),
            );
            assert_eq!(map.findings, [], "{chip} {locked:?}");
            assert_eq!((map.chip, map.encryption), (Some(chip), encryption));
            assert_eq!(map.selected(), Some(AppSlot::Ota(0)));
            for name in ["bootloader", "partition table", "otadata", "ota_0", "ota_1"] {
                assert_eq!(form(&map, name), expected, "{chip} {locked:?} {name}");
            }
            let image = |region: &espseal_twin::inspect::dump::Region| {
                region.image().map(|image| image.signing_keys().count())
            };
            assert_eq!(
                map.regions.iter().filter_map(image).collect::<Vec<_>>(),
                [1, 1, 1]
            );
            // The map covers every byte once, in order.
            let mut end = 0;
            for region in &map.regions {
                assert_eq!(region.offset.get(), end);
                end += region.size;
            }
            assert_eq!(end as usize, FLASH_SIZE);
        }
    }
}

#[test]
fn without_the_key_an_encrypted_device_only_looks_encrypted_and_nothing_is_called_wrong() {
    for chip in CHIPS {
        let bytes = dump(chip, Locked::Release);
        let map = map(&bytes, Some(chip), None);
        assert_eq!(map.encryption, Encryption::On);
        assert_eq!(form(&map, "bootloader"), Form::LooksEncrypted);
        assert_eq!(form(&map, "partition table"), Form::LooksEncrypted);
        assert_eq!(errors(&map), [] as [&Finding; 0]);
    }
}

#[test]
fn data_of_the_app_is_in_order_whether_it_is_sparse_or_compressed() {
    for chip in CHIPS {
        let (first, second) = (app(chip, 1, 0), app(chip, 2, 0));
        let apps: &[(&str, &[u8])] = &[("ota_0", &first), ("ota_1", &second)];
        let table = format!("{TWO_SLOTS}archive,data,0x41,0x60000,0x4000,encrypted\n");
        let mut device = device(chip, &table, apps, Locked::Release, settings());
        set_otadata(&mut device, 0, Some(entry(1, 2)));
        // A journal: one sector written, the others erased.
        let mut sector = [0; 4096];
        sector[..400].fill(0x4A);
        let at = FlashOffset::new(0x12000);
        device.bus().replace_sector(at, &sector).unwrap();
        // What was compressed looks like noise with any key.
        let mut seed = 1_u32;
        let mut random = || {
            seed = seed.wrapping_mul(0x19660D).wrapping_add(0x3C6EF35F);
            seed.to_be_bytes()[0]
        };
        for sector in 0..2 {
            let at = FlashOffset::new(0x60000 + sector * 0x1000);
            let bytes = core::array::from_fn(|_| random());
            device.bus().replace_sector(at, &bytes).unwrap();
        }
        let key = cipher(chip);
        let map = map(&contents(&mut device), Some(chip), Some(&key));
        assert_eq!(form(&map, "journal"), Form::Encrypted);
        assert_eq!(form(&map, "archive"), Form::LooksEncrypted);
        assert_eq!(errors(&map), [] as [&Finding; 0]);
    }
}

#[test]
fn a_wrong_key_is_noticed() {
    for chip in CHIPS {
        let mut key = flash_key(chip).file().to_vec();
        key[5] ^= 1;
        let scheme = flash_key(chip).scheme();
        let key = espseal_crypto::flash_encryption::FlashKey::from_file(scheme, &key).unwrap();
        let wrong = FlashCipher::new(&key, FlashCryptConfig::DEFAULT);
        let bytes = dump(chip, Locked::Release);
        let map = map(&bytes, Some(chip), Some(&wrong));
        let region = "bootloader".to_owned();
        assert!(
            map.findings.contains(&Finding::NotOpened { region }),
            "{:?}",
            map.findings
        );
    }
}

#[test]
fn plaintext_under_encryption_is_found_and_otadata_by_its_own_words() {
    for chip in CHIPS {
        let key = cipher(chip);
        let mut bytes = dump(chip, Locked::Release);
        // The field's error: otadata written raw.
        let at = OTADATA as usize;
        bytes[at..at + 0x2000].fill(0xFF);
        bytes[at..at + 32].copy_from_slice(&entry(2, 0));
        let found = map(&bytes, None, Some(&key));
        let region = "otadata".to_owned();
        assert_eq!(
            errors(&found),
            [&Finding::PlainOtadata { region }],
            "{chip}"
        );
        // An app flashed plain.
        let mut bytes = dump(chip, Locked::Release);
        let plain = signer().sign(&app(chip, 2, 0));
        let at = OTA_1 as usize;
        bytes[at..at + plain.len()].copy_from_slice(&plain);
        let found = map(&bytes, None, Some(&key));
        let region = "ota_1".to_owned();
        let expected = Finding::PlainUnderEncryption { region };
        assert_eq!(errors(&found), [&expected], "{chip}");
    }
}

#[test]
fn an_image_encrypted_for_the_other_slot_is_named_with_its_address() {
    for chip in CHIPS {
        let key = cipher(chip);
        let mut bytes = dump(chip, Locked::Release);
        bytes.copy_within(OTA_1 as usize..OTA_1 as usize + 0x8000, OTA_0 as usize);
        let found = map(&bytes, None, Some(&key));
        assert_eq!(
            form(&found, "ota_0"),
            Form::EncryptedFor(FlashOffset::new(OTA_1))
        );
        let expected = [
            &Finding::EncryptedForOtherAddress {
                region: "ota_0".into(),
                address: FlashOffset::new(OTA_1),
                meant_for: "ota_1".into(),
            },
            &Finding::SelectedNotBootable {
                slot: "ota_0".into(),
            },
        ];
        assert_eq!(errors(&found), expected, "{chip}");
    }
}

#[test]
fn nvs_is_to_be_plain() {
    for chip in CHIPS {
        let key = cipher(chip);
        let mut bytes = dump(chip, Locked::Release);
        let mut page = [0xFF; 0x1000];
        page[..9].copy_from_slice(&[0xFE, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0xFE]);
        page[28..32].copy_from_slice(&[0x84, 0x2D, 0xBA, 0xB9]);
        let at = NVS as usize;
        bytes[at..at + 0x4000].fill(0xFF);
        bytes[at..at + 0x1000].copy_from_slice(&page);
        assert_eq!(map(&bytes, None, Some(&key)).findings, [], "{chip}");
        let whole = &mut bytes[at..at + 0x4000];
        key.encrypt(FlashOffset::new(NVS), whole).unwrap();
        let found = map(&bytes, None, Some(&key));
        let region = "nvs".to_owned();
        assert_eq!(
            errors(&found),
            [&Finding::NeverDecrypted { region }],
            "{chip}"
        );
    }
}

#[test]
fn damage_torn_entries_and_missing_signatures_are_found() {
    let chip = ChipId::Esp32C3;
    let good = dump(chip, Locked::Open);
    let mut bytes = good.clone();
    bytes[OTA_0 as usize + 0x1000] ^= 1;
    let found = map(&bytes, None, None);
    let damaged = |finding: &&Finding| matches!(finding, Finding::DamagedImage { .. });
    assert_eq!(
        found.findings.iter().filter(damaged).count(),
        2,
        "checksum and hash"
    );
    let wrong = |finding: &Finding| matches!(finding, Finding::WrongSignature { block: 0, .. });
    assert!(found.findings.iter().any(wrong));
    let slot = "ota_0".to_owned();
    assert!(
        found
            .findings
            .contains(&Finding::SelectedNotBootable { slot })
    );

    let mut bytes = good.clone();
    bytes[OTADATA as usize] ^= 2;
    let found = map(&bytes, None, None);
    assert!(matches!(
        found.findings[..],
        [Finding::TornEntry { entry: 0, .. }]
    ));

    let mut bytes = good.clone();
    let unsigned = app(chip, 1, 0);
    let at = OTA_1 as usize;
    bytes[at..at + 0x1_0000].fill(0xFF);
    bytes[at..at + unsigned.len()].copy_from_slice(&unsigned);
    let found = map(&bytes, None, None);
    let region = "ota_1".to_owned();
    assert_eq!(found.findings, [Finding::UnsignedAmongSigned { region }]);

    let mut bytes = good;
    bytes[TABLE_OFFSET.get() as usize + 4] ^= 1;
    let found = map(&bytes, None, None);
    assert!(
        matches!(found.findings[..], [Finding::NoTable { .. }]),
        "{:?}",
        found.findings
    );
    assert!(
        found
            .regions
            .iter()
            .all(|region| !matches!(region.place, Place::Partition(_)))
    );
}

#[test]
fn every_cut_of_a_dump_and_many_flipped_bits_are_mapped_without_a_panic() {
    let chip = ChipId::Esp32C3;
    let good = dump(chip, Locked::Release);
    let key = cipher(chip);
    let mut cuts = 0;
    for length in (0..0x1_4000)
        .step_by(0x3F1)
        .chain((0x1_4000..FLASH_SIZE).step_by(0x1_0007))
    {
        let _ = map(&good[..length], None, Some(&key));
        cuts += 1;
    }
    let plain = dump(chip, Locked::Open);
    let mut flips = 0;
    for bit in (0..0x100)
        .chain(0xA000 * 8..0xA100 * 8)
        .chain(0xC000 * 8..0xC020 * 8)
    {
        let mut bytes = plain[..0x1_0000].to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let _ = map(&bytes, None, None);
        flips += 1;
    }
    println!("{cuts} truncations, {flips} flipped bits");
}

/// The forecast agrees with the twin's bootloader, which has its own code for the same decisions.
#[test]
fn forecast_of_every_pair_of_entries_is_what_the_bootloader_does() {
    let chip = ChipId::Esp32C3;
    let (first, second) = (app(chip, 1, 0), app(chip, 2, 0));
    let states = [0, 1, 2, 3, 4, 7, u32::MAX];
    let mut kinds = vec![[0xFF; 32]];
    for seq in [1, 2, 3, 0] {
        kinds.extend(states.map(|state| entry(seq, state)));
    }
    let mut torn = entry(1, 2);
    torn[28] ^= 1;
    kinds.push(torn);
    let mut pairs = 0;
    for rollback in [Rollback::Enabled, Rollback::Disabled] {
        for factory in [Factory::Present, Factory::Absent] {
            let csv = match factory {
                Factory::Present => format!("{TWO_SLOTS}{WITH_FACTORY}"),
                Factory::Absent => TWO_SLOTS.into(),
            };
            let apps: &[(&str, &[u8])] =
                &[("ota_0", &first), ("ota_1", &second), ("factory", &first)];
            let apps = &apps[..if factory == Factory::Present { 3 } else { 2 }];
            let bootloader = espseal_twin::boot::BootloaderSettings {
                rollback,
                ..settings()
            };
            let mut device = device(chip, &csv, apps, Locked::Release, bootloader);
            for one in &kinds {
                for other in &kinds {
                    set_otadata(&mut device, 0, Some(*one));
                    set_otadata(&mut device, 1, Some(*other));
                    let report = device.power_on();
                    let forecast = forecast(&[*one, *other], Slots { ota: 2, factory }, rollback);
                    assert_eq!(forecast.decisions, report.decisions, "{one:x?} {other:x?}");
                    assert_eq!(forecast.first, slot(&report), "{one:x?} {other:x?}");
                    device.power_off();
                    pairs += 1;
                }
            }
        }
    }
    println!("{pairs} forecasts equal what the bootloader did");
}
