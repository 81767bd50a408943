//! Images, tables and otadata that others ship: everything parses and is written back byte for byte.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};

use espseal_format::app_desc::{self, AppDescError, AppDescriptor};
use espseal_format::chip::{ChipId, chip};
use espseal_format::image::{FlashSize, ImageLayout, secure_pad_v2, set_flash_size};
use espseal_format::otadata::{OtaState, Otadata};
use espseal_format::partition_table::csv::CsvError;
use espseal_format::partition_table::{DEFAULT_OFFSET, PartitionTable, TABLE_LEN, VerifyError};
use espseal_format::units::Digest;

/// Puts an image together again from its header and segments: checksum and hash are computed.
fn reassemble(bytes: &[u8], layout: &ImageLayout) -> Vec<u8> {
    let mut out = layout.header.encode().to_vec();
    let mut checksum = 0xEF;
    for segment in &layout.segments {
        out.extend_from_slice(&segment.load_addr.to_le_bytes());
        out.extend_from_slice(&segment.data_len.to_le_bytes());
        let start = usize::try_from(segment.data_offset).unwrap();
        let data = &bytes[start..][..usize::try_from(segment.data_len).unwrap()];
        checksum = data.iter().fold(checksum, |sum, byte| sum ^ byte);
        out.extend_from_slice(data);
    }
    out.resize(out.len() / 16 * 16 + 15, 0);
    out.push(checksum);
    if layout.header.has_hash() {
        let hash = Digest::of(&out);
        out.extend_from_slice(&hash.0);
    }
    out
}

/// Parses an image that must fill the file, writes it back and returns it.
fn image(path: &Path) -> (Vec<u8>, ImageLayout) {
    let bytes = fs::read(path).unwrap();
    let layout =
        ImageLayout::parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(reassemble(&bytes, &layout), bytes, "{}", path.display());
    if let Some(chip) = chip(layout.header.chip()) {
        layout
            .check_mapping(chip.mapping, chip.mmu_page_size())
            .unwrap();
    }
    (bytes, layout)
}

fn descriptor(image: &[u8]) -> Result<AppDescriptor, AppDescError> {
    let start = usize::try_from(app_desc::OFFSET).unwrap();
    AppDescriptor::parse(image[start..][..app_desc::LEN].try_into().unwrap())
}

/// Parses a table and sends it through both of its forms.
fn table(path: &Path) -> PartitionTable {
    let bytes = fs::read(path).unwrap();
    let table =
        PartitionTable::parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(encode(&table), bytes[..], "{}", path.display());
    table.verify(DEFAULT_OFFSET).unwrap();
    let csv = csv(&table);
    let again = PartitionTable::parse_csv(&csv, DEFAULT_OFFSET).unwrap();
    assert_eq!(again.entries, table.entries, "{csv}");
    assert_eq!(encode(&again), encode(&table), "{csv}");
    table
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

fn boot_app0(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let entry = |offset| bytes[offset..][..32].try_into().unwrap();
    let otadata = Otadata::parse(entry(0), entry(0x1000));
    let (sector, selected) = otadata.selected().unwrap();
    assert_eq!((sector, selected.seq), (0, 1));
    assert_eq!(selected.state, OtaState::Undefined);
    assert_eq!(selected.encode(), *entry(0));
    assert_eq!(otadata.next_seq_for(1, 2), Some(2));
}

#[test]
fn ivh_apps_bootloaders_and_tables() {
    for version in ["2026.0.4", "2026.0.5"] {
        let root = oracles::package("ivh", version).join("ivh/firmware");
        for (board, id, slots) in [
            ("esp32cam", ChipId::Esp32, 1),
            ("nodemcu-32s", ChipId::Esp32, 2),
            ("esp32-s3-n16r8v", ChipId::Esp32S3, 2),
        ] {
            let folder = root.join(board);
            let (_, bootloader) = image(&folder.join("bootloader.bin"));
            assert_eq!(bootloader.header.chip(), id);
            let (app, layout) = image(&folder.join("firmware.bin"));
            assert_eq!(layout.header.chip(), id);
            assert!(layout.hash_offset.is_some());
            let descriptor = descriptor(&app).unwrap();
            assert_eq!(descriptor.idf_version(), "v4.4.7-dirty");
            assert_eq!(descriptor.encode(), app[32..288]);
            let table = table(&folder.join("partitions.bin"));
            assert_eq!(table.app_slots().len(), slots);
            boot_app0(&folder.join("boot_app0.bin"));
        }
    }
}

#[test]
fn mxdbg_app_bootloader_and_table() {
    let folder = oracles::package("mxdbg", "0.3.2").join("firmware");
    image(&folder.join("bootloader.bin"));
    let (app, layout) = image(&folder.join("mxdbg.bin"));
    let descriptor = descriptor(&app).unwrap();
    // As `esptool image-info` prints them.
    assert_eq!(descriptor.project(), "mxdbg");
    assert_eq!(descriptor.version(), "edeaadb-dirty");
    assert_eq!(descriptor.efuse_block_revisions(), (0, 199));
    assert_eq!(layout.header.flash_size(), FlashSize::Mb2);
    assert_eq!(layout.segments.len(), 5);
    assert_eq!(layout.segments[3].data_offset, 0x2_0018 + 8);
    assert!(
        table(&folder.join("partition-table.bin"))
            .app_slots()
            .is_empty()
    );
}

#[test]
fn pinpong_release_chain_without_app_descriptors() {
    let folder = oracles::package("pinpong", "0.6.2").join("pinpong-0.6.2/pinpong/base");
    for release in ["2.6", "2.7", "2.8", "2.9"] {
        let (app, layout) = image(&folder.join(format!("FirmataExpress.HANDPY.{release}.bin")));
        assert_eq!(layout.header.chip(), ChipId::Esp32);
        assert!(matches!(descriptor(&app), Err(AppDescError::Magic { .. })));
    }
    image(&folder.join("bootloader_dio_80m.bin"));
    table(&folder.join("dfrobot.ino.partitions.bin"));
    boot_app0(&folder.join("boot_app0.bin"));
}

#[test]
fn espflash_bootloaders_of_every_chip() {
    let folder = oracles::cargo_package("espflash", "4.7.0").join("resources/bootloaders");
    let (mut count, mut chips) = (0, std::collections::BTreeSet::new());
    for path in files(&folder, "bin") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (_, layout) = image(&path);
        let target = name.split(['-', '_']).next().unwrap();
        assert_eq!(target.parse(), Ok(layout.header.chip()), "{name}");
        chips.insert(layout.header.chip());
        count += 1;
    }
    println!(
        "{count} bootloaders of {} chips written back byte for byte",
        chips.len()
    );
    assert_eq!((count, chips.len()), (34, 13));
}

