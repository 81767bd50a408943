//! The boot decision table, row by row against ESP-IDF's `bootloader_utility.c`.

use espseal_format::chip::ChipId;
use espseal_twin::boot::{
    AppSlot, BootFailure, BootOutcome, BootloaderSettings, Decision, Rollback,
};

use crate::support::*;

const NEW: u32 = 0;
const PENDING: u32 = 1;
const VALID: u32 = 2;
const INVALID: u32 = 3;
const ABORTED: u32 = 4;
const UNDEFINED: u32 = u32::MAX;

/// What stands in an otadata sector.
#[derive(Clone, Copy, Debug)]
enum Entry {
    /// 0xFF as software reads it.
    Blank,
    /// Erased flash: noise, through flash encryption.
    Noise,
    /// Sequence number and state.
    Good(u32, u32),
    /// As above, with a CRC that does not match.
    BadCrc(u32, u32),
}
use Entry::{BadCrc, Blank, Good, Noise};

const ON: Rollback = Rollback::Enabled;
const OFF: Rollback = Rollback::Disabled;
const YES: bool = true;
const NO: bool = false;
const OTA_0_SLOT: AppSlot = AppSlot::Ota(0);
const OTA_1_SLOT: AppSlot = AppSlot::Ota(1);

/// Entries, whether a factory app exists, rollback; then what boots, the states left behind (`None`:
/// the sector is as it was), and words of the log.
type Row = (
    [Entry; 2],
    bool,
    Rollback,
    AppSlot,
    [Option<u32>; 2],
    &'static str,
);

