//! The sigchain server: keeps everybody's signed, append-only chains and hands them out (`docs/PROTOCOL.md` §4).
//!
//! It vouches for nothing: readers verify every event themselves. What it adds is order, since of two
//! events for one place it keeps the one that came first, and durability, since an append that was
//! acknowledged survives the machine.
//!
//! ```
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use kez_sig_server::{Server, Settings};
//!
//! let folder = tempfile::tempdir()?;
//! let settings = Settings::new("127.0.0.1:0".parse()?, folder.path().join("sigchains.db"));
//! let server = Server::bind(settings).await?;
//! println!("chains are at http://{}/v1/sigchains/ed25519/", server.local_addr());
//! server.shutdown().await;
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod metrics;
mod routes;
mod store;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use kez_core::handle::Policy;
use kez_core::sigchain::MAX_EVENT_CHARS;
use kez_service::client::TrustedProxies;
use kez_service::database::{BackupError, OpenError};
use kez_service::internal::without_pages;
use kez_service::layers::{self, Limits};
use kez_service::rate::{Limiter, Rate};
use kez_service::serve::{BindError, GRACE, Listener, Running};

use crate::metrics::Metrics;
use crate::routes::{App, Limiters};
use crate::store::Store;

/// How a sigchain server is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The address of the public listener; port 0 takes any free port.
    pub bind: SocketAddr,
    /// The address of the internal listener, which has `/metrics`; any free loopback port unless set, `None` for no
    /// such listener.
    pub internal_bind: Option<SocketAddr>,
    /// The SQLite file; it is made if there is none.
    pub db_path: PathBuf,
    /// Which homes and URLs events may name. Production unless set.
    pub policy: Policy,
    /// The least time between two `set_shared_files` of one chain. Ten minutes unless set.
    pub shared_files_interval: Duration,
    /// How many events one client may send. 300 an hour unless set: a new account takes three, and a chain that
    /// was lost is sent again as a whole.
    pub append_rate: Rate,
    /// How many pages one client may read. 1,200 a minute unless set.
    pub read_rate: Rate,
    /// Whose `X-Forwarded-For` tells the client. Nobody's unless set.
    pub trusted_proxies: TrustedProxies,
}

impl Settings {
    /// Takes the two settings that have no default here, and the defaults for the others.
    pub fn new(bind: SocketAddr, db_path: impl Into<PathBuf>) -> Self {
        Self {
            bind,
            internal_bind: Some((Ipv4Addr::LOCALHOST, 0).into()),
            db_path: db_path.into(),
            policy: Policy::Production,
            shared_files_interval: Duration::from_secs(600),
            append_rate: Rate::per_hour(300),
            read_rate: Rate::per_minute(1200),
            trusted_proxies: TrustedProxies::default(),
        }
    }
}

/// A server that could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] OpenError),
}

/// A backup that was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// It cannot be copied.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

/// Writes a consistent copy of the chains in the database `from`, which a server may be using, to the new file `to`.
///
/// # Errors
/// When there is no such database, or the copy cannot be written.
pub async fn backup(from: impl Into<PathBuf>, to: impl Into<PathBuf>) -> Result<(), CopyError> {
    Store::backup(from.into(), to.into()).await
}

/// A sigchain server at work. Dropping it cuts its connections; [`shutdown`](Self::shutdown) is the kind way.
#[derive(Debug)]
pub struct Server {
    public: Running,
    internal: Option<Running>,
    store: Store,
}

impl Server {
    /// Opens the database, listens, and serves until [`shutdown`](Self::shutdown).
    ///
    /// # Errors
    /// When the database or an address cannot be had.
    pub async fn bind(settings: Settings) -> Result<Self, StartError> {
        let store = Store::open(settings.db_path, settings.shared_files_interval).await?;
        let public = Listener::bind(settings.bind).await?;
        let internal = match settings.internal_bind {
            Some(address) => Some(Listener::bind(address).await?),
            None => None,
        };
        let metrics = Metrics::new();
        let http = metrics.http.clone();
        let app = App { store: store.clone(), policy: settings.policy, metrics };
        let limiters = Limiters {
            appends: Limiter::new(settings.append_rate, settings.trusted_proxies.clone()),
            reads: Limiter::new(settings.read_rate, settings.trusted_proxies),
        };
        let limits = Limits { body_bytes: MAX_EVENT_CHARS, ..Limits::default() };
        let internal = internal.map(|listener| {
            let router = without_pages(routes::internal(app.clone()), listener.local_addr().ip());
            listener.serve(layers::around(router, limits, http.clone()))
        });
        let router = layers::around(routes::public(app, limiters), limits, http).layer(layers::for_browsers());
        let public = public.serve(router);
        tracing::info!(
            address = %public.local_addr(),
            internal = internal.as_ref().map(|internal| tracing::field::display(internal.local_addr())),
            "listening"
        );
        Ok(Self { public, internal, store })
    }

    /// Returns the address of the public listener.
    pub fn local_addr(&self) -> SocketAddr {
        self.public.local_addr()
    }

    /// Returns the address of the internal listener, if there is one.
    pub fn internal_addr(&self) -> Option<SocketAddr> {
        self.internal.as_ref().map(Running::local_addr)
    }

    /// Stops accepting, finishes the requests in flight (for ten seconds at most), and closes the database.
    pub async fn shutdown(self) {
        self.public.shutdown(GRACE).await;
        if let Some(internal) = self.internal {
            internal.shutdown(GRACE).await;
        }
        self.store.close().await;
    }
}
