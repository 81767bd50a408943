//! ESP-IDF's `gen_esp32part.py` and espseal on the same thousands of tables: equal bytes, or both
//! refuse. Where espseal refuses more it is listed, with the reason, in [`stricter`].
//!
//! The script comes with the Python package `esp-test-utils` (Apache-2.0), which carries the one of
//! ESP-IDF fc72712b; the one of ESP-IDF 6.1 differs from it in the command line only.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use espseal_format::chip::SecureBootScheme;
use espseal_format::image::FlashSize;
use espseal_format::partition_table::csv::{CsvError, Places};
use espseal_format::partition_table::{
    Checksum, DEFAULT_OFFSET, PartitionTable, TABLE_LEN, TableError, VerifyError,
};
use espseal_format::units::FlashOffset;

/// CSV tables made up at random.
const CSV_CASES: usize = 8000;
/// Binary tables: random ones, broken at random.
const BINARY_CASES: usize = 6000;

/// Small random numbers from a fixed seed.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % below
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.next(n) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.next(from.len())]
    }
}

/// One call of the script.
#[derive(Debug, Default)]
struct Case {
    input: Vec<u8>,
    offset: Option<u32>,
    bootloader: Option<u32>,
    recovery: Option<u32>,
    flash_size: Option<usize>,
    secure: Option<&'static str>,
    no_md5: bool,
}

impl Case {
    fn argv(&self) -> Vec<String> {
        let mut argv = Vec::new();
        let mut option = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                argv.extend([name.to_owned(), value]);
            }
        };
        option("--offset", self.offset.map(|offset| format!("{offset:#x}")));
        option(
            "--primary-bootloader-offset",
            self.bootloader.map(|offset| offset.to_string()),
        );
        option(
            "--recovery-bootloader-offset",
            self.recovery.map(|offset| offset.to_string()),
        );
        option(
            "--flash-size",
            self.flash_size.map(|shift| format!("{}MB", 1 << shift)),
        );
        option("--secure", self.secure.map(str::to_owned));
        if self.no_md5 {
            argv.push("--disable-md5sum".into());
        }
        argv
    }

    fn table_offset(&self) -> FlashOffset {
        self.offset.map_or(DEFAULT_OFFSET, FlashOffset::new)
    }

    fn check(&self, table: &PartitionTable) -> Result<(), VerifyError> {
        let scheme = self.secure.map(|secure| match secure {
            "v1" => SecureBootScheme::V1,
            _ => SecureBootScheme::V2Rsa,
        });
        table.verify_for(self.table_offset(), scheme)?;
        match self.flash_size {
            Some(shift) => {
                table.verify_size_fits(FlashSize::from_nibble(shift.try_into().unwrap()))
            }
            None => Ok(()),
        }
    }

    /// What espseal makes of CSV.
    fn build(&self) -> Result<Vec<u8>, Refused> {
        let text = std::str::from_utf8(&self.input).map_err(|_| Refused::Other)?;
        let places = Places {
            table: self.table_offset(),
            bootloader: self.bootloader.map(FlashOffset::new),
            recovery_bootloader: self.recovery.map(FlashOffset::new),
        };
        let mut table =
            PartitionTable::parse_csv_unverified(text, &places).map_err(Refused::Csv)?;
        self.check(&table).map_err(Refused::Rule)?;
        if self.no_md5 {
            table.checksum = Checksum::None;
        }
        let mut bytes = [0; TABLE_LEN];
        table.encode(&mut bytes).map_err(|_| Refused::Other)?;
        Ok(bytes.to_vec())
    }

    /// What espseal makes of a binary table.
    fn print(&self) -> Result<Vec<u8>, Refused> {
        let table = PartitionTable::parse(&self.input).map_err(Refused::Table)?;
        self.check(&table).map_err(Refused::Rule)?;
        let mut text = String::new();
        table.write_csv(&mut text).unwrap();
        Ok(text.into_bytes())
    }
}

