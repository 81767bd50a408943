//! HTTPS to a real server: the agent's transport, and the client of the ESP-IDF model.
//!
//! TLS 1.2 or 1.3 with rustls on aws-lc-rs, against given CA certificates only. Never plain HTTP, never
//! a redirect behind the caller's back; every answer has a deadline and is read no further than asked.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use espseal_agent::transport::{Transport, TransportFault, TransportFaultKind};
use espseal_format::repository::Resource;
use rustls::crypto::aws_lc_rs;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION};
use ureq::http::{HeaderName, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

/// A client that trusts only these certificates.
#[derive(Clone, Debug)]
pub struct HttpsClient {
    agent: Agent,
}

/// How long an answer may take, in each of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For the connection, TLS included.
    pub connect: Duration,
    /// For the head of the answer, once the request is out.
    pub head: Duration,
    /// For the whole body, however it drips in.
    pub body: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            head: Duration::from_secs(30),
            body: Duration::from_secs(300),
        }
    }
}

/// What came back, before its body is read.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Content-Length`, if the server stated one.
    pub content_length: Option<u64>,
    /// Total length in `Content-Range`, if the server stated one.
    pub content_range_total: Option<u64>,
    /// `Location`.
    pub location: Option<String>,
    body: Box<dyn Read>,
}

/// HTTP method of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
}

impl HttpsClient {
    /// Reads the trusted CA certificates from PEM.
    ///
    /// # Errors
    /// [`HttpsError::Roots`] when there is none.
    pub fn new(roots_pem: &[u8]) -> Result<Self, HttpsError> {
        Self::with_deadlines(roots_pem, Deadlines::default())
    }

    /// The same with other deadlines.
    ///
    /// # Errors
    /// [`HttpsError::Roots`] when there is none.
    pub fn with_deadlines(roots_pem: &[u8], deadlines: Deadlines) -> Result<Self, HttpsError> {
        let roots = ureq::tls::parse_pem(roots_pem)
            .filter_map(|item| match item {
                Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(Ok(certificate)),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            })
            .collect::<Result<Vec<Certificate<'static>>, _>>()
            .map_err(|_| HttpsError::Roots)?;
        if roots.is_empty() {
            return Err(HttpsError::Roots);
        }
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .https_only(true)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_response_header_size(16 * 1024)
            .timeout_connect(Some(deadlines.connect))
            .timeout_recv_response(Some(deadlines.head))
            .timeout_recv_body(Some(deadlines.body))
            .build()
            .new_agent();
        Ok(Self { agent })
    }

    /// Asks for a URL; `range` is the value of a `Range` header.
    ///
    /// # Errors
    /// [`HttpsError::Unreachable`] when no answer came.
    pub fn download(
        &self,
        method: Method,
        url: &str,
        range: Option<&str>,
    ) -> Result<Answer, HttpsError> {
        let mut request = match method {
            Method::Get => self.agent.get(url),
            Method::Head => self.agent.head(url),
        };
        if let Some(range) = range {
            request = request.header("Range", range);
        }
        Ok(Answer::new(
            request.call().map_err(HttpsError::unreachable)?,
        ))
    }

    fn post(&self, url: &str, body: &[u8]) -> Result<Answer, HttpsError> {
        let request = self
            .agent
            .post(url)
            .header("Content-Type", "application/octet-stream");
        Ok(Answer::new(
            request.send(body).map_err(HttpsError::unreachable)?,
        ))
    }
}

impl Answer {
    fn new(response: Response<Body>) -> Self {
        let header = |name: HeaderName| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let total = |range: String| range.rsplit_once('/')?.1.parse().ok();
        Self {
            status: response.status().as_u16(),
            content_length: header(CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            content_range_total: header(CONTENT_RANGE).and_then(total),
            location: header(LOCATION),
            body: Box::new(response.into_body().into_reader()),
        }
    }
}

impl Read for Answer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer)
    }
}

