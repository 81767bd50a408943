//! What a row's encoding makes of its value.
//!
//! ```text
//! u8 i8 u16 .. i64    a decimal number
//! string              text; a NUL is added
//! hex2bin             hexadecimal digits
//! base64              base64 as Python's binascii reads it: what is no digit is skipped
//! binary              the bytes themselves
//! blob_fill(n;0xNN)   the text, filled up to n bytes
//! blob_sz_fill(..)    the same behind the length of the text in 4 bytes
//! ```
//!
//! Source: `esp-idf-nvs-partition-gen` 0.3.0; Python `Modules/binascii.c`.

use espseal_format::nvs::item::ItemKind;
use zeroize::Zeroizing;

use super::error::RowProblem;
use super::image::LARGEST_PARTITION;

/// A value as it is stored.
pub enum Value {
    /// A number, little-endian in its first bytes.
    Number {
        /// Its type.
        kind: ItemKind,
        /// The bytes; those that its type does not have are 0xFF.
        bytes: [u8; 8],
    },
    /// Text with its NUL.
    Text(Zeroizing<Vec<u8>>),
    /// Bytes.
    Blob(Zeroizing<Vec<u8>>),
}

/// Where a row's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// The row itself.
    Data(&'a str),
    /// The file that it names.
    File(&'a [u8]),
}

/// How a value is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Number(ItemKind),
    Text,
    Hex,
    Base64,
    Binary,
    Filled {
        length: usize,
        byte: u8,
        sized: bool,
    },
}

impl Value {
    /// Encodes the value of a row.
    ///
    /// # Errors
    /// [`RowProblem`], without the value.
    pub fn encode(key: &str, encoding: &str, origin: Origin<'_>) -> Result<Self, RowProblem> {
        let unknown = || RowProblem::Encoding {
            found: encoding.into(),
        };
        let wrong = |expected| RowProblem::Value {
            key: key.into(),
            expected,
        };
        let bytes = match origin {
            Origin::Data(text) => text.as_bytes(),
            Origin::File(bytes) => bytes,
        };
        Ok(match Encoding::parse(encoding).ok_or_else(unknown)? {
            Encoding::Number(kind) => number(kind, bytes).ok_or_else(|| wrong(range(kind)))?,
            Encoding::Text => {
                let text = str::from_utf8(bytes).map_err(|_| wrong("UTF-8 text"))?;
                let both = [text.as_bytes(), &[0]];
                Self::Text(Zeroizing::new(both.concat()))
            }
            Encoding::Hex => {
                Self::Blob(hex(bytes).ok_or_else(|| wrong("whole bytes in hexadecimal"))?)
            }
            Encoding::Base64 => Self::Blob(base64(bytes, origin).ok_or_else(|| wrong("base64"))?),
            Encoding::Binary => match origin {
                // The original counts characters and writes bytes.
                Origin::Data(text) if !text.is_ascii() => {
                    return Err(wrong("ASCII; give other bytes as hex2bin, base64 or file"));
                }
                _ => Self::Blob(Zeroizing::new(bytes.to_vec())),
            },
            Encoding::Filled {
                length,
                byte,
                sized,
            } => {
                let Origin::Data(text) = origin else {
                    return Err(wrong(
                        "text in the row itself, the only kind that is filled up",
                    ));
                };
                Self::Blob(
                    filled(text, length, byte, sized)
                        .ok_or_else(|| wrong("text of that length"))?,
                )
            }
        })
    }
}

