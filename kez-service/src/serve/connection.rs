//! One connection, from its start to its end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::unconstrained;
use tokio::time::sleep_until;

use super::ConnectionLimits;
use super::progress::Progress;

/// Answers a connection's requests until either side ends it, one of its times is used up, or it is ordered to end.
pub(super) async fn attend(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: ConnectionLimits,
    progress: Arc<Progress>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused for a connection");
    }
    let io = TokioIo::new(Watched { stream, progress: Arc::clone(&progress), said_all: false });
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let answer = router.call(request_of(request, peer, &progress));
        let progress = Arc::clone(&progress);
        async move { Ok::<_, Infallible>(answer.await?.map(|body| Answer { body, progress })) }
    });
    let connection = http1::Builder::new()
        // Of hyper's one time for heads and idling `progress` makes two.
        .header_read_timeout(None)
        .max_buf_size(limits.head_bytes.max(8192))
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let mut alarm = pin!(sleep_until(progress.due()));
    // Outside tokio's budget: a peer that sends without a pause uses it up, and would never be found overdue.
    let mut overdue = pin!(unconstrained(poll_fn(|context| progress.poll_overdue(alarm.as_mut(), context))));
    let mut is_last = false;
    loop {
        tokio::select! {
            // What there is to read and to write comes before any judgement.
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::trace!(%peer, %error, "a connection ended in disorder");
                }
                return;
            }
            () = overdue.as_mut() => {
                tracing::debug!(%peer, "a connection was cut for being slow");
                return;
            }
            now = unconstrained(progress.ordered_to_end_now()), if !is_last => {
                if now {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                is_last = true;
            }
        }
    }
}

fn request_of(request: hyper::Request<Incoming>, peer: SocketAddr, progress: &Arc<Progress>) -> Request<Sent> {
    progress.head_ended(!hyper::body::Body::is_end_stream(request.body()));
    let mut request = request.map(|body| Sent { body, progress: Arc::clone(progress) });
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

/// A request's body, which tells when it has been read or is wanted no more.
struct Sent {
    body: Incoming,
    progress: Arc<Progress>,
}

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
            self.progress.body_ended();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.progress.body_ended();
    }
}

/// An answer's body, which tells when hyper has all of it.
struct Answer {
    body: Body,
    progress: Arc<Progress>,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.progress.answered();
    }
}

/// A stream that tells when bytes come and go, and that hears the peer out when it is shut down.
struct Watched {
    stream: TcpStream,
    progress: Arc<Progress>,
    said_all: bool,
}

impl Watched {
    fn note_write(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(_) => self.progress.taken(),
            Poll::Pending => self.progress.stalled(),
        }
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.progress.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note_write(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note_write(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.said_all {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.said_all = true;
            if !self.progress.closing() {
                return Poll::Ready(Ok(()));
            }
        }
        let mut waste = [0; 4096];
        loop {
            let mut waste = ReadBuf::new(&mut waste);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut waste))?;
            if waste.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
