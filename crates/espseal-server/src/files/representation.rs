//! Turns bytes with a name into a response: whole, in part, or not at all.
//!
//! Every response with content has an explicit `Content-Length`; nothing is chunked, nothing is
//! content-encoded whatever the client accepts. Validators are strong.
//!
//! Source: RFC 9110 sections 13 (conditions), 14 (ranges), 15.3.7 and 15.5.17.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, IF_NONE_MATCH, IF_RANGE,
};
use hyper::{HeaderMap, Method, Response, StatusCode};

use super::body::{Buffers, FileBody};
use super::range::RangeHeader;

/// Bytes with a name, ready to be sent.
pub(crate) struct Representation {
    /// The name: the value of the `ETag` header without its quotes.
    pub(crate) tag: String,
    pub(crate) content_type: &'static str,
    pub(crate) caching: Caching,
    /// Bytes before those of the file.
    pub(crate) prefix: Bytes,
    /// A file and its length, as far as it is not all in `prefix`.
    pub(crate) file: Option<(File, u64)>,
}

/// What a cache may do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caching {
    /// The URL never names other bytes.
    Immutable,
    /// The bytes change: a cache asks before it answers.
    Revalidate,
}

/// What happens to a `Range` header that names no single part.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UnusableRange {
    /// The whole representation, as RFC 9110 allows.
    Whole,
    /// 416: the client would splice a whole representation into what it has.
    Refused,
}

impl Representation {
    /// Answers `GET` or `HEAD`.
    pub(crate) fn answer(
        self,
        method: &Method,
        request: &HeaderMap,
        unusable: UnusableRange,
        buffers: &Arc<Buffers>,
    ) -> Response<Body> {
        let total = self.len();
        let mut response = Response::new(Body::empty());
        self.describe(response.headers_mut());
        if self.is_known_to(request) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        // A range is defined for GET alone.
        let asked = match RangeHeader::parse(request) {
            _ if method == Method::HEAD => Ok(None),
            _ if self.is_another_than(request) => Ok(None),
            RangeHeader::Absent => Ok(None),
            RangeHeader::One(part) => part.resolve(total).map(Some).ok_or(()),
            RangeHeader::Unusable => match unusable {
                UnusableRange::Whole => Ok(None),
                UnusableRange::Refused => Err(()),
            },
        };
        let range = match asked {
            Ok(None) => 0..total,
            Ok(Some(range)) => {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let last = range.end.saturating_sub(1);
                let value = format!("bytes {}-{last}/{total}", range.start);
                insert(response.headers_mut(), CONTENT_RANGE, value);
                range
            }
            Err(()) => return unsatisfiable(total),
        };
        let length = range.end.saturating_sub(range.start);
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
        if method != Method::HEAD {
            *response.body_mut() = self.body(range, buffers);
        }
        response
    }

    fn len(&self) -> u64 {
        let file = self.file.as_ref().map_or(0, |(_, len)| *len);
        (self.prefix.len() as u64).saturating_add(file)
    }

    /// Inserts the headers that go with every form of the content, 304 included.
    fn describe(&self, headers: &mut HeaderMap) {
        insert(headers, ETAG, format!("\"{}\"", self.tag));
        let caching = match self.caching {
            Caching::Immutable => "public, max-age=31536000, immutable",
            Caching::Revalidate => "no-cache",
        };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }

    /// Whether `If-None-Match` names these bytes.
    fn is_known_to(&self, request: &HeaderMap) -> bool {
        let mut values = request.get_all(IF_NONE_MATCH).iter();
        values.any(|value| {
            let mut tags = value
                .as_bytes()
                .split(|byte| *byte == b',')
                .map(<[u8]>::trim_ascii);
            tags.any(|tag| tag == b"*" || self.is_tag(tag.strip_prefix(b"W/").unwrap_or(tag)))
        })
    }

    /// Whether `If-Range` names other bytes, so that a part of these would not fit.
    fn is_another_than(&self, request: &HeaderMap) -> bool {
        request
            .get(IF_RANGE)
            .is_some_and(|tag| !self.is_tag(tag.as_bytes()))
    }

    fn is_tag(&self, quoted: &[u8]) -> bool {
        let inner = quoted
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""));
        inner == Some(self.tag.as_bytes())
    }

    fn body(self, range: Range<u64>, buffers: &Arc<Buffers>) -> Body {
        let before = self.prefix.len();
        let cut = |at: u64| usize::try_from(at).map_or(before, |at| at.min(before));
        let prefix = self.prefix.slice(cut(range.start)..cut(range.end));
        match self.file {
            None => Body::from(prefix),
            Some((file, _)) => {
                let before = before as u64;
                let left = range.start.saturating_sub(before)..range.end.saturating_sub(before);
                Body::new(FileBody::new(prefix, file, left, buffers))
            }
        }
    }
}

/// 416 with the length that there is.
fn unsatisfiable(total: u64) -> Response<Body> {
    let mut response =
        crate::answer::sentence(StatusCode::RANGE_NOT_SATISFIABLE, "no such range\n");
    insert(
        response.headers_mut(),
        CONTENT_RANGE,
        format!("bytes */{total}"),
    );
    response
}

/// Inserts a value that is made of digits, hexadecimal digits and punctuation.
pub(crate) fn insert(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
