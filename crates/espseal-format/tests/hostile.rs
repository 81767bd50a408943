//! Every document, damaged in every way that its encoding allows.
//!
//! The documents are the frozen ones of `vectors/protocol-v1`; the flaws are put in by a CBOR
//! writer that shares no code with the crate.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, as tests do"
)]

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../vectors/protocol-v1/",
            $name
        ))
        .as_slice()
    };
}

#[path = "hostile/direct.rs"]
mod direct;
#[path = "hostile/rules.rs"]
mod rules;
#[path = "hostile/tree.rs"]
mod tree;

use espseal_format::cbor::CborError;
use espseal_format::cose::{CoseError, Sign, Sign1};
use espseal_format::journal::Record;
use espseal_format::metadata::MetadataError;
use espseal_format::metadata::direct::DirectManifest;
use espseal_format::metadata::manifest::Manifest;
use espseal_format::metadata::now::Now;
use espseal_format::metadata::releases::Releases;
use espseal_format::metadata::root::Root;
use espseal_format::report::{DeviceRecord, IdfSubscription, Poll, Report};
use espseal_format::units::KeyId;
use tree::{Flaw, Item};

/// What a parser refuses bytes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Metadata(MetadataError),
    Cose(CoseError),
}

impl Refusal {
    /// The error of the encoding itself.
    fn encoding(self) -> CborError {
        match self {
            Self::Metadata(MetadataError::Encoding(error))
            | Self::Cose(CoseError::Encoding(error)) => error,
            other => panic!("{other:?} is not about the encoding"),
        }
    }
}

/// A valid document and how to parse it and encode it again.
struct Document {
    name: &'static str,
    bytes: &'static [u8],
    reencode: fn(&[u8]) -> Result<Vec<u8>, Refusal>,
}

macro_rules! document {
    ($type:ty, $blame:expr, $name:literal) => {
        Document {
            name: $name,
            bytes: vector!($name),
            reencode: |bytes| {
                let value = <$type>::parse(bytes).map_err($blame)?;
                let mut out = vec![0; 4096];
                let length = value.encode(&mut out).unwrap();
                out.truncate(length);
                Ok(out)
            },
        }
    };
}