/// SHA-256 of what `gen_esp32part.py` 1.5 makes of the CSV tables of `esp-idf-part` 0.6.0, or what
/// it refuses.
#[test]
fn esp_idf_part_csv_tables_give_the_bytes_of_gen_esp32part() {
    let folder = oracles::cargo_package("esp-idf-part", "0.6.0").join("tests/data");
    let parse = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        PartitionTable::parse_csv(&text, DEFAULT_OFFSET)
    };
    for (name, sha256) in GENERATED {
        let table = parse(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(Digest::of(&encode(&table)).to_string(), sha256, "{name}");
        // And back: the CSV of the binary gives the binary.
        let read = PartitionTable::parse(&encode(&table)).unwrap();
        assert_eq!(csv(&read), csv(&table), "{name}");
        let again = PartitionTable::parse_csv(&csv(&read), DEFAULT_OFFSET).unwrap();
        assert_eq!(encode(&again), encode(&table), "{name}");
    }
    let refused = |name| match parse(name) {
        Err(CsvError::Verify(error)) => error,
        other => panic!("{name}: {other:?}"),
    };
    assert!(matches!(
        refused("err_conflicting_names.csv"),
        VerifyError::DuplicateName { .. }
    ));
    assert!(matches!(
        refused("err_factory_too_large.csv"),
        VerifyError::SizeAlignment { .. }
    ));
    assert!(matches!(
        refused("err_multiple_otadata.csv"),
        VerifyError::DuplicateOtadata { .. }
    ));
    assert!(matches!(
        refused("err_otadata_invalid_size.csv"),
        VerifyError::OtadataSize { .. }
    ));
    assert!(matches!(
        refused("err_unaligned_app_partition.csv"),
        VerifyError::OffsetAlignment { .. }
    ));
    assert_eq!(
        parse("err_overlapping_partitions.csv"),
        Err(CsvError::Overlap {
            line: 8,
            offset: 0x20_0000,
            free_from: 0x21_0000
        })
    );
    let names = files(&folder, "csv");
    assert_eq!(
        names.len(),
        GENERATED.len() + 6,
        "every table is accounted for"
    );
}

