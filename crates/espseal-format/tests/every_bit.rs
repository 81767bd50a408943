//! Real images, tables, otadata and signature sectors, cut short at every length and with every bit
//! flipped: no panic, and an error that names field and offset.
//!
//! Flipping every bit of every image would hash some terabytes. Every bit is flipped of one whole
//! image, and of the others in headers, descriptors, checksum and hash; of the data between, one bit
//! in a thousand. The counts are printed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

use std::fs;
use std::path::{Path, PathBuf};

use espseal_format::app_desc::{self, AppDescriptor};
use espseal_format::image::{ImageLayout, measure};
use espseal_format::otadata::{Otadata, OtadataEntry, OtadataError};
use espseal_format::partition_table::{Checksum, PartitionTable, TableError};
use espseal_format::read::SliceReader;
use espseal_format::signature_block::{BlockError, SignatureSector};

/// Where the header says whether a hash follows.
const HASH_APPENDED: usize = 23;

#[test]
fn images_cut_short_or_with_a_flipped_bit_are_refused_by_field_and_offset() {
    let (mut cuts, mut flips) = (0, 0);
    let mut images = bootloaders();
    images.push(oracles::package("mxdbg", "0.3.2").join("firmware/mxdbg.bin"));
    let whole = images
        .iter()
        .min_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    for path in &images {
        let good = fs::read(path).unwrap();
        let layout = ImageLayout::parse(&good).unwrap();
        let marked = marked(&good, &layout);
        let every = |step: usize| (0..good.len()).filter(move |at| path == whole || at % step == 0);
        for length in every(61).chain(marked.iter().copied()) {
            refused(path, &good[..length], &format!("cut to {length:#x}"));
            cuts += 1;
        }
        let mut bytes = good.clone();
        let bits = marked.iter().flat_map(|at| at * 8..at * 8 + 8);
        let sample = every(1009).flat_map(|at| match path == whole {
            true => at * 8..at * 8 + 8,
            false => at * 8 + at % 8..at * 8 + at % 8 + 1,
        });
        for bit in sample.chain(bits) {
            let (at, mask) = (bit / 8, 1 << (bit % 8));
            bytes[at] ^= mask;
            // Without the flag nobody looks for the hash that covers the header.
            let unflagged = at == HASH_APPENDED && bytes[at] == 0;
            match unflagged {
                true => assert!(ImageLayout::parse(&bytes).unwrap().hash_offset.is_none()),
                false => refused(path, &bytes, &format!("bit {bit:#x}")),
            }
            let _ = measure(&mut SliceReader::new(&bytes));
            bytes[at] ^= mask;
            flips += 1;
        }
    }
    println!(
        "{} images: {cuts} truncations, {flips} flipped bits",
        images.len()
    );
}

/// Offsets of headers, descriptor, checksum and hash.
fn marked(image: &[u8], layout: &ImageLayout) -> Vec<usize> {
    let mut marked: Vec<usize> = (0..32).collect();
    let start = usize::try_from(app_desc::OFFSET).unwrap();
    let is_app = AppDescriptor::parse(image[start..].first_chunk().unwrap()).is_ok();
    marked.extend(start..start + if is_app { app_desc::LEN } else { 80 });
    for segment in &layout.segments {
        let data = usize::try_from(segment.data_offset).unwrap();
        marked.extend(data - 8..data);
    }
    let checksum = usize::try_from(layout.checksum_offset).unwrap();
    marked.extend(checksum - 15..image.len());
    marked.sort_unstable();
    marked.dedup();
    marked
}

fn refused(path: &Path, bytes: &[u8], what: &str) {
    let error = match ImageLayout::parse(bytes) {
        Ok(_) => panic!("{}, {what}: accepted", path.display()),
        Err(error) => error.to_string(),
    };
    let names_place = error.contains("offset 0x") || error.contains("byte 0 is");
    assert!(names_place, "{}, {what}: {error}", path.display());
}