/// Why espseal refuses.
#[derive(Debug)]
enum Refused {
    Csv(CsvError),
    Rule(VerifyError),
    Table(TableError),
    Other,
}

/// Names the reason when espseal refuses on purpose what the script accepts.
fn stricter(refused: &Refused) -> Option<&'static str> {
    Some(match refused {
        // Which values a build has in its environment is not for a table to depend on.
        Refused::Csv(CsvError::Variable { .. }) => "a variable is not expanded",
        // The script compares names before it cuts them to 16 bytes, a device afterwards.
        Refused::Rule(VerifyError::DuplicateName { .. }) => "names are equal when cut to 16 bytes",
        Refused::Rule(VerifyError::TooLong { .. }) => "ends past 4 GiB",
        // The script's filler and what follows the MD5 is not protected by it.
        Refused::Table(TableError::Fill { .. }) => "filler before the MD5 is not 0xff",
        Refused::Table(TableError::AfterChecksum { .. }) => "entries behind the MD5",
        _ => return None,
    })
}

/// A table in CSV, mostly right.
fn csv(random: &mut Random) -> Case {
    let mut case = Case::default();
    if random.one_in(4) {
        case.offset = Some([0x8000, 0x9000, 0xC000, 0x1_0000, 0x8001][random.next(5)]);
    }
    if random.one_in(3) {
        case.bootloader = Some([0, 0x1000, 0x2000, 0x8000][random.next(4)]);
    }
    if random.one_in(6) {
        case.recovery = Some([0x40_0000, 0x3F_0000, 0x100][random.next(3)]);
    }
    if random.one_in(3) {
        case.flash_size = Some(random.next(8));
    }
    if random.one_in(3) {
        case.secure = Some(["v1", "v2"][random.next(2)]);
    }
    case.no_md5 = random.one_in(6);
    let care = [1, 4, 12, 100][random.next(4)];
    let mut text = String::new();
    if random.one_in(20) {
        text.push('\u{FEFF}');
    }
    let rows = if random.one_in(40) {
        90 + random.next(12)
    } else {
        1 + random.next(8)
    };
    for index in 0..rows {
        if random.one_in(8) {
            text.push_str(random.pick(&[
                "# comment, with, commas\n",
                "\n",
                "   \n",
                "#\n",
                "\t#x\n",
            ]));
        }
        match random.one_in(care) {
            true => row(random, &mut text, index),
            false => tame_row(random, &mut text, index),
        }
        text.push_str(match random.next(30) {
            0 => "\r\n",
            1 => "\r",
            2 => "\u{b}",
            _ => "\n",
        });
    }
    case.input = text.into_bytes();
    // A byte that is no text.
    if random.one_in(100) {
        let at = random.next(case.input.len());
        case.input[at] = 0xFF;
    }
    case
}

/// A row that breaks no rule by itself.
fn tame_row(random: &mut Random, text: &mut String, index: usize) {
    let (kind, subtype, unit) = match random.next(3) {
        0 => (
            "app",
            random.pick(&["factory", "ota_0", "ota_3", "test", "0x31"]),
            64,
        ),
        1 => (
            "data",
            random.pick(&["nvs", "phy", "spiffs", "nvs_keys", "", "0x99"]),
            4,
        ),
        _ => ("0x40", random.pick(&["", "0", "7"]), 4),
    };
    let size = match random.next(3) {
        0 => format!("{:#x}", 0x400 * unit * (3 + random.next(40))),
        1 => format!("{}K", unit * (3 + random.next(40))),
        _ => format!("{}m", 1 + random.next(2)),
    };
    let flags = random.pick(&["", "", "encrypted", "readonly", "readonly:encrypted:"]);
    write!(text, "part{index}, {kind}, {subtype}, , {size}, {flags}").unwrap();
}

