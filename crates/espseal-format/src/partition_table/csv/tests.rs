//! What `gen_esp32part.py` 1.5 says to each text was seen by running it.

extern crate std;
use std::string::{String, ToString as _};

use super::*;
use crate::partition_table::{DEFAULT_OFFSET, TABLE_LEN};

macro_rules! vector {
    ($name:literal) => {
        concat!("../../../../../vectors/partition-table/", $name)
    };
}

fn encode(table: &PartitionTable) -> [u8; TABLE_LEN] {
    let mut bytes = [0; TABLE_LEN];
    table.encode(&mut bytes).unwrap();
    bytes
}

fn csv(table: &PartitionTable) -> String {
    let mut text = String::new();
    table.write_csv(&mut text).unwrap();
    text
}

#[test]
fn every_liberty_of_gen_esp32part_gives_its_bytes_and_its_csv() {
    let table =
        PartitionTable::parse_csv(include_str!(vector!("quirks.csv")), DEFAULT_OFFSET).unwrap();
    assert_eq!(&encode(&table), include_bytes!(vector!("quirks.bin")));
    assert_eq!(csv(&table), include_str!(vector!("quirks.out.csv")));
    let again = PartitionTable::parse_csv(&csv(&table), DEFAULT_OFFSET);
    assert_eq!(again, Ok(table));
}

#[test]
fn bootloader_partitions_take_their_places_from_the_build() {
    let text = include_str!(vector!("bootloader.csv"));
    let places = Places {
        table: FlashOffset::new(0x9000),
        bootloader: Some(FlashOffset::new(0x2000)),
        recovery_bootloader: Some(FlashOffset::new(0x1_0000)),
    };
    let table = PartitionTable::parse_csv_with(text, &places).unwrap();
    assert_eq!(&encode(&table), include_bytes!(vector!("bootloader.bin")));
    assert_eq!(csv(&table), include_str!(vector!("bootloader.out.csv")));
    assert_eq!(
        PartitionTable::parse_csv(text, DEFAULT_OFFSET),
        Err(CsvError::NoBootloaderOffset { line: 1 })
    );
}

#[test]
fn texts_that_gen_esp32part_accepts_are_accepted() {
    for text in [
        "a,data,nvs,,0x2000,readonly",
        "a,data,fat,,4K,encrypted::readonly",
        "a,data,fat,,0\nb,data,fat,,0",
        "\u{FEFF}a,data,fat,,4K\r\nb,data,fat,,4K\r\n",
        "a,app,factory,0x10000,1M,,more,fields",
        "price$,data,fat,,4K",
    ] {
        let result = PartitionTable::parse_csv(text, DEFAULT_OFFSET);
        assert!(result.is_ok(), "{text:?}: {result:?}");
    }
}

