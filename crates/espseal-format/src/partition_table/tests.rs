extern crate std;
use std::string::ToString as _;
use std::vec::Vec;

use super::*;

const QUIRKS: &[u8; TABLE_LEN] = include_bytes!("../../../../vectors/partition-table/quirks.bin");
const BOOTLOADER: &[u8; TABLE_LEN] =
    include_bytes!("../../../../vectors/partition-table/bootloader.bin");
/// Bytes of `QUIRKS` up to and including its MD5.
const USED: usize = 12 * ENTRY_LEN;

fn entry(kind: PartitionType, subtype: Subtype, flags: Flags) -> Entry {
    Entry {
        kind,
        subtype,
        offset: FlashOffset::new(0x1_0000),
        size: 0x1000,
        label: Label::new("x").unwrap(),
        flags,
    }
}

#[test]
fn tables_made_by_gen_esp32part_round_trip() {
    for bytes in [QUIRKS, BOOTLOADER] {
        let table = PartitionTable::parse(bytes).unwrap();
        assert_eq!(table.checksum, Checksum::Md5);
        let mut again = [0; TABLE_LEN];
        table.encode(&mut again).unwrap();
        assert_eq!(&again, bytes);
    }
    let table = PartitionTable::parse(QUIRKS).unwrap();
    let slots: Vec<_> = table.app_slots().iter().map(|e| e.offset.get()).collect();
    assert_eq!(slots, [0x3_0000, 0x25_0000]);
    assert_eq!(table.app_count(), 2);
    assert_eq!(table.otadata().unwrap().offset, FlashOffset::new(0xF000));
    assert_eq!(table.factory(), None);
    assert_eq!(table.verify(DEFAULT_OFFSET), Ok(()));
    let journal = table
        .find(PartitionType::Data, Subtype::DATA_ESPSEAL)
        .unwrap();
    assert_eq!(journal.label.as_str(), "journal");
    assert!(journal.is_encrypted());
}

#[test]
fn table_without_md5_round_trips() {
    let mut table = PartitionTable::parse(QUIRKS).unwrap();
    table.checksum = Checksum::None;
    let mut bytes = [0; TABLE_LEN];
    table.encode(&mut bytes).unwrap();
    assert_eq!(bytes[..USED - ENTRY_LEN], QUIRKS[..USED - ENTRY_LEN]);
    assert!(bytes[USED - ENTRY_LEN..].iter().all(|byte| *byte == 0xFF));
    assert_eq!(PartitionTable::parse(&bytes), Ok(table));
}

#[test]
fn every_truncation_before_the_end_marker_is_noticed() {
    for length in 0..USED + ENTRY_LEN {
        let error = PartitionTable::parse(&QUIRKS[..length]).unwrap_err();
        let offset = length / ENTRY_LEN * ENTRY_LEN;
        assert_eq!(error, TableError::NoEnd { offset }, "cut to {length}");
    }
    assert!(PartitionTable::parse(&QUIRKS[..USED + ENTRY_LEN]).is_ok());
}

#[test]
fn every_flipped_bit_is_noticed_up_to_the_end_marker() {
    for bit in 0..(USED + ENTRY_LEN) * 8 {
        let mut bytes = *QUIRKS;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let error = PartitionTable::parse(&bytes).unwrap_err();
        assert!(
            error.to_string().contains("offset 0x"),
            "bit {bit}: {error}"
        );
    }
}

#[test]
fn nothing_may_follow_the_md5_that_it_does_not_cover() {
    let mut bytes = *QUIRKS;
    bytes.copy_within(..ENTRY_LEN, USED);
    assert_eq!(
        PartitionTable::parse(&bytes),
        Err(TableError::AfterChecksum { offset: USED })
    );
}

