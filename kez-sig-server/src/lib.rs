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

mod routes;
mod store;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use kez_core::handle::Policy;
use kez_core::sigchain::MAX_EVENT_CHARS;
use kez_service::database::OpenError;
use kez_service::layers::{self, Limits};
use kez_service::serve::{BindError, GRACE, Listener, Running};

use crate::store::Store;

/// How a sigchain server is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The address to listen on; port 0 takes any free port.
    pub bind: SocketAddr,
    /// The SQLite file; it is made if there is none.
    pub db_path: PathBuf,
    /// Which homes and URLs events may name. Production unless set.
    pub policy: Policy,
    /// The least time between two `set_shared_files` of one chain. Ten minutes unless set.
    pub shared_files_interval: Duration,
}

impl Settings {
    /// Takes the two settings that have no default here, and the defaults for the others.
    pub fn new(bind: SocketAddr, db_path: impl Into<PathBuf>) -> Self {
        Self {
            bind,
            db_path: db_path.into(),
            policy: Policy::Production,
            shared_files_interval: Duration::from_secs(600),
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

/// A sigchain server at work. Dropping it cuts its connections; [`shutdown`](Self::shutdown) is the kind way.
#[derive(Debug)]
pub struct Server {
    running: Running,
    store: Store,
}

impl Server {
    /// Opens the database, listens, and serves until [`shutdown`](Self::shutdown).
    ///
    /// # Errors
    /// When the database or the address cannot be had.
    pub async fn bind(settings: Settings) -> Result<Self, StartError> {
        let store = Store::open(settings.db_path, settings.shared_files_interval).await?;
        let listener = Listener::bind(settings.bind).await?;
        let limits = Limits { body_bytes: MAX_EVENT_CHARS, ..Limits::default() };
        let router = layers::around(routes::router(store.clone(), settings.policy), limits);
        let running = listener.serve(router);
        tracing::info!(address = %running.local_addr(), "listening");
        Ok(Self { running, store })
    }

    /// Returns the address that is listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.running.local_addr()
    }

    /// Stops accepting, finishes the requests in flight (for ten seconds at most), and closes the database.
    pub async fn shutdown(self) {
        self.running.shutdown(GRACE).await;
        self.store.close().await;
    }
}
