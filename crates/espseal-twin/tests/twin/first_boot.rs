//! The bootloader turns security on by itself, and what a power cut leaves.

use espseal_format::chip::{ChipId, SchemeId};
use espseal_format::signature_block::SignatureScheme;
use espseal_format::units::FlashOffset;
use espseal_twin::boot::{
    AppExtent, AppSlot, BootFailure, BootOutcome, BootReport, BootloaderSettings, Decision,
    EncryptionBuild, EncryptionMode, FirstBoot, FirstBootLocks, FlashEncryptionSupport, RomRefusal,
    SecureBootSupport,
};
use espseal_twin::device::VirtualDevice;
use espseal_twin::efuse::{Efuses, FlashEncryption, Jtag, KeyUse, Mac};
use espseal_twin::factory::{FactoryPlan, Security};
use espseal_twin::nor::NorFlash;
use espseal_twin::power::{Moment, PowerCut, Tear};

use crate::support::*;

const CSV: &str = "otadata,data,ota,0xc000,0x2000\nnvs,data,nvs,0xe000,0x4000\n\
    keys,data,nvs_keys,0x12000,0x1000\nplain,data,0x41,0x13000,0x1000\n\
    secret,data,0x42,0x14000,0x1000,encrypted\n\
    ota_0,app,ota_0,0x20000,0x20000\nota_1,app,ota_1,0x40000,0x20000\n";

fn scheme(chip: ChipId) -> SchemeId {
    match chip {
        ChipId::Esp32 => SchemeId::Esp32Aes,
        _ => SchemeId::XtsAes128,
    }
}

fn build(chip: ChipId, mode: EncryptionMode, extent: AppExtent) -> FlashEncryptionSupport {
    FlashEncryptionSupport::CompiledIn(EncryptionBuild {
        mode,
        scheme: scheme(chip),
        extent,
    })
}

fn enables() -> BootloaderSettings {
    BootloaderSettings {
        first_boot: FirstBoot::Enables(FirstBootLocks::default()),
        ..settings()
    }
}

/// A device as it comes out of `idf.py flash`: everything plain, nothing burnt.
fn fresh(chip: ChipId, settings: BootloaderSettings) -> VirtualDevice {
    let marked = |byte: u8| vec![byte; 0x1000];
    let app = signer().sign(&app(chip, 1, 0));
    let made = FactoryPlan {
        chip,
        mac: Mac([2, 0, 0, 0, 0, 1]),
        flash_size: FLASH_SIZE,
        bootloader: &signer().sign(&bootloader(chip)),
        table_offset: TABLE_OFFSET,
        table: &table(CSV),
        contents: &[
            ("ota_0", &app),
            ("nvs", &marked(0x11)),
            ("keys", &marked(0x22)),
            ("plain", &marked(0x33)),
            ("secret", &marked(0x44)),
        ],
        security: Security::Open,
    }
    .build()
    .unwrap();
    VirtualDevice::new(
        NorFlash::from_bytes(made.flash).unwrap(),
        made.efuses,
        settings,
    )
}

fn raw(device: &VirtualDevice, at: u32) -> [u8; 16] {
    *device.flash().contents()[at as usize..]
        .first_chunk()
        .unwrap()
}

fn encrypting(chip: ChipId, mode: EncryptionMode) -> BootloaderSettings {
    BootloaderSettings {
        flash_encryption: build(chip, mode, AppExtent::Image),
        ..enables()
    }
}

#[track_caller]
fn failed(report: &BootReport, failure: BootFailure) {
    assert_eq!(
        report.outcome,
        BootOutcome::Failed(failure),
        "{}",
        report.log
    );
}

#[test]
fn secure_boot_is_turned_on_with_the_keys_that_signed_the_bootloader() {
    for chip in CHIPS {
        let mut device = fresh(chip, enables());
        let report = device.power_on();
        assert_eq!(slot(&report), AppSlot::Ota(0), "{}", report.log);
        assert!(report.decisions.contains(&Decision::EnabledSecureBoot));
        for words in [
            "Secure boot digests absent, generating..",
            "1 signature block(s) found appended to the bootloader.",
            "Application key(0) matches with bootloader key(0).",
            "Secure boot permanently enabled",
        ] {
            assert!(report.log.says(words), "{words}\n{}", report.log);
        }
        let efuses = device.efuses();
        assert!(efuses.secure_boot_enabled());
        assert_eq!(efuses.secure_boot_digests()[0], Some(signer().digest()));
        assert_eq!(efuses.jtag(), Jtag::Off);
        if chip == ChipId::Esp32C3 {
            assert!(efuses.is_revoked(1) && efuses.is_revoked(2));
            assert!(report.log.says("Revoking empty key digest slot (2)..."));
        }
        let report = device.power_on();
        assert!(
            report
                .log
                .says("secure boot v2 is already enabled, continuing..")
        );
        assert_eq!(slot(&report), AppSlot::Ota(0));
    }
}

