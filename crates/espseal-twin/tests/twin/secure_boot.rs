//! Whose signatures the ROM and the bootloader accept.

use espseal_format::chip::ChipId;
use espseal_format::units::{Digest, FlashOffset};
use espseal_twin::boot::{
    AppSlot, BootFailure, BootOutcome, BootloaderSettings, RomRefusal, SecureBootSupport,
};
use espseal_twin::device::VirtualDevice;
use espseal_twin::efuse::Mac;
use espseal_twin::factory::{FactoryPlan, Security};
use espseal_twin::nor::NorFlash;

use crate::support::*;

/// A device with these digests, bootloader and app, already signed or not.
fn made(chip: ChipId, digests: &[Digest], bootloader: &[u8], app: &[u8]) -> VirtualDevice {
    let key = flash_key(chip);
    let made = FactoryPlan {
        chip,
        mac: Mac([2, 0, 0, 0, 0, 1]),
        flash_size: FLASH_SIZE,
        bootloader,
        table_offset: TABLE_OFFSET,
        table: &table(TWO_SLOTS),
        contents: &[("ota_0", app)],
        security: Security::Release {
            flash_key: &key,
            digests,
            hmac_key: None,
        },
    }
    .build()
    .unwrap();
    VirtualDevice::new(
        NorFlash::from_bytes(made.flash).unwrap(),
        made.efuses,
        settings(),
    )
}

#[test]
fn unsigned_and_strangers_bootloaders_stop_in_the_rom() {
    let stranger = Signer::generate();
    for chip in CHIPS {
        let signed_app = signer().sign(&app(chip, 1, 0));
        let digests = [signer().digest()];
        for (bad, words) in [
            (bootloader(chip), "No signature block magic byte found"),
            (
                stranger.sign(&bootloader(chip)),
                "Sig block 0 signed with untrusted key",
            ),
        ] {
            let report = made(chip, &digests, &bad, &signed_app).power_on();
            let refused = BootOutcome::Failed(BootFailure::Rom(RomRefusal::NotSigned));
            assert_eq!(report.outcome, refused);
            assert!(
                report.log.says("secure boot verification failed"),
                "{}",
                report.log
            );
            assert!(report.log.says(words), "{}", report.log);
        }
        let good = signer().sign(&bootloader(chip));
        let report = made(chip, &digests, &good, &signed_app).power_on();
        assert!(report.log.says("secure boot verification succeeded"));
        assert_eq!(slot(&report), AppSlot::Ota(0));
    }
}

#[test]
fn an_app_that_a_stranger_signed_or_nobody_is_not_booted() {
    let stranger = Signer::generate();
    for chip in CHIPS {
        let app = app(chip, 1, 0);
        let mut changed = signer().sign(&app);
        changed[200] ^= 1;
        let mut broken = signer().sign(&app);
        let at = broken.len() - 4096 + 900;
        broken[at] ^= 1;
        for (bad, words) in [
            (app.clone(), "Secure boot signature verification failed"),
            (stranger.sign(&app), "image valid, signature bad"),
            (changed, "Checksum failed"),
            (broken, "image valid, signature bad"),
        ] {
            let report = made(
                chip,
                &[signer().digest()],
                &signer().sign(&bootloader(chip)),
                &bad,
            )
            .power_on();
            assert_eq!(
                report.outcome,
                BootOutcome::Failed(BootFailure::NoBootableApp),
                "{words}"
            );
            assert!(report.log.says(words), "{words}\n{}", report.log);
        }
    }
}

/// Three blocks count on the ESP32-C3, the first alone on the ESP32.
#[test]
fn the_second_signature_block_counts_where_the_chip_looks_at_it() {
    let stranger = Signer::generate();
    for (chip, boots) in [(ChipId::Esp32C3, true), (ChipId::Esp32, false)] {
        let mut app = app(chip, 1, 0);
        app.resize(app.len().next_multiple_of(4096), 0xFF);
        let mut sector = [stranger.block(&app), signer().block(&app)].concat();
        sector.resize(4096, 0xFF);
        let signed = [app, sector].concat();
        let good = signer().sign(&bootloader(chip));
        let report = made(chip, &[signer().digest()], &good, &signed).power_on();
        assert_eq!(report.running().is_some(), boots, "{}", report.log);
    }
}

