//! A TLS 1.3 server that sends no certificate at all, and is right in everything else.
//!
//! Its Finished proves that it took part in this handshake, and nothing about who it is. embedded-tls
//! ends such a handshake without a word.
//!
//! Source: RFC 8446 sections 4.1.3, 4.4.4, 5.2, 7.1, 7.3.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use aes_gcm::aead::{AeadInPlace as _, KeyInit as _};
use aes_gcm::{Aes128Gcm, Nonce};
use espseal_https::https::HttpsFault;
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use p256::ecdh::EphemeralSecret;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use rand_core::OsRng;
use sha2::{Digest as _, Sha256};

use crate::socket::connect;

#[test]
fn server_without_a_certificate_is_refused_though_its_handshake_ends_well() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || pose(listener.accept().unwrap().0));
    let refused = connect(port, "localhost", &[]).err();
    assert!(matches!(refused, Some(HttpsFault::Unproven)), "{refused:?}");
    // The client's Finished came: for embedded-tls the connection was good.
    assert!(server.join().unwrap() > 0);
}

/// Plays the server's part; returns how many bytes of the client's answer came.
fn pose(mut stream: TcpStream) -> usize {
    let client_hello = read_record(&mut stream);
    let (session, share) = parse(&client_hello);
    let secret = EphemeralSecret::random(&mut OsRng);
    let own = secret.public_key().to_encoded_point(false);
    let hello = server_hello(session, own.as_bytes());
    write_record(&mut stream, 22, &hello);
    let peer = p256::PublicKey::from_sec1_bytes(share).unwrap();
    let shared = secret.diffie_hellman(&peer);

    let empty: [u8; 32] = Sha256::digest(b"").into();
    let (early, _) = Hkdf::<Sha256>::extract(None, &[0; 32]);
    let derived = expand::<32>(&early, "derived", &empty);
    let (handshake, _) = Hkdf::<Sha256>::extract(Some(&derived), shared.raw_secret_bytes());
    let mut transcript = Sha256::new();
    transcript.update(&client_hello);
    transcript.update(&hello);
    let so_far: [u8; 32] = transcript.clone().finalize().into();
    let traffic = expand::<32>(&handshake, "s hs traffic", &so_far);
    let (key, iv) = (
        expand::<16>(&traffic, "key", &[]),
        expand::<12>(&traffic, "iv", &[]),
    );

    let extensions = [8, 0, 0, 2, 0, 0];
    transcript.update(extensions);
    let mut mac =
        <Hmac<Sha256> as hmac::Mac>::new_from_slice(&expand::<32>(&traffic, "finished", &[]))
            .unwrap();
    mac.update(&transcript.finalize());
    let mut finished = vec![20, 0, 0, 32];
    finished.extend(mac.finalize().into_bytes());
    for (number, message) in [&extensions[..], &finished].into_iter().enumerate() {
        write_record(&mut stream, 23, &seal(&key, iv, number as u8, message));
    }
    stream.read(&mut [0; 1024]).unwrap_or(0)
}

/// The body of the next record.
fn read_record(stream: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 5];
    stream.read_exact(&mut header).unwrap();
    let mut body = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
    stream.read_exact(&mut body).unwrap();
    body
}

fn write_record(stream: &mut TcpStream, kind: u8, body: &[u8]) {
    let [high, low] = (body.len() as u16).to_be_bytes();
    stream
        .write_all(&[&[kind, 3, 3, high, low], body].concat())
        .unwrap();
}

/// Session id and P-256 key share of a ClientHello.
fn parse(hello: &[u8]) -> (&[u8], &[u8]) {
    // Type and length, version, random.
    let rest = &hello[4 + 2 + 32..];
    let session = &rest[1..1 + usize::from(rest[0])];
    // Group 0x0017 and a length of 65, then an uncompressed point.
    let share = hello
        .windows(5)
        .position(|bytes| bytes == [0, 0x17, 0, 65, 4])
        .unwrap();
    (session, &hello[share + 4..share + 4 + 65])
}

fn server_hello(session: &[u8], share: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([0x5A; 32]);
    body.push(session.len() as u8);
    body.extend(session);
    // TLS_AES_128_GCM_SHA256, no compression.
    body.extend([0x13, 0x01, 0]);
    let mut extensions = vec![0, 43, 0, 2, 3, 4, 0, 51, 0, 69, 0, 0x17, 0, 65];
    extensions.extend(share);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut message = vec![2, 0];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
    message
}

/// HKDF-Expand-Label.
fn expand<const N: usize>(secret: &[u8], label: &str, context: &[u8]) -> [u8; N] {
    let mut info = vec![0, N as u8, label.len() as u8 + 6];
    info.extend(b"tls13 ");
    info.extend(label.as_bytes());
    info.push(context.len() as u8);
    info.extend(context);
    let mut out = [0; N];
    Hkdf::<Sha256>::from_prk(secret)
        .unwrap()
        .expand(&info, &mut out)
        .unwrap();
    out
}

/// A protected record with one handshake message.
fn seal(key: &[u8; 16], mut iv: [u8; 12], number: u8, message: &[u8]) -> Vec<u8> {
    iv[11] ^= number;
    let mut body = [message, &[22]].concat();
    let length = (body.len() + 16) as u16;
    let [high, low] = length.to_be_bytes();
    let cipher = Aes128Gcm::new(key.into());
    let tag = cipher
        .encrypt_in_place_detached(Nonce::from_slice(&iv), &[23, 3, 3, high, low], &mut body)
        .unwrap();
    body.extend(tag);
    body
}
