//! Peers that are slow, endless or deaf, one kind at a time; others are served meanwhile.
//!
//! What is wrong with a request's bytes is a table in `kez-testbed`, which both servers' tests go through.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use kez_service::axum::Router;
use kez_service::axum::body::{Body, Bytes};
use kez_service::axum::extract::ConnectInfo;
use kez_service::axum::routing::{get, post};
use kez_service::layers::Limits;
use kez_service::serve::{ConnectionLimits, GRACE, Listener, Running};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::ANY;

/// Far longer than anything here takes; reached only by what hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// In what time somebody who behaves has to be served, whatever goes on.
const BOUND: Duration = Duration::from_secs(3);

const MS: Duration = Duration::from_millis(1);

fn short() -> ConnectionLimits {
    ConnectionLimits {
        head: 300 * MS,
        idle: 900 * MS,
        stall: 300 * MS,
        linger: 300 * MS,
        ..ConnectionLimits::default()
    }
}

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/plain", get(async || "fine"))
        .route("/peer", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string()))
        .route("/read", post(async |body: Bytes| body.len().to_string()))
        .route("/unread", post(async || "unread"))
}

async fn start(router: Router) -> Running {
    let limits = Limits { time: 300 * MS, ..Limits::default() };
    Listener::bind(ANY).await.unwrap().serve_with(crate::layered(router, limits), short())
}

pub(crate) async fn connect(address: SocketAddr) -> TcpStream {
    timeout(PATIENCE, TcpStream::connect(address)).await.expect("the backlog is full").unwrap()
}

