//! Values on the command line, as Python reads them.

use espseal_format::efuse::Field;

use super::EspefuseError;
use crate::efuse::BLOCK_SIZE;

/// Reads an integer as Python's `int(text, 0)`: any base by its prefix, underscores between digits,
/// no leading zeros.
pub(super) fn integer(text: &str) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.get(..2) {
        Some("0x") => (16, lower.get(2..)?),
        Some("0o") => (8, lower.get(2..)?),
        Some("0b") => (2, lower.get(2..)?),
        _ => (10, lower.as_str()),
    };
    let prefixed = base != 10;
    let digits = match prefixed {
        true => digits.strip_prefix('_').unwrap_or(digits),
        false => digits,
    };
    let well_formed = !digits.is_empty()
        && !digits.starts_with('_')
        && !digits.ends_with('_')
        && !digits.contains("__");
    let digits = digits.replace('_', "");
    let padded = !prefixed && digits.starts_with('0') && digits.chars().any(|digit| digit != '0');
    let number = i128::from_str_radix(&digits, base)
        .ok()
        .filter(|_| well_formed && !padded && !digits.starts_with(['+', '-']))?;
    Some(if negative { -number } else { number })
}

/// Reads a decimal integer as Python's `int(text)`.
pub(super) fn decimal(text: &str) -> Option<i64> {
    let trimmed = text.trim();
    let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
    let well_formed = !digits.is_empty()
        && !digits.starts_with('_')
        && !digits.ends_with('_')
        && !digits.contains("__")
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'_');
    let number: i64 = digits
        .replace('_', "")
        .parse()
        .ok()
        .filter(|_| well_formed)?;
    Some(if trimmed.starts_with('-') {
        -number
    } else {
        number
    })
}

/// Reads bytes in hex, the highest first, as a block holds them: the lowest first.
pub(super) fn bytes(
    field: &Field,
    width: u16,
    text: &str,
) -> Result<[u8; BLOCK_SIZE], EspefuseError> {
    let wrong = |expected| EspefuseError::Value {
        field: field.name,
        value: text.into(),
        expected,
    };
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let pairs: Vec<u8> = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair)
                .ok()
                .filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16)
                .ok()
                .filter(|_| !pair.starts_with('+'))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| wrong("hexadecimal bytes"))?;
    if pairs.len() * 8 != usize::from(width) {
        return Err(wrong("as many bytes as it has"));
    }
    let mut value = [0; BLOCK_SIZE];
    value
        .iter_mut()
        .zip(pairs.iter().rev())
        .for_each(|(to, from)| *to = *from);
    Ok(value)
}

/// Reads a MAC address of six bytes, the first byte first. A custom one is for one device, so its
/// lowest bit is 0.
pub(super) fn mac(field: &'static str, text: &str) -> Result<[u8; 6], EspefuseError> {
    let wrong = |expected| EspefuseError::Value {
        field,
        value: text.into(),
        expected,
    };
    let parts: Vec<&str> = text.split(':').collect();
    let bytes: Option<Vec<u8>> = parts
        .iter()
        .map(|part| {
            let hex = part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
            u8::from_str_radix(part, 16).ok().filter(|_| hex)
        })
        .collect();
    let mac: [u8; 6] = bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| wrong("six bytes such as AA:CD:EF:01:02:03"))?;
    match mac {
        [first, ..] if first & 1 == 1 => Err(wrong("an address of one device: first byte even")),
        mac => Ok(mac),
    }
}

/// CRC-8 of the ESP32's MAC addresses (Dallas 1-Wire: polynomial x^8 + x^5 + x^4 + 1, reflected).
pub(super) fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc: u8, byte| {
        (0..8).fold(crc ^ byte, |crc, _| match crc & 1 {
            1 => (crc >> 1) ^ 0x8C,
            _ => crc >> 1,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_python_reads_them() {
        let cases = [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("0X1f", Some(31)),
            ("0x_1f", Some(31)),
            ("0b101", Some(5)),
            ("0o17", Some(15)),
            ("1_000", Some(1000)),
            ("-3", Some(-3)),
            ("00", Some(0)),
            ("007", None),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("", None),
            ("0x", None),
            ("0x-1", None),
            ("abc", None),
        ];
        for (text, expected) in cases {
            assert_eq!(integer(text), expected, "{text}");
        }
    }

    /// Seen: `espefuse --chip esp32 burn-custom-mac aa:cd:ef:01:02:03` burns 0x56 beside it.
    #[test]
    fn crc8_of_the_mac_is_the_one_that_espefuse_burns() {
        assert_eq!(crc8(&[0xAA, 0xCD, 0xEF, 0x01, 0x02, 0x03]), 0x56);
    }
}
