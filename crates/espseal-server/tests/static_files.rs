//! The static repository as a TLS client sees it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests"
)]

#[path = "support/site.rs"]
mod support;

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use espseal_format::repository::Resource;
use espseal_format::units::Digest;
use espseal_server::clock::Clock;
use rustls::HandshakeKind;
use support::{DEVICE, Folder, noise};

/// A repository with one body, and its path.
fn body(len: usize) -> (Folder, String, Vec<u8>) {
    let folder = Folder::new();
    let bytes = noise(len);
    let digest = Digest::of(&bytes);
    folder.write(&Resource::Body(&digest), &bytes);
    (folder, format!("/bodies/{digest}.bin"), bytes)
}

#[test]
fn head_tells_the_full_length_and_sends_nothing() {
    let (folder, path, bytes) = body(100_000);
    let site = folder.serve();
    let mut connection = site.connect();
    for headers in [&[][..], &["Range: bytes=5-9"]] {
        let response = connection.exchange("HEAD", &path, headers, &[]);
        assert_eq!((response.status, response.length()), (200, bytes.len()));
        assert_eq!(response.header("accept-ranges"), Some("bytes"));
        assert_eq!(response.header("content-range"), None);
    }
    // A body after a head would be taken for this response.
    assert_eq!(connection.exchange("GET", &path, &[], &[]).body, bytes);
}

