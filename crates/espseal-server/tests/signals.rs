//! A signal stops the server the graceful way. Alone in its process, since the signal goes to all
//! of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests"
)]

#[path = "support/site.rs"]
mod support;

use std::io::Read as _;
use std::net::TcpStream;
use std::sync::Arc;

use espseal_format::repository::Resource;
use espseal_format::units::Digest;
use espseal_server::serve::Server;
use rustix::process::{Signal, getpid, kill_process};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use support::{Connection, Folder, noise};

#[test]
fn signals_finish_the_running_download_and_end_the_server() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = Folder::new();
        let bytes = noise(20_000_000);
        let digest = Digest::of(&bytes);
        folder.write(&Resource::Body(&digest), &bytes);
        let server = Server::bind(folder.config()).unwrap();
        let address = server.local_address();
        let running = std::thread::spawn(move || server.run());
        let client = Arc::new(folder.client_with(rustls::DEFAULT_VERSIONS));
        let session = ClientConnection::new(client, ServerName::try_from("localhost").unwrap());
        let socket = TcpStream::connect(address).unwrap();
        let stream = StreamOwned::new(session.unwrap(), socket);
        let mut connection = Connection {
            stream: std::io::BufReader::new(stream),
        };
        let request = format!("GET /bodies/{digest}.bin HTTP/1.1\r\nHost: h\r\n\r\n");
        connection.write(request.as_bytes());
        connection.head();
        kill_process(getpid(), signal).unwrap();
        support::eventually("the port is closed", || {
            TcpStream::connect(address).is_err()
        });
        let mut received = vec![0; bytes.len()];
        connection.stream.read_exact(&mut received).unwrap();
        assert!(received == bytes);
        drop(connection);
        running.join().unwrap().unwrap();
    }
}
