//! Heads against `minicbor`, which knows nothing of this protocol.

extern crate std;
use std::vec::Vec;

use minicbor::{Decoder, Encoder};

use super::*;

/// Arguments around every change of form, and all powers of two with their neighbours.
fn arguments() -> Vec<u64> {
    let powers = (0..64).flat_map(|bit| {
        let power = 1_u64 << bit;
        [power.wrapping_sub(1), power, power.wrapping_add(1)]
    });
    powers.chain([23, 24, u64::MAX]).collect()
}

fn reader(bytes: &[u8]) -> Reader<'_> {
    Reader::new(bytes, "test", usize::MAX)
}

fn written(write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut Writer::new(&mut |piece| {
        bytes.extend_from_slice(piece)
    }));
    bytes
}

#[test]
fn numbers_are_written_and_read_as_minicbor_does() {
    for argument in arguments() {
        let bytes = written(|writer| {
            writer.uint(argument);
        });
        let mut oracle = Vec::new();
        Encoder::new(&mut oracle).u64(argument).unwrap();
        assert_eq!(bytes, oracle);
        let mut reader = reader(&bytes);
        assert_eq!(reader.name("number").u64(), argument);
        assert_eq!(reader.finish("number"), Ok(()));
    }
}

#[test]
fn strings_are_written_and_read_as_minicbor_does() {
    for length in [0, 1, 23, 24, 255, 256, 65_535, 65_536] {
        let content = std::vec![b'a'; length];
        let text = core::str::from_utf8(&content).unwrap();
        let bytes = written(|writer| {
            writer.bytes(&content).text(text).null();
        });
        let mut oracle = Vec::new();
        let mut encoder = Encoder::new(&mut oracle);
        encoder.bytes(&content).unwrap().str(text).unwrap();
        encoder.null().unwrap();
        assert_eq!(bytes, oracle);
        let mut reader = reader(&bytes);
        assert_eq!(reader.bytes(), content);
        assert_eq!(reader.text(0, usize::MAX), text);
        assert!(reader.null());
        assert_eq!(reader.finish("strings"), Ok(()));
    }
}

/// Every head of one to three bytes, and longer ones: accepted only if `minicbor` reads the same
/// number from the same bytes and would write these bytes for it.
#[test]
fn heads_are_accepted_only_in_the_form_that_minicbor_writes() {
    let short = (0..=0xFF_FFFF_u32).map(|head| head.to_be_bytes()[1..].to_vec());
    let long = (0..=u8::MAX).flat_map(|initial| {
        arguments().into_iter().map(move |argument| {
            let mut head = std::vec![initial];
            head.extend(argument.to_be_bytes());
            head
        })
    });
    let mut accepted = 0;
    for bytes in short.chain(long) {
        let mut reader = reader(&bytes);
        let found = reader.u64();
        let position = reader.position;
        if reader.has_failed() {
            continue;
        }
        let mut decoder = Decoder::new(&bytes);
        assert_eq!(decoder.u64().unwrap(), found);
        assert_eq!(decoder.position(), position);
        let mut oracle = Vec::new();
        Encoder::new(&mut oracle).u64(found).unwrap();
        assert_eq!(bytes[..position], oracle);
        accepted += 1;
    }
    std::println!("{accepted} heads accepted");
    assert!(accepted > 24 << 16);
}

#[test]
fn the_first_error_stays_and_everything_after_it_is_empty() {
    let mut reader = reader(&[0x61, b'x', 0x01]);
    assert_eq!(reader.name("first").u32(), 0);
    assert_eq!(reader.name("second").text(1, 1), "");
    assert_eq!(*reader.fixed::<3>(), [0; 3]);
    let mut list = heapless::Vec::<_, 4>::from_slice(&[1]).unwrap();
    let listed = reader.name("third").list(0, &mut list, &0, |_, _| Err(()));
    assert_eq!((listed, list.len()), (Ok(()), 0));
    assert!(!reader.null());
    assert_eq!(
        reader.finish("document"),
        Err(CborError::Type {
            field: "first",
            offset: 0,
            expected: "an unsigned integer",
            found: 0x61,
        })
    );
}