#[test]
fn no_key_is_burnt_for_an_app_that_another_key_signed() {
    let chip = ChipId::Esp32C3;
    let mut device = fresh(chip, enables());
    let stranger = Signer::generate().sign(&app(chip, 1, 0));
    for (at, sector) in (OTA_0..).step_by(0x1000).zip(stranger.chunks(0x1000)) {
        let mut bus = device.bus();
        bus.erase_sector(FlashOffset::new(at)).unwrap();
        bus.write_raw(FlashOffset::new(at), sector).unwrap();
    }
    let report = device.power_on();
    failed(&report, BootFailure::SecureBootSetup);
    let words = "No application key digest matches the bootloader key digest.";
    assert!(report.log.says(words), "{}", report.log);
    assert!(!device.efuses().secure_boot_enabled());
    assert_eq!(device.efuses().secure_boot_digests(), [None; 3]);
}

#[test]
fn flash_is_encrypted_on_the_first_boot_where_esp_idf_encrypts_it_and_nowhere_else() {
    for chip in CHIPS {
        for (mode, extent) in [
            (EncryptionMode::Development, AppExtent::Image),
            (EncryptionMode::Release, AppExtent::Partition),
        ] {
            let mut device = fresh(
                chip,
                BootloaderSettings {
                    flash_encryption: build(chip, mode, extent),
                    ..enables()
                },
            );
            let report = device.power_on();
            assert_eq!(slot(&report), AppSlot::Ota(0), "{}", report.log);
            assert!(report.decisions.contains(&Decision::EnabledFlashEncryption));
            for words in [
                "Generating new flash encryption key...",
                "bootloader encrypted successfully",
                "partition table encrypted and loaded successfully",
                "Encrypting partition 5 at offset 0x20000",
                "Flash encryption completed",
                "Resetting with flash encryption enabled...",
                "flash encryption is enabled (",
            ] {
                assert!(report.log.says(words), "{words}\n{}", report.log);
            }
            assert!(
                !report.log.says("Encrypting partition 6"),
                "ota_1 holds nothing"
            );
            let efuses = device.efuses();
            let (state, dl) = match mode {
                EncryptionMode::Development => (FlashEncryption::Development, 0),
                EncryptionMode::Release => (FlashEncryption::Release, 1),
            };
            assert_eq!(efuses.flash_encryption(), state);
            let manual = match chip {
                ChipId::Esp32 => "DISABLE_DL_ENCRYPT",
                _ => "DIS_DOWNLOAD_MANUAL_ENCRYPT",
            };
            assert_eq!(efuses.read(manual), Ok(dl));
            assert_eq!(efuses.flash_key_is_protected(), Some(true));
            let start = if chip == ChipId::Esp32 { 0x1000 } else { 0 };
            let plain = fresh(chip, settings());
            for at in [
                start,
                TABLE_OFFSET.get(),
                OTADATA,
                OTA_0,
                0x1_2000,
                0x1_4000,
            ] {
                assert_ne!(raw(&device, at), raw(&plain, at), "{at:#x}");
            }
            // nvs, and a partition without the flag.
            for at in [NVS, 0x1_3000, OTA_1] {
                assert_eq!(raw(&device, at), raw(&plain, at), "{at:#x}");
            }
            // What follows the image is erased flash: still erased, or encrypted blanks.
            let rest = device.flash().contents()[(OTA_0 + 0x1_F000) as usize..][..32] == [0xFF; 32];
            assert_eq!(rest, extent == AppExtent::Image);
            assert_eq!(slot(&device.power_on()), AppSlot::Ota(0));
        }
    }
}

#[test]
fn a_bootloader_that_only_takes_finished_devices_burns_and_encrypts_nothing() {
    let chip = ChipId::Esp32C3;
    let strict = BootloaderSettings {
        secure_boot: SecureBootSupport::Absent,
        first_boot: FirstBoot::Refuses,
        ..encrypting(chip, EncryptionMode::Release)
    };
    let mut device = fresh(chip, strict);
    let report = device.power_on();
    failed(&report, BootFailure::FlashEncryptionNotEnabled);
    assert!(report.log.says("SECURE_FLASH_REQUIRE_ALREADY_ENABLED"));
    device.set_settings(settings());
    failed(&device.power_on(), BootFailure::SecureBootNotEnabled);
    assert_eq!(device.efuses().flash_key_is_protected(), None);
}

