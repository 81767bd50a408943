//! Networks that want the device's time, memory or trust: endless and slow answers, wrong lengths,
//! redirects, compression.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use espseal_agent::transport::{Transport, TransportFault as _, TransportFaultKind};
use espseal_format::repository::Resource;
use espseal_twin::https::{Deadlines, HttpsClient, HttpsTransport};

use crate::transport::listen;

const BRIEF: Deadlines = Deadlines {
    connect: Duration::from_secs(5),
    head: Duration::from_millis(700),
    body: Duration::from_millis(700),
};

fn connect(handle: impl Fn(&str, &mut dyn Write) + Send + 'static) -> HttpsTransport {
    let (base, roots) = listen(handle);
    let client = HttpsClient::with_deadlines(roots.as_bytes(), BRIEF).unwrap();
    HttpsTransport::new(client, &base).unwrap()
}

/// Opens `now` and reads to the end; how many bytes came, and how it ended.
fn fetch(transport: &mut HttpsTransport) -> (usize, Option<TransportFaultKind>) {
    if let Err(error) = transport.open(Resource::Now, None) {
        return (0, Some(error.kind()));
    }
    let (mut all, mut buffer) = (0, [0; 512]);
    loop {
        match transport.read(&mut buffer) {
            Ok(0) => return (all, None),
            Ok(count) => all += count,
            Err(error) => return (all, Some(error.kind())),
        }
    }
}

#[test]
fn answers_without_an_end_are_read_no_further_than_asked() {
    for head in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    ] {
        let sent = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&sent);
        let mut transport = connect(move |_, stream| {
            let chunked = head.contains("chunked");
            let block = [&b"1000\r\n"[..], &[0x5A; 4096], b"\r\n"].concat();
            let block = if chunked { &block[..] } else { &block[6..4102] };
            if stream.write_all(head.as_bytes()).is_err() {
                return;
            }
            // Ends when the device hangs up.
            while stream
                .write_all(block)
                .and_then(|()| stream.flush())
                .is_ok()
            {
                counted.fetch_add(4096, Ordering::Relaxed);
            }
        });
        transport.open(Resource::Now, None).unwrap();
        let mut buffer = [0; 1024];
        assert!(transport.read(&mut buffer).unwrap() > 0);
        // The next request drops the rest of the answer, and with it the connection.
        let _ = transport.open(Resource::Now, None);
        drop(transport);
        std::thread::sleep(Duration::from_millis(300));
        let sent = sent.load(Ordering::Relaxed);
        assert!(sent < 16 << 20, "{sent} bytes went out under {head:?}");
    }
}

#[test]
fn dripping_answers_end_at_their_deadline() {
    let drips: [fn(&mut dyn Write); 2] = [
        |stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
            while stream.write_all(b"x").and_then(|()| stream.flush()).is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        },
        |stream| {
            while stream
                .write_all(b"HTTP/1.1")
                .and_then(|()| stream.flush())
                .is_ok()
            {
                std::thread::sleep(Duration::from_millis(900));
            }
        },
    ];
    for drip in drips {
        let mut transport = connect(move |_, stream| drip(stream));
        let begun = Instant::now();
        let (_, end) = fetch(&mut transport);
        assert!(
            matches!(
                end,
                Some(TransportFaultKind::Interrupted | TransportFaultKind::Unreachable)
            ),
            "{end:?}"
        );
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn redirects_lead_nowhere_wherever_they_lead() {
    for status in [301_u16, 302, 303, 307, 308] {
        for location in [
            "http://localhost/now.cose",
            "https://elsewhere.example/now.cose",
            "/now.cose",
            "//elsewhere.example/now.cose",
            "file:///etc/passwd",
        ] {
            let mut transport = connect(move |_, stream| {
                let answer = format!(
                    "HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
                );
                let _ = stream.write_all(answer.as_bytes());
            });
            let refused = Some(TransportFaultKind::Refused { status });
            assert_eq!(fetch(&mut transport), (0, refused), "{location}");
        }
    }
}

#[test]
fn lengths_that_lie_are_not_believed() {
    for (stated, sent, read, end) in [
        ("5", 10, 5, None),
        ("10", 5, 5, Some(TransportFaultKind::Interrupted)),
    ] {
        let mut transport = connect(move |_, stream| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {stated}\r\n\r\n");
            let _ = stream.write_all(&[head.as_bytes(), &vec![b'x'; sent]].concat());
        });
        assert_eq!(fetch(&mut transport), (read, end), "{stated} of {sent}");
    }
    for stated in ["-1", "0x10", "5, 6", "many"] {
        let mut transport = connect(move |_, stream| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {stated}\r\n\r\nxxxxx");
            let _ = stream.write_all(head.as_bytes());
        });
        let (read, _) = fetch(&mut transport);
        assert!(read <= 5, "{stated}: {read}");
    }
}

#[test]
fn nothing_is_asked_compressed_and_nothing_is_unpacked() {
    let mut transport = connect(|head, stream| {
        assert!(
            !head.contains("gzip") && !head.contains("deflate") && !head.contains("br"),
            "{head}"
        );
        // The beginning of what would unpack to a great many zeros.
        let bomb = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3];
        let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n";
        let _ = stream.write_all(&[head.as_bytes(), &bomb].concat());
    });
    transport.open(Resource::Now, None).unwrap();
    let mut buffer = [0; 64];
    let count = transport.read(&mut buffer).unwrap();
    assert_eq!(
        buffer[..count],
        [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3][..count]
    );
}

#[test]
fn heads_without_an_end_are_refused() {
    let mut transport = connect(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream
            .write_all(b"X-Padding: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n")
            .is_ok()
        {}
    });
    assert_eq!(
        fetch(&mut transport),
        (0, Some(TransportFaultKind::Unreachable))
    );
}
