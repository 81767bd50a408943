extern crate std;
use std::collections::VecDeque;
use std::vec::Vec;

use super::*;

/// A host that answers with what was written down beforehand.
#[derive(Default)]
struct Host {
    sent: Vec<u8>,
    answers: VecDeque<u8>,
}

impl Wire for Host {
    type Error = ();

    fn send(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.sent.extend_from_slice(bytes);
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<(), ()> {
        for byte in buffer {
            *byte = self.answers.pop_front().ok_or(())?;
        }
        Ok(())
    }
}

/// A bridge whose host will answer these, one after the other.
fn bridge(replies: &[Reply<'_>]) -> Bridge<Host> {
    let mut written = Host::default();
    for reply in replies {
        reply.send(&mut written).unwrap();
    }
    Bridge::new(Host {
        answers: written.sent.into(),
        ..Host::default()
    })
}

#[test]
fn an_answer_is_read_to_its_end_in_pieces_no_longer_than_asked_for() {
    let mut bridge = bridge(&[
        Reply::Status(206),
        Reply::Data(b"abc"),
        Reply::Data(b"d"),
        Reply::Data(b""),
    ]);
    bridge.open(Resource::Now, Some(0..4)).unwrap();
    let mut buffer = [0; 3];
    assert_eq!(bridge.read(&mut buffer), Ok(3));
    assert_eq!(&buffer, b"abc");
    assert_eq!(bridge.read(&mut buffer), Ok(1));
    assert_eq!(bridge.read(&mut buffer), Ok(0));
}

#[test]
fn every_refusal_reaches_the_agent_as_what_it_is() {
    for (status, expected) in [
        (0, TransportFaultKind::Unreachable),
        (404, TransportFaultKind::NotFound),
        (503, TransportFaultKind::Refused { status: 503 }),
    ] {
        let fault = bridge(&[Reply::Status(status)])
            .post_poll(&[1])
            .unwrap_err();
        assert_eq!(fault.kind(), expected);
    }
    let fault = bridge(&[Reply::Broken]).read(&mut [0; 9]).unwrap_err();
    assert_eq!(fault.kind(), TransportFaultKind::Interrupted);
    bridge(&[Reply::Status(204)]).post_report(&[1]).unwrap();
}

#[test]
fn a_host_that_sends_more_than_was_asked_for_or_something_else_is_cut_off() {
    assert_eq!(
        bridge(&[Reply::Data(b"abcd")]).read(&mut [0; 3]),
        Err(BridgeFault::Line)
    );
    assert_eq!(
        bridge(&[Reply::Data(b"ab")]).post_poll(&[]),
        Err(BridgeFault::Line)
    );
    assert_eq!(
        bridge(&[Reply::Status(200)]).read(&mut [0; 3]),
        Err(BridgeFault::Line)
    );
    assert_eq!(bridge(&[]).read(&mut [0; 3]), Err(BridgeFault::Line));
    assert_eq!(
        bridge(&[Reply::Device(&[0; 9])]).start(&mut [0; 8]),
        Err(BridgeFault::Line)
    );
}
