//! The server's answers without a network: a request goes in, an answer comes out.
//!
//! For tests and for fuzzing. It is the router of [`crate::serve`], with everything behind it and
//! nothing before it: no TLS, no listener, no limit on connections.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use hyper::{HeaderMap, Method, Request};
use tokio::runtime::Runtime;

use crate::clock::Clock;
use crate::config::Limits;
use crate::repository::Repository;
use crate::serve::ServeError;
use crate::site::Site;
use crate::store::Store;

/// The routes over a repository and a database.
#[derive(Debug)]
pub struct Handler {
    runtime: Runtime,
    router: Router,
    site: Arc<Site>,
}

/// What the server answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Handler {
    /// Opens a repository and a database.
    ///
    /// # Errors
    /// [`ServeError`], as for [`crate::serve::Server::bind`].
    pub fn open(repository: &Path, database: &Path, clock: Clock) -> Result<Self, ServeError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| ServeError::Runtime { source })?;
        let folder = Repository::open(repository).map_err(|source| ServeError::Repository {
            path: repository.into(),
            source,
        })?;
        let store = Store::open(database, clock.clone())?;
        let site = Arc::new(Site::new(
            folder,
            store,
            None,
            Limits::default().body,
            clock,
        ));
        Ok(Self {
            runtime,
            router: Site::router(&site),
            site,
        })
    }

    /// Answers a request; `None` when HTTP has no such request.
    #[must_use]
    pub fn answer(
        &self,
        method: &[u8],
        target: &[u8],
        headers: &[(&[u8], &[u8])],
        body: &[u8],
    ) -> Option<Answer> {
        let mut request = Request::builder()
            .method(Method::from_bytes(method).ok()?)
            .uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_vec())).ok()?;
        let service = hyper_util::service::TowerToHyperService::new(self.router.clone());
        self.runtime.block_on(async {
            let Ok(answer) = hyper::service::Service::call(&service, request).await;
            let (head, body) = answer.into_parts();
            Some(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body: to_bytes(body, usize::MAX).await.ok()?.to_vec(),
            })
        })
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.site.close();
    }
}
