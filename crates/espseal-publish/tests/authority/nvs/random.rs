//! Random CSV files: mostly sound, with every way of going wrong among them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use espseal_publish::nvs::image::Version;

use super::Case;

/// SplitMix64: the same cases in every run.
pub(super) struct Random(u64);

/// Names of files that rows may name, by what they hold.
pub(super) struct Files {
    number: &'static str,
    text: &'static str,
    hex: &'static str,
    base64: &'static str,
    bytes: [&'static str; 3],
}

impl Files {
    pub(super) fn write(random: &mut Random, folder: &Path) -> Self {
        let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
        write("number.txt", b" 42\n");
        write("text.txt", "Zeile 1\r\nZeile zwei, äöü\n".as_bytes());
        write("hex.txt", b"00ff10Ab\n");
        write("base64.txt", b"SGVs\nbG8=\n");
        write("empty.bin", b"");
        write("small.bin", &random.bytes(100));
        write("large.bin", &random.bytes(9_000));
        let mut keys = random.bytes(64);
        let crc = espseal_format::nvs::crc(&keys);
        keys.extend(crc.to_le_bytes());
        keys.resize(4096, 0xFF);
        write("key.bin", &keys);
        Self {
            number: "number.txt",
            text: "text.txt",
            hex: "hex.txt",
            base64: "base64.txt",
            bytes: ["empty.bin", "small.bin", "large.bin"],
        }
    }
}

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// Writes CSV files and says what is to be made of them.
    pub(super) fn case(&mut self, folder: &Path, files: &Files) -> Case {
        let version = if self.one_in(3) {
            Version::One
        } else {
            Version::Two
        };
        let count = if self.one_in(8) { 2 } else { 1 };
        let csv: Vec<String> = (0..count)
            .map(|number| format!("in-{number}.csv"))
            .collect();
        // Mistakes are rare enough that most files have none.
        let careless = self.one_in(3);
        let mut keys = 0;
        for name in &csv {
            let text = self.csv(files, careless, &mut keys);
            fs::write(folder.join(name), text).unwrap();
        }
        let pages = match self.below(10) {
            0 => 1,
            1 => 2,
            2 => 3,
            3 => 4,
            4..6 => 5 + self.below(20),
            _ => 40 + self.below(20),
        };
        let size = 0x1000 * u32::try_from(pages).unwrap();
        let size = if careless && self.one_in(30) {
            size + 0x800
        } else {
            size
        };
        let key = self.one_in(3).then_some("key.bin");
        Case {
            csv,
            size,
            version,
            key,
        }
    }

    fn csv(&mut self, files: &Files, careless: bool, keys: &mut u32) -> String {
        let end = self.pick(&["\n", "\n", "\r\n"]);
        let mixed = self.one_in(10);
        let mut text = String::new();
        if self.one_in(5) {
            text += "# a comment, \"with\" quotes";
            text += end;
        }
        text += if mixed {
            "value,encoding,note,key,type"
        } else {
            "key,type,encoding,value"
        };
        text += end;
        let rows = match self.below(4) {
            0 => self.below(5),
            1 => 120 + self.below(20),
            _ => self.below(60),
        };
        let begins = !(careless && self.one_in(12));
        for row in 0..rows {
            let [key, kind, encoding, value] = if begins && row == 0 || self.one_in(25) {
                *keys += 1;
                let again = careless && self.one_in(6);
                let name = if again {
                    "ns1".into()
                } else {
                    format!("ns{keys}")
                };
                [name, "namespace".into(), String::new(), String::new()]
            } else {
                self.row(files, careless, keys)
            };
            let quoted = self.quoted(&value);
            let _ = match mixed {
                true => write!(text, "{quoted},{encoding},n,{key},{kind}{end}"),
                false => write!(text, "{key},{kind},{encoding},{quoted}{end}"),
            };
            match self.below(40) {
                0 => text += end,
                1 => text += &format!("#{key},{kind}{end}"),
                2 if careless && self.one_in(4) => text += &format!("short,data{end}"),
                3 if careless && self.one_in(4) => text += &format!("k,data,string,a,b,c,d{end}"),
                _ => {}
            }
        }
        text
    }

    /// A field in quotes where it has to be, and now and then elsewhere.
    fn quoted(&mut self, value: &str) -> String {
        let must = value.contains([',', '\n', '\r']) || value.starts_with('"');
        match must || self.one_in(6) {
            true => format!("\"{}\"", value.replace('"', "\"\"")),
            false => value.into(),
        }
    }

