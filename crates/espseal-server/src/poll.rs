//! `POST /v1/poll`: a device says what it runs and gets the newest `now`.
//!
//! The poll is unsigned, so it is believed by nobody and kept only for devices that are enrolled.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use espseal_format::metadata::now;
use espseal_format::report::{MAX_POLL_LEN, Poll};
use espseal_format::repository::Resource;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use crate::answer::{not_found, sentence, unreadable};
use crate::site::Site;

pub(crate) async fn answer(State(site): State<Arc<Site>>, request: Request) -> Response<Body> {
    let body = match site.body(request.into_body(), MAX_POLL_LEN).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let Ok(poll) = Poll::parse(&body) else {
        return sentence(StatusCode::BAD_REQUEST, "the poll is malformed\n");
    };
    if site.repository.has(&Resource::Device(&poll.device)) {
        site.store.note(&poll);
    }
    match site.repository.read(&Resource::Now, now::MAX_LEN) {
        Ok(Some(now)) => {
            let mut response = Response::new(Body::from(now));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/cose"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Ok(None) => not_found(),
        Err(error) => unreadable(&Resource::Now.path(), &error),
    }
}