#[test]
fn erased_and_full_tables_are_told_apart() {
    assert_eq!(PartitionTable::parse(&[0xFF; 64]), Err(TableError::Empty));
    let mut table = PartitionTable::default();
    while table
        .entries
        .push(entry(PartitionType::Data, Subtype(0x81), Flags::default()))
        .is_ok()
    {}
    let mut bytes = [0; TABLE_LEN];
    assert_eq!(table.encode(&mut bytes), Err(TableFull));
    table.checksum = Checksum::None;
    table.encode(&mut bytes).unwrap();
    assert_eq!(PartitionTable::parse(&bytes), Ok(table.clone()));
    bytes.copy_within(..ENTRY_LEN, MAX_ENTRIES * ENTRY_LEN);
    assert_eq!(
        PartitionTable::parse(&bytes),
        Err(TableError::NoEnd { offset: TABLE_LEN })
    );
    table.entries.pop();
    table.checksum = Checksum::Md5;
    table.encode(&mut bytes).unwrap();
    assert_eq!(PartitionTable::parse(&bytes), Ok(table));
}

#[test]
fn encryption_follows_esp_idf_and_not_the_flag_alone() {
    use PartitionType::{App, Bootloader, Data, Other, PartitionTable};
    let (plain, flagged) = (Flags::default(), Flags::ENCRYPTED);
    for (kind, subtype, flags, expected) in [
        (App, Subtype::FACTORY, plain, true),
        (App, Subtype::ota(3), plain, true),
        (Bootloader, Subtype::PRIMARY, plain, true),
        (PartitionTable, Subtype::PRIMARY, plain, true),
        (Data, Subtype::DATA_OTA, plain, true),
        (Data, Subtype::DATA_TEE_OTA, plain, true),
        (Data, Subtype::DATA_NVS_KEYS, plain, true),
        (Data, Subtype::DATA_NVS, plain, false),
        (Data, Subtype::DATA_NVS, flagged, false),
        (Data, Subtype::DATA_PHY, plain, false),
        (Data, Subtype::DATA_PHY, flagged, true),
        (Other(0x40), Subtype(0), plain, false),
        (Other(0x40), Subtype(0), flagged, true),
    ] {
        assert_eq!(
            entry(kind, subtype, flags).is_encrypted(),
            expected,
            "{kind:?} {subtype:?}"
        );
    }
}

#[test]
fn binary_tables_are_verified_too_where_csv_could_not_put_a_partition() {
    let good = PartitionTable::parse(QUIRKS).unwrap();
    let moved = |index: usize, offset| {
        let mut table = good.clone();
        table.entries[index].offset = FlashOffset::new(offset);
        table.verify(DEFAULT_OFFSET)
    };
    let label = |index: usize| good.entries[index].label;
    let below = |index, offset| VerifyError::BelowTable {
        label: label(index),
        offset: FlashOffset::new(offset),
        free_from: FlashOffset::new(0x9000),
    };
    assert_eq!(moved(0, 0x8000), Err(below(0, 0x8000)));
    assert_eq!(moved(6, 0), Err(below(6, 0)));
    assert_eq!(
        moved(1, 0xE000),
        Err(VerifyError::Overlap {
            first: label(0),
            second: label(1),
            offset: FlashOffset::new(0xE000)
        })
    );
    assert_eq!(
        moved(10, 0xFFFF_0000),
        Err(VerifyError::TooLong { label: label(10) })
    );
    let with_bootloader = PartitionTable::parse(BOOTLOADER).unwrap();
    assert_eq!(with_bootloader.verify(FlashOffset::new(0x9000)), Ok(()));
}

#[test]
fn slots_are_listed_by_number_up_to_a_gap() {
    let mut table = PartitionTable::default();
    for slot in [1, 0, 3] {
        let mut entry = entry(PartitionType::App, Subtype::ota(slot), Flags::default());
        entry.size = u32::from(slot);
        table.entries.push(entry).unwrap();
    }
    let sizes: Vec<_> = table.app_slots().iter().map(|entry| entry.size).collect();
    assert_eq!(sizes, [0, 1]);
    assert_eq!(table.app_count(), 3);
}
