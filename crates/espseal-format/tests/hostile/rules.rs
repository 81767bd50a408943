//! What a well-formed document may not say, rule by rule.

use espseal_format::cbor::{CborError, EncodeError};
use espseal_format::chip::ChipId;
use espseal_format::cose::{CoseError, Sign, Sign1};
use espseal_format::metadata::MetadataError;
use espseal_format::metadata::manifest::Manifest;
use espseal_format::metadata::now::Now;
use espseal_format::metadata::releases::Releases;
use espseal_format::metadata::root::Root;
use espseal_format::report::{DeviceRecord, Poll, Report};
use espseal_format::units::KeyId;

use super::number;
use crate::tree::Item;

/// Parses a document after one item has been replaced, and returns the refusal.
pub(crate) fn refusal<T: core::fmt::Debug>(
    parse: fn(&[u8]) -> Result<T, MetadataError>,
    bytes: &[u8],
    path: &[usize],
    item: Item,
) -> MetadataError {
    let mut tree = Item::parse(bytes);
    *tree.at(path) = item;
    parse(&tree.encode()).unwrap_err()
}

/// Parses a document after an array has been changed, and returns the result.
pub(crate) fn with_array<T>(
    parse: fn(&[u8]) -> Result<T, MetadataError>,
    bytes: &[u8],
    path: &[usize],
    change: impl FnOnce(&mut Vec<Item>),
) -> Result<T, MetadataError> {
    let mut tree = Item::parse(bytes);
    match tree.at(path) {
        Item::Array(items) => change(items),
        _ => panic!("not an array"),
    }
    parse(&tree.encode())
}

pub(crate) fn range(field: &'static str, min: u64, max: u64, found: u64) -> MetadataError {
    MetadataError::Range {
        field,
        min,
        max,
        found,
    }
}

fn text(content: &str) -> Item {
    Item::String(3, content.as_bytes().to_vec())
}

#[test]
fn root_counts_from_one_and_its_own_role_has_no_generation() {
    let root = vector!("root.cbor");
    let last = u32::MAX.into();
    assert_eq!(
        refusal(Root::parse, root, &[1], number(0)),
        range("root.version", 1, last, 0)
    );
    assert_eq!(
        refusal(Root::parse, root, &[4, 2], number(1)),
        range("root.root.gen", 0, 0, 1)
    );
}

#[test]
fn threshold_is_at_least_one_and_at_most_the_number_of_keys() {
    let root = vector!("root.cbor");
    for (role, field, keys) in [
        (4, "root.root.threshold", 3),
        (5, "root.releases.threshold", 1),
        (6, "root.now.threshold", 1),
    ] {
        for found in [0, keys + 1] {
            assert_eq!(
                refusal(Root::parse, root, &[role, 0], number(found)),
                range(field, 1, keys, found)
            );
        }
    }
}

#[test]
fn role_keys_are_distinct_sorted_uncompressed_points() {
    let root = vector!("root.cbor");
    let field = "root.root.keys";
    let swapped = with_array(Root::parse, root, &[4, 1], |keys| keys.swap(1, 2));
    assert_eq!(swapped, Err(MetadataError::Order { field, index: 2 }));
    let twice = with_array(Root::parse, root, &[4, 1], |keys| keys[1] = keys[0].clone());
    assert_eq!(twice, Err(MetadataError::Duplicate { field, index: 1 }));
    let mut compressed = vec![0; 65];
    compressed[0] = 0x02;
    assert_eq!(
        refusal(
            Root::parse,
            root,
            &[4, 1, 0],
            Item::String(2, compressed.clone())
        ),
        MetadataError::PointFormat { field, found: 0x02 }
    );
    assert_eq!(
        refusal(
            DeviceRecord::parse,
            vector!("device.cbor"),
            &[1],
            Item::String(2, compressed)
        ),
        MetadataError::PointFormat {
            field: "record.report-key",
            found: 0x02
        }
    );
}

#[test]
fn offers_epochs_and_holds_are_sorted_and_unique() {
    let releases = vector!("releases.cbor");
    for (path, field) in [(5, "releases.offers"), (6, "releases.epochs")] {
        let swapped = with_array(Releases::parse, releases, &[path], |items| items.swap(0, 1));
        assert_eq!(swapped, Err(MetadataError::Order { field, index: 1 }));
        let twice = with_array(Releases::parse, releases, &[path], |items| {
            items[1] = items[0].clone();
        });
        assert_eq!(twice, Err(MetadataError::Duplicate { field, index: 1 }));
    }
    // The same channel and chip with other contents is a duplicate too.
    let same = with_array(Releases::parse, releases, &[5], |offers| {
        let mut copy = offers[0].clone();
        *copy.at(&[3]) = number(99);
        offers.insert(1, copy);
    });
    let field = "releases.offers";
    assert_eq!(same, Err(MetadataError::Duplicate { field, index: 1 }));
    let now = vector!("now.cbor");
    let field = "now.holds";
    let hold = |holds: &mut Vec<Item>, channel: &str| {
        let mut copy = holds[0].clone();
        *copy.at(&[0]) = text(channel);
        holds.push(copy);
    };
    let order = with_array(Now::parse, now, &[7], |holds| hold(holds, "beta"));
    assert_eq!(order, Err(MetadataError::Order { field, index: 1 }));
    let twice = with_array(Now::parse, now, &[7], |holds| hold(holds, "production"));
    assert_eq!(twice, Err(MetadataError::Duplicate { field, index: 1 }));
    assert!(with_array(Now::parse, now, &[7], |holds| hold(holds, "qa")).is_ok());
}