const DOCUMENTS: [Document; 18] = [
    document!(Root, Refusal::Metadata, "root.cbor"),
    document!(Releases, Refusal::Metadata, "releases.cbor"),
    document!(Releases, Refusal::Metadata, "first-releases.cbor"),
    document!(Now, Refusal::Metadata, "now.cbor"),
    document!(Manifest, Refusal::Metadata, "manifest.cbor"),
    document!(DirectManifest, Refusal::Metadata, "direct.cbor"),
    document!(DirectManifest, Refusal::Metadata, "direct-xts256.cbor"),
    document!(DirectManifest, Refusal::Metadata, "direct-esp32.cbor"),
    document!(Poll, Refusal::Metadata, "poll.cbor"),
    document!(Report, Refusal::Metadata, "report.cbor"),
    document!(Report, Refusal::Metadata, "factory-report.cbor"),
    document!(DeviceRecord, Refusal::Metadata, "device.cbor"),
    document!(IdfSubscription, Refusal::Metadata, "subscription.cbor"),
    document!(Sign1<'_>, Refusal::Cose, "releases.cose"),
    document!(Sign1<'_>, Refusal::Cose, "now.cose"),
    document!(Sign1<'_>, Refusal::Cose, "report.cose"),
    document!(Sign1<'_>, Refusal::Cose, "direct.cose"),
    document!(Sign<'_>, Refusal::Cose, "root.cose"),
];

#[test]
fn every_truncation_is_refused() {
    for document in DOCUMENTS {
        for length in 0..document.bytes.len() {
            let error = (document.reencode)(&document.bytes[..length]).unwrap_err();
            assert!(
                matches!(error.encoding(), CborError::Truncated { .. }),
                "{} at {length}: {error:?}",
                document.name
            );
        }
    }
}

#[test]
fn every_bit_flip_is_refused_or_means_something_else() {
    for document in DOCUMENTS {
        for bit in 0..document.bytes.len() * 8 {
            let mut bytes = document.bytes.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(again) = (document.reencode)(&bytes) {
                assert_eq!(again, bytes, "{} bit {bit}", document.name);
            }
        }
    }
}

#[test]
fn every_byte_at_every_place_is_refused_or_means_something_else() {
    for document in DOCUMENTS {
        for at in 0..document.bytes.len() {
            for value in 0..=u8::MAX {
                let mut bytes = document.bytes.to_vec();
                bytes[at] = value;
                if let Ok(again) = (document.reencode)(&bytes) {
                    assert_eq!(again, bytes, "{} byte {at}", document.name);
                }
            }
        }
    }
}

#[test]
fn every_bit_of_the_journal_record_counts() {
    let good = vector!("journal.record");
    for bit in 0..good.len() * 8 {
        let mut bytes = good.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Record::parse(&bytes).is_err(), "{bit}");
    }
}

#[test]
fn trailing_bytes_are_refused() {
    for document in DOCUMENTS {
        for byte in [0x00, 0xF6, 0xFF] {
            let mut bytes = document.bytes.to_vec();
            bytes.push(byte);
            let expected = document.bytes.len();
            let error = (document.reencode)(&bytes).unwrap_err().encoding();
            assert!(
                matches!(error, CborError::Trailing { expected: e, found, .. }
                    if e == expected && found == expected + 1),
                "{}: {error:?}",
                document.name
            );
        }
    }
}

#[test]
fn every_number_and_length_in_longer_form_is_refused() {
    for document in DOCUMENTS {
        let tree = Item::parse(document.bytes);
        assert_eq!(tree.encode(), document.bytes);
        let mut tried = 0;
        for head in 0..tree.heads() {
            let (bytes, Some(offset)) = tree.encode_flawed(head, Flaw::Longer) else {
                continue;
            };
            tried += 1;
            let error = (document.reencode)(&bytes).unwrap_err().encoding();
            assert_eq!(
                error,
                CborError::NotShortest { offset },
                "{}",
                document.name
            );
        }
        assert!(tried > 3);
    }
}

#[test]
fn every_indefinite_length_is_refused() {
    for document in DOCUMENTS {
        let tree = Item::parse(document.bytes);
        let mut tried = 0;
        for head in 0..tree.heads() {
            let (bytes, Some(at)) = tree.encode_flawed(head, Flaw::Indefinite) else {
                continue;
            };
            tried += 1;
            let error = (document.reencode)(&bytes).unwrap_err().encoding();
            assert!(
                matches!(error, CborError::IndefiniteLength { offset, .. } if offset == at),
                "{}: {error:?}",
                document.name
            );
        }
        assert!(tried > 2);
    }
}

#[test]
fn keys_out_of_order_twice_or_unknown_are_refused_in_every_map() {
    for document in DOCUMENTS {
        let good = Item::parse(document.bytes);
        for path in good.maps() {
            let count = entries(&mut good.clone(), &path).len();
            for entry in 1..count {
                let refusal = |change: &dyn Fn(&mut Entries)| {
                    let mut tree = good.clone();
                    change(entries(&mut tree, &path));
                    (document.reencode)(&tree.encode()).unwrap_err().encoding()
                };
                let swapped = refusal(&|map| map.swap(entry - 1, entry));
                assert!(matches!(swapped, CborError::Key { .. }), "{swapped:?}");
                let twice = refusal(&|map| map[entry].0 = map[entry - 1].0.clone());
                assert!(matches!(twice, CborError::DuplicateKey { .. }), "{twice:?}");
                let unknown = refusal(&|map| map[entry].0 = number(23));
                assert!(
                    matches!(unknown, CborError::Key { found: 23, .. }),
                    "{unknown:?}"
                );
                let text = refusal(&|map| map[entry].0 = Item::String(3, b"1".to_vec()));
                assert!(matches!(text, CborError::Type { .. }), "{text:?}");
            }
            for change in [-1, 1] {
                let mut tree = good.clone();
                let map = entries(&mut tree, &path);
                if change == 1 {
                    map.push((number(count as u64 + 1), number(0)));
                } else if map.pop().is_none() {
                    continue;
                }
                let error = (document.reencode)(&tree.encode()).unwrap_err().encoding();
                assert!(
                    matches!(error, CborError::EntryCount { expected, .. } if expected == count),
                    "{}: {error:?}",
                    document.name
                );
            }
        }
    }
}

#[test]
fn too_few_and_too_many_elements_are_refused() {
    let cases: [(Document, &[usize], usize, usize); 7] = [
        (
            document!(Root, Refusal::Metadata, "root.cbor"),
            &[4, 1],
            1,
            5,
        ),
        (
            document!(Releases, Refusal::Metadata, "releases.cbor"),
            &[5],
            0,
            8,
        ),
        (
            document!(Releases, Refusal::Metadata, "releases.cbor"),
            &[6],
            0,
            8,
        ),
        (document!(Now, Refusal::Metadata, "now.cbor"), &[7], 0, 8),
        (
            document!(Manifest, Refusal::Metadata, "manifest.cbor"),
            &[9],
            1,
            1,
        ),
        (
            document!(Manifest, Refusal::Metadata, "manifest.cbor"),
            &[9, 0, 8],
            1,
            32,
        ),
        (document!(Sign<'_>, Refusal::Cose, "root.cose"), &[3], 1, 10),
    ];
    for (document, path, min, max) in cases {
        for count in [min.checked_sub(1), Some(max + 1)].into_iter().flatten() {
            let mut tree = Item::parse(document.bytes);
            let Item::Array(items) = tree.at(path) else {
                panic!("not an array");
            };
            let element = items[0].clone();
            items.resize(count, element);
            let error = (document.reencode)(&tree.encode()).unwrap_err().encoding();
            assert!(
                matches!(error, CborError::ElementCount { min: a, max: b, found, .. }
                    if (a, b, found) == (min, max, count as u64)),
                "{}: {error:?}",
                document.name
            );
        }
    }
}

#[test]
fn longer_documents_than_a_device_buffers_are_refused_unread() {
    for (document, limit) in DOCUMENTS.iter().zip([
        2048 - 91,
        2048 - 86,
        2048 - 86,
        1024 - 86,
        2048,
        2048 - 86,
        2048 - 86,
        2048 - 86,
        128,
        256 - 86,
        256 - 86,
        128,
        128,
        2048,
        2048,
        2048,
        2048,
        2048,
    ]) {
        let mut bytes = document.bytes.to_vec();
        bytes.resize(limit, 0);
        let error = (document.reencode)(&bytes).unwrap_err().encoding();
        assert!(
            matches!(error, CborError::Trailing { .. }),
            "{}",
            document.name
        );
        bytes.push(0);
        let error = (document.reencode)(&bytes).unwrap_err().encoding();
        assert!(
            matches!(error, CborError::TooLong { limit: l, found, .. }
                if (l, found) == (limit, limit + 1)),
            "{}: {error:?}",
            document.name
        );
    }
}

#[test]
fn signatures_out_of_order_or_twice_are_refused() {
    let refusal = |change: fn(&mut Vec<Item>)| {
        let mut tree = Item::parse(vector!("root.cose"));
        let Item::Array(signatures) = tree.at(&[3]) else {
            panic!("not an array");
        };
        change(signatures);
        Sign::parse(&tree.encode()).unwrap_err()
    };
    let [first, second] = ["e8b608b720d7ff79", "f3e3cb3b3f9d707a"].map(KeyId::from_hex);
    assert_eq!(
        refusal(|signatures| signatures.swap(0, 1)),
        CoseError::KidOrder {
            previous: second.unwrap(),
            found: first.unwrap()
        }
    );
    assert_eq!(
        refusal(|signatures| signatures[1] = signatures[0].clone()),
        CoseError::DuplicateKid {
            found: first.unwrap()
        }
    );
}

#[test]
fn other_algorithms_key_names_headers_and_tags_are_refused() {
    let refusal = |path: &[usize], item: Item| {
        let mut tree = Item::parse(vector!("now.cose"));
        *tree.at(path) = item;
        Sign1::parse(&tree.encode()).unwrap_err()
    };
    // ES384 instead of ES256, and the algorithm HMAC 256/256.
    for algorithm in [[0x38, 0x22], [0x05, 0x05]] {
        let mut header = vec![0xA2, 0x01, algorithm[0], 0x04, 0x48];
        header.resize(13, 0);
        let error = refusal(&[0], Item::String(2, header.clone()));
        let found = header[..5].try_into().unwrap();
        assert_eq!(error, CoseError::ProtectedHeader { found });
    }
    for header in [&[][..], &[0xA0], &[0xA1, 0x01, 0x26]] {
        let error = refusal(&[0], Item::String(2, header.to_vec()));
        assert!(matches!(
            error,
            CoseError::Encoding(CborError::Length {
                min: 13,
                max: 13,
                ..
            })
        ));
    }
    let unprotected = Item::Map(vec![(number(4), Item::String(2, vec![0; 8]))]);
    assert!(matches!(
        refusal(&[1], unprotected),
        CoseError::Encoding(CborError::EntryCount { expected: 0, .. })
    ));
    for length in [0, 63, 65] {
        assert!(matches!(
            refusal(&[3], Item::String(2, vec![0; length])),
            CoseError::Encoding(CborError::Length { found, .. }) if found == length
        ));
    }
    // A detached payload is null.
    assert!(matches!(
        refusal(&[2], Item::Number(7, 22)),
        CoseError::Encoding(CborError::Type { found: 0xF6, .. })
    ));
    assert!(matches!(
        Sign1::parse(vector!("root.cose")),
        Err(CoseError::Encoding(CborError::Tag {
            expected: 18,
            found: 98,
            ..
        }))
    ));
    assert!(matches!(
        Sign::parse(vector!("now.cose")),
        Err(CoseError::Encoding(CborError::Tag {
            expected: 98,
            found: 18,
            ..
        }))
    ));
}

/// The entries of a map.
type Entries = Vec<(Item, Item)>;

/// The entries of the map at a path.
fn entries<'t>(tree: &'t mut Item, path: &[usize]) -> &'t mut Entries {
    match tree.at(path) {
        Item::Map(entries) => entries,
        _ => panic!("not a map"),
    }
}

/// An unsigned integer.
fn number(value: u64) -> Item {
    Item::Number(0, value)
}
