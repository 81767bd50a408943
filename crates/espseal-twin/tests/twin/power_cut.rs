//! Power cuts while the bootloader itself rewrites otadata.

use espseal_format::chip::ChipId;
use espseal_twin::boot::{AppSlot, BootOutcome};
use espseal_twin::device::VirtualDevice;
use espseal_twin::power::{Moment, PowerCut, Tear};

use crate::support::*;

const NEW: u32 = 0;
const PENDING: u32 = 1;
const VALID: u32 = 2;

/// Every place where one 32-byte write or one sector erase can be cut.
fn moments() -> Vec<Moment> {
    let torn = (0..=32).chain([100, 2048, 4095]).map(Tear::AfterBytes);
    let scattered = (0..20).map(Tear::Scattered);
    [Moment::Before, Moment::After]
        .into_iter()
        .chain(torn.chain(scattered).map(Moment::Inside))
        .collect()
}

fn two_apps(chip: ChipId, states: [u32; 2]) -> VirtualDevice {
    let apps: &[(&str, &[u8])] = &[("ota_0", &app(chip, 1, 0)), ("ota_1", &app(chip, 2, 0))];
    let mut device = device(chip, TWO_SLOTS, apps, Locked::Release, settings());
    set_otadata(&mut device, 0, Some(entry(1, states[0])));
    set_otadata(&mut device, 1, Some(entry(2, states[1])));
    device
}

/// A fresh copy of the device's flash and eFuses, so that each cut starts from the same state.
fn copy(device: &VirtualDevice) -> VirtualDevice {
    let flash =
        espseal_twin::nor::NorFlash::from_bytes(device.flash().contents().to_vec()).unwrap();
    VirtualDevice::new(flash, device.efuses().clone(), *device.settings())
}

#[test]
fn a_cut_while_new_becomes_pending_never_bricks_and_never_gives_a_second_trial() {
    for chip in CHIPS {
        let fresh = two_apps(chip, [VALID, NEW]);
        for operation in 0..2 {
            for moment in moments() {
                let mut device = copy(&fresh);
                device.power().plan([PowerCut { operation, moment }]);
                let report = device.power_on();
                assert_eq!(
                    report.outcome,
                    BootOutcome::PowerLost,
                    "{operation} {moment:?}"
                );
                assert_eq!(device.running(), None);
                let report = device.power_on();
                // Before the erase begins the trial is still to come; afterwards the old image runs.
                if moment == Moment::Before && operation == 0 {
                    assert_eq!(slot(&report), AppSlot::Ota(1), "{}", report.log);
                }
                if operation == 1 {
                    assert_eq!(slot(&report), AppSlot::Ota(0), "{moment:?}\n{}", report.log);
                }
                let report = device.power_on();
                assert_eq!(
                    slot(&report),
                    AppSlot::Ota(0),
                    "{chip} {operation} {moment:?}"
                );
            }
        }
    }
}

#[test]
fn a_cut_while_pending_becomes_aborted_boots_the_old_image() {
    for chip in CHIPS {
        let fresh = two_apps(chip, [VALID, PENDING]);
        for operation in 0..2 {
            for moment in moments() {
                let mut device = copy(&fresh);
                device.power().plan([PowerCut { operation, moment }]);
                assert_eq!(device.power_on().outcome, BootOutcome::PowerLost);
                assert_eq!(
                    slot(&device.power_on()),
                    AppSlot::Ota(0),
                    "{chip} {operation} {moment:?}"
                );
            }
        }
    }
}

#[test]
fn a_cut_in_the_first_boots_otadata_boots_the_same_slot_again() {
    let chip = ChipId::Esp32C3;
    let apps: &[(&str, &[u8])] = &[("ota_0", &app(chip, 1, 0))];
    let fresh = device(chip, TWO_SLOTS, apps, Locked::Release, settings());
    for operation in 0..2 {
        for moment in moments() {
            let mut device = copy(&fresh);
            device.power().plan([PowerCut { operation, moment }]);
            assert_eq!(device.power_on().outcome, BootOutcome::PowerLost);
            assert_eq!(
                slot(&device.power_on()),
                AppSlot::Ota(0),
                "{operation} {moment:?}"
            );
        }
    }
}

#[test]
fn two_cuts_in_a_row_still_end_in_a_running_image() {
    let fresh = two_apps(ChipId::Esp32C3, [VALID, NEW]);
    for first in 0..2 {
        for second in 0..2 {
            let mut device = copy(&fresh);
            let tear = Moment::Inside(Tear::AfterBytes(16));
            device.power().plan([
                PowerCut {
                    operation: first,
                    moment: tear,
                },
                PowerCut {
                    operation: second,
                    moment: tear,
                },
            ]);
            let mut boots = 0;
            while device.power_on().running().is_none() {
                boots += 1;
                assert!(boots < 3);
            }
        }
    }
}