fn row(random: &mut Random, text: &mut String, index: usize) {
    let kind = match random.next(12) {
        0..=4 => "data",
        5..=8 => "app",
        9 => random.pick(&["bootloader", "partition_table", "APP", "Data"]),
        10 => random.pick(&[
            "0", "1", "0x40", "0xfe", "2", "3", "255", "256", "-1", "0x7_0",
        ]),
        _ => random.pick(&["data", "app", "nonsense", "", "0x", "1k", "2K"]),
    };
    let subtype = match (kind, random.next(10)) {
        ("app", 0..=7) => random.pick(&[
            "factory", "ota_0", "ota_1", "ota_15", "test", "tee_0", "TEE_1", "0x20",
        ]),
        ("data", 0..=7) => random.pick(&[
            "nvs",
            "ota",
            "phy",
            "coredump",
            "nvs_keys",
            "efuse",
            "fat",
            "spiffs",
            "littlefs",
            "tee_ota",
            "undefined",
            "esphttpd",
            "",
        ]),
        (_, 8) => random.pick(&[
            "", "0", "0x99", "0xfe", "255", "300", "-2", "primary", "ota", "recovery",
        ]),
        _ => random.pick(&[
            "factory", "nvs", "primary", "recovery", "ota", "nothing", "", "0x06",
        ]),
    };
    let offset = match random.next(12) {
        0..=7 => String::new(),
        8 => format!("{:#x}", 0x9000 + 0x1000 * random.next(64)),
        9 => format!("{:#x}", 0x1_0000 * (1 + random.next(64))),
        10 => random
            .pick(&[
                "0x8000",
                "36K",
                "64k",
                "1M",
                "0x9001",
                "-0x1000",
                "010",
                "0b1_0000000000000000",
                "0o200000",
            ])
            .into(),
        _ => random
            .pick(&[
                "x",
                "1.5M",
                "0x1_0000_0000",
                "99999999999999999999",
                " ",
                "1M M",
                "0xFFFFF000",
            ])
            .into(),
    };
    let size = match random.next(14) {
        0..=3 => format!("{:#x}", 0x1000 * (1 + random.next(64))),
        4..=6 => format!("{}K", 4 * (1 + random.next(400))),
        7 => format!("{}M", 1 + random.next(4)),
        8 => "0x2000".into(),
        9 => "0x6000".into(),
        10 => format!("-{:#x}", 0x1_0000 * (1 + random.next(64))),
        11 => format!("{}", random.next(0x20_0000)),
        _ => random
            .pick(&[
                "",
                "0",
                "0x10_0000",
                "1MB",
                "4 K",
                "+4096",
                "0x100000000",
                "4095M",
                "-1",
                "1e3",
            ])
            .into(),
    };
    let flags = match random.next(10) {
        0..=5 => "",
        6 => "encrypted",
        7 => "readonly",
        8 => "encrypted:readonly",
        _ => random.pick(&[
            "readonly:encrypted",
            ":",
            "::encrypted",
            "Encrypted",
            "unknown",
            " encrypted ",
        ]),
    };
    let name = match random.next(20) {
        0 => "a_name_that_is_longer_than_sixteen".into(),
        1 => "nvs".into(),
        2 => random
            .pick(&[
                "",
                "app",
                "sixteen_bytes_xx",
                "fünf",
                "$HOMELESS",
                "a$b",
                "ota",
                "ümlaut_at_the_en€d",
            ])
            .into(),
        _ => format!("part{index}"),
    };
    let space = |random: &mut Random| random.pick(&["", "", "", "", " ", "\t", "  "]);
    let fields = [
        name,
        kind.into(),
        subtype.into(),
        offset,
        size,
        flags.into(),
    ];
    let count = match random.next(12) {
        0 => 5,
        1 => 2 + random.next(4),
        _ => 6,
    };
    for (column, field) in fields.iter().take(count).enumerate() {
        if column > 0 {
            text.push(',');
        }
        write!(text, "{}{field}{}", space(random), space(random)).unwrap();
    }
    if random.one_in(15) {
        text.push_str(", more, fields");
    }
}

