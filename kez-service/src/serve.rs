//! Accepting connections, holding them to limits, and ending them in good order.
//!
//! HTTP/1.1 on hyper, with an accept loop of our own, because every peer may be hostile: who is slow with a head or a
//! body, does not read its answer, or only sits there is cut by [`ConnectionLimits`], and when there is no room left,
//! who has kept the server waiting longest makes room. Every request carries its peer's address as
//! [`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo).

mod accept;
mod connection;
mod progress;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::process;

/// How long [`Running::shutdown`] waits for requests in flight when there is no reason to choose.
pub const GRACE: Duration = Duration::from_secs(10);

/// The address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}; give a free address of this machine, or port 0 for any free port")]
pub struct BindError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the operating system said.
    pub source: io::Error,
}

/// How many connections there may be, and what one may cost.
///
/// There is no limit for one peer's address: behind a reverse proxy all connections come from one. Who takes many only
/// to hold them loses them first when others need the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// The most connections at once. Whatever is set here, they take three quarters of the files that the process
    /// may open at most; the rest is for the database, the broker and the log.
    ///
    /// While all are taken, the one that has kept the server waiting longest is closed for each new one (see
    /// [`patience`](Self::patience)); if all are being worked for, new ones wait in the operating system's backlog.
    pub connections: usize,
    /// The most bytes of a request's head, its first line included, and of what is kept of a body at once. At least
    /// 8192, which is what less becomes. A longer head is a 431, and so is one of more than 100 headers.
    pub head_bytes: usize,
    /// The longest time from a connection's start, or from a further request's first byte, to the end of the head.
    pub head: Duration,
    /// The longest time between an answer and the next request's first byte.
    pub idle: Duration,
    /// The longest time from the end of a head to the end of the answer, whatever handlers and peer do meanwhile.
    pub request: Duration,
    /// The longest time in which a peer takes nothing of an answer that waits for it.
    pub stall: Duration,
    /// How long what a peer still sends is read and thrown away after the last answer. A connection that is closed
    /// with unread bytes is reset, and the peer may lose the answer that says what was wrong.
    pub linger: Duration,
    /// How long a connection may keep the server waiting even while all are taken.
    pub patience: Duration,
}

impl Default for ConnectionLimits {
    /// 16,384 connections, heads of 16 KiB in 10 seconds, 75 seconds idle, 5 minutes for a request, 30 seconds for a
    /// stall, 2 seconds to linger, 1 second of patience.
    ///
    /// Idle connections outlast the 60 seconds after which reverse proxies commonly close theirs, so that the proxy
    /// closes first: a connection that we closed while a request was on its way would be an error to somebody.
    fn default() -> Self {
        Self {
            connections: 16_384,
            head_bytes: 16_384,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            request: Duration::from_secs(300),
            stall: Duration::from_secs(30),
            linger: Duration::from_secs(2),
            patience: Duration::from_secs(1),
        }
    }
}

/// A bound TCP socket that takes no connections yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds `address`; port 0 takes any free port, which [`local_addr`](Self::local_addr) then tells.
    ///
    /// # Errors
    /// When the address is taken, not this machine's, or not permitted.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let refused = |source| BindError { address, source };
        let socket = TcpListener::bind(address).await.map_err(refused)?;
        let address = socket.local_addr().map_err(refused)?;
        Ok(Self { socket, address })
    }

    /// Returns the address that is listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Starts to answer requests with `router` under the default limits, on tasks of the current tokio runtime.
    pub fn serve(self, router: Router) -> Running {
        self.serve_with(router, ConnectionLimits::default())
    }

    /// Starts to answer requests with `router`, on tasks of the current tokio runtime. The process may from then on
    /// open as many files as the operating system lets it ([`process::raise_open_files`]).
    pub fn serve_with(self, router: Router, mut limits: ConnectionLimits) -> Running {
        let files = process::raise_open_files();
        limits.connections = limits.connections.min(files / 4 * 3).max(1);
        tracing::debug!(address = %self.address, connections = limits.connections, files, "taking connections");
        let drain = CancellationToken::new();
        let cut = CancellationToken::new();
        let serving = accept::serve(self.socket, router, limits, drain.clone(), cut.clone());
        Running { address: self.address, drain, cut, task: tokio::spawn(serving) }
    }
}

/// A server at work. Dropping it cuts all its connections; [`shutdown`](Self::shutdown) is the kind way.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    drain: CancellationToken,
    cut: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Returns the address that is listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, closes the connections without a request, lets requests in flight finish for at most `grace`,
    /// and cuts what is left.
    /// When it returns, no connection of this server exists any more.
    pub async fn shutdown(mut self, grace: Duration) {
        self.drain.cancel();
        if tokio::time::timeout(grace, &mut self.task).await.is_ok() {
            return;
        }
        tracing::warn!(grace_ms = grace.as_millis(), "connections outlasted the shutdown and were cut");
        self.cut.cancel();
        // A panic of the accept loop has been reported by the panic hook; there is nothing left to stop.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.drain.cancel();
        self.cut.cancel();
    }
}
