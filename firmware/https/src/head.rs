//! The head of an HTTP/1.1 answer: its status and how many bytes follow.
//!
//! Nothing else is looked at. An answer whose length is not stated, or that is encoded or chunked, is
//! refused: espseal's server and static hosts state it.
//!
//! Source: RFC 9112 sections 4, 5 and 6.

/// The longest line that is read; of longer header fields the rest is dropped.
pub const MAX_LINE: usize = 128;

/// What the head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// Bytes of the body.
    pub length: u32,
}

/// Takes the head line by line.
#[derive(Debug, Default)]
pub struct HeadReader {
    status: Option<u16>,
    length: Option<u32>,
}

/// The head is none that this client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotHttp;

impl HeadReader {
    /// Takes a line without its line end; gives the head after the empty one.
    ///
    /// # Errors
    /// [`NotHttp`].
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Head>, NotHttp> {
        let Some(status) = self.status else {
            self.status = Some(status_of(line).ok_or(NotHttp)?);
            return Ok(None);
        };
        if line.is_empty() {
            // RFC 9110: these two have no body, and need not say so.
            let length = match status {
                204 | 304 => Some(0),
                _ => self.length,
            };
            return length
                .map(|length| Some(Head { status, length }))
                .ok_or(NotHttp);
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(NotHttp)?;
        let (name, value) = line.split_at_checked(colon).ok_or(NotHttp)?;
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = number(value).ok_or(NotHttp)?;
            if self
                .length
                .replace(length)
                .is_some_and(|other| other != length)
            {
                return Err(NotHttp);
            }
        }
        match name.eq_ignore_ascii_case(b"transfer-encoding")
            || name.eq_ignore_ascii_case(b"content-encoding")
        {
            true => Err(NotHttp),
            false => Ok(None),
        }
    }
}

/// The status in a line such as `HTTP/1.1 206 Partial Content`.
fn status_of(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.1 ")?;
    let digits = rest.get(..3)?;
    let ended = matches!(rest.get(3), None | Some(b' '));
    let status = number(digits).filter(|status| ended && *status >= 200)?;
    u16::try_from(status).ok()
}

fn number(digits: &[u8]) -> Option<u32> {
    let text = str::from_utf8(digits).ok()?;
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &[&str]) -> Result<Option<Head>, NotHttp> {
        let mut reader = HeadReader::default();
        let mut last = Ok(None);
        for line in head {
            last = reader.line(line.as_bytes());
            if last.is_err() {
                break;
            }
        }
        last
    }

    #[test]
    fn status_and_length_are_found_whatever_the_case() {
        let head = [
            "HTTP/1.1 206 Partial Content",
            "content-LENGTH:  4096 ",
            "etag: x",
            "",
        ];
        let (status, length) = (206, 4096);
        assert_eq!(read(&head), Ok(Some(Head { status, length })));
        let (status, length) = (204, 0);
        assert_eq!(
            read(&["HTTP/1.1 204", ""]),
            Ok(Some(Head { status, length }))
        );
    }

    #[test]
    fn answers_of_unknown_length_are_refused() {
        for head in [
            ["HTTP/1.1 200 OK", "etag: x", ""],
            ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", ""],
            ["HTTP/1.1 200 OK", "content-encoding: gzip", ""],
            ["HTTP/1.1 200 OK", "content-length: -1", ""],
            ["HTTP/1.1 200 OK", "content-length: 99999999999", ""],
            ["HTTP/1.1 100 Continue", "content-length: 1", ""],
            ["HTTP/1.1 2000 OK", "content-length: 1", ""],
            ["HTTP/1.0 200 OK", "content-length: 1", ""],
            ["HTTP/1.1 200 OK", "no colon", ""],
        ] {
            assert_eq!(read(&head), Err(NotHttp), "{head:?}");
        }
    }

    #[test]
    fn two_lengths_that_differ_are_refused() {
        let head = ["HTTP/1.1 200 OK", "content-length: 1", "content-length: 2"];
        assert_eq!(read(&head), Err(NotHttp));
    }
}
