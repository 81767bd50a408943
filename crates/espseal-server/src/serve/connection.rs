//! One connection: handshake, then HTTP/1.1 requests one after the other.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::stall::Stall;
use super::tls::BUFFER_LIMIT;
use crate::config::Limits;
use crate::log::Exchange;
use crate::site::Site;

/// What each connection needs.
#[derive(Clone)]
pub(crate) struct Service {
    tls: Option<TlsAcceptor>,
    router: TowerToHyperService<Router>,
    limits: Limits,
    http: http1::Builder,
    stopping: watch::Receiver<bool>,
}

/// Bytes of a request's head, and of a response below which more of it is read ahead.
///
/// The least that hyper takes. Less than a piece, so that a connection holds one piece at a time.
const HEAD_LIMIT: usize = 8192;

impl Service {
    pub(crate) fn new(
        tls: Option<TlsAcceptor>,
        site: &Arc<Site>,
        limits: &Limits,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(HEAD_LIMIT);
        Self {
            tls,
            router: TowerToHyperService::new(Site::router(site)),
            limits: limits.clone(),
            http,
            stopping,
        }
    }

    /// Serves one client until it leaves, breaks a rule, or the server stops.
    pub(crate) async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%peer, %error, "cannot send small packets at once");
        }
        let stream = Stall::new(stream, self.limits.stall);
        let Some(tls) = &self.tls else {
            return self.exchange(stream, peer).await;
        };
        let handshake = tls.accept_with(stream, |session| {
            session.set_buffer_limit(Some(BUFFER_LIMIT))
        });
        let mut stopping = self.stopping.clone();
        let done = tokio::select! {
            done = tokio::time::timeout(self.limits.handshake, handshake) => done,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match done {
            Ok(Ok(stream)) => self.exchange(stream, peer).await,
            Ok(Err(error)) => debug!(%peer, %error, "no TLS connection"),
            Err(_elapsed) => debug!(%peer, "no TLS connection in time"),
        }
    }

    async fn exchange(&self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr) {
        let answer = service_fn(|request: Request<Incoming>| async move {
            let exchange = Exchange::begin(peer, &request);
            let Ok(response) = self.router.call(request).await;
            Ok::<_, Infallible>(exchange.follow(response))
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), answer));
        let mut stopping = self.stopping.clone();
        let result = tokio::select! {
            result = connection.as_mut() => Some(result),
            _ = stopping.wait_for(|stopping| *stopping) => None,
        };
        let result = match result {
            Some(result) => result,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            debug!(%peer, %error, "connection broken");
        }
    }
}