/// Connects, says `bytes`, and leaves it at that.
pub(crate) async fn say(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(address).await;
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Reads until the server ends the connection.
pub(crate) async fn rest_of(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut read = Vec::new();
    // A cut connection may end with a reset; what came before it is kept.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("the server did not end the connection");
    String::from_utf8(read).unwrap()
}

/// Is somebody who behaves, and is served.
pub(crate) async fn behave(address: SocketAddr) {
    let ask = async {
        let mut stream = say(address, b"GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        rest_of(&mut stream).await
    };
    let answer = timeout(BOUND, ask).await.expect("somebody who behaves was not served in time");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("fine"), "{answer}");
}

/// Has somebody served before, during and after an attack.
async fn meanwhile<T>(address: SocketAddr, attack: impl Future<Output = T>) -> T {
    behave(address).await;
    let mut attack = pin!(timeout(PATIENCE, attack));
    let mut pace = interval(20 * MS);
    let ended = loop {
        tokio::select! {
            ended = attack.as_mut() => break ended,
            () = async { pace.tick().await; behave(address).await } => {}
        }
    };
    behave(address).await;
    ended.expect("the attack was not ended")
}

/// Says `first`, and then `drop` again and again, until the server ends the connection. Returns what it answered.
async fn drip(address: SocketAddr, first: &[u8], drop: &[u8], pace: Duration) -> String {
    let (mut answers, mut stream) = say(address, first).await.into_split();
    let mut pace = interval(pace);
    let dripping = async {
        loop {
            pace.tick().await;
            if stream.write_all(drop).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        answer = rest_of(&mut answers) => answer,
        () = dripping => unreachable!(),
    }
}

/// Says `first`, and then `more` as fast as the server takes it, until it ends the connection.
async fn flood(address: SocketAddr, first: &str, more: &str) -> String {
    let (mut answers, mut stream) = say(address, first.as_bytes()).await.into_split();
    let more = more.repeat(1000);
    let flooding = async { while stream.write_all(more.as_bytes()).await.is_ok() {} };
    let (answer, ()) = tokio::join!(rest_of(&mut answers), flooding);
    answer
}

#[tokio::test]
async fn slow_heads_are_cut_in_time() {
    let server = start(routes()).await;
    let address = server.local_addr();
    let begun = Instant::now();
    let mut peers = JoinSet::new();
    for (first, drop) in [
        ("", ""),
        ("", "\r\n"),
        ("G", ""),
        ("GET /plain HTTP/1.1\r\nX-Header: ", "a"),
        ("GET /plain HTTP/1.1\r\n", "X-Header: a\r\n"),
        // A first request that is whole wins no time for the second.
        ("GET /plain HTTP/1.1\r\nHost: a\r\n\r\nG", "E"),
    ] {
        for _ in 0..40 {
            peers.spawn(async move {
                let answer = drip(address, first.as_bytes(), drop.as_bytes(), 20 * MS).await;
                assert_eq!(answer.contains("HTTP/1.1 "), first.contains("\r\n\r\n"), "{first:?}: {answer}");
            });
        }
    }
    meanwhile(address, async { while peers.join_next().await.map(Result::unwrap).is_some() {} }).await;
    assert!(begun.elapsed() >= short().head);
    server.shutdown(GRACE).await;
}

#[tokio::test]
async fn an_idle_connection_has_longer_than_a_head() {
    let server = start(routes()).await;
    let address = server.local_addr();
    let mut stream = say(address, b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut answer = [0; 1024];
    assert!(stream.read(&mut answer).await.unwrap() > 0);
    let answered = Instant::now();
    assert_eq!(meanwhile(address, rest_of(&mut stream)).await, "");
    assert!(answered.elapsed() > 2 * short().head, "{:?}", answered.elapsed());
    server.shutdown(GRACE).await;
}

#[tokio::test]
async fn slow_bodies_are_ended_whether_they_are_read_or_not() {
    let server = start(routes()).await;
    let address = server.local_addr();
    let sized = "Content-Length: 60000\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    for (route, status) in [("/read", 503), ("/unread", 200), ("/nothing", 404)] {
        for (framing, drop) in [(sized, "a"), (chunked, "1\r\na\r\n"), (sized, ""), (chunked, "")] {
            let first = format!("POST {route} HTTP/1.1\r\nHost: a\r\n{framing}");
            let answer = meanwhile(address, drip(address, first.as_bytes(), drop.as_bytes(), 20 * MS)).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{first:?}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        }
    }
    server.shutdown(GRACE).await;
}

#[tokio::test]
async fn a_request_ends_also_where_no_layer_ends_it() {
    let limits = ConnectionLimits { request: 1200 * MS, ..short() };
    let server = Listener::bind(ANY).await.unwrap().serve_with(routes(), limits);
    let address = server.local_addr();
    let begun = Instant::now();
    let slow = drip(address, b"POST /read HTTP/1.1\r\nContent-Length: 60000\r\n\r\n", b"a", 20 * MS);
    assert_eq!(meanwhile(address, slow).await, "");
    assert!(begun.elapsed() >= limits.request);
    server.shutdown(GRACE).await;
}

/// A body without end, which tells when nobody wants it any more.
struct Vast(Arc<Notify>);

impl hyper::body::Body for Vast {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        static FRAME: [u8; 65_536] = [b'a'; 65_536];
        Poll::Ready(Some(Ok(hyper::body::Frame::data(Bytes::from_static(&FRAME)))))
    }
}

impl Drop for Vast {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn who_does_not_read_the_answer_is_cut() {
    let dropped = Arc::new(Notify::new());
    let vast = {
        let dropped = Arc::clone(&dropped);
        get(async move || Body::new(Vast(dropped)))
    };
    let server = start(routes().route("/vast", vast)).await;
    let address = server.local_addr();
    let begun = Instant::now();
    let _deaf = say(address, b"GET /vast HTTP/1.1\r\nHost: a\r\n\r\n").await;
    meanwhile(address, dropped.notified()).await;
    assert!(begun.elapsed() >= short().stall);

    // Many small answers are as good as a big one.
    let mut deaf = connect(address).await;
    let requests = "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    meanwhile(address, async { while deaf.write_all(requests.as_bytes()).await.is_ok() {} }).await;
    server.shutdown(GRACE).await;
}

#[tokio::test]
async fn what_has_no_end_is_ended() {
    let server = start(routes()).await;
    let address = server.local_addr();
    let post = |route: &str, framing: &str| format!("POST {route} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
    let (sized, chunked) = ("Content-Length: 1000000000000", "Transfer-Encoding: chunked");
    let chunk = "10\r\n0123456789abcdef\r\n";
    for (first, more, status) in [
        (post("/read", sized), "a", 413),
        (post("/read", chunked), chunk, 413),
        (post("/unread", sized), "a", 200),
        (post("/unread", chunked), chunk, 200),
        (post("/nothing", sized), "a", 404),
        (post("/read", chunked) + "1;", "extension", 400),
        (post("/read", chunked) + "0\r\n", "X-Trailer: a\r\n", 400),
        ("GET /".to_owned(), "a", 431),
        ("GET / HTTP/1.1\r\nX-Header: ".to_owned(), "a", 431),
        ("GET / HTTP/1.1\r\n".to_owned(), "X-Header: a\r\n", 431),
        ("GET / HTTP/1.1\r\n".to_owned(), "A:\r\n", 431),
    ] {
        let answer = meanwhile(address, flood(address, &first, more)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{first:?} {more:?}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{first:?} {more:?}: {answer:?}");
    }
    server.shutdown(GRACE).await;
}

#[tokio::test]
async fn heads_have_their_measure() {
    let server = start(routes()).await;
    let address = server.local_addr();
    let headers = |count: usize| "A: a\r\n".repeat(count);
    let long = |length: usize| format!("A: {}\r\n", "a".repeat(length));
    for (headers, status) in [(headers(99), 200), (headers(100), 431), (long(16_000), 200), (long(16_384), 431)] {
        let head = format!("GET /plain HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
        let answer = meanwhile(address, async { rest_of(&mut say(address, head.as_bytes()).await).await }).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    server.shutdown(GRACE).await;
}

#[tokio::test]
async fn who_sends_too_much_at_least_hears_so() {
    let limits = ConnectionLimits { linger: PATIENCE, ..short() };
    let server = Listener::bind(ANY).await.unwrap().serve_with(crate::layered(routes(), Limits::default()), limits);
    let address = server.local_addr();
    let body = "a".repeat(16 << 20);
    for (route, status) in [("/read", 413), ("/unread", 200), ("/nothing", 404)] {
        let head = format!("POST {route} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        // All is sent before anything is read, as simple clients do.
        let sending = async {
            let mut stream = say(address, head.as_bytes()).await;
            stream.write_all(body.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            rest_of(&mut stream).await
        };
        let answer = meanwhile(address, sending).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    server.shutdown(GRACE).await;
}

#[tokio::test]
async fn every_request_knows_its_peer() {
    let server = start(routes()).await;
    let request = b"GET /peer HTTP/1.1\r\nHost: a\r\n\r\nGET /peer HTTP/1.1\r\nConnection: close\r\n\r\n";
    let mut stream = say(server.local_addr(), request).await;
    let own = stream.local_addr().unwrap().to_string();
    assert_eq!(rest_of(&mut stream).await.matches(&own).count(), 2);
    server.shutdown(GRACE).await;
}
