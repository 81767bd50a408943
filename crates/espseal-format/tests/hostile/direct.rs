//! What a well-formed direct manifest may not say, rule by rule.

use espseal_format::body::BodyLayout;
use espseal_format::cbor::EncodeError;
use espseal_format::journal::RootLocation;
use espseal_format::metadata::MetadataError;
use espseal_format::metadata::direct::{DirectManifest, FlashScheme};
use espseal_format::units::ChunkIndex;

use super::number;
use crate::rules::{range, refusal, with_array};
use crate::tree::Item;

/// Where the fields stand in the map.
const SCHEME: usize = 3;
const CRYPT_CONFIG: usize = 4;
const SLOT: usize = 5;
const JOURNAL: usize = 6;
const IMAGE_LENGTH: usize = 8;
const PAGES: usize = 10;

fn refused(at: usize, found: u64) -> MetadataError {
    let direct = vector!("direct.cbor");
    refusal(DirectManifest::parse, direct, &[at], number(found))
}

fn mismatch(field: &'static str, expected: u64, found: u64) -> MetadataError {
    MetadataError::Mismatch {
        field,
        expected,
        found,
    }
}

#[test]
fn scheme_is_known_and_only_the_esp32_has_a_crypt_config() {
    let field = "direct.crypt-config";
    assert_eq!(refused(SCHEME, 3), range("direct.scheme", 0, 2, 3));
    assert_eq!(refused(CRYPT_CONFIG, 1), range(field, 0, 0, 1));
    for (vector, most) in [
        (vector!("direct-xts256.cbor"), 0),
        (vector!("direct-esp32.cbor"), 15),
    ] {
        let found = most + 1;
        let refused = refusal(
            DirectManifest::parse,
            vector,
            &[CRYPT_CONFIG],
            number(found),
        );
        assert_eq!(refused, range(field, 0, most, found));
    }
}

#[test]
fn slot_journal_and_image_are_whole_sectors() {
    for (at, field, sector) in [
        (SLOT, "direct.slot", 0x1D_0000),
        (JOURNAL, "direct.journal", 0x3F_0000),
        (IMAGE_LENGTH, "direct.image-length", 8192),
    ] {
        for found in [sector + 1, sector + 16, sector + 4095] {
            assert_eq!(refused(at, found), mismatch(field, sector, found));
        }
    }
}

#[test]
fn image_has_a_sector_at_least_and_leaves_room_for_the_probes() {
    let field = "direct.image-length";
    let most = u64::from(BodyLayout::MAX_LENGTH) - 2 * 4096;
    for found in [0, 4095, most + 1, most + 4096] {
        assert_eq!(
            refused(IMAGE_LENGTH, found),
            range(field, 4096, most, found)
        );
    }
    assert_eq!(
        refused(IMAGE_LENGTH, most),
        mismatch("direct.pages", most / 4096 / 128 + 1, 1)
    );
}

#[test]
fn pages_cover_the_image_and_both_probes() {
    let of_length = |chunks: u64| {
        let mut tree = Item::parse(vector!("direct.cbor"));
        *tree.at(&[IMAGE_LENGTH]) = number(chunks * 4096);
        DirectManifest::parse(&tree.encode()).map(|direct| direct.image_chunks())
    };
    assert_eq!(of_length(126), Ok(126));
    assert_eq!(of_length(127), Err(mismatch("direct.pages", 2, 1)));
    let direct = vector!("direct.cbor");
    let twice = with_array(DirectManifest::parse, direct, &[PAGES], |pages| {
        pages.push(pages[0].clone());
    });
    assert_eq!(twice, Err(mismatch("direct.pages", 1, 2)));
}

#[test]
fn what_parse_would_refuse_encode_refuses() {
    let direct = DirectManifest::parse(vector!("direct.cbor")).unwrap();
    let wrong = DirectManifest {
        scheme: FlashScheme::Esp32 { crypt_config: 16 },
        ..direct
    };
    assert_eq!(
        wrong.encode(&mut [0; 1024]),
        Err(EncodeError::Invalid(range(
            "direct.crypt-config",
            0,
            15,
            16
        )))
    );
}

#[test]
fn image_is_padded_to_sectors_and_each_root_sector_has_its_probe() {
    for (length, padded) in [
        (1, Some(4096)),
        (4096, Some(4096)),
        (4097, Some(8192)),
        (u32::MAX, None),
    ] {
        assert_eq!(DirectManifest::padded(length), padded);
    }
    let direct = DirectManifest::parse(vector!("direct.cbor")).unwrap();
    for (sector, chunk) in [
        (RootLocation::BuiltIn, None),
        (RootLocation::A, Some(2)),
        (RootLocation::B, Some(3)),
    ] {
        assert_eq!(direct.probe_chunk(sector), chunk.map(ChunkIndex::new));
    }
}