impl Encoding {
    fn parse(text: &str) -> Option<Self> {
        // In capitals, the original stores text without its NUL, and digits instead of bytes.
        match text {
            "string" => return Some(Self::Text),
            "hex2bin" => return Some(Self::Hex),
            "base64" => return Some(Self::Base64),
            _ => {}
        }
        if let Some(rest) = text.strip_prefix("blob_fill") {
            return Self::filled(rest, false);
        }
        if let Some(rest) = text.strip_prefix("blob_sz_fill") {
            return Self::filled(rest, true);
        }
        let kind = match text.to_lowercase().as_str() {
            "u8" => ItemKind::U8,
            "i8" => ItemKind::I8,
            "u16" => ItemKind::U16,
            "i16" => ItemKind::I16,
            "u32" => ItemKind::U32,
            "i32" => ItemKind::I32,
            "u64" => ItemKind::U64,
            "i64" => ItemKind::I64,
            "binary" => return Some(Self::Binary),
            _ => return None,
        };
        Some(Self::Number(kind))
    }

    /// Reads `(n;0xNN)`.
    fn filled(arguments: &str, sized: bool) -> Option<Self> {
        let arguments = arguments.strip_prefix('(')?.strip_suffix(')')?;
        let (length, byte) = arguments.split_once(';')?;
        let byte = byte.strip_prefix("0x").filter(|byte| byte.len() == 2)?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits(byte) || !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let length: usize = length.parse().ok()?;
        (length <= LARGEST_PARTITION as usize).then_some(())?;
        Some(Self::Filled {
            length,
            byte: u8::from_str_radix(byte, 16).ok()?,
            sized,
        })
    }
}

/// Reads a number as Python's `int` does: blanks around it, a sign, underscores between digits.
fn number(kind: ItemKind, text: &[u8]) -> Option<Value> {
    let text = str::from_utf8(text).ok()?;
    let blank = |character: char| matches!(character, '\t'..='\r' | ' ');
    let text = text.trim_matches(blank);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut value: i128 = 0;
    for group in digits.split('_') {
        if group.is_empty() {
            return None;
        }
        for digit in group.chars() {
            let digit = i128::from(digit.to_digit(10)?);
            // No number of more digits fits any type.
            value = value.saturating_mul(10).saturating_add(digit);
        }
    }
    let value = if negative { -value } else { value };
    let length = kind.number_len()?;
    let bits = u32::try_from(length).ok()?.checked_mul(8)?;
    let half = 1_i128.checked_shl(bits.checked_sub(1)?)?;
    let range = match kind.is_signed() {
        true => -half..half,
        false => 0..half.checked_mul(2)?,
    };
    if !range.contains(&value) {
        return None;
    }
    let mut bytes = [0xFF; 8];
    bytes
        .iter_mut()
        .zip(value.to_le_bytes())
        .take(length)
        .for_each(|(to, from)| *to = from);
    Some(Value::Number { kind, bytes })
}

const fn range(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::U8 => "decimal number from 0 to 255",
        ItemKind::I8 => "decimal number from -128 to 127",
        ItemKind::U16 => "decimal number from 0 to 65535",
        ItemKind::I16 => "decimal number from -32768 to 32767",
        ItemKind::U32 => "decimal number of 32 bits",
        ItemKind::I32 => "decimal number of 32 bits with a sign",
        ItemKind::U64 => "decimal number of 64 bits",
        _ => "decimal number of 64 bits with a sign",
    }
}

/// Reads hexadecimal digits, with blanks around them.
fn hex(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = str::from_utf8(text).ok()?.trim();
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes.map(Zeroizing::new)
}

/// Reads base64 as `binascii.a2b_base64` does: other characters are skipped, a whole padding ends it.
fn base64(text: &[u8], origin: Origin<'_>) -> Option<Zeroizing<Vec<u8>>> {
    if matches!(origin, Origin::Data(text) if !text.is_ascii()) {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let (mut held, mut position, mut padding) = (0_u8, 0_u8, 0_u8);
    for byte in text {
        let digit = match byte {
            b'A'..=b'Z' => byte.wrapping_sub(b'A'),
            b'a'..=b'z' => byte.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => byte.wrapping_sub(b'0').wrapping_add(52),
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                if position >= 2 {
                    padding = padding.saturating_add(1);
                    if position.saturating_add(padding) >= 4 {
                        return Some(bytes);
                    }
                }
                continue;
            }
            _ => continue,
        };
        padding = 0;
        match position {
            0 => {}
            1 => bytes.push(held << 2 | digit >> 4),
            2 => bytes.push(held << 4 | digit >> 2),
            _ => bytes.push(held << 6 | digit),
        }
        held = digit;
        position = (position + 1) & 3;
    }
    (position == 0).then_some(bytes)
}