    fn row(&mut self, files: &Files, careless: bool, keys: &mut u32) -> [String; 4] {
        *keys += 1;
        let key = match self.below(if careless { 40 } else { 30 }) {
            0 => self
                .pick(&[
                    "sta.ssid",
                    "sta.pswd",
                    "ap.ssid",
                    "ap.passwd",
                    "ap.authmode",
                ])
                .into(),
            1 => format!("{:0>15}", *keys),
            30 => format!("{:0>16}", *keys),
            31 => "é".into(),
            32 => String::new(),
            33 => "k1".into(),
            _ => format!("key{keys}"),
        };
        if careless && self.one_in(60) {
            let kind = self.pick(&["Data", "namespac", "", "data "]);
            return [key, kind.into(), "u8".into(), "1".into()];
        }
        let from_file = self.one_in(8) && (careless || !key.contains('.'));
        let kind = if from_file { "file" } else { "data" };
        let (encoding, value) = match self.below(7) {
            _ if from_file => self.file(files, careless),
            0..=2 => self.number(careless),
            3 => {
                let length = self.length(careless);
                ("string".into(), self.text(length))
            }
            4 => {
                let length = self.length(careless);
                let digits: String = self
                    .bytes(length)
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                let bad = careless && self.one_in(8);
                (
                    "hex2bin".into(),
                    if bad { format!("{digits}a") } else { digits },
                )
            }
            5 => {
                let length = self.length(careless);
                let mut text: String = (0..length * 4)
                    .map(|_| self.base64_digit(careless))
                    .collect();
                text += self.pick(&["", "", "QQ==", "QUI=", "QUJD"]);
                ("base64".into(), text)
            }
            _ => self.filled(careless),
        };
        [key, kind.into(), encoding, value]
    }

    fn base64_digit(&mut self, careless: bool) -> char {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        match careless && self.one_in(300) {
            true => char::from(b"=-. \t!"[self.below(6)]),
            false => char::from(DIGITS[self.below(64)]),
        }
    }

    fn number(&mut self, careless: bool) -> (String, String) {
        let bits = [8, 16, 32, 64][self.below(4)];
        let signed = self.one_in(2);
        let value = u128::from(self.next()) & ((1 << bits) - 1);
        let value = match signed {
            true => i128::try_from(value).unwrap() - (1_i128 << (bits - 1)),
            false => i128::try_from(value).unwrap(),
        };
        let value = match self.below(12) {
            0 => 0,
            1 if signed => -(1_i128 << (bits - 1)),
            1 => (1_i128 << bits) - 1,
            2 if careless && self.one_in(4) => 1_i128 << bits,
            3 if careless && self.one_in(4) => -1_i128 << bits,
            _ => value,
        };
        let text = match self.below(12) {
            0 => format!(" {value}\t"),
            1 if value >= 0 => format!("+{value}"),
            2 if value >= 0 => format!("00{value}"),
            3 if value >= 0 => format!("0_{value}"),
            4 if careless && self.one_in(6) => format!("{value:#x}"),
            5 if careless && self.one_in(6) => String::new(),
            6 if careless && self.one_in(6) => format!("{value}.0"),
            7 if careless && self.one_in(6) => format!("{value}__0"),
            _ => value.to_string(),
        };
        let letter = match (signed, self.one_in(20)) {
            (true, false) => 'i',
            (true, true) => 'I',
            (false, false) => 'u',
            (false, true) => 'U',
        };
        (format!("{letter}{bits}"), text)
    }

    fn text(&mut self, length: usize) -> String {
        let all = [
            "a", "b", " ", "0", "é", "漢", "\"", "#", ";", ",", "x", "y", "z", "\ny", "\"\"",
        ];
        let mut text: String = (0..length).map(|_| self.pick(&all)).collect();
        if self.one_in(50) {
            // Left out, with everything behind it on the line.
            text += "\n#";
        }
        text
    }

    fn filled(&mut self, careless: bool) -> (String, String) {
        let length = self.below(300);
        let held = self.below(20).min(length / 4);
        let text = match careless && self.one_in(20) {
            true => "x".repeat(length + 1),
            false => "v".repeat(held),
        };
        let name = self.pick(&["blob_fill", "blob_sz_fill"]);
        let byte = self.below(256);
        match careless && self.one_in(20) {
            true => (format!("{name}({length};{byte})"), text),
            false => (format!("{name}({length};{byte:#04x})"), text),
        }
    }

    fn file(&mut self, files: &Files, careless: bool) -> (String, String) {
        let (encoding, name) = match self.below(8) {
            0 => ("u8", files.number),
            1 => ("i64", files.number),
            2 | 3 => ("string", files.text),
            4 => ("hex2bin", files.hex),
            5 => ("base64", files.base64),
            _ => ("binary", files.bytes[self.below(3)]),
        };
        match careless {
            true if self.one_in(10) => (encoding.into(), "missing.bin".into()),
            true if self.one_in(10) => (encoding.into(), files.bytes[1].into()),
            true if self.one_in(10) => (
                self.pick(&["String", "HEX2BIN", "none", "Binary"]).into(),
                name.into(),
            ),
            _ => (encoding.into(), name.into()),
        }
    }

    /// Lengths around the ends of entries, pages and limits.
    fn length(&mut self, careless: bool) -> usize {
        match self.below(if careless { 60 } else { 400 }) {
            0 => 1984 - self.below(3),
            1 => 1985,
            2 => 3950 + self.below(60),
            3 => 124 * 32 - self.below(3),
            4 => self.below(12_000),
            5..=30 => 32 * self.below(60),
            31..=40 => self.below(1984),
            _ => self.below(120),
        }
    }
}
