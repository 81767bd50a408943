//! Answers without a file behind them.

use std::io;

use axum::body::Body;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use tracing::error;

/// A status and one sentence; a cache keeps neither.
pub(crate) fn sentence(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// 404: the repository has no such file, or there is no such path.
pub(crate) fn not_found() -> Response<Body> {
    sentence(StatusCode::NOT_FOUND, "not found\n")
}

/// 405: `allowed` are the methods that the path takes.
pub(crate) fn method_not_allowed(allowed: &'static str) -> Response<Body> {
    let mut response = sentence(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// 500: the repository's file system fails; the log says how, the client does not learn it.
pub(crate) fn unreadable(path: &str, error: &io::Error) -> Response<Body> {
    error!(path, %error, "cannot read the repository");
    sentence(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the repository cannot be read\n",
    )
}
