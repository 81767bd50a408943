//! What a factory makes: checked by Espressif's tools, and what it refuses to make.

use espseal_format::chip::ChipId;
use espseal_format::units::{Digest, FlashOffset};
use espseal_twin::boot::AppSlot;
use espseal_twin::efuse::{DownloadMode, FlashEncryption, Jtag, Mac, virt};
use espseal_twin::factory::{FactoryError, FactoryPlan, Security};

use crate::support::*;

fn plan<'a>(
    chip: ChipId,
    table: &'a espseal_format::partition_table::PartitionTable,
    bootloader: &'a [u8],
    contents: &'a [(&'a str, &'a [u8])],
    security: Security<'a>,
) -> FactoryPlan<'a> {
    FactoryPlan {
        chip,
        mac: Mac([2, 0, 0, 0, 0, 1]),
        flash_size: FLASH_SIZE,
        bootloader,
        table_offset: TABLE_OFFSET,
        table,
        contents,
        security,
    }
}

#[test]
fn flash_that_the_factory_wrote_decrypts_with_espsecure() {
    for chip in CHIPS {
        let signed = signer().sign(&app(chip, 1, 0));
        let loader = signer().sign(&bootloader(chip));
        let (key, digests) = (flash_key(chip), [signer().digest()]);
        let security = Security::Release {
            flash_key: &key,
            digests: &digests,
            hmac_key: None,
        };
        let contents: &[(&str, &[u8])] = &[
            ("ota_0", &signed),
            ("nvs", &[0x11; 64]),
            ("journal", &[0x22; 64]),
        ];
        let made = plan(chip, &table(TWO_SLOTS), &loader, contents, security)
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), key.file()).unwrap();
        let decrypt = |offset: u32, length: usize| {
            let start = offset as usize;
            let cipher = &made.flash[start..start + length];
            std::fs::write(folder.path().join("cipher"), cipher).unwrap();
            let mut command = oracles::tool("espsecure");
            command
                .current_dir(folder.path())
                .args(["decrypt-flash-data", "--keyfile", "key"]);
            command.args(["--output", "plain", "--address", &offset.to_string()]);
            match chip {
                ChipId::Esp32 => command.args(["--flash-crypt-conf", "0xF"]),
                _ => command.arg("--aes-xts"),
            };
            oracles::run(command.arg("cipher"));
            std::fs::read(folder.path().join("plain")).unwrap()
        };
        let start = if chip == ChipId::Esp32 { 0x1000 } else { 0 };
        assert_eq!(decrypt(start, loader.len()), loader);
        assert_eq!(decrypt(TABLE_OFFSET.get(), 16)[..2], [0xAA, 0x50]);
        assert_eq!(decrypt(OTADATA, 0x2000), [0xFF; 0x2000]);
        assert_eq!(decrypt(OTA_0, signed.len()), signed);
        assert_eq!(decrypt(JOURNAL, 64), [0x22; 64], "flagged encrypted");
        assert_eq!(
            made.flash[NVS as usize..][..64],
            [0x11; 64],
            "NVS is never encrypted"
        );
        assert_eq!(
            made.flash[OTA_1 as usize..][..64],
            [0xFF; 64],
            "unused flash stays erased"
        );
    }
}

#[test]
fn release_mode_locks_everything_and_leaves_the_digest_readable() {
    for chip in CHIPS {
        let loader = signer().sign(&bootloader(chip));
        let (key, digests) = (flash_key(chip), [signer().digest()]);
        let security = Security::Release {
            flash_key: &key,
            digests: &digests,
            hmac_key: None,
        };
        let efuses = plan(chip, &table(TWO_SLOTS), &loader, &[], security)
            .build()
            .unwrap()
            .efuses;
        assert_eq!(efuses.flash_encryption(), FlashEncryption::Release);
        assert!(efuses.secure_boot_enabled());
        assert_eq!(
            efuses.secure_boot_digests(),
            [Some(signer().digest()), None, None]
        );
        assert_eq!(efuses.jtag(), Jtag::Off);
        let expected = if chip == ChipId::Esp32 {
            DownloadMode::Off
        } else {
            DownloadMode::Secure
        };
        assert_eq!(efuses.download_mode(), expected);
        assert_eq!(efuses.flash_key().unwrap().file(), key.file());
        assert!(
            efuses.clone().burn("RD_DIS", 2).is_err(),
            "the digest can be hidden"
        );
        if chip == ChipId::Esp32C3 {
            assert!(efuses.is_revoked(1) && efuses.is_revoked(2) && !efuses.is_revoked(0));
        }
        // espefuse reads what the twin burnt.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("efuse.bin");
        std::fs::write(&file, virt::encode(&efuses)).unwrap();
        let mut command = oracles::tool("espefuse");
        command.args([
            "--chip",
            chip.target().unwrap(),
            "--virt",
            "--path-efuse-file",
        ]);
        let text = oracles::run(command.arg(&file).arg("summary"));
        assert!(text.contains("?? ?? ?? ??"), "the key shows\n{text}");
    }
}

#[test]
fn the_hmac_key_is_hidden_with_the_flash_key() {
    let chip = ChipId::Esp32C3;
    let loader = signer().sign(&bootloader(chip));
    let (key, digests) = (flash_key(chip), [signer().digest()]);
    let hmac_key = Some(&[7; 32]);
    let security = Security::Release {
        flash_key: &key,
        digests: &digests,
        hmac_key,
    };
    let efuses = plan(chip, &table(TWO_SLOTS), &loader, &[], security)
        .build()
        .unwrap()
        .efuses;
    assert!(efuses.is_read_protected(4) && efuses.is_read_protected(5));
    assert_eq!(efuses.read("KEY_PURPOSE_1"), Ok(8));
    let esp32 = flash_key(ChipId::Esp32);
    let security = Security::Release {
        flash_key: &esp32,
        digests: &digests,
        hmac_key,
    };
    let loader = signer().sign(&bootloader(ChipId::Esp32));
    let refused = plan(ChipId::Esp32, &table(TWO_SLOTS), &loader, &[], security).build();
    assert!(matches!(refused, Err(FactoryError::NoKeyBlock { .. })));
}