#[test]
fn texts_that_gen_esp32part_refuses_are_refused_with_the_reason() {
    let field = |column| CsvError::Field { line: 1, column };
    let missing = |column| CsvError::Missing { line: 1, column };
    let label = Label::new("a").unwrap();
    let broken = CsvError::Verify;
    for (text, expected) in [
        ("a,app,,0x10000,1M", missing(Column::SubType)),
        ("a,,nvs,,4K", missing(Column::Type)),
        ("a,data,nvs,,", missing(Column::Size)),
        ("a,data,bogus,,4K", field(Column::SubType)),
        ("a,bogus,nvs,,4K", field(Column::Type)),
        ("a,0x100,0,,4K", field(Column::Type)),
        ("a,data,256,,4K", field(Column::SubType)),
        ("a,data,fat,,4K,bogus", field(Column::Flags)),
        ("a,data,fat,,4K,Encrypted", field(Column::Flags)),
        ("a,data,fat,010,4K", field(Column::Offset)),
        ("a,data,nvs,,1.5M", field(Column::Size)),
        ("$FOO,data,fat,,4K", CsvError::Variable { line: 1 }),
        ("a,data,fat,,-0x100", CsvError::OutOfRange { line: 1 }),
        (
            "a,data,fat,0x100000000,4K",
            CsvError::OutOfRange { line: 1 },
        ),
        (
            "a,data,fat,0x8000,4K",
            CsvError::Overlap {
                line: 1,
                offset: 0x8000,
                free_from: 0x9000,
            },
        ),
        (
            "# comment\na,data,fat,0x10000,8K\nb,data,fat,0x11000,4K",
            CsvError::Overlap {
                line: 3,
                offset: 0x1_1000,
                free_from: 0x1_2000,
            },
        ),
        (
            "a,data,fat,,4K\na,data,fat,,4K",
            broken(VerifyError::DuplicateName { label }),
        ),
        (
            "a,data,fat,0x10100,8K",
            broken(VerifyError::OffsetAlignment {
                label,
                offset: FlashOffset::new(0x1_0100),
                alignment: 0x1000,
            }),
        ),
        (
            "a,app,factory,0x18000,1M",
            broken(VerifyError::OffsetAlignment {
                label,
                offset: FlashOffset::new(0x1_8000),
                alignment: 0x1_0000,
            }),
        ),
        (
            "a,app,factory,0x10000,0x1100",
            broken(VerifyError::SizeAlignment {
                label,
                size: 0x1100,
                alignment: 0x1000,
            }),
        ),
        (
            "a,data,nvs,,0x2000",
            broken(VerifyError::NvsTooSmall {
                label,
                size: 0x2000,
            }),
        ),
        (
            "a,data,ota,,0x2000,readonly",
            broken(VerifyError::ReadOnly { label }),
        ),
        (
            "a,data,coredump,,64K,readonly",
            broken(VerifyError::ReadOnly { label }),
        ),
        (
            "a,data,ota,,0x1000",
            broken(VerifyError::OtadataSize {
                label,
                size: 0x1000,
            }),
        ),
        (
            "a,data,tee_ota,,0x1000",
            broken(VerifyError::OtadataSize {
                label,
                size: 0x1000,
            }),
        ),
        (
            "b,data,ota,,0x2000\na,data,ota,,0x2000",
            broken(VerifyError::DuplicateOtadata { label }),
        ),
    ] {
        let error = PartitionTable::parse_csv(text, DEFAULT_OFFSET).unwrap_err();
        assert_eq!(error, expected, "{text:?}");
        assert!(!error.to_string().is_empty());
    }
}

/// Deliberate differences: `gen_esp32part.py` takes these and writes a table that nothing boots.
#[test]
fn texts_that_give_an_unusable_table_are_refused_although_gen_esp32part_takes_them() {
    for (text, expected) in [
        ("\n# only comments\n", CsvError::Empty),
        (
            "a,data,fat,0xFFFFF000,8K",
            CsvError::Verify(VerifyError::TooLong {
                label: Label::new("a").unwrap(),
            }),
        ),
        // Cut within a character: its own parser cannot read the name back.
        (
            "xäöüäöüäöü,data,fat,,4K",
            CsvError::Field {
                line: 1,
                column: Column::Name,
            },
        ),
    ] {
        let error = PartitionTable::parse_csv(text, DEFAULT_OFFSET).unwrap_err();
        assert_eq!(error, expected, "{text:?}");
    }
}

#[test]
fn no_truncation_and_no_changed_byte_of_a_csv_table_panics() {
    let text = include_str!(vector!("quirks.csv"));
    for length in 0..=text.len() {
        let _ = PartitionTable::parse_csv(&text[..length], DEFAULT_OFFSET);
        for byte in ['\0', '-', ',', '9', 'K', '_', '\n', '€'] {
            let rest = text.get(length + 1..).unwrap_or_default();
            let changed = [&text[..length], byte.encode_utf8(&mut [0; 4]), rest].concat();
            if let Err(error) = PartitionTable::parse_csv(&changed, DEFAULT_OFFSET) {
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

#[test]
fn flags_without_a_csv_form_are_left_out() {
    let mut table = PartitionTable::parse_csv("a,data,fat,,4K", DEFAULT_OFFSET).unwrap();
    table.entries[0].flags = Flags(0x8000_0002);
    assert!(csv(&table).ends_with("a,data,fat,0x9000,4K,readonly\n"));
}