#[test]
fn whole_file_has_a_length_and_a_strong_tag_and_is_never_encoded() {
    let (folder, path, bytes) = body(300_001);
    let site = folder.serve();
    let response = site.get(
        &path,
        &["Accept-Encoding: gzip, br, zstd, deflate", "TE: chunked"],
    );
    assert_eq!(response.status, 200);
    assert_eq!(response.length(), bytes.len());
    assert_eq!(response.body, bytes);
    let tag = format!("\"{}\"", Digest::of(&bytes));
    assert_eq!(response.header("etag"), Some(tag.as_str()));
    assert_eq!(
        response.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    assert_eq!(
        response.header("content-type"),
        Some("application/octet-stream")
    );
}

#[test]
fn single_ranges_are_partial_and_clamped() {
    let (folder, path, bytes) = body(100_000);
    let site = folder.serve();
    let mut connection = site.connect();
    for (range, part) in [
        ("bytes=0-", 0..100_000),
        ("bytes=99999-", 99_999..100_000),
        ("bytes=4096-8191", 4096..8192),
        ("bytes=7-7", 7..8),
        ("bytes=32767-32768", 32_767..32_769),
        ("bytes=90000-100000", 90_000..100_000),
        ("bytes=0-99999999999999999999999", 0..100_000),
        ("bytes=-1", 99_999..100_000),
        ("bytes=-40000", 60_000..100_000),
        ("bytes=-100001", 0..100_000),
        ("BYTES=1-2", 1..3),
    ] {
        let response = connection.exchange("GET", &path, &[&format!("Range: {range}")], &[]);
        assert_eq!(response.status, 206, "{range}");
        let expected = format!("bytes {}-{}/100000", part.start, part.end - 1);
        assert_eq!(
            response.header("content-range"),
            Some(expected.as_str()),
            "{range}"
        );
        assert!(response.body == bytes[part], "{range}");
    }
}

#[test]
fn ranges_without_a_byte_are_refused_with_the_length() {
    let (folder, path, _) = body(100_000);
    let site = folder.serve();
    for range in [
        "bytes=100000-",
        "bytes=100000-100001",
        "bytes=-0",
        "bytes=18446744073709551615-",
    ] {
        let response = site.get(&path, &[&format!("Range: {range}")]);
        assert_eq!(response.status, 416, "{range}");
        assert_eq!(response.header("content-range"), Some("bytes */100000"));
    }
}

#[test]
fn several_or_malformed_ranges_bring_the_whole_file() {
    let (folder, path, bytes) = body(10_000);
    let site = folder.serve();
    for range in [
        "bytes=0-1,4-5",
        "bytes=9-5",
        "bytes=x-",
        "chunks=0-1",
        "bytes=",
        "bytes=-",
    ] {
        let response = site.get(&path, &[&format!("Range: {range}")]);
        assert_eq!(
            (response.status, response.body == bytes),
            (200, true),
            "{range}"
        );
    }
    let twice = site.get(&path, &["Range: bytes=0-1", "Range: bytes=2-3"]);
    assert_eq!((twice.status, twice.body.len()), (200, bytes.len()));
}

#[test]
fn if_range_brings_a_part_only_of_the_same_bytes() {
    let (folder, path, bytes) = body(10_000);
    let site = folder.serve();
    let tag = Digest::of(&bytes);
    let with = |value: &str| {
        let response = site.get(&path, &["Range: bytes=5-9", &format!("If-Range: {value}")]);
        (response.status, response.body.len())
    };
    assert_eq!(with(&format!("\"{tag}\"")), (206, 5));
    for other in [
        format!("W/\"{tag}\""),
        tag.to_string(),
        "\"other\"".to_owned(),
        "Sun, 22 Nov 2026 10:00:00 GMT".to_owned(),
    ] {
        assert_eq!(with(&other), (200, bytes.len()), "{other}");
    }
}

#[test]
fn if_none_match_saves_the_transfer_of_known_bytes() {
    let (folder, path, bytes) = body(10_000);
    let site = folder.serve();
    let tag = Digest::of(&bytes);
    for known in [
        format!("\"{tag}\""),
        format!("W/\"{tag}\""),
        format!("\"a\", \"{tag}\""),
        "*".to_owned(),
    ] {
        let response = site.get(&path, &[&format!("If-None-Match: {known}")]);
        assert_eq!(response.status, 304, "{known}");
        assert_eq!(response.header("etag"), Some(format!("\"{tag}\"").as_str()));
    }
    assert_eq!(site.get(&path, &["If-None-Match: \"other\""]).status, 200);
}

#[test]
fn changing_files_are_tagged_by_content_and_asked_for_each_time() {
    let folder = Folder::new();
    let site = folder.serve();
    let mut tags = Vec::new();
    for content in [b"one".as_slice(), b"other"] {
        folder.write(&Resource::Now, content);
        let response = site.get("/now.cose", &[]);
        assert_eq!(response.body, content);
        assert_eq!(response.header("cache-control"), Some("no-cache"));
        assert_eq!(response.header("content-type"), Some("application/cose"));
        tags.push(response.header("etag").unwrap().to_owned());
    }
    assert_ne!(tags[0], tags[1]);
    assert_eq!(site.get("/now.cose", &["Range: bytes=1-2"]).body, b"th");
}

#[test]
fn every_kind_of_file_is_served_and_empty_files_too() {
    let folder = Folder::new();
    let digest = Digest([0xAA; 32]);
    let header = Resource::IdfHeader {
        device: &DEVICE,
        body: &digest,
    };
    let wrap = Resource::BodyWrap {
        body: &digest,
        group: 0,
        epoch: 1,
    };
    let site = folder.serve();
    for resource in [
        Resource::Now,
        Resource::Root(1),
        Resource::Releases(&digest),
        Resource::Manifest(&digest),
        Resource::Body(&digest),
        Resource::Pages(&digest),
        wrap,
        Resource::Device(&DEVICE),
        Resource::IdfSubscription(&DEVICE),
        header,
    ] {
        let path = format!("/{}", resource.path());
        assert_eq!(site.get(&path, &[]).status, 404, "{path}");
        for content in [b"".as_slice(), b"content"] {
            folder.write(&resource, content);
            let response = site.get(&path, &[]);
            assert_eq!(
                (response.status, response.body.as_slice()),
                (200, content),
                "{path}"
            );
        }
    }
}

#[test]
fn paths_that_leave_the_repository_or_are_spelt_otherwise_name_nothing() {
    let (folder, path, _) = body(1000);
    fs::write(folder.path("secret"), "secret").unwrap();
    fs::write(folder.path("repository/espseal.toml"), "secret").unwrap();
    fs::write(folder.path("repository/releases.key"), "secret").unwrap();
    let site = folder.serve();
    for wrong in [
        "/../secret".to_owned(),
        "/bodies/../../secret".to_owned(),
        "/%2e%2e/secret".to_owned(),
        "/..%2fsecret".to_owned(),
        "/bodies/..%2f..%2fsecret".to_owned(),
        "/espseal.toml".to_owned(),
        "/releases.key".to_owned(),
        "/".to_owned(),
        "//".to_owned(),
        "/bodies".to_owned(),
        "/bodies/".to_owned(),
        format!("/{path}"),
        format!("{path}/"),
        format!("{path}%00"),
        path.replace("/bodies/", "/bodies%2f"),
        path.replace("/bodies/", "/./bodies/"),
        path.replace("/bodies/", "/bodies//"),
        path.to_uppercase(),
        path.replace("bin", "b%69n"),
    ] {
        let response = site.get(&wrong, &[]);
        assert_eq!(response.status, 404, "{wrong}");
        assert!(
            !response.body.windows(6).any(|part| part == b"secret"),
            "{wrong}"
        );
    }
    assert_eq!(
        site.get(&format!("{path}?query=1"), &[]).status,
        200,
        "a query selects nothing"
    );
}

#[test]
fn other_methods_are_refused_and_named() {
    let (folder, path, _) = body(1000);
    let site = folder.serve();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        let response = site.send(method, &path, &[]);
        assert_eq!(
            (response.status, response.header("allow")),
            (405, Some("GET, HEAD")),
            "{method}"
        );
    }
    assert_eq!(site.get("/v1/poll", &[]).status, 405);
    assert_eq!(site.get("/v1/report", &[]).status, 405);
    assert_eq!(site.send("POST", "/healthz", &[]).status, 405);
}

