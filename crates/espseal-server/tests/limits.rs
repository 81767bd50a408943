//! Clients that take their time, too much or too many; starting and stopping.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests"
)]

#[path = "support/site.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use espseal_format::repository::Resource;
use espseal_format::units::Digest;
use espseal_server::config::{Access, Config, Limits};
use espseal_server::serve::{ServeError, Server, TlsError};
use support::{Folder, noise};

const SOON: Duration = Duration::from_millis(400);

fn body(len: usize) -> (Folder, String, Vec<u8>) {
    let folder = Folder::new();
    let bytes = noise(len);
    let digest = Digest::of(&bytes);
    folder.write(&Resource::Body(&digest), &bytes);
    (folder, format!("/bodies/{digest}.bin"), bytes)
}

fn limits(change: impl FnOnce(&mut Limits)) -> impl FnOnce(&mut Config) {
    |config| change(&mut config.limits)
}

/// Asserts that `work` ends within the limit and some time for a busy machine, not before it.
fn ends_after(limit: Duration, work: impl FnOnce()) {
    let begun = Instant::now();
    work();
    let taken = begun.elapsed();
    assert!(
        taken >= limit / 2 && taken < limit + Duration::from_secs(10),
        "{taken:?}"
    );
}

#[test]
fn head_that_drips_is_cut_off_however_steadily_it_drips() {
    let (folder, _, _) = body(10);
    let site = folder.serve_with(limits(|limits| limits.head = SOON));
    let mut connection = site.connect();
    connection.write(b"GET / HTTP/1.1\r\n");
    let mut sent = 0;
    ends_after(SOON, || {
        // The peer has closed once a write fails.
        while connection.stream.get_mut().write_all(b"X").is_ok() && sent < 1000 {
            sent += 1;
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert!(sent < 1000);
}

#[test]
fn connection_without_a_request_is_closed() {
    let (folder, path, _) = body(10);
    let site = folder.serve_with(limits(|limits| limits.head = SOON));
    let mut connection = site.connect();
    assert_eq!(connection.exchange("GET", &path, &[], &[]).status, 200);
    ends_after(SOON, || assert_eq!(connection.rest(), b""));
}

#[test]
fn handshake_that_does_not_come_is_cut_off() {
    let (folder, _, _) = body(10);
    let site = folder.serve_with(limits(|limits| limits.handshake = SOON));
    let mut socket = TcpStream::connect(site.address).unwrap();
    socket.write_all(&[0x16, 3, 1]).unwrap();
    ends_after(SOON, || {
        let _reset_or_closed = socket.read_to_end(&mut Vec::new());
    });
}

#[test]
fn plain_http_on_the_tls_port_gets_no_answer_in_http() {
    let (folder, path, _) = body(10);
    let site = folder.serve();
    let mut socket = TcpStream::connect(site.address).unwrap();
    socket
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = Vec::new();
    let _reset_or_closed = socket.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[test]
fn body_that_drips_is_cut_off() {
    let (folder, _, _) = body(10);
    let site = folder.serve_with(limits(|limits| limits.body = SOON));
    let mut connection = site.connect();
    let head = b"POST /v1/report HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc";
    connection.write(head);
    ends_after(SOON, || assert_eq!(connection.response(false).status, 408));
}

#[test]
fn client_that_takes_no_bytes_is_cut_off() {
    let (folder, path, bytes) = body(30_000_000);
    let site = folder.serve_with(limits(|limits| limits.stall = SOON));
    let mut connection = site.connect();
    connection.write(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
    assert_eq!(connection.head().length(), bytes.len());
    std::thread::sleep(SOON * 4);
    assert!(connection.rest().len() < bytes.len());
}

#[test]
fn client_that_takes_bytes_slowly_is_served_to_the_end() {
    let (folder, path, bytes) = body(8_000_000);
    let site = folder.serve_with(limits(|limits| limits.stall = SOON * 2));
    let mut connection = site.connect();
    connection.write(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
    connection.head();
    let mut received = vec![0; bytes.len()];
    for part in received.chunks_mut(500_000) {
        connection.stream.read_exact(part).unwrap();
        std::thread::sleep(SOON / 4);
    }
    assert!(received == bytes);
}

#[test]
fn head_too_large_is_refused() {
    let (folder, path, _) = body(10);
    let site = folder.serve();
    let fits = format!("X: {}", "a".repeat(4000));
    assert_eq!(site.get(&path, &[&fits]).status, 200);
    let large = format!("X: {}", "a".repeat(20_000));
    assert_eq!(site.get(&path, &[&large]).status, 431);
    let many: Vec<_> = (0..200).map(|number| format!("X{number}: a")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(site.get(&path, &many).status, 431);
}

#[test]
fn request_that_is_no_http_is_refused() {
    let (folder, _, _) = body(10);
    let site = folder.serve();
    for wrong in [
        "nonsense\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nA B\r\n\r\n",
    ] {
        let mut connection = site.connect();
        connection.write(wrong.as_bytes());
        assert_eq!(connection.response(false).status, 400, "{wrong:?}");
    }
}

#[test]
fn connections_beyond_the_limit_wait_for_a_free_place() {
    let (folder, path, _) = body(10);
    let site = folder.serve_with(limits(|limits| limits.connections = 2));
    let mut first = site.connect();
    let mut second = site.connect();
    for connection in [&mut first, &mut second] {
        assert_eq!(connection.exchange("GET", &path, &[], &[]).status, 200);
    }
    std::thread::scope(|scope| {
        let third = scope.spawn(|| {
            let status = site.get(&path, &[]).status;
            (status, Instant::now())
        });
        std::thread::sleep(SOON);
        let freed = Instant::now();
        drop(first);
        let (status, served) = third.join().unwrap();
        assert_eq!(status, 200);
        assert!(served >= freed, "served before a place was free");
    });
}

#[test]
fn running_download_is_finished_and_idle_connections_are_closed_when_stopping() {
    let (folder, path, bytes) = body(20_000_000);
    let site = folder.serve();
    let mut idle = site.connect();
    assert_eq!(idle.exchange("HEAD", &path, &[], &[]).status, 200);
    let mut connection = site.connect();
    connection.write(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
    assert_eq!(connection.head().length(), bytes.len());
    let (address, running) = (site.address, site.running);
    let stopping = std::thread::spawn(move || running.stop());
    let begun = Instant::now();
    assert_eq!(idle.rest(), b"");
    let taken = begun.elapsed();
    assert!(
        taken < Limits::default().head / 2,
        "an idle connection ends at once, not {taken:?}"
    );
    support::eventually("the port is closed", || {
        TcpStream::connect(address).is_err()
    });
    assert!(!stopping.is_finished());
    let received = connection.rest();
    assert!(
        received == bytes,
        "{} of {} bytes",
        received.len(),
        bytes.len()
    );
    stopping.join().unwrap();
}

#[test]
fn download_that_outlasts_the_deadline_is_cut() {
    let (folder, path, bytes) = body(20_000_000);
    let site = folder.serve_with(limits(|limits| limits.drain = SOON));
    let mut connection = site.connect();
    connection.write(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
    assert_eq!(connection.head().length(), bytes.len());
    ends_after(SOON, || site.running.stop());
    assert!(connection.rest().len() < bytes.len());
}

/// The error of a server that does not start, which has to be one sentence.
fn refused(folder: &Folder, change: impl FnOnce(&mut Config)) -> ServeError {
    let mut config = folder.config();
    change(&mut config);
    let error = Server::bind(config).expect_err("the server does not start");
    assert!(!error.to_string().contains('\n'), "{error}");
    error
}

#[test]
fn taken_port_is_named() {
    let folder = Folder::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let error = refused(&folder, |config| config.listen = taken);
    assert!(
        matches!(error, ServeError::AddressTaken { address } if address == taken),
        "{error}"
    );
    assert!(error.to_string().contains("--listen"), "{error}");
    assert!(
        !folder.path("reports.db").exists(),
        "nothing is made before the port is had"
    );
}

#[test]
fn address_of_another_machine_is_refused() {
    let error = refused(&Folder::new(), |config| {
        config.listen = "192.0.2.1:0".parse().unwrap()
    });
    assert!(matches!(error, ServeError::Listen { .. }), "{error}");
}

#[test]
fn http_without_tls_is_served_on_loopback_alone() {
    let (folder, path, bytes) = body(1000);
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let error = refused(&folder, |config| {
            config.access = Access::PlainOnLoopback;
            config.listen = address.parse().unwrap();
        });
        assert!(
            matches!(error, ServeError::PlainBeyondLoopback { .. }),
            "{address}: {error}"
        );
    }
    let site = folder.serve_with(|config| config.access = Access::PlainOnLoopback);
    let mut socket = TcpStream::connect(site.address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(&bytes));
}

#[test]
fn missing_repository_is_named() {
    let folder = Folder::new();
    for wrong in ["missing", "cert.pem"] {
        let path = folder.path(wrong);
        let error = refused(&folder, |config| config.repository = path.clone());
        assert!(matches!(&error, ServeError::Repository { path: found, .. } if *found == path));
    }
}

#[test]
fn certificate_and_key_that_cannot_be_used_are_named() {
    let folder = Folder::new();
    let other = Folder::new();
    fs::write(folder.path("noise.pem"), "noise").unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n";
    fs::write(folder.path("broken.pem"), broken).unwrap();
    let with = |cert, key| {
        let error = refused(&folder, |config| {
            config.access = Access::Https {
                certificate: cert,
                key,
            };
        });
        match error {
            ServeError::Tls(error) => error,
            other => panic!("{other}"),
        }
    };
    let (cert, key) = (folder.path("cert.pem"), folder.path("key.pem"));
    let missing = folder.path("missing.pem");
    assert!(
        matches!(with(missing.clone(), key.clone()), TlsError::Read { path, .. } if path == missing)
    );
    assert!(matches!(with(cert.clone(), missing), TlsError::Read { .. }));
    let noise = folder.path("noise.pem");
    assert!(matches!(
        with(noise.clone(), key.clone()),
        TlsError::NothingInside { .. }
    ));
    assert!(matches!(
        with(cert.clone(), noise),
        TlsError::NothingInside { .. }
    ));
    assert!(
        matches!(
            with(key.clone(), cert.clone()),
            TlsError::NothingInside { .. }
        ),
        "swapped"
    );
    assert!(matches!(
        with(folder.path("broken.pem"), key),
        TlsError::Pem { .. }
    ));
    assert!(
        matches!(with(cert, other.path("key.pem")), TlsError::Refused { .. }),
        "another's key"
    );
}
