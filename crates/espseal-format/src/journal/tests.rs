//! Power cuts, wear and wrap-around.

extern crate std;

use super::*;
use crate::units::SECTOR_SIZE;

fn record(counter: u32) -> Record {
    Record {
        counter,
        state: State::Activating,
        target_slot: 1,
        attempts: 2,
        root: RootLocation::B,
        root_version: 3,
        ..Record::default()
    }
}

#[test]
fn newer_record_wins_whichever_sector_it_is_in() {
    let (old, new) = (record(7).encode(), record(8).encode());
    assert_eq!(newest(&old, &new), Some((1, record(8))));
    assert_eq!(newest(&new, &old), Some((0, record(8))));
}

#[test]
fn counter_wraps_around_without_losing_the_newer_record() {
    let (old, new) = (record(u32::MAX), record(0));
    assert_eq!(old.next_counter(), 0);
    assert_eq!(newest(&old.encode(), &new.encode()), Some((1, new.clone())));
    assert_eq!(newest(&new.encode(), &old.encode()), Some((0, new)));
}

#[test]
fn equal_counters_are_decided_the_same_way_each_time() {
    let (a, b) = (record(5), Record::default());
    let b = Record { counter: 5, ..b };
    assert_eq!(newest(&a.encode(), &b.encode()), Some((0, a)));
}

#[test]
fn record_cut_at_any_byte_leaves_the_older_one() {
    let (old, new) = (record(7).encode(), record(8).encode());
    for cut in 0..RECORD_LEN {
        let mut torn = [0xFF; RECORD_LEN];
        torn[..cut].copy_from_slice(&new[..cut]);
        if torn != new {
            assert_eq!(newest(&old, &torn), Some((0, record(7))), "{cut}");
            assert_eq!(newest(&torn, &old), Some((1, record(7))), "{cut}");
        }
    }
    assert_eq!(newest(&[0xFF; SECTOR_SIZE], &[]), None);
}

#[test]
fn each_flaw_is_refused_with_its_own_error() {
    let good = record(1).encode();
    assert_eq!(
        Record::parse(&good[..367]),
        Err(JournalError::Length {
            expected: 368,
            found: 367
        })
    );
    let mut magic = good;
    magic[3] = b'2';
    assert!(matches!(
        Record::parse(&magic),
        Err(JournalError::Magic { .. })
    ));
    let mut hash = good;
    hash[367] ^= 1;
    assert!(matches!(
        Record::parse(&hash),
        Err(JournalError::Hash { .. })
    ));
    for (offset, value, expected) in [
        (8, 5, range("state", 4, 5)),
        (11, 3, range("root sector", 2, 3)),
        (241, 9, reserved(241, 9)),
        (343, 1, reserved(343, 1)),
        (344, 1, reserved(344, 1)),
        (351, 1, reserved(351, 1)),
    ] {
        let mut bytes = good;
        bytes[offset] = value;
        assert_eq!(Record::parse(&rehash(bytes)), Err(expected));
    }
}

#[test]
fn every_bit_outside_reserved_bytes_is_kept() {
    let good = record(1).encode();
    for bit in 0..352 * 8 {
        let mut bytes = good;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let bytes = rehash(bytes);
        if let Ok(record) = Record::parse(&bytes) {
            assert_eq!(record.encode(), bytes, "{bit}");
        }
    }
}

#[test]
fn failures_are_counted_for_the_release_that_failed() {
    let mut record = record(1);
    let (bad, good) = (Digest([1; 32]), Digest([2; 32]));
    // A free entry may still name a release.
    record.quarantine[0].manifest = bad;
    record.quarantine[2] = Quarantine {
        manifest: bad,
        failures: 2,
    };
    assert_eq!((record.failures(&bad), record.failures(&good)), (2, 0));
    assert_eq!(record.failures(&Digest([0; 32])), 0);
    assert!(record.confirmed.is_factory());
}

#[test]
fn root_body_round_trips_and_an_erased_or_noisy_sector_is_refused() {
    let mut sector = [0; SECTOR_SIZE];
    for length in [1, 100, MAX_ROOT_LEN] {
        let cose = std::vec![0x5A; length];
        encode_root_body(&cose, &mut sector).unwrap();
        assert_eq!(parse_root_body(&sector), Ok(cose.as_slice()));
        assert!(sector[4 + length..].iter().all(|byte| *byte == 0xFF));
    }
    for length in [0, 2049, u32::MAX] {
        sector[..4].copy_from_slice(&length.to_le_bytes());
        let expected = RootBodyError::Length {
            max: 2048,
            found: length,
        };
        assert_eq!(parse_root_body(&sector), Err(expected));
    }
    let (empty, long) = ([].as_slice(), [0; 2049]);
    assert!(encode_root_body(empty, &mut sector).is_err());
    assert!(encode_root_body(&long, &mut sector).is_err());
}

fn range(field: &'static str, max: u8, found: u8) -> JournalError {
    JournalError::Range { field, max, found }
}

fn reserved(offset: usize, found: u8) -> JournalError {
    JournalError::Reserved { offset, found }
}

fn rehash(mut bytes: [u8; RECORD_LEN]) -> [u8; RECORD_LEN] {
    let hash = Digest::of(&bytes[..352]).0;
    bytes[352..].copy_from_slice(&hash[..16]);
    bytes
}