/// Fills text up to a length, behind its own length in 4 bytes if `sized`.
fn filled(text: &str, length: usize, byte: u8, sized: bool) -> Option<Zeroizing<Vec<u8>>> {
    let missing = length.checked_sub(text.len())?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.saturating_add(4)));
    if sized {
        bytes.extend(u32::try_from(text.len()).ok()?.to_le_bytes());
    }
    bytes.extend(text.as_bytes());
    bytes.extend(std::iter::repeat_n(byte, missing));
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(encoding: &str, text: &str) -> Option<Vec<u8>> {
        match Value::encode("k", encoding, Origin::Data(text)).ok()? {
            Value::Number { kind, bytes } => Some(bytes[..kind.number_len()?].to_vec()),
            Value::Text(bytes) | Value::Blob(bytes) => Some(bytes.to_vec()),
        }
    }

    #[test]
    fn numbers_are_decimal_and_stay_in_range() {
        for (encoding, low, high) in [
            ("u8", 0, 255),
            ("i8", -128, 127),
            ("u16", 0, 65_535),
            ("I16", -32_768, 32_767),
            ("u32", 0, i128::from(u32::MAX)),
            ("i32", i128::from(i32::MIN), i128::from(i32::MAX)),
            ("U64", 0, i128::from(u64::MAX)),
            ("i64", i128::from(i64::MIN), i128::from(i64::MAX)),
        ] {
            for good in [low, high, 7] {
                let bytes = data(encoding, &good.to_string()).unwrap();
                assert_eq!(bytes[..], good.to_le_bytes()[..bytes.len()]);
            }
            for bad in [low - 1, high + 1, i128::MAX] {
                assert_eq!(data(encoding, &bad.to_string()), None, "{encoding} {bad}");
            }
        }
        assert_eq!(data("u16", "\t +1_000 \n"), Some(vec![0xE8, 3]));
        for bad in ["", "0x10", "1__0", "_1", "1_", "- 1", "1.0", "+-1"] {
            assert_eq!(data("i32", bad), None, "{bad:?}");
        }
        assert_eq!(data("u64", &"9".repeat(200)), None);
    }

    #[test]
    fn bytes_come_from_hexadecimal_base64_text_and_filling() {
        assert_eq!(data("hex2bin", " 00fF "), Some(vec![0, 0xFF]));
        assert_eq!(data("hex2bin", "0"), None);
        assert_eq!(data("hex2bin", "0g"), None);
        assert_eq!(data("base64", "AQ ID!"), Some(vec![1, 2, 3]));
        assert_eq!(data("base64", "AQI=rest"), Some(vec![1, 2]));
        assert_eq!(data("base64", "AQ="), None);
        assert_eq!(data("string", "é"), Some(vec![0xC3, 0xA9, 0]));
        assert_eq!(data("binary", "ab"), Some(b"ab".to_vec()));
        assert_eq!(data("binary", "é"), None);
        assert_eq!(
            data("blob_fill(4;0xAB)", "x"),
            Some(vec![b'x', 0xAB, 0xAB, 0xAB])
        );
        assert_eq!(
            data("blob_sz_fill(2;0x00)", "x"),
            Some(vec![1, 0, 0, 0, b'x', 0])
        );
        assert_eq!(data("blob_fill(1;0xAB)", "xy"), None);
        for bad in [
            "String",
            "HEX2BIN",
            "blob_fill",
            "blob_fill(4;0xA)",
            "blob_fill(+4;0xAB)",
            "u7",
        ] {
            assert_eq!(data(bad, "00"), None, "{bad}");
        }
    }
}
