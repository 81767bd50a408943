//! Numbers as espsecure's flags take them: Python's integer literals.

/// Reads a number: decimal, or `0x`, `0o`, `0b`; with a sign, and underscores between digits.
///
/// Numbers of any size are numbers to espsecure; what does not fit here is out of range anywhere.
pub(super) fn integer(text: &str) -> Result<i128, String> {
    let word = text.trim();
    let (negative, digits) = match word.strip_prefix(['-', '+']) {
        Some(digits) => (word.starts_with('-'), digits),
        None => (false, word),
    };
    let (radix, digits) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, digits.get(2..)),
        Some("0o") => (8, digits.get(2..)),
        Some("0b") => (2, digits.get(2..)),
        _ => (10, Some(digits)),
    };
    let digits = digits.unwrap_or_default();
    // After a radix, an underscore may come first.
    let bare = match radix {
        10 => digits,
        _ => digits.strip_prefix('_').unwrap_or(digits),
    };
    let well_formed = bare
        .split('_')
        .all(|group| !group.is_empty() && group.chars().all(|digit| digit.is_digit(radix)));
    let plain = bare.replace('_', "");
    let octal_of_old = radix == 10 && plain.starts_with('0') && plain.contains(|c| c != '0');
    if !well_formed || octal_of_old {
        return Err("expected a number such as 0x10000".into());
    }
    let magnitude = i128::from_str_radix(&plain, radix).map_err(|_| "too large a number")?;
    Ok(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::integer;

    #[test]
    fn numbers_are_read_as_python_reads_them() {
        for (text, value) in [
            ("0", 0),
            ("00", 0),
            ("-0", 0),
            (" 16 ", 16),
            ("+16", 16),
            ("-0x10", -16),
            ("0X1f", 31),
            ("0x_1_0", 16),
            ("0o20", 16),
            ("0B10000", 16),
            ("1_000", 1000),
            ("0xFFFFFFFFFFFFFFFF", 0xFFFF_FFFF_FFFF_FFFF),
        ] {
            assert_eq!(integer(text), Ok(value), "{text}");
        }
        for text in [
            "", "-", "+-1", "0x", "x10", "010", "1__0", "_1", "1_", "16.0", "1e3", "abc", "0b2",
            "١",
        ] {
            assert!(integer(text).is_err(), "{text}");
        }
    }
}