const GENERATED: [(&str, &str); 16] = [
    (
        "err_multiple_factory.csv",
        "8ebd1cc583f56b992eb12887d87a2d7a72846726a75a072e1e79dd13fdba5f9f",
    ),
    (
        "err_no_app_partition.csv",
        "da185f1cb20808dd2e4a328d7c9284fb454300c954488b20c7a522e3be556e44",
    ),
    (
        "factory_app_two_ota.csv",
        "d1c0e9d02fa9d26cd2e1984e7b5dd20157204f501ddc83ce82229e5f3175ee8b",
    ),
    (
        "large_data_partition.csv",
        "5da61b7137f067a548559871356c325e268ddc343e30ac202cbc0b6cb48792cd",
    ),
    (
        "partition_table_unit_test_app.csv",
        "6c729df2392f82372e43507aa96a191cd518c679bcd4992a7a0bc5103e4542d9",
    ),
    (
        "partition_table_unit_test_app_2m.csv",
        "aed73c532f576c0d711737ad19f63e9c1e391b903e318fab6dfd5913884678c0",
    ),
    (
        "partition_table_unit_test_two_ota.csv",
        "a4884ac8d64709d3b32fdf64f5900a52a9dd08ffa60589321e7d56c99987d233",
    ),
    (
        "partition_table_unit_test_two_ota_2m.csv",
        "8e2511d89964724aea25640ba587ab1a990a3c4847d9df3922f9ed9d7cae5904",
    ),
    (
        "partitions-16MB-no-uf2.csv",
        "15bd99e7bfa258cc067f948c331cc565e55aceaa3f6ce936426d2a248146923a",
    ),
    (
        "partitions-16MB.csv",
        "0419bc960a31cbfc86793250266fc88daba43852ba301bfc19d63f0be430569d",
    ),
    (
        "partitions-2MB-no-uf2.csv",
        "5726679831cb3bdbbdb9a1581aa9e398bf8f5a0e0dc906b88ecfdacce7da88a2",
    ),
    (
        "partitions-4MB-no-uf2.csv",
        "f2764b653343f88bc6724b3c36c54a7e3983fe4fe9dca853b87b5e21204752cb",
    ),
    (
        "partitions-4MB.csv",
        "a51a3238b0f43658c5355579783c85c5248db7dde209880179d238164f17545d",
    ),
    (
        "partitions-8MB-no-uf2.csv",
        "17a44b3587e6554252a29008952df436a1b0da4caeaf3a95c601968e8dac14f5",
    ),
    (
        "partitions-8MB.csv",
        "5f34538abf96c176b63896558ec5d32096be6cef6f09ddbe644dd2a6eeb5d8a8",
    ),
    (
        "single_factory_no_ota.csv",
        "7f00b6c042a89b15b0cac534f82ed988caf29278ff5700b0c511eb1b5bb7c820",
    ),
];

#[test]
fn esp_idf_part_and_esp_bootloader_esp_idf_binary_tables() {
    let folders = [
        oracles::cargo_package("esp-idf-part", "0.6.0").join("tests/data"),
        oracles::cargo_package("esp-bootloader-esp-idf", "0.6.0").join("testdata"),
    ];
    for folder in folders {
        // As `gen_esp32part.py` prints it.
        assert_eq!(
            csv(&table(&folder.join("factory_app_two_ota.bin"))),
            "# ESP-IDF Partition Table\n# Name, Type, SubType, Offset, Size, Flags\n\
             nvs,data,nvs,0x9000,16K,\notadata,data,ota,0xd000,8K,\nphy_init,data,phy,0xf000,4K,\n\
             factory,app,factory,0x10000,1M,\nota_0,app,ota_0,0x110000,1M,\n\
             ota_1,app,ota_1,0x210000,1M,\n"
        );
        assert_eq!(
            table(&folder.join("single_factory_no_ota.bin"))
                .entries
                .len(),
            3
        );
    }
}

/// `esptool image-info` finds checksum and hash valid after espseal has changed the image.
#[test]
fn a_real_app_stays_valid_for_esptool_when_padded_and_given_another_flash_size() {
    let (mut bytes, mut layout) =
        image(&oracles::package("mxdbg", "0.3.2").join("firmware/mxdbg.bin"));
    set_flash_size(&mut bytes, &mut layout, FlashSize::Mb16).unwrap();
    bytes.resize(0x8_0000, 0);
    let end = secure_pad_v2(&mut bytes, &layout, 0x1_0000).unwrap();
    assert_eq!(end, 0x5_0000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("padded.bin");
    fs::write(&path, &bytes[..end]).unwrap();
    let printed = oracles::run(oracles::tool("esptool").arg("image-info").arg(&path));
    assert_eq!(printed.matches("(valid)").count(), 2, "{printed}");
    assert!(printed.contains("Flash size: 16MB"), "{printed}");
    assert!(printed.contains("PADDING"), "{printed}");
}

/// The files of a folder with an extension.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    paths.sort();
    paths
}