#[test]
fn a_key_that_is_burnt_and_not_protected_stops_the_first_boot() {
    let chip = ChipId::Esp32;
    let mut device = fresh(chip, encrypting(chip, EncryptionMode::Release));
    // The block alone, as a power cut between the two burns of the batch leaves it.
    let operations = burns_of_first_boot(chip);
    device.power().plan([PowerCut {
        operation: operations.key_block + 1,
        moment: Moment::Before,
    }]);
    assert_eq!(device.power_on().outcome, BootOutcome::PowerLost);
    assert_eq!(device.efuses().flash_key_is_protected(), Some(false));
    let report = device.power_on();
    failed(&report, BootFailure::FlashEncryptionSetup);
    assert!(
        report
            .log
            .says("Invalid key state, check read&write protection")
    );
}

#[test]
fn a_pre_burnt_key_is_used_and_a_read_protection_lock_that_came_first_is_fatal() {
    let chip = ChipId::Esp32C3;
    let settings = encrypting(chip, EncryptionMode::Release);
    let mut device = fresh(chip, settings);
    let key = [0x5A; 32];
    device
        .efuses_mut()
        .burn_key(4, KeyUse::FlashEncryption, &key)
        .unwrap();
    let report = device.power_on();
    assert!(
        report
            .log
            .says("Using pre-loaded flash encryption key in efuse")
    );
    assert_eq!(slot(&report), AppSlot::Ota(0));
    assert_eq!(device.efuses().flash_key().unwrap().file(), key);
}

/// Numbers of power operations of a first boot.
struct Operations {
    key_block: u64,
    total: u64,
}

/// Where the burns of a first boot with secure boot absent are among its operations.
fn burns_of_first_boot(chip: ChipId) -> Operations {
    let mut device = fresh(chip, encrypting(chip, EncryptionMode::Release));
    device.power_on();
    let total = device.power().operations();
    // otadata (erase, write), then secure boot's digest and BLOCK0, then the flash key.
    Operations {
        key_block: 4,
        total,
    }
}

/// How a device is after a power cut during its first boot, and what mends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// The next boot starts over, or goes on, and ends well.
    Recovers,
    /// The ROM finds noise where the bootloader was.
    RomFindsNoise,
    /// A flash key without its protections.
    KeyUnprotected,
}

#[test]
fn a_power_cut_on_the_first_boot_leaves_what_esp_idf_says_it_leaves() {
    for chip in CHIPS {
        let operations = burns_of_first_boot(chip);
        let mut fates = Vec::new();
        for operation in 0..operations.total {
            for moment in [
                Moment::Before,
                Moment::Inside(Tear::AfterBytes(2000)),
                Moment::After,
            ] {
                // Burns are a few bytes long: they are not torn at byte 2000.
                let mut device = fresh(chip, encrypting(chip, EncryptionMode::Release));
                device.power().plan([PowerCut { operation, moment }]);
                let first = device.power_on();
                if first.outcome != BootOutcome::PowerLost {
                    continue;
                }
                let report = device.power_on();
                let fate = match report.outcome {
                    BootOutcome::Running(_) => Fate::Recovers,
                    BootOutcome::Failed(BootFailure::Rom(RomRefusal::InvalidHeader)) => {
                        assert!(report.log.says("invalid header: 0x"), "{}", report.log);
                        Fate::RomFindsNoise
                    }
                    BootOutcome::Failed(BootFailure::FlashEncryptionSetup) => Fate::KeyUnprotected,
                    other => panic!("{chip} {operation} {moment:?}: {other:?}\n{}", report.log),
                };
                fates.push(fate);
            }
        }
        let count = |fate| fates.iter().filter(|found| **found == fate).count();
        let noise = count(Fate::RomFindsNoise);
        println!(
            "{chip}: {} cuts: {} recover, {noise} leave noise, {} leave an unprotected key",
            fates.len(),
            count(Fate::Recovers),
            count(Fate::KeyUnprotected)
        );
        assert!(
            noise * 2 > fates.len(),
            "most of the time is spent encrypting"
        );
        assert!(count(Fate::Recovers) > 0);
        // Only the ESP32 cannot tell its key from one that somebody else burnt.
        assert_eq!(count(Fate::KeyUnprotected) > 0, chip == ChipId::Esp32);
    }
}

