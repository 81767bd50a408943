//! The listener: everything is opened before the first connection, and running downloads are
//! finished after the last.

mod connection;
mod stall;
mod tls;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::config::{Access, Config, Limits};
use crate::repository::Repository;
use crate::site::Site;
use crate::store::Store;

pub use crate::store::StoreError;
pub use tls::TlsError;

/// A server that has its port, certificate, repository and database, and waits to be run.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    site: Arc<Site>,
    limits: Limits,
}

impl Server {
    /// Opens everything that `config` names.
    ///
    /// # Errors
    /// [`ServeError`], one variant for each thing that can be wrong with the configuration.
    pub fn bind(config: Config) -> Result<Self, ServeError> {
        let tls = match &config.access {
            Access::Https { certificate, key } => {
                Some(tls::configuration(certificate, key, &config.clock)?)
            }
            Access::PlainOnLoopback if config.listen.ip().is_loopback() => None,
            Access::PlainOnLoopback => {
                return Err(ServeError::PlainBeyondLoopback {
                    address: config.listen,
                });
            }
        };
        let repository =
            Repository::open(&config.repository).map_err(|source| ServeError::Repository {
                path: config.repository.clone(),
                source,
            })?;
        let listener =
            listen(config.listen).map_err(|source| ServeError::listen(config.listen, source))?;
        let address = listener
            .local_addr()
            .map_err(|source| ServeError::listen(config.listen, source))?;
        let store = Store::open(&config.database, config.clock.clone())?;
        raise_open_files();
        let site = Site::new(
            repository,
            store,
            config.public_host,
            config.limits.body,
            config.clock,
        );
        Ok(Self {
            listener,
            address,
            tls,
            site: Arc::new(site),
            limits: config.limits,
        })
    }

    /// The address that the server listens on, with the port that the system chose for port 0.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until SIGTERM or SIGINT, then finishes running downloads up to the deadline.
    ///
    /// # Errors
    /// [`ServeError::Runtime`] when the system grants no threads or signal handlers.
    pub fn run(self) -> Result<(), ServeError> {
        let runtime = runtime()?;
        let (terminate, interrupt) = {
            let _inside = runtime.enter();
            let on = |kind| signal(kind).map_err(|source| ServeError::Runtime { source });
            (on(SignalKind::terminate())?, on(SignalKind::interrupt())?)
        };
        self.run_until(&runtime, async move {
            let (mut terminate, mut interrupt) = (terminate, interrupt);
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        })
    }

    /// Serves on a thread of its own until [`Running::stop`].
    ///
    /// # Errors
    /// [`ServeError::Runtime`] when the system grants no threads.
    pub fn spawn(self) -> Result<Running, ServeError> {
        let address = self.address;
        let runtime = runtime()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("espseal-server".to_owned())
            .spawn(move || {
                self.run_until(&runtime, async {
                    // A dropped handle asks for the same as a message.
                    let _asked = stopped.await;
                })
            })
            .map_err(|source| ServeError::Runtime { source })?;
        Ok(Running {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    fn run_until(
        self,
        runtime: &Runtime,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let Self {
            listener,
            address,
            tls,
            site,
            limits,
        } = self;
        let result = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)
                .map_err(|source| ServeError::listen(address, source))?;
            info!(%address, tls = tls.is_some(), "listening");
            accept_until(listener, tls.map(TlsAcceptor::from), &site, &limits, stop).await;
            Ok(())
        });
        site.close();
        info!("stopped");
        result
    }
}

/// A server on a thread of its own; dropping it stops it too.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Running {
    /// The address that the server listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks the server to stop and waits until running downloads are finished.
    pub fn stop(mut self) {
        self.finish();
    }

    fn finish(&mut self) {
        drop(self.stop.take());
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            warn!(%error, "stopped early");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Another program listens on the address.
    #[error(
        "address {address} is taken by another program: stop it or choose another with --listen"
    )]
    AddressTaken {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The system does not let this process listen on the address.
    #[error("cannot listen on {address} ({source}): choose another with --listen")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// HTTP without TLS was asked for on an address that other machines reach.
    #[error("--http serves loopback addresses only, and {address} is none: give --cert and --key")]
    PlainBeyondLoopback {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The repository folder cannot be read.
    #[error("cannot read the repository folder {path} ({source}): `espseal publish` makes one")]
    Repository {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system grants no threads, signal handlers or event queue.
    #[error("the system refuses the threads or signal handlers that the server needs ({source})")]
    Runtime {
        /// What the system says.
        source: io::Error,
    },
}

impl ServeError {
    fn listen(address: SocketAddr, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::AddrInUse {
            return Self::AddressTaken { address };
        }
        Self::Listen { address, source }
    }
}

/// Bytes that the kernel queues for one connection (Linux books twice as much).
///
/// Bounds the kernel's memory with many downloads, and makes [`Limits::stall`] a lowest rate: a
/// client has to take about a third of this within that time.
const SEND_BUFFER: usize = 128 * 1024;

/// Threads that serve connections.
const WORKERS: usize = 2;

/// Pause after the system refused a connection, for instance because files are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    // Connections inherit the option.
    rustix::net::sockopt::set_socket_send_buffer_size(&listener, SEND_BUFFER)?;
    Ok(listener)
}

fn runtime() -> Result<Runtime, ServeError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(16)
        .thread_name("espseal-serve")
        .enable_all()
        .build()
        .map_err(|source| ServeError::Runtime { source })
}

/// Raises the limit of open files as far as the system allows: a download needs two.
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "cannot raise the limit of open files");
    }
}

/// Accepts connections until `stop`, then waits for those that run, up to the deadline.
async fn accept_until(
    listener: tokio::net::TcpListener,
    tls: Option<TlsAcceptor>,
    site: &Arc<Site>,
    limits: &Limits,
    stop: impl Future<Output = ()>,
) {
    let free = Arc::new(Semaphore::new(limits.connections));
    let (stopping, told) = watch::channel(false);
    let service = connection::Service::new(tls, site, limits, told);
    let accepting = async {
        // The semaphore is never closed, so the loop ends only with `stop`.
        while let Ok(permit) = Arc::clone(&free).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let service = service.clone();
                    tokio::spawn(async move {
                        service.serve(stream, peer).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! { () = accepting => {}, () = stop => {} }
    drop(listener);
    drop(service);
    stopping.send_replace(true);
    let open = || limits.connections.saturating_sub(free.available_permits());
    info!(
        connections = open(),
        "stopping: running downloads are finished"
    );
    if tokio::time::timeout(limits.drain, stopping.closed())
        .await
        .is_err()
    {
        warn!(
            connections = open(),
            "the deadline has come: connections are cut"
        );
    }
}
