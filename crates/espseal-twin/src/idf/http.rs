//! What `esp_http_client` asks of HTTP, and its limits.

use std::io::Read;

use crate::https::{Answer, HttpsClient, HttpsError, Method};

/// Redirects that `esp_http_client` follows before it gives up.
pub const MAX_REDIRECTS: u32 = 10;
/// Longest URL: request line and header lines have to fit its 512-byte buffers.
pub const URL_LIMIT: usize = 512;

/// Something that answers HTTP requests.
pub trait HttpFetch {
    /// What can go wrong.
    type Error: core::error::Error + 'static;

    /// Sends one request, without following redirects.
    ///
    /// # Errors
    /// When no answer comes.
    fn fetch(
        &mut self,
        method: Method,
        url: &str,
        range: Option<&str>,
    ) -> Result<HttpReply, Self::Error>;
}

/// One answer.
pub struct HttpReply {
    /// HTTP status.
    pub status: u16,
    /// `Content-Length`; `None` for chunked answers.
    pub content_length: Option<u64>,
    /// Total length in `Content-Range`.
    pub content_range_total: Option<u64>,
    /// `Location`.
    pub location: Option<String>,
    /// The body.
    pub body: Box<dyn Read>,
}

impl HttpFetch for HttpsClient {
    type Error = HttpsError;

    fn fetch(
        &mut self,
        method: Method,
        url: &str,
        range: Option<&str>,
    ) -> Result<HttpReply, HttpsError> {
        let answer: Answer = self.download(method, url, range)?;
        Ok(HttpReply {
            status: answer.status,
            content_length: answer.content_length,
            content_range_total: answer.content_range_total,
            location: answer.location.clone(),
            body: Box::new(answer),
        })
    }
}
