//! Secure versions: what they stop and when they are burnt.

use espseal_format::chip::ChipId;
use espseal_format::units::SecurityVersion;
use espseal_twin::boot::{AntiRollback, AppSlot, BootFailure, BootOutcome, BootloaderSettings};
use espseal_twin::device::VirtualDevice;

use crate::support::*;

const VALID: u32 = 2;

/// Two slots with these secure versions, on a bootloader that compares them.
fn with_versions(chip: ChipId, first: u32, second: u32) -> VirtualDevice {
    let settings = BootloaderSettings {
        anti_rollback: AntiRollback::Enabled,
        ..settings()
    };
    let apps: &[(&str, &[u8])] = &[
        ("ota_0", &app(chip, 1, first)),
        ("ota_1", &app(chip, 2, second)),
    ];
    device(chip, TWO_SLOTS, apps, Locked::Open, settings)
}

/// Open devices have secure boot absent; the comparison does not depend on it.
fn open(mut device: VirtualDevice) -> VirtualDevice {
    let secure_boot = espseal_twin::boot::SecureBootSupport::Absent;
    device.set_settings(BootloaderSettings {
        secure_boot,
        ..*device.settings()
    });
    device
}

#[test]
fn an_image_below_the_efuse_version_is_not_selected_though_its_entry_is_the_newest() {
    for chip in CHIPS {
        let mut device = open(with_versions(chip, 2, 1));
        device
            .efuses_mut()
            .raise_secure_version(SecurityVersion::new(2))
            .unwrap();
        set_otadata(&mut device, 0, Some(entry(1, VALID)));
        set_otadata(&mut device, 1, Some(entry(2, VALID)));
        let report = device.power_on();
        assert_eq!(slot(&report), AppSlot::Ota(0), "{}", report.log);
        assert!(report.log.says("Secure version (from eFuse) = 2"));
    }
}

#[test]
fn nothing_boots_when_every_image_is_too_old() {
    let mut device = open(with_versions(ChipId::Esp32C3, 1, 2));
    device
        .efuses_mut()
        .raise_secure_version(SecurityVersion::new(3))
        .unwrap();
    set_otadata(&mut device, 0, Some(entry(1, VALID)));
    let report = device.power_on();
    assert_eq!(
        report.outcome,
        BootOutcome::Failed(BootFailure::NoBootableApp)
    );
}

#[test]
fn only_a_valid_entry_raises_the_efuse_version() {
    for (state, expected) in [(0, 0), (VALID, 3), (u32::MAX, 0)] {
        let mut device = open(with_versions(ChipId::Esp32, 3, 3));
        set_otadata(&mut device, 0, Some(entry(1, state)));
        assert_eq!(slot(&device.power_on()), AppSlot::Ota(0));
        assert_eq!(device.efuses().secure_version().get(), expected, "{state}");
    }
}

#[test]
fn the_first_boot_writes_otadata_and_burns_the_version() {
    let mut device = open(with_versions(ChipId::Esp32C3, 1, 1));
    let report = device.power_on();
    assert_eq!(slot(&report), AppSlot::Ota(0));
    assert!(report.log.says("otadata[0..1] in initial state"));
    assert!(report.log.says("Set actual ota_seq=1 in otadata[0]"));
    assert_eq!(device.efuses().secure_version().get(), 1);
}

/// As many bits as the version are enough, whichever they are.
#[test]
fn secure_version_that_is_reached_burns_nothing() {
    let mut efuses = espseal_twin::efuse::Efuses::blank(ChipId::Esp32C3).unwrap();
    efuses.burn("SECURE_VERSION", 0b100).unwrap();
    // Burning the lowest bits does not take the third one back.
    for (version, expected) in [(0, 1), (1, 1), (2, 3)] {
        let wanted = SecurityVersion::new(version);
        efuses.raise_secure_version(wanted).unwrap();
        assert_eq!(efuses.secure_version().get(), expected, "{version}");
    }
}
