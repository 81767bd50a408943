//! The `Range` request header, as far as one part goes.
//!
//! `bytes=N-`, `bytes=N-M` and `bytes=-N`. Everything else (several parts, other units, a last byte
//! before the first) is a header that a server may ignore, and the caller decides whether it does.
//!
//! Source: RFC 9110 section 14.1.2 and 14.2.

use std::ops::Range;

use hyper::HeaderMap;
use hyper::header::RANGE;

/// What the client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RangeHeader {
    /// No `Range` header.
    Absent,
    /// A header that asks for something other than one part of the bytes.
    Unusable,
    /// One part.
    One(Part),
}

/// One part of a representation whose length is not yet known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// `bytes=N-`
    From(u64),
    /// `bytes=N-M`, both inclusive, N at most M.
    FromTo(u64, u64),
    /// `bytes=-N`
    Last(u64),
}

impl RangeHeader {
    /// Reads the header of a request.
    pub(crate) fn parse(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(RANGE).iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => value
                .to_str()
                .ok()
                .and_then(parse_one)
                .map_or(Self::Unusable, Self::One),
            (Some(_), Some(_)) => Self::Unusable,
        }
    }
}

impl Part {
    /// Returns the bytes of a representation of `len` bytes; `None` when there are none.
    pub(crate) fn resolve(self, len: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From(first) => first..len,
            Self::FromTo(first, last) => first..len.min(last.saturating_add(1)),
            Self::Last(count) => len.saturating_sub(count)..len,
        };
        (range.start < range.end).then_some(range)
    }
}

/// Parses the value of a header with exactly one part.
fn parse_one(value: &str) -> Option<Part> {
    let (unit, part) = value.trim().split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = part.trim().split_once('-')?;
    match (first, last) {
        ("", last) => Some(Part::Last(number(last)?)),
        (first, "") => Some(Part::From(number(first)?)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Part::FromTo(first, last))
        }
    }
}

/// Parses decimal digits; a number beyond 64 bits is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> RangeHeader {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, value.parse().unwrap());
        RangeHeader::parse(&headers)
    }

    #[test]
    fn each_single_form_is_understood() {
        assert_eq!(parse("bytes=0-"), RangeHeader::One(Part::From(0)));
        assert_eq!(parse("bytes=5-9"), RangeHeader::One(Part::FromTo(5, 9)));
        assert_eq!(parse("Bytes=-7"), RangeHeader::One(Part::Last(7)));
        let huge = "bytes=99999999999999999999999-";
        assert_eq!(parse(huge), RangeHeader::One(Part::From(u64::MAX)));
    }

    #[test]
    fn other_forms_are_unusable() {
        for value in [
            "bytes=0-1,3-4",
            "bytes=9-5",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1--2",
            "lines=0-1",
            "0-1",
            "bytes 0-1",
            "bytes=0x1-2",
            "bytes=1 -2",
        ] {
            assert_eq!(parse(value), RangeHeader::Unusable, "{value}");
        }
        let mut twice = HeaderMap::new();
        twice.append(RANGE, "bytes=0-1".parse().unwrap());
        twice.append(RANGE, "bytes=2-3".parse().unwrap());
        assert_eq!(RangeHeader::parse(&twice), RangeHeader::Unusable);
        assert_eq!(RangeHeader::parse(&HeaderMap::new()), RangeHeader::Absent);
    }

    #[test]
    fn parts_are_clamped_to_the_length_and_never_empty() {
        assert_eq!(Part::From(0).resolve(10), Some(0..10));
        assert_eq!(Part::From(10).resolve(10), None);
        assert_eq!(Part::FromTo(2, 3).resolve(10), Some(2..4));
        assert_eq!(Part::FromTo(2, u64::MAX).resolve(10), Some(2..10));
        assert_eq!(Part::FromTo(10, 12).resolve(10), None);
        assert_eq!(Part::Last(3).resolve(10), Some(7..10));
        assert_eq!(Part::Last(11).resolve(10), Some(0..10));
        assert_eq!(Part::Last(0).resolve(10), None);
        assert_eq!(Part::From(0).resolve(0), None);
    }
}