#[test]
fn a_revoked_key_boots_nothing_any_more_and_the_other_key_goes_on() {
    let chip = ChipId::Esp32C3;
    let second = Signer::generate();
    let digests = [signer().digest(), second.digest()];
    let mut app = app(chip, 1, 0);
    app.resize(app.len().next_multiple_of(4096), 0xFF);
    let both = |image: &[u8]| {
        let mut image = image.to_vec();
        image.resize(image.len().next_multiple_of(4096), 0xFF);
        let mut sector = [signer().block(&image), second.block(&image)].concat();
        sector.resize(4096, 0xFF);
        [image, sector].concat()
    };
    let mut device = made(chip, &digests, &both(&bootloader(chip)), &both(&app));
    assert_eq!(slot(&device.power_on()), AppSlot::Ota(0));
    device
        .efuses_mut()
        .burn("SECURE_BOOT_KEY_REVOKE0", 1)
        .unwrap();
    let report = device.power_on();
    assert_eq!(slot(&report), AppSlot::Ota(0), "{}", report.log);
    assert!(report.log.says("Valid secure boot key blocks: 1"));
    device
        .efuses_mut()
        .burn("SECURE_BOOT_KEY_REVOKE1", 1)
        .unwrap();
    let report = device.power_on();
    assert_eq!(
        report.outcome,
        BootOutcome::Failed(BootFailure::Rom(RomRefusal::NotSigned))
    );
}

#[test]
fn the_wrong_flash_key_reads_as_an_invalid_header() {
    for chip in CHIPS {
        let signed = signer().sign(&bootloader(chip));
        let mut device = made(chip, &[signer().digest()], &signed, &app(chip, 1, 0));
        // Someone reflashes plaintext in release mode.
        let at = if chip == ChipId::Esp32 { 0x1000 } else { 0 };
        let mut bus = device.bus();
        bus.erase_sector(FlashOffset::new(at)).unwrap();
        bus.write_raw(FlashOffset::new(at), &signed[..4096])
            .unwrap();
        let report = device.power_on();
        assert_eq!(
            report.outcome,
            BootOutcome::Failed(BootFailure::Rom(RomRefusal::InvalidHeader))
        );
        assert!(report.log.says("invalid header: 0x"), "{}", report.log);
    }
}

#[test]
fn a_secure_boot_bootloader_refuses_a_chip_where_it_is_not_burnt() {
    let chip = ChipId::Esp32C3;
    let apps: &[(&str, &[u8])] = &[("ota_0", &app(chip, 1, 0))];
    let mut open = device(chip, TWO_SLOTS, apps, Locked::Open, settings());
    let report = open.power_on();
    assert!(
        matches!(report.outcome, BootOutcome::Failed(_)),
        "{}",
        report.log
    );
    let secure_boot = SecureBootSupport::Absent;
    open.set_settings(BootloaderSettings {
        secure_boot,
        ..settings()
    });
    assert_eq!(slot(&open.power_on()), AppSlot::Ota(0));
}

/// espsecure signs; the twin boots what it signed, and nothing else.
#[test]
fn images_signed_by_espsecure_boot() {
    for chip in CHIPS {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let run = |arguments: &[&str]| {
            oracles::run(
                oracles::tool("espsecure")
                    .current_dir(folder.path())
                    .args(arguments),
            )
        };
        run(&[
            "generate-signing-key",
            "--version",
            "2",
            "--scheme",
            "rsa3072",
            "key.pem",
        ]);
        run(&[
            "digest-sbv2-public-key",
            "--keyfile",
            "key.pem",
            "--output",
            "digest",
        ]);
        let sign = |image: &[u8]| {
            std::fs::write(path("image"), image).unwrap();
            let arguments = ["sign-data", "--version", "2", "--keyfile", "key.pem"];
            run(&[&arguments[..], &["--output", "signed", "image"]].concat());
            std::fs::read(path("signed")).unwrap()
        };
        let mut app = app(chip, 1, 0);
        app.resize(app.len().next_multiple_of(4096), 0xFF);
        let (bootloader, app) = (sign(&bootloader(chip)), sign(&app));
        let digest = Digest(std::fs::read(path("digest")).unwrap().try_into().unwrap());
        let report = made(chip, &[digest], &bootloader, &app).power_on();
        assert_eq!(slot(&report), AppSlot::Ota(0), "{}", report.log);
        let report = made(chip, &[signer().digest()], &bootloader, &app).power_on();
        assert!(matches!(
            report.outcome,
            BootOutcome::Failed(BootFailure::Rom(_))
        ));
    }
}
