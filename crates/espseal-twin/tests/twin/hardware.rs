//! A flash chip that stays write-protected, and encryption on the bus.

use espseal_agent::flash::{Flash as _, FlashFault as _, FlashFaultKind};
use espseal_agent::platform::{Platform as _, Slot};
use espseal_format::chip::ChipId;
use espseal_format::units::FlashOffset;
use espseal_twin::boot::AppSlot;
use espseal_twin::nor::{NorError, WriteProtection};

use crate::support::*;

const NEW: u32 = 0;
const VALID: u32 = 2;

#[test]
fn a_write_protected_chip_boots_and_the_bootloader_says_0x6001() {
    let chip = ChipId::Esp32;
    let apps: &[(&str, &[u8])] = &[("ota_0", &app(chip, 1, 0)), ("ota_1", &app(chip, 2, 0))];
    let mut device = device(chip, TWO_SLOTS, apps, Locked::Release, settings());
    set_otadata(&mut device, 0, Some(entry(1, VALID)));
    set_otadata(&mut device, 1, Some(entry(2, NEW)));
    device
        .flash_mut()
        .set_write_protection(WriteProtection::Stuck);
    let report = device.power_on();
    assert_eq!(slot(&report), AppSlot::Ota(1));
    assert!(
        report
            .log
            .says("Error in write_otadata operation. err = 0x6001"),
        "{}",
        report.log
    );
    let mut ports = device.ports().unwrap();
    let fault = ports
        .flash
        .erase_sector(FlashOffset::new(OTA_0))
        .unwrap_err();
    assert_eq!(
        (fault.kind(), fault.code()),
        (FlashFaultKind::WriteProtected, 0x6001)
    );
}

#[test]
fn erased_flash_reads_as_noise_and_written_flash_as_written() {
    for chip in CHIPS {
        let apps: &[(&str, &[u8])] = &[("ota_0", &app(chip, 1, 0))];
        let mut device = device(chip, TWO_SLOTS, apps, Locked::Release, settings());
        let at = FlashOffset::new(OTA_1);
        let mut bus = device.bus();
        let mut bytes = [0; 64];
        bus.read(at, &mut bytes).unwrap();
        assert_ne!(bytes, [0xFF; 64]);
        bus.read_raw(at, &mut bytes).unwrap();
        assert_eq!(bytes, [0xFF; 64]);
        bus.write(at, &[0x5A; 64]).unwrap();
        // Reads take any alignment.
        let mut some = [0; 37];
        bus.read(FlashOffset::new(OTA_1 + 11), &mut some).unwrap();
        assert_eq!(some, [0x5A; 37]);
        bus.read_raw(at, &mut bytes).unwrap();
        assert_ne!(bytes, [0x5A; 64]);
    }
}

#[test]
fn encrypted_writes_take_whole_rows_of_the_chips_scheme() {
    for (chip, row) in [(ChipId::Esp32, 32), (ChipId::Esp32C3, 16)] {
        let apps: &[(&str, &[u8])] = &[("ota_0", &app(chip, 1, 0))];
        let mut device = device(chip, TWO_SLOTS, apps, Locked::Release, settings());
        let mut bus = device.bus();
        let at = |offset| FlashOffset::new(OTA_1 + offset);
        for (offset, length) in [(1, row), (0, row - 1), (row / 2, row)] {
            let refused = bus.write(at(offset as u32), &vec![0; length]);
            assert!(
                matches!(refused, Err(NorError::Misaligned { .. })),
                "{chip} {offset} {length}"
            );
        }
        bus.write(at(row as u32), &vec![0; row]).unwrap();
    }
}

#[test]
fn ports_exist_only_while_an_app_runs_and_name_its_slot() {
    let chip = ChipId::Esp32C3;
    let apps: &[(&str, &[u8])] = &[("ota_1", &app(chip, 1, 0))];
    let mut device = device(chip, TWO_SLOTS, apps, Locked::Release, settings());
    assert!(device.ports().is_none());
    device.power_on();
    let ports = device.ports().unwrap();
    assert_eq!(ports.platform.running_slot(), Slot::Ota(1));
    assert_eq!(
        ports.platform.secure_boot_digests(),
        [Some(signer().digest()), None, None]
    );
    device.power_off();
    assert!(device.ports().is_none());
}
