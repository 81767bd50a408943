//! eFuse maps against `espefuse`: where each field lies, and which bit protects it.
//!
//! `espefuse --virt` says of each field whether it can still be written and read. The bits of
//! `WR_DIS` and `RD_DIS` are numbered from 1 and set in a few runs, run k setting those whose
//! number has bit k: the runs in which a field is protected spell the number of its bit.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::Path;

use espseal_format::chip::{CHIPS, Chip, ChipId};
use espseal_format::efuse::Field;
use oracles::Session;
use serde_json::Value;

#[test]
fn fields_lie_where_espefuse_reads_them() {
    let mut session = Session::open("espefuse");
    let mut compared = 0;
    for chip in CHIPS {
        compared += compare(&mut session, chip);
    }
    println!(
        "{compared} fields of {} chips agree with espefuse",
        CHIPS.len()
    );
    assert!(compared > 600);
}

/// What espefuse does not list, or takes for something else.
fn unlisted(chip: &Chip, name: &str) -> bool {
    matches!(
        (chip.id, name),
        (ChipId::Esp32C3, "JTAG_SEL_ENABLE") | (ChipId::Esp32C2, "USER_DATA")
    )
}

/// Compares every field and returns how many there are.
fn compare(session: &mut Session, chip: &Chip) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let plain = summary(session, chip, folder.path(), "plain", &[]);
    let mut protected: BTreeMap<&str, (u8, u8)> = BTreeMap::new();
    for run in 0..6 {
        let numbered = |mask: Field| {
            (0..mask.width)
                .filter(move |bit| (bit + 1) >> run & 1 == 1)
                .map(move |bit| mask.bit + bit)
        };
        let bits: Vec<_> = numbered(chip.efuse.wr_dis)
            .chain(numbered(chip.efuse.rd_dis))
            .collect();
        if bits.is_empty() {
            continue;
        }
        let fields = summary(session, chip, folder.path(), &run.to_string(), &bits);
        for field in chip.efuse.fields {
            let Some(found) = fields.get(field.name) else {
                continue;
            };
            let (write, read) = protected.entry(field.name).or_default();
            *write |= u8::from(found["writeable"] == false) << run;
            *read |= u8::from(found["readable"] == false) << run;
        }
    }
    for field in chip.efuse.fields {
        let Some(found) = plain.get(field.name) else {
            assert!(unlisted(chip, field.name), "{} is not listed", field.name);
            continue;
        };
        let number = |key: &str| found[key].as_u64().unwrap();
        assert_eq!(number("block"), u64::from(field.block), "{}", field.name);
        assert_eq!(
            number("word") * 32 + number("pos"),
            u64::from(field.bit),
            "{}",
            field.name
        );
        assert_eq!(number("bit_len"), u64::from(field.width), "{}", field.name);
        let expected = |bit: Option<u8>| bit.map_or(0, |bit| bit + 1);
        let block = &chip.efuse.blocks[usize::from(field.block)];
        let read = if field.read_protect.is_none() && block.read_protect.len() > 1 {
            // A field across the parts of a block is hidden with either of them.
            block
                .read_protect
                .iter()
                .fold(0, |all, bit| all | (bit + 1))
        } else {
            expected(field.read_protect)
        };
        assert_eq!(
            protected[field.name],
            (expected(field.write_protect), read),
            "protection of {}",
            field.name
        );
        if usize::from(field.width) == usize::from(block.words) * 32 {
            assert_eq!(field.write_protect, block.write_protect, "{}", field.name);
        }
    }
    for (name, found) in &plain {
        let real = found["word"].is_number();
        assert!(
            !real || chip.efuse.field(name).is_some(),
            "{name} of {} is missing",
            chip.name()
        );
    }
    plain.len()
}

/// Lets espefuse say what it knows of each field when these bits of block 0 are burnt.
fn summary(
    session: &mut Session,
    chip: &Chip,
    folder: &Path,
    file: &str,
    bits: &[u16],
) -> serde_json::Map<String, Value> {
    let registers = &chip.efuse.registers;
    let mut contents = vec![0; registers.space];
    for bit in bits {
        contents[registers.blocks[0] + usize::from(bit / 8)] |= 1 << (bit % 8);
    }
    // The first revision that the table describes, for espefuse to take its own table of it.
    let mut major = u64::from(chip.revisions.start / 100);
    for field in chip.efuse.wafer_version_major {
        let block = &mut contents[registers.blocks[usize::from(field.block)]..];
        field.burn(block, major & ((1 << field.width) - 1)).unwrap();
        major >>= field.width;
    }
    contents.reverse();
    std::fs::write(folder.join(file), contents).unwrap();
    let target = chip.id.target().unwrap();
    let mut arguments = vec!["--chip", target, "--virt", "--path-efuse-file", file];
    arguments.extend(["summary", "--format", "json"]);
    let answer = session.call(folder, &arguments);
    let printed = answer.text();
    assert!(answer.accepted(), "{printed}");
    let json = &printed[printed.find("\n{").map_or(0, |line| line + 1)..];
    match serde_json::Deserializer::from_str(json).into_iter().next() {
        Some(Ok(Value::Object(fields))) => fields,
        other => panic!("{other:?} in {printed}"),
    }
}
