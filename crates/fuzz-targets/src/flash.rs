//! What the agent keeps in flash.

use espseal_format::journal::{RECORD_LEN, Record, encode_root_body, newest, parse_root_body};
use espseal_format::units::Digest;

/// One record, alone and as one of two; the hash is set right so that it does not hide the rest.
pub(crate) fn journal(data: &[u8]) {
    let (first, second) = data.split_at(data.len().min(RECORD_LEN));
    for mend in [false, true] {
        let records = [first, second].map(|bytes| {
            let mut bytes = bytes.to_vec();
            if mend && bytes.len() >= RECORD_LEN {
                bytes[..4].copy_from_slice(&seed_magic());
                let length = RECORD_LEN - HASH_LEN;
                let hash = Digest::of(&bytes[..length]);
                bytes[length..RECORD_LEN].copy_from_slice(&hash.0[..HASH_LEN]);
            }
            bytes
        });
        let parsed = records.each_ref().map(|bytes| Record::parse(bytes));
        for (record, bytes) in parsed.iter().zip(&records) {
            if let Ok(record) = record {
                assert_eq!(record.encode()[..], bytes[..RECORD_LEN]);
                assert!(!record.is_newer_than(record));
            }
        }
        let newest = newest(&records[0], &records[1]);
        match (&parsed, &newest) {
            ([Err(_), Err(_)], None) => {}
            ([Ok(record), Err(_)], Some((0, found))) | ([Err(_), Ok(record)], Some((1, found))) => {
                assert_eq!(record, found)
            }
            ([Ok(a), Ok(b)], Some((index, found))) => {
                assert_eq!([a, b][*index], found);
                assert!(![a, b][1 - *index].is_newer_than(found));
            }
            differ => panic!("{differ:?}"),
        }
    }
}

/// Bytes of the hash that ends a record.
const HASH_LEN: usize = 16;

/// The first bytes of a record.
fn seed_magic() -> [u8; 4] {
    *include_bytes!("../../../vectors/protocol-v1/journal.record")
        .first_chunk()
        .expect("a record is longer")
}

pub(crate) fn root_body(data: &[u8]) {
    if let Ok(cose) = parse_root_body(data) {
        let mut sector = [0; 4096];
        encode_root_body(cose, &mut sector).expect("what was read fits");
        assert_eq!(sector[..4 + cose.len()], data[..4 + cose.len()]);
        assert_eq!(parse_root_body(&sector), Ok(cose));
    }
    let mut sector = [0; 4096];
    if encode_root_body(data, &mut sector).is_ok() {
        assert_eq!(parse_root_body(&sector), Ok(data));
    }
}