/// The agent's transport over HTTPS.
pub struct HttpsTransport {
    client: HttpsClient,
    base: String,
    answer: Option<io::Take<Answer>>,
}

impl HttpsTransport {
    /// Uses the repository at `base`, such as `https://updates.example.com/`.
    ///
    /// # Errors
    /// [`HttpsError::NotHttps`] for any other scheme.
    pub fn new(client: HttpsClient, base: &str) -> Result<Self, HttpsError> {
        if !base.starts_with("https://") {
            return Err(HttpsError::NotHttps(base.into()));
        }
        let base = format!("{}/", base.trim_end_matches('/'));
        Ok(Self {
            client,
            base,
            answer: None,
        })
    }

    /// Takes an answer whose status is as expected; an answer to a range is cut to its length.
    fn accept(&mut self, answer: Answer, expected: &[u16], limit: u64) -> Result<(), HttpsError> {
        match answer.status {
            status if expected.contains(&status) => {
                self.answer = Some(answer.take(limit));
                Ok(())
            }
            404 => Err(HttpsError::NotFound),
            status => Err(HttpsError::Refused(status)),
        }
    }
}

impl Transport for HttpsTransport {
    type Error = HttpsError;

    fn open(
        &mut self,
        resource: Resource<'_>,
        range: Option<Range<u32>>,
    ) -> Result<(), HttpsError> {
        self.answer = None;
        let url = format!("{}{}", self.base, resource.path().as_str());
        let Some(range) = range else {
            let answer = self.client.download(Method::Get, &url, None)?;
            return self.accept(answer, &[200], u64::MAX);
        };
        let length = range.end.saturating_sub(range.start);
        let header = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        let answer = self.client.download(Method::Get, &url, Some(&header))?;
        // A server that ignores the range answers 200 from byte 0.
        let whole = range.start == 0;
        self.accept(
            answer,
            if whole { &[200, 206] } else { &[206] },
            length.into(),
        )
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, HttpsError> {
        match &mut self.answer {
            Some(answer) => answer.read(buffer).map_err(HttpsError::Interrupted),
            None => Ok(0),
        }
    }

    fn post_poll(&mut self, poll: &[u8]) -> Result<(), HttpsError> {
        self.answer = None;
        let answer = self.client.post(&format!("{}v1/poll", self.base), poll)?;
        self.accept(answer, &[200], u64::MAX)
    }

    fn post_report(&mut self, report: &[u8]) -> Result<(), HttpsError> {
        self.answer = None;
        let answer = self
            .client
            .post(&format!("{}v1/report", self.base), report)?;
        self.accept(answer, &[200, 204], 0)
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpsError {
    /// The caller gave no usable CA certificate.
    #[error("no CA certificate in the PEM file: give the certificate that signed the server's")]
    Roots,
    /// The caller gave another scheme.
    #[error("{0} is not an https:// URL")]
    NotHttps(Box<str>),
    /// The server has no such file.
    #[error("the server has no such file (404)")]
    NotFound,
    /// The server answered with a status that the protocol does not know here, such as a redirect.
    #[error("the server answered {0}")]
    Refused(u16),
    /// No answer: name, connection or TLS.
    #[error("the server cannot be reached: {0}")]
    Unreachable(Box<ureq::Error>),
    /// The answer broke off.
    #[error("the answer broke off: {0}")]
    Interrupted(io::Error),
}

impl HttpsError {
    fn unreachable(error: ureq::Error) -> Self {
        Self::Unreachable(Box::new(error))
    }
}

impl TransportFault for HttpsError {
    fn kind(&self) -> TransportFaultKind {
        match self {
            Self::NotFound => TransportFaultKind::NotFound,
            Self::Refused(status) => TransportFaultKind::Refused { status: *status },
            Self::Interrupted(_) => TransportFaultKind::Interrupted,
            Self::Roots | Self::NotHttps(_) | Self::Unreachable(_) => {
                TransportFaultKind::Unreachable
            }
        }
    }
}
