//! Partition tables, otadata and NVS pages.

use espseal_format::nvs::PageHeader;
use espseal_format::otadata::{ENTRY_LEN, OtaState, Otadata, OtadataEntry, slot_of};
use espseal_format::partition_table::{Checksum, PartitionTable, TABLE_LEN};
use espseal_format::units::FlashOffset;
use espseal_twin::boot::{AppSlot, Decision, Rollback};
use espseal_twin::inspect::otadata::{Factory, Slots, forecast};

use crate::input::{Input, padded};

/// Where the table lies.
const TABLE: FlashOffset = FlashOffset::new(0x8000);

/// What is parsed is what would be written, up to the end marker.
pub(crate) fn partition_table(data: &[u8]) {
    for bytes in [data.to_vec(), mended_table(data)] {
        let Ok(table) = PartitionTable::parse(&bytes) else {
            continue;
        };
        let mut encoded = [0; TABLE_LEN];
        table.encode(&mut encoded).expect("what was read fits");
        let used = (table.entries.len() + usize::from(table.checksum == Checksum::Md5)) * 32;
        assert_eq!(encoded[..used], bytes[..used]);
        assert!(encoded[used..].iter().all(|byte| *byte == 0xFF));
        assert_eq!(PartitionTable::parse(&encoded).as_ref(), Ok(&table));
        if table.verify(TABLE).is_ok() {
            survives_csv(&table);
        }
        assert!(table.app_slots().len() <= 16);
        for entry in &table.entries {
            assert!(table.find_by_name(entry.label.as_str()).is_some());
        }
    }
}

/// The records of the input with their magic, an MD5 over them and an end.
fn mended_table(data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in data.chunks_exact(32).take(90) {
        let mut record = record.to_vec();
        record[..2].copy_from_slice(&[0xAA, 0x50]);
        bytes.extend(record);
    }
    bytes.extend([0xFF; 32]);
    let Ok(mut table) = PartitionTable::parse(&bytes) else {
        return bytes;
    };
    table.checksum = Checksum::Md5;
    let mut encoded = [0; TABLE_LEN];
    table.encode(&mut encoded).expect("90 records leave room");
    encoded.to_vec()
}

fn survives_csv(table: &PartitionTable) {
    let mut text = String::new();
    table.write_csv(&mut text).expect("a string takes all");
    let read = PartitionTable::parse_csv(&text, TABLE);
    // Names may hold what CSV cannot say, and flags have names only in part.
    let plain = table.entries.iter().all(|entry| {
        let label = entry.label.as_str();
        label == label.trim()
            && !label.contains([',', '#', '\n', '\r', '$', '"'])
            && !label.is_empty()
            && entry.flags.0 & !3 == 0
            && label.is_ascii()
            && !label.contains(|c: char| c.is_control())
            && entry.kind.to_u8() < 2
    });
    // Nor can CSV go back: offsets ascend, as gen_esp32part.py wants them.
    let ascends = table.entries.iter().map(|entry| entry.offset).is_sorted();
    if plain && ascends {
        let read = read.unwrap_or_else(|error| panic!("{error}:\n{text}"));
        // What stands behind a label's NUL has no CSV form.
        let said = |table: &PartitionTable| -> Vec<_> {
            let entries = table.entries.iter();
            entries
                .map(|entry| {
                    let label = entry.label.as_str().to_owned();
                    let place = (entry.offset, entry.size);
                    (entry.kind, entry.subtype, place, label, entry.flags)
                })
                .collect()
        };
        assert_eq!(said(&read), said(table), "\n{text}");
    }
}

