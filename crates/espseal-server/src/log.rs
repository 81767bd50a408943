//! Structured log lines on standard error: one for each request, one for each event that an
//! operator has to know about.
//!
//! A line holds the peer's address, method, path, status, bytes and time. The server knows no
//! secret but its TLS key, which is never formatted.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, HttpBody};
use hyper::body::{Bytes, Frame, SizeHint};
use hyper::{Method, Request, Response, StatusCode, Uri};
use tracing::info;
use tracing_subscriber::filter::EnvFilter;

/// Form of the log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `2026-11-22T10:00:00Z  INFO request method=GET path=/now.cose status=200 ...`
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Installs the subscriber for the process; `RUST_LOG` overrides the level `info`.
///
/// A second call, or a call after another subscriber was installed, changes nothing.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let builder = builder.with_target(false).with_ansi(false);
    // The only error is that a subscriber is already there: the host's choice then stands.
    let _already_installed = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// One request and its response; the line is written when the last byte has been handed to TLS,
/// or when the connection broke before.
pub(crate) struct Exchange {
    peer: SocketAddr,
    method: Method,
    uri: Uri,
    begun: Instant,
    status: StatusCode,
    sent: u64,
}

impl Exchange {
    /// Notes the request.
    pub(crate) fn begin<B>(peer: SocketAddr, request: &Request<B>) -> Self {
        Self {
            peer,
            method: request.method().clone(),
            uri: request.uri().clone(),
            begun: Instant::now(),
            status: StatusCode::OK,
            sent: 0,
        }
    }

    /// Counts what the response sends.
    pub(crate) fn follow(mut self, response: Response<Body>) -> Response<Followed> {
        self.status = response.status();
        response.map(|body| Followed {
            body,
            exchange: self,
        })
    }
}

/// A body whose end is logged.
pub(crate) struct Followed {
    body: Body,
    exchange: Exchange,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
            self.exchange.sent = self.exchange.sent.saturating_add(bytes);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let Exchange {
            peer,
            method,
            uri,
            begun,
            status,
            sent,
        } = &self.exchange;
        let complete = self.body.is_end_stream();
        let milliseconds = begun.elapsed().as_secs_f64() * 1000.0;
        let (path, status) = (uri.path(), status.as_u16());
        info!(%peer, %method, path, status, sent, complete, milliseconds, "request");
    }
}