const ROWS: &[Row] = &[
    // Nothing was ever selected.
    (
        [Blank, Blank],
        YES,
        ON,
        AppSlot::Factory,
        [None, None],
        "Defaulting to factory image",
    ),
    (
        [Blank, Blank],
        NO,
        ON,
        OTA_0_SLOT,
        [Some(VALID), None],
        "Set actual ota_seq=1 in otadata[0]",
    ),
    (
        [Blank, Blank],
        NO,
        OFF,
        OTA_0_SLOT,
        [Some(VALID), None],
        "No factory image, trying OTA 0",
    ),
    (
        [Noise, Noise],
        YES,
        ON,
        AppSlot::Factory,
        [None, None],
        "invalid, falling back to factory",
    ),
    (
        [Noise, Noise],
        NO,
        ON,
        OTA_0_SLOT,
        [None, None],
        "no factory, will try all partitions",
    ),
    (
        [Blank, Noise],
        NO,
        ON,
        OTA_0_SLOT,
        [None, None],
        "no factory, will try all partitions",
    ),
    // One or two good entries: the highest sequence number wins, the first on a tie.
    (
        [Good(1, VALID), Blank],
        YES,
        ON,
        OTA_0_SLOT,
        [None, None],
        "Loaded app",
    ),
    (
        [Blank, Good(2, VALID)],
        YES,
        ON,
        OTA_1_SLOT,
        [None, None],
        "offset 0x40000",
    ),
    (
        [Good(1, VALID), Good(2, VALID)],
        YES,
        ON,
        OTA_1_SLOT,
        [None, None],
        "",
    ),
    (
        [Good(3, VALID), Good(2, VALID)],
        YES,
        ON,
        OTA_0_SLOT,
        [None, None],
        "",
    ),
    (
        [Good(2, VALID), Good(2, NEW)],
        YES,
        ON,
        OTA_1_SLOT,
        [None, None],
        "",
    ),
    (
        [Good(0xFFFF_FFFE, VALID), Good(7, VALID)],
        YES,
        ON,
        OTA_1_SLOT,
        [None, None],
        "",
    ),
    (
        [Good(0, VALID), Blank],
        YES,
        ON,
        OTA_1_SLOT,
        [None, None],
        "",
    ),
    // Torn and stale entries leave the other one.
    (
        [Good(1, VALID), Noise],
        NO,
        ON,
        OTA_0_SLOT,
        [None, None],
        "",
    ),
    (
        [Noise, Good(2, NEW)],
        NO,
        ON,
        OTA_1_SLOT,
        [None, Some(PENDING)],
        "",
    ),
    (
        [Good(1, VALID), BadCrc(2, NEW)],
        NO,
        ON,
        OTA_0_SLOT,
        [None, None],
        "",
    ),
    (
        [BadCrc(5, VALID), Blank],
        YES,
        ON,
        AppSlot::Factory,
        [None, None],
        "falling back to factory",
    ),
    // Rollback states, with and without support for them.
    (
        [Good(1, VALID), Good(2, NEW)],
        YES,
        ON,
        OTA_1_SLOT,
        [None, Some(PENDING)],
        "",
    ),
    (
        [Good(1, VALID), Good(2, NEW)],
        YES,
        OFF,
        OTA_1_SLOT,
        [None, None],
        "",
    ),
    (
        [Good(1, VALID), Good(2, PENDING)],
        YES,
        ON,
        OTA_0_SLOT,
        [None, Some(ABORTED)],
        "",
    ),
    (
        [Good(1, VALID), Good(2, PENDING)],
        YES,
        OFF,
        OTA_1_SLOT,
        [None, None],
        "",
    ),
    (
        [Good(1, VALID), Good(2, INVALID)],
        YES,
        ON,
        OTA_0_SLOT,
        [None, None],
        "",
    ),
    (
        [Good(1, VALID), Good(2, INVALID)],
        YES,
        OFF,
        OTA_0_SLOT,
        [None, None],
        "",
    ),
    (
        [Good(1, VALID), Good(2, ABORTED)],
        YES,
        ON,
        OTA_0_SLOT,
        [None, None],
        "",
    ),
    (
        [Good(1, VALID), Good(2, UNDEFINED)],
        YES,
        ON,
        OTA_1_SLOT,
        [None, None],
        "",
    ),
    (
        [Good(1, NEW), Good(2, NEW)],
        YES,
        ON,
        OTA_1_SLOT,
        [None, Some(PENDING)],
        "",
    ),
    (
        [Good(1, NEW), Good(2, PENDING)],
        YES,
        ON,
        OTA_0_SLOT,
        [Some(PENDING), Some(ABORTED)],
        "",
    ),
    (
        [Good(1, PENDING), Good(2, PENDING)],
        YES,
        ON,
        AppSlot::Factory,
        [Some(ABORTED), Some(ABORTED)],
        "Defaulting to factory image",
    ),
    // Both rejected, but not blank: nothing is written without a factory app.
    (
        [Good(1, ABORTED), Good(2, INVALID)],
        NO,
        ON,
        OTA_0_SLOT,
        [None, None],
        "trying OTA 0",
    ),
    (
        [Blank, Good(2, ABORTED)],
        YES,
        ON,
        AppSlot::Factory,
        [None, None],
        "Defaulting to factory",
    ),
    // A PENDING state counts even where the CRC is wrong.
    (
        [BadCrc(1, PENDING), Blank],
        YES,
        ON,
        AppSlot::Factory,
        [Some(ABORTED), None],
        "Defaulting to factory image",
    ),
    (
        [BadCrc(1, PENDING), Blank],
        YES,
        OFF,
        AppSlot::Factory,
        [None, None],
        "falling back to factory",
    ),
];

#[test]
fn every_combination_of_otadata_boots_what_the_bootloader_boots() {
    for chip in CHIPS {
        for row in ROWS {
            check(chip, row);
        }
    }
}