/// A table from CSV is one that its binary form and its CSV form both give back.
pub(crate) fn partition_csv(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let verified = PartitionTable::parse_csv(text, TABLE);
    let places = espseal_format::partition_table::csv::Places {
        table: TABLE,
        bootloader: Some(FlashOffset::new(0x1000)),
        recovery_bootloader: None,
    };
    let unverified = PartitionTable::parse_csv_unverified(text, &places);
    for table in [&verified, &unverified].into_iter().flatten() {
        let mut encoded = [0; TABLE_LEN];
        if table.encode(&mut encoded).is_ok() && !table.entries.is_empty() {
            let read = PartitionTable::parse(&encoded).expect("its own encoding");
            assert_eq!(read.entries, table.entries);
        }
    }
    if let Ok(table) = verified {
        assert!(table.verify(TABLE).is_ok());
        survives_csv(&table);
    }
}

/// The format crate and the twin, which was written without it, select the same entry.
pub(crate) fn otadata(data: &[u8]) {
    let mut input = Input(data);
    let (shape, count) = (input.byte(), input.byte() % 17);
    let mut entry = || {
        let bytes: [u8; ENTRY_LEN] = padded(input.take(ENTRY_LEN), 0xFF);
        let parsed = OtadataEntry::from_bytes(&bytes);
        assert_eq!(parsed.encode(), bytes);
        assert_eq!(OtaState::from_u32(parsed.state.to_u32()), parsed.state);
        let erased = parsed.seq == u32::MAX;
        let whole = !erased && parsed.has_good_crc();
        assert_eq!(OtadataEntry::parse(&bytes).is_ok(), whole);
        assert!(whole || !parsed.is_valid());
        bytes
    };
    let mut entries = [entry(), entry()];
    if shape & 1 != 0 {
        // With the right CRC.
        for entry in &mut entries {
            let parsed = OtadataEntry::from_bytes(entry);
            let crc = OtadataEntry::new(parsed.seq, parsed.state).crc;
            entry[28..].copy_from_slice(&crc.to_le_bytes());
        }
    }
    let ours = Otadata::parse(&entries[0], &entries[1]);
    let slots = Slots {
        ota: count,
        factory: match shape & 2 {
            0 => Factory::Absent,
            _ => Factory::Present,
        },
    };
    // Without rollback the bootloader takes the entries as they are.
    let theirs = forecast(&entries, slots, Rollback::Disabled);
    let selected = theirs.decisions.iter().find_map(|decision| match decision {
        Decision::Selected { entry, slot } => Some((*entry, *slot)),
        _ => None,
    });
    if count > 0 {
        let found = ours
            .selected()
            .map(|(index, entry)| (index, slot_of(entry.seq, count)));
        match (found, selected) {
            (Some((index, Some(slot))), Some((other, AppSlot::Ota(there)))) => {
                assert_eq!((index, slot), (other, there));
            }
            (None, None) => {}
            differ => panic!("{differ:?} for {entries:02x?}"),
        }
        assert!(ours.next_sector() < 2);
        for slot in 0..count {
            if let Some(seq) = ours.next_seq_for(slot, count) {
                assert_eq!(slot_of(seq, count), Some(slot));
                // Written where it belongs, it is what boots.
                let mut after = entries;
                after[ours.next_sector()] = OtadataEntry::new(seq, OtaState::New).encode();
                let first = forecast(&after, slots, Rollback::Enabled).first;
                assert_eq!(first, AppSlot::Ota(slot), "{after:02x?}");
            }
        }
    }
}

pub(crate) fn nvs(data: &[u8]) {
    let bytes: [u8; 32] = padded(data, 0xFF);
    let parsed = PageHeader::parse(&bytes);
    let mut mended = bytes;
    mended[28..].copy_from_slice(&crc_from_all_ones(&bytes[4..28]).to_le_bytes());
    let again = PageHeader::parse(&mended);
    if let Ok(header) = parsed {
        assert_eq!(Ok(header), again, "the CRC is checked, and is this one");
        assert_eq!(bytes, mended);
        assert_eq!(header.seq.to_le_bytes(), bytes[4..8]);
    }
}

/// The CRC of ESP-IDF's NVS, computed without the format crate: ROM `crc32_le` from all ones.
fn crc_from_all_ones(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1))
        })
    });
    !crc
}