/// A binary table: a good one, mostly broken in one or two places.
fn binary(random: &mut Random, good: &[Vec<u8>]) -> Case {
    let mut case = Case {
        input: good[random.next(good.len())].clone(),
        ..Case::default()
    };
    if random.one_in(4) {
        case.input.resize(0x1000, 0xFF);
    }
    let used = case.input.iter().rposition(|byte| *byte != 0xFF).unwrap() + 1;
    for _ in 0..random.next(3) {
        // The first two bytes decide whether the script takes it for CSV.
        let at = 2 + random.next(used + 32 - 2);
        case.input[at] = match random.next(3) {
            0 => case.input[at] ^ (1 << random.next(8)),
            1 => 0xFF,
            _ => u8::try_from(random.next(256)).unwrap(),
        };
    }
    if random.one_in(6) {
        let end = 32 + random.next(case.input.len() - 32);
        case.input.truncate(end);
    }
    // With a right MD5 more of what is behind it is reached.
    if random.one_in(2) {
        repair(&mut case.input);
    }
    case
}

/// Puts the right MD5 into the record that holds one.
fn repair(bytes: &mut [u8]) {
    use md5::Digest as _;
    let place = bytes
        .chunks_exact(32)
        .position(|record| record.starts_with(&[0xEB, 0xEB]));
    if let Some(place) = place {
        let (entries, rest) = bytes.split_at_mut(place * 32);
        rest[16..32].copy_from_slice(&md5::Md5::digest(entries));
    }
}

/// Runs the script on all cases.
fn script(cases: &[Case]) -> Vec<Option<Vec<u8>>> {
    let path = oracles::package("esp-test-utils", "0.6.5").join("esptest/utility/gen_esp32part.py");
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("cases");
    let mut lines = String::new();
    for case in cases {
        let input = hex(&case.input);
        let line = serde_json::json!({ "argv": case.argv(), "input": input });
        writeln!(lines, "{line}").unwrap();
    }
    fs::write(&list, lines).unwrap();
    let mut python = oracles::python();
    python
        .args(["-c", include_str!("gen_esp32part.py")])
        .arg(path)
        .arg(list);
    let printed = oracles::run(&mut python);
    let answers: Vec<_> = printed
        .lines()
        .map(|line| (!line.starts_with("refused")).then(|| unhex(line)))
        .collect();
    assert_eq!(answers.len(), cases.len());
    answers
}

/// Compares, and prints the counts.
fn compare(what: &str, cases: &[Case], ours: impl Fn(&Case) -> Result<Vec<u8>, Refused>) {
    let (mut equal, mut refused) = (0, 0);
    let mut stricter_by: BTreeMap<&str, usize> = BTreeMap::new();
    for (case, theirs) in cases.iter().zip(script(cases)) {
        let shown = || (case, String::from_utf8_lossy(&case.input).into_owned());
        match (ours(case), theirs) {
            (Ok(ours), Some(theirs)) => {
                assert_eq!(ours, theirs, "{:?}", shown());
                equal += 1;
            }
            (Err(_), None) => refused += 1,
            (Ok(_), None) => panic!("only espseal accepts {:?}", shown()),
            (Err(error), Some(_)) => match stricter(&error) {
                Some(reason) => *stricter_by.entry(reason).or_default() += 1,
                None => panic!("only gen_esp32part accepts, {error:?}: {:?}", shown()),
            },
        }
    }
    println!("{what}: {equal} equal bytes, {refused} refused by both, stricter: {stricter_by:?}");
    assert!(equal > cases.len() / 12 && refused > cases.len() / 12);
}

#[test]
fn thousands_of_csv_and_binary_tables_are_converted_as_gen_esp32part_converts_them() {
    let random = &mut Random(0x9E37_79B9_7F4A_7C15);
    let cases: Vec<_> = (0..CSV_CASES).map(|_| csv(random)).collect();
    compare("CSV to binary", &cases, Case::build);
    let good: Vec<_> = cases.iter().filter_map(|case| case.build().ok()).collect();
    let cases: Vec<_> = (0..BINARY_CASES).map(|_| binary(random, &good)).collect();
    compare("binary to CSV", &cases, Case::print);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