#[test]
fn offers_sort_by_the_channel_as_text_then_by_the_chip_as_number() {
    let offers = |first: (&str, u64), second: (&str, u64)| {
        with_array(Releases::parse, vector!("releases.cbor"), &[5], |offers| {
            offers.truncate(2);
            for (offer, (channel, chip)) in offers.iter_mut().zip([first, second]) {
                *offer.at(&[0]) = text(channel);
                *offer.at(&[1]) = number(chip);
            }
        })
    };
    // Not the length-first order of encoded text.
    assert!(offers(("aa", 0), ("b", 0)).is_ok());
    assert!(offers(("b", 0), ("aa", 0)).is_err());
    // 1 is no chip that ESP-IDF knows; 2 is the ESP32-S2.
    let parsed = offers(("a", 1), ("a", 2)).unwrap();
    assert_eq!(parsed.offers[0].chip, ChipId::Unknown(1));
    assert!(offers(("a", 2), ("a", 1)).is_err());
}

#[test]
fn numbers_of_offers_epochs_and_holds_stay_in_range() {
    let releases = vector!("releases.cbor");
    for (path, item, expected) in [
        (
            &[5, 0, 5],
            1_000_001,
            range("offer.ppm", 0, 1_000_000, 1_000_001),
        ),
        (&[5, 0, 6], 2, range("offer.state", 0, 1, 2)),
        (&[6, 0, 3], 7, range("epoch.shard-nibbles", 0, 6, 7)),
    ] {
        assert_eq!(
            refusal(Releases::parse, releases, path, number(item)),
            expected
        );
    }
    assert_eq!(
        refusal(Releases::parse, releases, &[5, 0, 1], number(0x1_0000)),
        MetadataError::Encoding(CborError::Range {
            field: "offer.chip",
            min: 0,
            max: 0xFFFF,
            found: 0x1_0000
        })
    );
    assert_eq!(
        refusal(
            Now::parse,
            vector!("now.cbor"),
            &[7, 0, 3],
            number(1_000_001)
        ),
        range("hold.ppm", 0, 1_000_000, 1_000_001)
    );
}

#[test]
fn channels_are_short_lower_case_names() {
    let channel = |item| refusal(Poll::parse, vector!("poll.cbor"), &[2], item);
    for (wrong, found) in [
        ("Beta", 'B'),
        ("a/b", '/'),
        ("a\0", '\0'),
        ("\u{e4}", '\u{e4}'),
    ] {
        let field = "poll.channel";
        assert_eq!(
            channel(text(wrong)),
            MetadataError::Character { field, found }
        );
    }
    for wrong in ["", "aaaaaaaaaaaaaaaaaaaaaaaaa"] {
        let expected = CborError::Length {
            field: "poll.channel",
            min: 1,
            max: 24,
            found: wrong.len(),
        };
        assert_eq!(channel(text(wrong)), MetadataError::Encoding(expected));
    }
    assert!(matches!(
        channel(Item::String(3, vec![b'a', 0xFF])),
        MetadataError::Encoding(CborError::Utf8 { .. })
    ));
}

#[test]
fn now_expires_after_it_was_signed_and_names_a_root() {
    let now = vector!("now.cbor");
    assert_eq!(
        refusal(Now::parse, now, &[4], number(1_799_999_999)),
        range("now.expires", 1_800_000_000, u64::MAX, 1_799_999_999)
    );
    assert_eq!(
        refusal(Now::parse, now, &[6], number(0)),
        range("now.root-version", 1, u32::MAX.into(), 0)
    );
}

#[test]
fn hold_narrows_its_own_offer_and_never_widens_it() {
    let releases = Releases::parse(vector!("releases.cbor")).unwrap();
    let share = |seq, ppm| {
        let mut tree = Item::parse(vector!("now.cbor"));
        *tree.at(&[7, 0, 2]) = number(seq);
        *tree.at(&[7, 0, 3]) = number(ppm);
        let now = Now::parse(&tree.encode()).unwrap();
        now.effective_ppm(&releases.offers[2]).get()
    };
    // The offer is seq 42 to 50,000 ppm.
    assert_eq!(share(42, 0), 0);
    assert_eq!(share(42, 49_999), 49_999);
    assert_eq!(share(42, 1_000_000), 50_000);
    assert_eq!(share(41, 0), 50_000);
}

