//! An HTTP/1.1 client over TLS that shows every byte of an answer.

use std::io::{BufRead, BufReader, Read, Write};

use rustls::{ClientConnection, StreamOwned};

/// A TLS connection that speaks HTTP/1.1.
pub(crate) struct Connection<S: Read + Write> {
    pub(crate) stream: BufReader<StreamOwned<ClientConnection, S>>,
}

impl<S: Read + Write> Connection<S> {
    pub(crate) fn exchange(
        &mut self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &[u8],
    ) -> Response {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            head += "Host: localhost\r\n";
        }
        for header in headers {
            head += &format!("{header}\r\n");
        }
        if !body.is_empty() {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        self.write(format!("{head}\r\n").as_bytes());
        self.write(body);
        self.response(method == "HEAD")
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let stream = self.stream.get_mut();
        stream.write_all(bytes).unwrap();
        stream.flush().unwrap();
    }

    pub(crate) fn head(&mut self) -> Response {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("{line:?}"));
        let mut response = Response {
            status: status.parse().unwrap(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            response
                .headers
                .push((name.to_lowercase(), value.to_owned()));
        }
        response
    }

    /// Reads a response; its length has to be said beforehand.
    pub(crate) fn response(&mut self, is_head: bool) -> Response {
        let mut response = self.head();
        assert_eq!(
            response.header("transfer-encoding"),
            None,
            "nothing is chunked"
        );
        assert_eq!(
            response.header("content-encoding"),
            None,
            "nothing is encoded"
        );
        let bodiless = is_head || [204, 304].contains(&response.status);
        if !bodiless {
            let length = response.length();
            response.body.resize(length, 0);
            self.stream.read_exact(&mut response.body).unwrap();
        }
        response
    }

    /// Reads whatever still comes; an end without `close_notify` or a reset ends it too.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let (mut rest, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = self.stream.read(&mut buffer) {
            rest.extend_from_slice(&buffer[..count]);
        }
        rest
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} stands twice");
        value
    }

    pub(crate) fn length(&self) -> usize {
        let length = self.header("content-length");
        length.expect("an explicit Content-Length").parse().unwrap()
    }
}
