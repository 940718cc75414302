//! Accepting connections, and ending them in good order.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

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

    /// Starts to answer requests with `router`, on tasks of the current tokio runtime.
    pub fn serve(self, router: Router) -> Running {
        let drain = CancellationToken::new();
        let cut = CancellationToken::new();
        let address = self.address;
        let incoming = Incoming { socket: self.socket, cut: cut.clone() };
        let serving =
            axum::serve(incoming, router).with_graceful_shutdown(drain.clone().cancelled_owned()).into_future();
        let task = tokio::spawn(async move {
            // The type allows an error, axum 0.8 has none to give.
            let _: io::Result<()> = serving.await;
        });
        Running { address, drain, cut, task }
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

    /// Stops accepting, lets requests in flight finish for at most `grace`, and cuts what is left.
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

/// The socket as axum sees it: every connection carries the means to cut it.
#[derive(Debug)]
struct Incoming {
    socket: TcpListener,
    cut: CancellationToken,
}

impl axum::serve::Listener for Incoming {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // axum's own accept logs errors and waits while the process is out of file descriptors.
        let (stream, peer) = axum::serve::Listener::accept(&mut self.socket).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused for a connection");
        }
        let cut = Box::pin(self.cut.clone().cancelled_owned());
        (Connection { stream, cut }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

struct Connection {
    stream: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    /// Fails once the server has cut its connections; until then, asks to be woken when it does.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
