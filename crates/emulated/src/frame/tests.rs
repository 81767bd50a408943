extern crate std;
use std::vec::Vec;

use super::*;

/// A line that ends in memory.
#[derive(Default)]
struct Memory {
    sent: Vec<u8>,
}

impl Wire for Memory {
    type Error = ();

    fn send(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.sent.extend_from_slice(bytes);
        Ok(())
    }

    fn receive(&mut self, _: &mut [u8]) -> Result<(), ()> {
        Err(())
    }
}

/// What was sent, taken apart as the other side does.
fn received(send: impl FnOnce(&mut Memory) -> Result<(), ()>) -> (Header, Vec<u8>) {
    let mut wire = Memory::default();
    send(&mut wire).unwrap();
    let (header, payload) = wire.sent.split_first_chunk().unwrap();
    let header = Header::parse(*header).unwrap();
    assert_eq!(usize::from(header.length), payload.len());
    (header, payload.to_vec())
}

fn requests() -> [Request<'static>; 12] {
    let open = |range| Request::Open {
        path: "now.cose",
        range,
    };
    [
        Request::Start { version: VERSION },
        open(None),
        open(Some(0..4096)),
        open(Some(4096..u32::MAX)),
        Request::Read { limit: 4096 },
        Request::Poll(&[1, 2, 3]),
        Request::Report(&[0; 300]),
        Request::Operation {
            kind: OperationKind::Erase,
            at: 0x1F_F000,
        },
        Request::Operation {
            kind: OperationKind::Program,
            at: 0x100,
        },
        Request::Cut,
        Request::End(&[9; 40]),
        Request::Log("panicked"),
    ]
}

fn replies() -> [Reply<'static>; 5] {
    [
        Reply::Device(&[7; 900]),
        Reply::Status(404),
        Reply::Data(&[]),
        Reply::Data(&[0xA5; MAX_PAYLOAD]),
        Reply::Broken,
    ]
}

#[test]
fn every_request_is_read_as_it_was_sent() {
    for request in requests() {
        let (header, payload) = received(|wire| request.send(wire));
        assert_eq!(Request::parse(header.kind, &payload), Some(request));
    }
}

#[test]
fn every_reply_is_read_as_it_was_sent() {
    for reply in replies() {
        let (header, payload) = received(|wire| reply.send(wire));
        assert_eq!(Reply::parse(header.kind, &payload), Some(reply));
    }
}

#[test]
fn a_frame_has_the_documented_bytes() {
    let mut wire = Memory::default();
    let open = Request::Open {
        path: "ab",
        range: Some(0x0102..0x0304_0506),
    };
    open.send(&mut wire).unwrap();
    assert_eq!(
        wire.sent,
        [2, 0, 11, 0, 1, 2, 1, 0, 0, 6, 5, 4, 3, b'a', b'b']
    );
}

#[test]
fn no_truncated_or_lengthened_frame_of_fixed_size_is_read() {
    for request in requests() {
        let (header, payload) = received(|wire| request.send(wire));
        let fixed = matches!(
            request,
            Request::Start { .. } | Request::Read { .. } | Request::Operation { .. } | Request::Cut
        );
        if fixed {
            for length in 0..payload.len() {
                assert_eq!(Request::parse(header.kind, &payload[..length]), None);
            }
            let longer = [&payload[..], &[0]].concat();
            assert_eq!(Request::parse(header.kind, &longer), None);
        }
    }
}

#[test]
fn headers_of_unknown_form_and_frames_of_unknown_kind_are_refused() {
    assert_eq!(Header::parse([kind::DATA, 1, 0, 0]), None);
    assert_eq!(Header::parse([kind::DATA, 0, 0x01, 0x10]), None);
    assert!(Header::parse([kind::DATA, 0, 0x00, 0x10]).is_some());
    assert_eq!(Request::parse(kind::DATA, &[]), None);
    assert_eq!(Reply::parse(kind::OPEN, &[]), None);
    assert_eq!(
        Request::parse(kind::OPEN, &[2, 0, 0, 0, 0, 0, 0, 0, 0]),
        None
    );
    assert_eq!(
        Request::parse(kind::OPEN, &[0, 1, 0, 0, 0, 0, 0, 0, 0]),
        None
    );
    assert_eq!(Request::parse(kind::LOG, &[0xFF]), None);
}
