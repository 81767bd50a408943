//! eFuse maps against `espefuse`: where each field lies, and which bit protects it.
//!
//! `espefuse --virt` says of each field whether it can still be written and read. The bits of
//! `WR_DIS` and `RD_DIS` are numbered from 1 and burnt in a few runs, run k burning those whose
//! number has bit k: the runs in which a field is protected spell the number of its bit.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::Path;

use espseal_format::chip::{Chip, ChipId, chip};
use espseal_format::efuse::Field;
use serde_json::Value;

#[test]
fn esp32_fields_lie_where_espefuse_reads_them() {
    compare(chip(ChipId::Esp32).unwrap(), &[]);
}

#[test]
fn esp32c3_fields_lie_where_espefuse_reads_them() {
    // espefuse does not list it.
    compare(chip(ChipId::Esp32C3).unwrap(), &["JTAG_SEL_ENABLE"]);
}

fn compare(chip: &Chip, unlisted: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let plain = summary(chip, &folder.path().join("plain"), &[]);
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
        let fields = summary(chip, &folder.path().join(run.to_string()), &bits);
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
            assert!(
                unlisted.contains(&field.name),
                "{} is not listed",
                field.name
            );
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
        assert_eq!(
            protected[field.name],
            (expected(field.write_protect), expected(field.read_protect)),
            "protection of {}",
            field.name
        );
    }
}

/// Burns bits of block 0 in fresh virtual eFuses and returns what espefuse says of each field.
fn summary(chip: &Chip, file: &Path, bits: &[u16]) -> serde_json::Map<String, Value> {
    let espefuse = || {
        let mut command = oracles::tool("espefuse");
        command
            .args(["--chip", chip.id.target().unwrap(), "--virt"])
            .arg("--path-efuse-file")
            .arg(file)
            .arg("--do-not-confirm");
        command
    };
    if !bits.is_empty() {
        let bits = bits.iter().map(u16::to_string);
        oracles::run(espefuse().args(["burn-bit", "BLOCK0"]).args(bits));
    }
    let printed = oracles::run(espefuse().args(["summary", "--format", "json"]));
    let json = &printed[printed.find('{').unwrap()..];
    match serde_json::Deserializer::from_str(json).into_iter().next() {
        Some(Ok(Value::Object(fields))) => fields,
        other => panic!("{other:?} in {printed}"),
    }
}
