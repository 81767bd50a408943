//! What all requests share, and which request goes where.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::routing::{get, post};
use espseal_format::repository::Resource;
use hyper::body::Bytes;
use hyper::{Method, Response, StatusCode};

use crate::answer::{method_not_allowed, not_found, sentence};
use crate::clock::Clock;
use crate::config::PublicHost;
use crate::files::{self, Buffers};
use crate::idf::{self, IdfPath};
use crate::repository::Repository;
use crate::store::Store;
use crate::{health, poll, report};

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) repository: Repository,
    pub(crate) store: Store,
    pub(crate) public_host: Option<PublicHost>,
    pub(crate) buffers: Arc<Buffers>,
    pub(crate) clock: Clock,
    body_time: Duration,
}

impl Site {
    pub(crate) fn new(
        repository: Repository,
        store: Store,
        public_host: Option<PublicHost>,
        body_time: Duration,
        clock: Clock,
    ) -> Self {
        Self {
            repository,
            store,
            public_host,
            buffers: Arc::default(),
            clock,
            body_time,
        }
    }

    /// The routes; paths that none of them takes are files.
    pub(crate) fn router(site: &Arc<Self>) -> Router {
        Router::new()
            .route("/healthz", get(health::answer))
            .route("/v1/poll", post(poll::answer))
            .route("/v1/report", post(report::answer))
            .fallback(file)
            .with_state(Arc::clone(site))
    }

    /// Writes what is left and closes the database.
    pub(crate) fn close(&self) {
        self.store.close();
    }

    /// Reads a request's body of at most `limit` bytes.
    ///
    /// # Errors
    /// The answer to give instead.
    pub(crate) async fn body(&self, body: Body, limit: usize) -> Result<Bytes, Response<Body>> {
        let too_large = || sentence(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n");
        let least = hyper::body::Body::size_hint(&body).lower();
        if least > limit as u64 {
            return Err(too_large());
        }
        match tokio::time::timeout(self.body_time, to_bytes(body, limit)).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(_larger_or_broken)) => Err(too_large()),
            Err(_elapsed) => Err(sentence(
                StatusCode::REQUEST_TIMEOUT,
                "the body takes too long\n",
            )),
        }
    }
}

/// Answers from the repository. The path is taken as it was sent: none that names a file needs
/// percent-encoding, so an encoded slash or dot names nothing.
async fn file(State(site): State<Arc<Site>>, request: Request) -> Response<Body> {
    let path = request.uri().path().strip_prefix('/').unwrap_or_default();
    let idf = IdfPath::parse(path);
    let resource = Resource::parse(path);
    if idf.is_none() && resource.is_none() {
        return not_found();
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return method_not_allowed("GET, HEAD");
    }
    match (idf, resource) {
        (Some(path), _) => idf::answer(&site, &path, &request),
        (None, Some(resource)) => files::answer(&site, &resource.as_resource(), &request),
        (None, None) => not_found(),
    }
}
