//! The agent's network, over TLS to a small server.

use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::TcpListener;
use std::sync::Arc;

use espseal_agent::transport::{Transport, TransportFault as _, TransportFaultKind};
use espseal_format::repository::Resource;
use espseal_format::units::Digest;
use espseal_twin::folder::FolderTransport;
use espseal_twin::https::{HttpsClient, HttpsError, HttpsTransport};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

const BODY: Digest = Digest([7; 32]);

/// Answers each connection once with what `answer` makes of the request line and range; gives the
/// server's base URL and certificate.
fn serve(answer: fn(&str, Option<&str>) -> String) -> (String, String) {
    listen(move |head, stream| {
        let mut lines = head.lines();
        let line = lines.next().unwrap_or_default();
        let range = lines.find_map(|line| line.strip_prefix("range: "));
        let _ = stream.write_all(answer(line, range).as_bytes());
    })
}

/// Hands each connection's head, in lower case but for its first line, and the connection to
/// `handle`; gives the server's base URL and certificate.
pub(crate) fn listen(handle: impl Fn(&str, &mut dyn Write) + Send + 'static) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("localhost:0").unwrap();
    let base = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut reader = BufReader::new(StreamOwned::new(connection, stream));
            let (mut head, mut length) = (String::new(), 0);
            if reader.read_line(&mut head).is_err() {
                continue;
            }
            loop {
                let mut header = String::new();
                if reader.read_line(&mut header).is_err() || header.trim().is_empty() {
                    break;
                }
                let header = header.to_ascii_lowercase();
                if let Some(value) = header.trim().strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
                head += &header;
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let stream = reader.get_mut();
            handle(&head.replace("\r\n", "\n"), stream);
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (base, made.cert.pem())
}

fn reply(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn connect(answer: fn(&str, Option<&str>) -> String) -> HttpsTransport {
    let (base, roots) = serve(answer);
    HttpsTransport::new(HttpsClient::new(roots.as_bytes()).unwrap(), &base).unwrap()
}

fn read_all<T: Transport>(transport: &mut T) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 7]);
    loop {
        match transport.read(&mut buffer).unwrap() {
            0 => return all,
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

fn body() -> Resource<'static> {
    Resource::Body(&BODY)
}

#[test]
fn files_ranges_polls_and_reports_cross_tls() {
    let mut transport = connect(
        |line, range| match (line.split(' ').nth(1).unwrap(), range) {
            ("/now.cose", None) => reply("200 OK", "now"),
            (path, Some("bytes=2-5")) if path.starts_with("/bodies/") => {
                reply("206 Partial Content", "2345")
            }
            ("/v1/poll", None) => reply("200 OK", "polled"),
            ("/v1/report", None) => reply("204 No Content", ""),
            _ => reply("404 Not Found", "nothing"),
        },
    );
    transport.open(Resource::Now, None).unwrap();
    assert_eq!(read_all(&mut transport), b"now");
    transport.open(body(), Some(2..6)).unwrap();
    assert_eq!(read_all(&mut transport), b"2345");
    transport.post_poll(&[1, 2, 3]).unwrap();
    assert_eq!(read_all(&mut transport), b"polled");
    transport.post_report(&[1]).unwrap();
    let missing = transport.open(Resource::Root(9), None).unwrap_err();
    assert_eq!(missing.kind(), TransportFaultKind::NotFound);
}

#[test]
fn a_server_that_ignores_ranges_or_sends_too_much_is_not_spliced() {
    let mut whole = connect(|_, _| reply("200 OK", "0123456789"));
    let refused = whole.open(body(), Some(2..6)).unwrap_err();
    assert_eq!(refused.kind(), TransportFaultKind::Refused { status: 200 });
    // From byte 0 the whole file starts right, and no more than the range is read.
    whole.open(body(), Some(0..4)).unwrap();
    assert_eq!(read_all(&mut whole), b"0123");
}

#[test]
fn redirects_are_not_followed() {
    let mut transport = connect(|_, _| {
        "HTTP/1.1 302 Found\r\nLocation: https://localhost:1/\r\nContent-Length: 0\r\n\r\n".into()
    });
    let refused = transport.open(Resource::Now, None).unwrap_err();
    assert_eq!(refused.kind(), TransportFaultKind::Refused { status: 302 });
}

#[test]
fn only_the_given_certificates_and_only_https_are_trusted() {
    let (base, _) = serve(|_, _| reply("200 OK", "now"));
    let (_, other) = serve(|_, _| String::new());
    let client = HttpsClient::new(other.as_bytes()).unwrap();
    let mut transport = HttpsTransport::new(client.clone(), &base).unwrap();
    let refused = transport.open(Resource::Now, None).unwrap_err();
    assert_eq!(refused.kind(), TransportFaultKind::Unreachable);
    let plain = HttpsTransport::new(client, "http://localhost/");
    assert!(matches!(plain, Err(HttpsError::NotHttps(_))));
    assert!(matches!(
        HttpsClient::new(b"no pem"),
        Err(HttpsError::Roots)
    ));
}

#[test]
fn a_broken_answer_is_an_error_and_not_an_end() {
    let mut transport =
        connect(|_, _| "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".into());
    transport.open(Resource::Now, None).unwrap();
    let mut buffer = [0; 64];
    let mut result = transport.read(&mut buffer);
    while result.as_ref().is_ok_and(|count| *count > 0) {
        result = transport.read(&mut buffer);
    }
    assert_eq!(result.unwrap_err().kind(), TransportFaultKind::Interrupted);
}

#[test]
fn a_folder_serves_files_and_ranges_and_keeps_reports() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("bodies")).unwrap();
    std::fs::write(folder.path().join(body().path().as_str()), b"0123456789").unwrap();
    std::fs::write(folder.path().join("now.cose"), b"now").unwrap();
    let mut transport = FolderTransport::new(folder.path());
    transport.open(body(), Some(2..6)).unwrap();
    assert_eq!(read_all(&mut transport), b"2345");
    transport.post_poll(b"poll").unwrap();
    assert_eq!(read_all(&mut transport), b"now");
    let missing = transport.open(Resource::Root(1), None).unwrap_err();
    assert_eq!(missing.kind(), TransportFaultKind::NotFound);
    assert_eq!(read_all(&mut transport), b"");
    transport.post_report(b"report").unwrap();
    assert_eq!(transport.reports(), [b"report"]);
}
