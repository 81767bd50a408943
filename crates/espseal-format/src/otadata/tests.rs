use super::*;

/// Seen in otadata that ESP-IDF wrote; `boot_app0.bin` (`tests/real_images.rs`) holds the first.
const KNOWN_CRCS: [(u32, u32); 2] = [(1, 0x4743_989A), (2, 0x55F6_3774)];

fn otadata(first: OtadataEntry, second: OtadataEntry) -> Otadata {
    Otadata::parse(&first.encode(), &second.encode())
}

#[test]
fn crc_of_known_sequence_numbers() {
    for (seq, crc) in KNOWN_CRCS {
        assert_eq!(OtadataEntry::new(seq, OtaState::New).crc, crc);
    }
}

#[test]
fn entry_round_trips_with_label_and_unknown_state() {
    let mut bytes = OtadataEntry::new(7, OtaState::Unknown(9)).encode();
    bytes[4..24].copy_from_slice(b"abcdefghijklmnopqrst");
    let entry = OtadataEntry::parse(&bytes).unwrap();
    assert_eq!(entry.state, OtaState::Unknown(9));
    assert_eq!(entry.encode(), bytes);
}

#[test]
fn flipping_any_bit_of_sequence_or_crc_is_noticed_and_other_bits_are_not_covered() {
    let good = OtadataEntry::new(5, OtaState::Valid).encode();
    for bit in 0..ENTRY_LEN * 8 {
        let mut bytes = good;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let covered = !(32..28 * 8).contains(&bit);
        assert_eq!(OtadataEntry::parse(&bytes).is_err(), covered, "bit {bit}");
    }
}

#[test]
fn erased_and_torn_entries_are_absent() {
    assert_eq!(OtadataEntry::parse(&[0xFF; 32]), Err(OtadataError::Erased));
    let mut torn = OtadataEntry::new(2, OtaState::New).encode();
    torn[16..].fill(0xFF);
    assert_eq!(
        OtadataEntry::parse(&torn),
        Err(OtadataError::Crc {
            computed: 0x55F6_3774,
            stored: 0xFFFF_FFFF
        })
    );
    let good = OtadataEntry::new(1, OtaState::Valid);
    let read = Otadata::parse(&good.encode(), &torn);
    assert_eq!(read.selected(), Some((0, &good)));
    assert_eq!(read.next_sector(), 1);
    assert_eq!(Otadata::parse(&[0xFF; 32], &torn).selected(), None);
    assert_eq!(Otadata::parse(&[0xFF; 32], &torn).next_sector(), 0);
}

#[test]
fn highest_sequence_number_wins_unless_invalid_or_aborted() {
    let valid = |seq| OtadataEntry::new(seq, OtaState::Valid);
    let cases = [
        (valid(1), valid(2), Some(1)),
        (valid(3), valid(2), Some(0)),
        (valid(2), valid(2), Some(0)),
        (valid(0), valid(1), Some(1)),
        (valid(1), OtadataEntry::new(2, OtaState::Aborted), Some(0)),
        (valid(1), OtadataEntry::new(2, OtaState::Invalid), Some(0)),
        (valid(1), OtadataEntry::new(2, OtaState::New), Some(1)),
        (
            valid(1),
            OtadataEntry::new(2, OtaState::PendingVerify),
            Some(1),
        ),
        (valid(1), OtadataEntry::new(2, OtaState::Undefined), Some(1)),
        (
            valid(1),
            OtadataEntry::new(2, OtaState::Unknown(77)),
            Some(1),
        ),
        (
            OtadataEntry::new(1, OtaState::Invalid),
            OtadataEntry::new(2, OtaState::Aborted),
            None,
        ),
    ];
    for (first, second, expected) in cases {
        let read = otadata(first, second);
        let selected = read.selected().map(|(sector, _)| sector);
        assert_eq!(selected, expected, "{first:?} {second:?}");
    }
}

#[test]
fn next_sequence_number_is_the_smallest_that_selects_the_slot() {
    for slots in 1..=16 {
        for current in 0..60 {
            let read = otadata(
                OtadataEntry::new(current, OtaState::Valid),
                OtadataEntry::new(u32::MAX, OtaState::New),
            );
            for slot in 0..slots {
                let expected = (current + 1..).find(|seq| slot_of(*seq, slots) == Some(slot));
                assert_eq!(read.next_seq_for(slot, slots), expected);
            }
            assert_eq!(read.next_seq_for(slots, slots), None);
        }
    }
    assert_eq!(Otadata::default().next_seq_for(1, 2), Some(2));
}

#[test]
fn sequence_numbers_do_not_wrap() {
    let last = Otadata {
        entries: [Some(OtadataEntry::new(u32::MAX - 2, OtaState::Valid)), None],
    };
    // 0xFFFFFFFE selects slot 1 of 2; 0xFFFFFFFF is erased flash.
    assert_eq!(last.next_seq_for(1, 2), Some(u32::MAX - 1));
    assert_eq!(last.next_seq_for(0, 2), None);
    assert_eq!(slot_of(u32::MAX - 1, 2), Some(1));
    assert_eq!(slot_of(1, 0), None);
    // (0 - 1) mod 2 in 32-bit arithmetic, as the bootloader computes it.
    assert_eq!(slot_of(0, 2), Some(1));
}
