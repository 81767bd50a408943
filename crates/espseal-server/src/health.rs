//! `GET /healthz`: whether the server can do its work.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use hyper::{Response, StatusCode};

use crate::answer::sentence;
use crate::site::Site;

/// Answers 200 `ok` while the repository folder and the database are there, else 503.
pub(crate) async fn answer(State(site): State<Arc<Site>>) -> Response<Body> {
    if !site.repository.is_there() {
        return sentence(
            StatusCode::SERVICE_UNAVAILABLE,
            "the repository folder is gone\n",
        );
    }
    if !site.store.is_running() {
        return sentence(StatusCode::SERVICE_UNAVAILABLE, "the database is closed\n");
    }
    sentence(StatusCode::OK, "ok")
}