#[test]
fn lengths_and_pages_of_a_manifest_agree() {
    let manifest = |path, item| refusal(Manifest::parse, vector!("manifest.cbor"), path, item);
    let field = "component.plaintext-length";
    for found in [0, (16 << 20) + 1] {
        assert_eq!(
            manifest(&[9, 0, 1], number(found)),
            range(field, 1, 16 << 20, found)
        );
    }
    assert_eq!(
        manifest(&[9, 0, 3], number(4999)),
        MetadataError::Mismatch {
            field: "component.body-length",
            expected: 5000,
            found: 4999
        }
    );
    assert_eq!(
        manifest(&[9, 0, 0], number(1)),
        range("component.kind", 0, 0, 1)
    );
    let lengths = |length: u64| {
        let mut tree = Item::parse(vector!("manifest.cbor"));
        *tree.at(&[9, 0, 1]) = number(length);
        *tree.at(&[9, 0, 3]) = number(length);
        Manifest::parse(&tree.encode())
    };
    assert!(lengths(128 * 4096).is_ok());
    assert_eq!(
        lengths(128 * 4096 + 1),
        Err(MetadataError::Mismatch {
            field: "component.pages",
            expected: 2,
            found: 1
        })
    );
    let pages = with_array(
        Manifest::parse,
        vector!("manifest.cbor"),
        &[9, 0, 8],
        |pages| {
            pages.push(pages[0].clone());
        },
    );
    assert_eq!(
        pages,
        Err(MetadataError::Mismatch {
            field: "component.pages",
            expected: 1,
            found: 2
        })
    );
}

#[test]
fn texts_of_a_manifest_fit_the_app_descriptor() {
    let manifest = |path, item| refusal(Manifest::parse, vector!("manifest.cbor"), path, item);
    for (path, field) in [(&[4], "manifest.project"), (&[5], "manifest.version")] {
        for found in ['\0', '\n', '\u{1b}', '\u{7f}', '\u{85}'] {
            assert_eq!(
                manifest(path, text(&format!("a{found}b"))),
                MetadataError::Character { field, found }
            );
        }
        assert_eq!(
            manifest(path, text(&"x".repeat(32))),
            MetadataError::Encoding(CborError::Length {
                field,
                min: 0,
                max: 31,
                found: 32
            })
        );
    }
}

#[test]
fn unassigned_events_and_wide_codes_are_refused() {
    let report = vector!("report.cbor");
    assert_eq!(
        refusal(Report::parse, report, &[3], number(5)),
        range("report.event", 0, 4, 5)
    );
    assert!(matches!(
        refusal(Report::parse, report, &[7], number(0x1_0000)),
        MetadataError::Encoding(CborError::Range { max: 0xFFFF, .. })
    ));
}

#[test]
fn what_parse_would_refuse_encode_refuses() {
    let mut out = [0; 2048];
    let mut root = Root::parse(vector!("root.cbor")).unwrap();
    root.now.threshold = 2;
    let expected = range("root.now.threshold", 1, 1, 2);
    assert_eq!(root.encode(&mut out), Err(EncodeError::Invalid(expected)));
    root.now.keys.clear();
    let expected = range("root.now.keys", 1, 5, 0);
    assert_eq!(root.encode(&mut out), Err(EncodeError::Invalid(expected)));
    let mut releases = Releases::parse(vector!("releases.cbor")).unwrap();
    releases.offers.swap(0, 1);
    assert!(matches!(
        releases.encode(&mut out),
        Err(EncodeError::Invalid(_))
    ));
    let mut sign = Sign::parse(vector!("root.cose")).unwrap();
    sign.signatures.swap(0, 1);
    assert!(matches!(
        sign.encode(&mut out),
        Err(EncodeError::Invalid(CoseError::KidOrder { .. }))
    ));
    sign.signatures.clear();
    assert_eq!(
        sign.encode(&mut out),
        Err(EncodeError::Invalid(CoseError::NoSignature))
    );
}

#[test]
fn small_buffers_and_long_payloads_are_refused_with_the_length_needed() {
    let now = Now::parse(vector!("now.cbor")).unwrap();
    let needed = vector!("now.cbor").len();
    for found in 0..needed {
        assert_eq!(
            now.encode(&mut vec![0; found]),
            Err(EncodeError::BufferTooSmall { needed, found })
        );
    }
    let envelope = |payload: &[u8]| {
        let sign1 = Sign1 {
            kid: KeyId([0; 8]),
            payload,
            signature: &[0; 64],
        };
        sign1.encode(&mut [0; 4096])
    };
    assert_eq!(envelope(&[0; 2048 - 86]), Ok(2048));
    assert_eq!(
        envelope(&[0; 2048 - 85]),
        Err(EncodeError::TooLong {
            document: "COSE_Sign1",
            limit: 2048,
            found: 2049
        })
    );
}