fn check(chip: ChipId, row: &Row) {
    let (entries, factory, rollback, expected, states, words) = *row;
    let (csv, label) = match factory {
        true => ([TWO_SLOTS, WITH_FACTORY].concat(), "factory"),
        false => (TWO_SLOTS.into(), "ota_0"),
    };
    let app = |filler| app(chip, filler, 0);
    let apps: &[(&str, &[u8])] = &[("ota_0", &app(1)), ("ota_1", &app(2)), (label, &app(1))];
    let settings = BootloaderSettings {
        rollback,
        ..settings()
    };
    let mut device = device(chip, &csv, apps, Locked::Release, settings);
    for (index, kind) in (0..).zip(entries) {
        let bytes = match kind {
            Blank => Some([0xFF; 32]),
            Noise => None,
            Good(seq, state) => Some(entry(seq, state)),
            BadCrc(seq, state) => {
                let mut bytes = entry(seq, state);
                bytes[30] ^= 1;
                Some(bytes)
            }
        };
        set_otadata(&mut device, index, bytes);
    }
    let before = [0, 1].map(|index| otadata_entry(&mut device, index));
    let report = device.power_on();
    assert_eq!(slot(&report), expected, "{chip} {row:?}\n{}", report.log);
    assert!(report.log.says(words), "{row:?}\n{}", report.log);
    for (index, expected) in [0, 1].into_iter().zip(states) {
        let after = otadata_entry(&mut device, index);
        match expected {
            None => assert_eq!(after, before[index as usize], "{row:?}"),
            Some(expected) => assert_eq!(state(after), expected, "{row:?}"),
        }
    }
}

pub(crate) fn three_apps(chip: ChipId) -> espseal_twin::device::VirtualDevice {
    let csv = [TWO_SLOTS, WITH_FACTORY, WITH_TEST].concat();
    let apps: &[(&str, &[u8])] = &[
        ("ota_0", &app(chip, 1, 0)),
        ("ota_1", &app(chip, 2, 0)),
        ("factory", &app(chip, 3, 0)),
        ("test", &app(chip, 4, 0)),
    ];
    device(chip, &csv, apps, Locked::Release, settings())
}

#[test]
fn fallback_goes_back_to_the_factory_app_then_on_to_the_last_slot_then_to_the_test_app() {
    for chip in CHIPS {
        let mut device = three_apps(chip);
        set_otadata(&mut device, 0, Some(entry(1, VALID)));
        assert_eq!(slot(&device.power_on()), OTA_0_SLOT);
        corrupt(&mut device, OTA_0);
        let report = device.power_on();
        assert_eq!(slot(&report), AppSlot::Factory);
        assert!(
            report.log.says("OTA app partition slot 0 is not bootable"),
            "{}",
            report.log
        );
        assert!(
            report
                .decisions
                .contains(&Decision::NotBootable { slot: OTA_0_SLOT })
        );
        corrupt(&mut device, FACTORY);
        assert_eq!(slot(&device.power_on()), OTA_1_SLOT);
        corrupt(&mut device, OTA_1);
        let report = device.power_on();
        assert_eq!(slot(&report), AppSlot::Test);
        assert!(
            report
                .log
                .says("Falling back to test app as only bootable partition")
        );
        corrupt(&mut device, TEST);
        let report = device.power_on();
        assert_eq!(
            report.outcome,
            BootOutcome::Failed(BootFailure::NoBootableApp)
        );
        assert!(
            report
                .log
                .says("No bootable app partitions in the partition table")
        );
    }
}

#[test]
fn a_new_image_that_does_not_verify_is_tried_once_and_then_aborted() {
    let mut device = three_apps(ChipId::Esp32C3);
    set_otadata(&mut device, 0, Some(entry(1, VALID)));
    set_otadata(&mut device, 1, Some(entry(2, NEW)));
    corrupt(&mut device, OTA_1);
    let report = device.power_on();
    assert_eq!(slot(&report), OTA_0_SLOT);
    assert_eq!(state(otadata_entry(&mut device, 1)), PENDING);
    let selected = Decision::Selected {
        entry: 1,
        slot: OTA_1_SLOT,
    };
    let trial = [selected, Decision::MarkedPending { entry: 1 }];
    assert_eq!(report.decisions[..2], trial);
    let report = device.power_on();
    assert_eq!(slot(&report), OTA_0_SLOT);
    assert_eq!(state(otadata_entry(&mut device, 1)), ABORTED);
    assert_eq!(report.decisions[0], Decision::Aborted { entry: 1 });
}