#[test]
fn reflashing_only_the_bootloader_after_a_cut_encrypts_garbage() {
    let chip = ChipId::Esp32C3;
    let mut device = fresh(chip, encrypting(chip, EncryptionMode::Release));
    let operations = burns_of_first_boot(chip);
    // Late: bootloader, table, otadata and most of the app are encrypted already.
    device.power().plan([PowerCut {
        operation: operations.total - 6,
        moment: Moment::Before,
    }]);
    assert_eq!(device.power_on().outcome, BootOutcome::PowerLost);
    failed(
        &device.power_on(),
        BootFailure::Rom(RomRefusal::InvalidHeader),
    );
    let rewrite = |device: &mut VirtualDevice, at: u32, bytes: &[u8]| {
        for (at, sector) in (at..).step_by(0x1000).zip(bytes.chunks(0x1000)) {
            let mut bus = device.bus();
            bus.erase_sector(FlashOffset::new(at)).unwrap();
            bus.write_raw(FlashOffset::new(at), sector).unwrap();
        }
    };
    rewrite(&mut device, 0, &signer().sign(&bootloader(chip)));
    let report = device.power_on();
    failed(&report, BootFailure::PartitionTable);
    // Everything plain again: the process starts over with the key that is burnt.
    let plain = fresh(chip, settings()).flash().contents().to_vec();
    rewrite(&mut device, 0, &plain);
    let report = device.power_on();
    assert!(
        report
            .log
            .says("Using pre-loaded flash encryption key in efuse")
    );
    assert_eq!(slot(&report), AppSlot::Ota(0), "{}", report.log);
}

#[test]
fn aggressive_revocation_burns_the_key_in_whose_name_a_signature_was_forged() {
    let chip = ChipId::Esp32C3;
    for (aggressive, revoked) in [(0, false), (1, true)] {
        let mut device = device(
            chip,
            TWO_SLOTS,
            &[("ota_0", &app(chip, 1, 0))],
            Locked::Open,
            settings(),
        );
        let efuses: &mut Efuses = device.efuses_mut();
        efuses
            .burn_key(4, KeyUse::SecureBootDigest(0), &signer().digest().0)
            .unwrap();
        efuses
            .burn("SECURE_BOOT_AGGRESSIVE_REVOKE", aggressive)
            .unwrap();
        efuses.enable_secure_boot_v2().unwrap();
        assert_eq!(slot(&device.power_on()), AppSlot::Ota(0));
        // A wrong digest revokes nothing: anybody could do that.
        let good = device.flash().contents()[..0x4000].to_vec();
        let end = good
            .chunks(0x1000)
            .position(|sector| sector[0] == 0xE7)
            .unwrap()
            * 0x1000;
        let mut forged = good[..end + 0x1000].to_vec();
        forged[end + 900] ^= 1;
        let crc = crc32(&forged[end..end + 1196]);
        forged[end + 1196..end + 1200].copy_from_slice(&crc.to_le_bytes());
        for (at, sector) in (0..).step_by(0x1000).zip(forged.chunks(0x1000)) {
            let mut bus = device.bus();
            bus.erase_sector(FlashOffset::new(at)).unwrap();
            bus.write_raw(FlashOffset::new(at), sector).unwrap();
        }
        let report = device.power_on();
        failed(&report, BootFailure::Rom(RomRefusal::NotSigned));
        assert!(report.log.says("Sig block 0 signature verification failed"));
        assert_eq!(device.efuses().is_revoked(0), revoked);
        for (at, sector) in (0..).step_by(0x1000).zip(good.chunks(0x1000)) {
            let mut bus = device.bus();
            bus.erase_sector(FlashOffset::new(at)).unwrap();
            bus.write_raw(FlashOffset::new(at), sector).unwrap();
        }
        let report = device.power_on();
        assert_eq!(report.running().is_some(), !revoked, "{}", report.log);
    }
}

/// CRC-32 from a start value of zero, as signature blocks have it.
fn crc32(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1))
        })
    });
    !crc
}

#[test]
fn a_bootloader_for_another_signing_scheme_refuses_an_image_that_its_rom_would_take() {
    let chip = ChipId::Esp32C3;
    let apps = [("ota_0", &app(chip, 1, 0)[..])];
    let settings = BootloaderSettings {
        secure_boot: SecureBootSupport::V2(SignatureScheme::Ecdsa(
            espseal_format::signature_block::Curve::P256,
        )),
        ..settings()
    };
    let mut device = device(chip, TWO_SLOTS, &apps, Locked::Release, settings);
    let report = device.power_on();
    failed(&report, BootFailure::NoBootableApp);
    let words = "ECDSA signing scheme selected but no signature block for the selected scheme";
    assert!(report.log.says(words), "{}", report.log);
}
