//! How a server ends.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kez_service::axum::Router;
use kez_service::axum::routing::get;
use kez_service::layers::Limits;
use kez_service::serve::{GRACE, Listener};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::{ANY, client, serve};

/// A route that says when a request has come, and answers when it is told to.
fn held() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (arrived, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (arriving, released) = (Arc::clone(&arrived), Arc::clone(&release));
    let handler = move || async move {
        arriving.notify_one();
        released.notified().await;
        "done"
    };
    (Router::new().route("/held", get(handler)), arrived, release)
}

#[tokio::test]
async fn a_request_in_flight_is_finished_and_no_new_one_is_taken() {
    let (router, arrived, release) = held();
    let server = serve(router, Limits::default()).await;
    let address = server.local_addr();
    let request = tokio::spawn(client().get(format!("http://{address}/held")).send());
    arrived.notified().await;

    let stopping = tokio::spawn(server.shutdown(GRACE));
    // The listener is gone as soon as the accept loop has seen the stop.
    loop {
        match TcpStream::connect(address).await {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => break,
            _ => tokio::task::yield_now().await,
        }
    }
    release.notify_one();
    assert_eq!(request.await.unwrap().unwrap().text().await.unwrap(), "done");
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_stuck_request_is_cut_after_the_grace() {
    let (router, arrived, _release) = held();
    let limits = Limits { time: Duration::from_secs(60), ..Limits::default() };
    let server = serve(router, limits).await;
    let request = tokio::spawn(client().get(format!("http://{}/held", server.local_addr())).send());
    arrived.notified().await;
    server.shutdown(Duration::from_millis(50)).await;
    assert!(request.await.unwrap().is_err());
}

#[tokio::test]
async fn half_a_request_does_not_hold_the_server_up() {
    let server = serve(Router::new(), Limits::default()).await;
    let mut slow = TcpStream::connect(server.local_addr()).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
    server.shutdown(Duration::from_millis(50)).await;
    let end = slow.read(&mut [0; 64]).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

#[tokio::test]
async fn what_is_no_request_yet_is_closed_at_once() {
    let server = serve(Router::new(), Limits::default()).await;
    let mut begun = TcpStream::connect(server.local_addr()).await.unwrap();
    begun.write_all(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP").await.unwrap();
    assert_ne!(begun.read(&mut [0; 64]).await.unwrap(), 0, "so the head of the next one has come too");
    let _silent = TcpStream::connect(server.local_addr()).await.unwrap();
    let asked = Instant::now();
    server.shutdown(GRACE).await;
    assert!(asked.elapsed() < GRACE / 2);
}

#[tokio::test]
async fn an_idle_connection_is_closed_at_once() {
    let server = serve(Router::new(), Limits::default()).await;
    let url = format!("http://{}/nothing", server.local_addr());
    // The client keeps its connection for the next request.
    let client = client();
    client.get(&url).send().await.unwrap().text().await.unwrap();
    let asked = Instant::now();
    server.shutdown(GRACE).await;
    assert!(asked.elapsed() < GRACE / 2);
    assert!(client.get(&url).send().await.unwrap_err().is_connect());
}

#[tokio::test]
async fn a_dropped_server_cuts_its_connections() {
    let (router, arrived, _release) = held();
    let server = serve(router, Limits::default()).await;
    let request = tokio::spawn(client().get(format!("http://{}/held", server.local_addr())).send());
    arrived.notified().await;
    drop(server);
    assert!(request.await.unwrap().is_err());
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let first = Listener::bind(ANY).await.unwrap();
    let error = Listener::bind(first.local_addr()).await.unwrap_err();
    assert_eq!(error.address, first.local_addr());
    assert!(error.to_string().contains(&first.local_addr().to_string()));
}
