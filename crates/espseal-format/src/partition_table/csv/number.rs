//! Numbers as Python's `int(text, 0)` reads them, with the suffixes K and M.

/// Reads a number; `None` for anything else.
pub(super) fn parse(text: &str) -> Option<i64> {
    for (suffix, factor) in [(['k', 'K'], 1 << 10), (['m', 'M'], 1 << 20)] {
        if let Some(head) = text.strip_suffix(suffix) {
            return parse(head)?.checked_mul(factor);
        }
    }
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let value = magnitude(digits)?;
    if negative {
        value.checked_neg()
    } else {
        Some(value)
    }
}

fn magnitude(digits: &str) -> Option<i64> {
    let prefixed = |prefix: [&str; 2], radix| {
        let rest = prefix
            .iter()
            .find_map(|prefix| digits.strip_prefix(prefix))?;
        // Python allows an underscore between prefix and digits.
        Some((rest.strip_prefix('_').unwrap_or(rest), radix))
    };
    let (digits, radix) = prefixed(["0x", "0X"], 16)
        .or_else(|| prefixed(["0o", "0O"], 8))
        .or_else(|| prefixed(["0b", "0B"], 2))
        .unwrap_or((digits, 10));
    let mut value: i64 = 0;
    let mut after_digit = false;
    for character in digits.chars() {
        if character == '_' && after_digit {
            after_digit = false;
            continue;
        }
        let digit = i64::from(character.to_digit(radix)?);
        value = value.checked_mul(i64::from(radix))?.checked_add(digit)?;
        after_digit = true;
    }
    // A leading zero is an error unless the number is zero.
    let leading_zero = radix == 10 && digits.starts_with('0') && value != 0;
    (after_digit && !leading_zero).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::parse;

    /// Expected values printed by `parse_int` of ESP-IDF's `gen_esp32part.py` (Python 3.11); only
    /// the last, which Python has no limit for, is ours.
    #[test]
    fn numbers_read_as_python_reads_them() {
        for (text, expected) in [
            ("0x1_0000", Some(0x1_0000)),
            ("0x_ff", Some(0xFF)),
            ("0XfF", Some(0xFF)),
            ("0o17", Some(15)),
            ("0b101", Some(5)),
            ("1_000", Some(1000)),
            ("00", Some(0)),
            ("010", None),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("", None),
            ("0x", None),
            ("-0x10", Some(-16)),
            ("+5", Some(5)),
            ("--5", None),
            ("4K", Some(4096)),
            ("1m", Some(1 << 20)),
            ("2 K", Some(2048)),
            ("1kk", Some(1 << 20)),
            ("0x4k", Some(4096)),
            ("K", None),
            ("1.5M", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
