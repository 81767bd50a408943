//! Every pair of otadata entries against a small model of its own.
//!
//! The model is written from ESP-IDF's `bootloader_common_ota_select_invalid`, `..._select_valid`,
//! `bootloader_common_select_otadata`, `bootloader_utility_get_selected_boot_partition`,
//! `bootloader_utility_load_boot_image` and `set_actual_ota_seq`. It shares no code with the twin: it
//! knows an entry only as (sequence number, whether the CRC is right, state).

use espseal_format::chip::ChipId;
use espseal_twin::boot::{AntiRollback, AppSlot, BootloaderSettings, Rollback, SecureBootSupport};

use crate::support::*;

/// An entry as the model sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    seq: u32,
    crc: bool,
    state: u32,
}

const UNDEFINED: u32 = u32::MAX;
/// An erased sector of a device without flash encryption.
const ERASED: Entry = Entry {
    seq: u32::MAX,
    crc: false,
    state: UNDEFINED,
};
/// Sequence numbers: none, the first slots, one that wraps around, the last ones.
const SEQS: [u32; 6] = [0, 1, 2, 3, 0xFFFF_FFFE, 0xFFFF_FFFF];
/// NEW to ABORTED, a number without a meaning, and undefined.
const STATES: [u32; 7] = [0, 1, 2, 3, 4, 9, UNDEFINED];

/// Which features the bootloader has, and what the table holds.
#[derive(Clone, Copy, Debug)]
struct Case {
    rollback: bool,
    anti_rollback: bool,
    factory: bool,
}

/// What the model expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Expected {
    slot: AppSlot,
    entries: [Entry; 2],
}

impl Entry {
    /// `ota_select_invalid`.
    fn is_invalid(self) -> bool {
        self.seq == u32::MAX || self.state == 3 || self.state == 4
    }

    fn is_valid(self) -> bool {
        !self.is_invalid() && self.crc
    }

    fn is_initial(self) -> bool {
        self.seq == u32::MAX || !self.crc
    }

    fn bytes(self) -> Option<[u8; 32]> {
        if self == ERASED {
            return None;
        }
        let mut bytes = entry(self.seq, self.state);
        if !self.crc {
            bytes[29] ^= 0x10;
        }
        Some(bytes)
    }
}

/// Two slots whose apps verify and carry secure version 0.
fn model(case: Case, mut entries: [Entry; 2]) -> Expected {
    if case.rollback {
        for entry in &mut entries {
            if entry.state == 1 {
                entry.state = 4;
            }
        }
    }
    let untouched = entries.iter().all(|entry| entry.is_initial());
    let mut write_sequence = false;
    // -1 is the factory app.
    let mut index = -1;
    let select = if case.anti_rollback {
        write_sequence = untouched;
        !untouched
    } else if entries.iter().all(|entry| entry.is_invalid()) {
        if !case.factory {
            index = 0;
            write_sequence = untouched;
        }
        false
    } else {
        true
    };
    if select {
        let active = match entries.map(Entry::is_valid) {
            [true, true] if entries[1].seq > entries[0].seq => Some(1),
            [true, _] => Some(0),
            [false, true] => Some(1),
            [false, false] => None,
        };
        if let Some(active) = active {
            index = i64::from(entries[active].seq.wrapping_sub(1) % 2);
            if case.rollback && entries[active].state == 0 {
                entries[active].state = 1;
            }
        }
    }
    // Every app verifies, so the search ends at the first partition that exists.
    let index = if index < 0 && !case.factory { 0 } else { index };
    if index >= 0 && write_sequence {
        entries[0] = Entry {
            seq: u32::try_from(index).unwrap() + 1,
            crc: true,
            state: 2,
        };
    }
    let slot = match u8::try_from(index) {
        Ok(slot) => AppSlot::Ota(slot),
        Err(_) => AppSlot::Factory,
    };
    Expected { slot, entries }
}

fn every_entry() -> Vec<Entry> {
    let mut all = vec![ERASED];
    for seq in SEQS {
        for state in STATES {
            for crc in [true, false] {
                let entry = Entry { seq, crc, state };
                // A blank sequence number with a wrong CRC and no state is the erased sector.
                if entry != ERASED {
                    all.push(entry);
                }
            }
        }
    }
    all
}

#[test]
fn every_pair_of_entries_boots_what_the_model_says_and_leaves_what_it_says() {
    let apps: [Vec<u8>; 3] = [1, 2, 3].map(|filler| app(ChipId::Esp32C3, filler, 0));
    let entries = every_entry();
    let mut pairs = 0_u32;
    for (rollback, anti_rollback, factory) in [
        (true, false, true),
        (true, false, false),
        (false, false, true),
        (false, false, false),
        (true, true, false),
    ] {
        let case = Case {
            rollback,
            anti_rollback,
            factory,
        };
        let csv = match factory {
            true => [TWO_SLOTS, WITH_FACTORY].concat(),
            false => TWO_SLOTS.to_owned(),
        };
        let mut contents = vec![("ota_0", &apps[0][..]), ("ota_1", &apps[1][..])];
        if factory {
            contents.push(("factory", &apps[2][..]));
        }
        let settings = BootloaderSettings {
            secure_boot: SecureBootSupport::Absent,
            rollback: if rollback {
                Rollback::Enabled
            } else {
                Rollback::Disabled
            },
            anti_rollback: if anti_rollback {
                AntiRollback::Enabled
            } else {
                AntiRollback::Disabled
            },
            ..settings()
        };
        let mut device = device(ChipId::Esp32C3, &csv, &contents, Locked::Open, settings);
        for first in &entries {
            for second in &entries {
                let pair = [*first, *second];
                for (index, entry) in (0..).zip(pair) {
                    set_otadata(&mut device, index, entry.bytes());
                }
                let report = device.power_on();
                let expected = model(case, pair);
                assert_eq!(
                    slot(&report),
                    expected.slot,
                    "{case:?} {pair:?}\n{}",
                    report.log
                );
                for (index, entry) in (0..).zip(expected.entries) {
                    let left = otadata_entry(&mut device, index);
                    let wanted = entry.bytes().unwrap_or([0xFF; 32]);
                    assert_eq!(
                        left, wanted,
                        "entry {index} {case:?} {pair:?}\n{}",
                        report.log
                    );
                }
                pairs += 1;
            }
        }
    }
    println!("{pairs} pairs of otadata entries, no difference");
}