#[test]
fn tables_cut_short_or_with_a_flipped_bit_are_refused_by_offset() {
    let (mut cuts, mut flips) = (0, 0);
    let tables = tables();
    for path in &tables {
        let good = fs::read(path).unwrap();
        let table = PartitionTable::parse(&good).unwrap();
        let records = table.entries.len() + usize::from(table.checksum == Checksum::Md5);
        let end = (records + 1) * 32;
        for length in 0..end {
            let error = PartitionTable::parse(&good[..length]).unwrap_err();
            let expected = TableError::NoEnd {
                offset: length / 32 * 32,
            };
            assert_eq!(error, expected, "{}, {length}", path.display());
            cuts += 1;
        }
        let mut bytes = good.clone();
        for bit in 0..good.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            match PartitionTable::parse(&bytes) {
                Err(error) => assert!(error.to_string().contains("offset 0x"), "{error}"),
                // Nothing after the end marker is looked at, and nothing protects a table
                // without MD5.
                Ok(read) => assert!(
                    bit >= end * 8 || table.checksum == Checksum::None && read != table,
                    "{}, bit {bit:#x}",
                    path.display()
                ),
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
            flips += 1;
        }
    }
    println!(
        "{} tables: {cuts} truncations, {flips} flipped bits",
        tables.len()
    );
}

#[test]
fn otadata_with_a_flipped_bit_is_refused_where_the_crc_covers_it() {
    let folder = oracles::package("ivh", "2026.0.4").join("ivh/firmware/esp32cam");
    let bytes = fs::read(folder.join("boot_app0.bin")).unwrap();
    let good: [u8; 32] = bytes[..32].try_into().unwrap();
    let entry = OtadataEntry::parse(&good).unwrap();
    for bit in 0..good.len() * 8 {
        let mut flipped = good;
        flipped[bit / 8] ^= 1 << (bit % 8);
        let covered = !(32..28 * 8).contains(&bit);
        match OtadataEntry::parse(&flipped) {
            Ok(read) => assert!(!covered && read != entry, "bit {bit}"),
            Err(error @ OtadataError::Crc { .. }) => {
                assert!(
                    covered && error.to_string().contains("offset 0x1c"),
                    "bit {bit}"
                );
                // A torn entry selects nothing.
                assert_eq!(Otadata::parse(&flipped, &[0xFF; 32]).selected(), None);
            }
            Err(error) => panic!("bit {bit}: {error}"),
        }
    }
}

#[test]
fn signature_sectors_with_a_flipped_bit_lose_that_block_and_no_other() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/signature-sector");
    let mut flips = 0;
    for name in ["two-rsa-blocks.bin", "ecdsa-block.bin"] {
        let mut bytes = fs::read(folder.join(name)).unwrap();
        bytes.resize(4096, 0xFF);
        let good: [u8; 4096] = bytes.try_into().unwrap();
        let read = SignatureSector::parse(&good);
        assert!(read.blocks().count() >= 1, "{name}");
        for bit in 0..good.len() * 8 {
            let mut flipped = good;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let again = SignatureSector::parse(&flipped);
            let (place, within) = (bit / 8 / 1216, bit / 8 % 1216);
            for index in 0..3 {
                let (before, after) = (read.places()[index], again.places()[index]);
                match after {
                    _ if index != place => assert_eq!(before, after, "{name}, bit {bit:#x}"),
                    // The last 16 bytes of a block are not covered by its CRC.
                    Ok(_) => assert!(within >= 1200, "{name}, bit {bit:#x}"),
                    Err(BlockError::Absent) => panic!("{name}, bit {bit:#x}"),
                    Err(error) => assert!(error.to_string().contains("offset 0x"), "{error}"),
                }
            }
            flips += 1;
        }
    }
    println!("2 signature sectors: {flips} flipped bits");
}

/// The bootloaders of every chip.
fn bootloaders() -> Vec<PathBuf> {
    let folder = oracles::cargo_package("espflash", "4.7.0").join("resources/bootloaders");
    let found = binaries(&folder);
    assert_eq!(found.len(), 34);
    found
}

/// Every binary table of the packages.
fn tables() -> Vec<PathBuf> {
    let mut tables = vec![
        oracles::package("mxdbg", "0.3.2").join("firmware/partition-table.bin"),
        oracles::package("pinpong", "0.6.2")
            .join("pinpong-0.6.2/pinpong/base/dfrobot.ino.partitions.bin"),
    ];
    for version in ["2026.0.4", "2026.0.5"] {
        for board in ["esp32cam", "nodemcu-32s", "esp32-s3-n16r8v"] {
            let root = oracles::package("ivh", version).join("ivh/firmware");
            tables.push(root.join(board).join("partitions.bin"));
        }
    }
    tables.extend(binaries(
        &oracles::cargo_package("esp-idf-part", "0.6.0").join("tests/data"),
    ));
    tables
}

fn binaries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "bin"))
        .collect();
    paths.sort();
    paths
}