#[test]
fn folders_and_pipes_are_no_files() {
    let (folder, path, _) = body(1000);
    let pipe = folder.path("repository/now.cose");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let site = folder.serve();
    // A server that waits for the pipe's other end gets it later, so that this test ends.
    let (told, answered) = std::sync::mpsc::channel::<()>();
    let other_end = std::thread::spawn(move || {
        let late = answered.recv_timeout(Duration::from_secs(15)).is_err();
        let _end = late.then(|| fs::OpenOptions::new().read(true).write(true).open(pipe));
        late
    });
    assert_eq!(site.get("/now.cose", &[]).status, 404);
    let _answered = told.send(());
    assert!(!other_end.join().unwrap(), "the server waits for the pipe");
    let file = folder.path("repository").join(&path[1..]);
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(site.get(&path, &[]).status, 404);
}

#[test]
fn small_file_that_is_too_large_is_an_error_of_the_repository() {
    let folder = Folder::new();
    folder.write(&Resource::Now, &noise(65_537));
    let site = folder.serve();
    assert_eq!(site.get("/now.cose", &[]).status, 500);
}

#[test]
fn file_cut_short_while_it_is_sent_breaks_the_connection() {
    let (folder, path, bytes) = body(20_000_000);
    let site = folder.serve();
    let mut connection = site.connect();
    connection.write(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
    assert_eq!(connection.head().length(), bytes.len());
    let file = fs::OpenOptions::new()
        .write(true)
        .open(folder.path("repository").join(&path[1..]));
    file.unwrap().set_len(1000).unwrap();
    let received = connection.rest();
    assert!(
        received.len() < bytes.len(),
        "nothing stands in for what is missing"
    );
    assert!(bytes.starts_with(&received));
}

#[test]
fn health_is_told_as_long_as_there_is_a_repository() {
    let folder = Folder::new();
    let site = folder.serve();
    let response = site.get("/healthz", &[]);
    assert_eq!(
        (response.status, response.body.as_slice()),
        (200, b"ok".as_slice())
    );
    fs::remove_dir_all(folder.path("repository")).unwrap();
    assert_eq!(site.get("/healthz", &[]).status, 503);
}

#[test]
fn second_connection_resumes_the_session_of_the_first() {
    let (folder, path, _) = body(1000);
    let clock = Clock::default();
    let site = folder.serve_with(|config| config.clock = clock.clone());
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let client = Arc::new(folder.client_with(&[version]));
        let kinds: Vec<_> = (0..2)
            .map(|round| {
                // A ticket outlives a jump of the server's clock, back or ahead.
                clock.jump([-86_400, 2 * 86_400][round]);
                let socket = TcpStream::connect(site.address).unwrap();
                let mut connection = site.connect_over(&client, socket);
                assert_eq!(connection.exchange("GET", &path, &[], &[]).status, 200);
                connection.stream.get_ref().conn.handshake_kind().unwrap()
            })
            .collect();
        assert_eq!(
            kinds,
            [HandshakeKind::Full, HandshakeKind::Resumed],
            "{version:?}"
        );
    }
}

/// Keeps what the server sends, as it stands on the wire.
struct Tap {
    socket: TcpStream,
    received: Vec<u8>,
}

impl Read for Tap {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.socket.read(buffer)?;
        self.received.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

#[test]
fn downloads_travel_in_full_tls_records() {
    let (folder, path, bytes) = body(1_500_000);
    let site = folder.serve();
    let socket = TcpStream::connect(site.address).unwrap();
    let mut connection = site.connect_over(
        &site.client,
        Tap {
            socket,
            received: Vec::new(),
        },
    );
    assert_eq!(connection.exchange("GET", &path, &[], &[]).body, bytes);
    let wire = &connection.stream.get_ref().sock.received;
    let (mut at, mut records) = (0, Vec::new());
    while let Some(&[_, _, _, high, low]) = wire.get(at..at + 5) {
        let length = usize::from(u16::from_be_bytes([high, low]));
        records.push(length);
        at += 5 + length;
    }
    let full = records.iter().filter(|length| **length > 16_000).count();
    assert!(
        full >= 80,
        "{full} full records of {} for 1.5 MB",
        records.len()
    );
    assert!(records.len() <= 130, "{} records for 1.5 MB", records.len());
}