#[test]
fn plans_that_would_brick_are_refused_with_the_way_out() {
    let chip = ChipId::Esp32;
    let table = table(TWO_SLOTS);
    let loader = bootloader(chip);
    let big = vec![0xE9; 0x2_0001];
    let too_big: &[(&str, &[u8])] = &[("ota_0", &big)];
    let unknown: &[(&str, &[u8])] = &[("x", &[])];
    let no_image: &[(&str, &[u8])] = &[("ota_0", &[1, 2, 3])];
    let other = bootloader(ChipId::Esp32C3);
    // The ESP32's signed bootloader starts at 0x1000 and its signature sector reaches 0xA000.
    let mut long = loader.clone();
    long.resize(0x8000, 0xFF);
    let signed = signer().sign(&long);
    let mut overlapping = table.clone();
    overlapping.entries[3].size = 0x2_1000;
    let open = |bootloader, contents| plan(chip, &table, bootloader, contents, Security::Open);
    #[track_caller]
    fn refused(plan: FactoryPlan<'_>) -> FactoryError {
        plan.build().unwrap_err()
    }

    let error = refused(FactoryPlan {
        table_offset: FlashOffset::new(0x9000),
        ..open(&signed, &[])
    });
    assert!(
        error.to_string().contains("CONFIG_PARTITION_TABLE_OFFSET"),
        "{error}"
    );
    assert!(matches!(
        error,
        FactoryError::BootloaderOverlapsTable { end: 0xA000, .. }
    ));
    assert!(open(&signed, &[]).check().is_ok());

    let mut small = loader.clone();
    small[3] = 0;
    let mut high = table.clone();
    high.entries[4].offset = FlashOffset::new(0x10_0000);
    let reaching = FactoryPlan {
        table: &high,
        flash_size: 0x40_0000,
        ..open(&small, &[])
    };
    let expected = FactoryError::BootloaderFlashSize {
        stated: 0x10_0000,
        needed: 0x12_0000,
    };
    assert_eq!(refused(reaching), expected);

    let at = |offset| FactoryPlan {
        table_offset: FlashOffset::new(offset),
        ..open(&loader, &[])
    };
    assert!(matches!(
        refused(at(0xC000)),
        FactoryError::PartitionOverlapsTable { .. }
    ));
    assert!(matches!(
        refused(at(0x9100)),
        FactoryError::Misaligned { .. }
    ));

    let error = refused(FactoryPlan {
        table: &overlapping,
        ..open(&loader, &[])
    });
    assert!(
        matches!(error, FactoryError::PartitionsOverlap { .. }),
        "{error}"
    );

    let error = refused(FactoryPlan {
        flash_size: 0x5_0000,
        ..open(&loader, &[])
    });
    assert!(matches!(error, FactoryError::BeyondFlash { .. }), "{error}");

    let error = refused(open(&loader, too_big));
    assert!(matches!(error, FactoryError::DoesNotFit { .. }), "{error}");
    assert!(matches!(
        refused(open(&loader, unknown)),
        FactoryError::NoSuchPartition { .. }
    ));

    assert!(matches!(
        refused(open(&other, &[])),
        FactoryError::WrongChip { found: 5, .. }
    ));
    let error = refused(open(&loader, no_image));
    assert!(matches!(
        error,
        FactoryError::WrongChip { found: 0xFFFF, .. }
    ));
}

#[test]
fn keys_and_digests_that_do_not_fit_the_chip_are_refused() {
    let table = table(TWO_SLOTS);
    for chip in CHIPS {
        let loader = bootloader(chip);
        let key = flash_key(chip);
        let other = CHIPS.into_iter().find(|other| *other != chip).unwrap();
        let wrong = flash_key(other);
        let (one, four) = ([signer().digest()], [signer().digest(); 4]);
        let blank = [Digest([0; 32])];
        let release = |flash_key, digests| {
            let security = Security::Release {
                flash_key,
                digests,
                hmac_key: None,
            };
            plan(chip, &table, &loader, &[], security)
                .build()
                .unwrap_err()
        };
        assert!(matches!(
            release(&wrong, &one),
            FactoryError::FlashKeyScheme { .. }
        ));
        assert!(matches!(
            release(&key, &[]),
            FactoryError::Digests { found: 0, .. }
        ));
        assert!(matches!(
            release(&key, &four),
            FactoryError::Digests { found: 4, .. }
        ));
        assert!(matches!(
            release(&key, &blank),
            FactoryError::BlankDigest { slot: 0 }
        ));
    }
}

#[test]
fn an_open_device_is_plain_and_boots() {
    use espseal_twin::boot::{BootloaderSettings, SecureBootSupport};
    let chip = ChipId::Esp32;
    let apps: &[(&str, &[u8])] = &[("ota_0", &app(chip, 1, 0))];
    let secure_boot = SecureBootSupport::Absent;
    let settings = BootloaderSettings {
        secure_boot,
        ..settings()
    };
    let mut device = device(chip, TWO_SLOTS, apps, Locked::Open, settings);
    assert_eq!(device.flash().contents()[0x1000], 0xE9);
    assert_eq!(slot(&device.power_on()), AppSlot::Ota(0));
}
