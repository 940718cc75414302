//! A home server, as clients and its operator ask it over HTTP.

use std::{net::SocketAddr, time::Duration};

use kez_testbed::http::{self, Answer, Connection};
use serde_json::Value;
use tokio::time::{sleep, timeout};

/// When to ask again who was away. No event tells that a process listens again.
pub(crate) const RETRY: Duration = Duration::from_millis(50);
/// What no answer takes; a server that was killed with a request in hand says so at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks on a connection of its own; `None` if it broke, or nobody listens.
pub(crate) async fn ask(server: SocketAddr, request: &[u8]) -> Option<Answer> {
    let asking = async { Connection::open(server).await?.ask(request).await };
    timeout(PATIENCE, asking).await.expect("a server neither answers nor ends").ok()
}

/// Asks until there is an answer that is not "not now".
pub(crate) async fn insist(server: SocketAddr, request: &[u8]) -> Answer {
    loop {
        match ask(server, request).await {
            Some(answer) if answer.status != 503 => return answer,
            _ => sleep(RETRY).await,
        }
    }
}

/// Reads what a home tells at `path`.
pub(crate) async fn read(home: SocketAddr, path: &str) -> Value {
    let answer = insist(home, &http::get(path)).await;
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).unwrap()
}

/// Tells the age of the inbox stream.
pub(crate) async fn epoch(home: SocketAddr) -> String {
    read(home, "/v1/info").await["nats"]["epoch"].as_str().unwrap().to_owned()
}

/// Waits until a home's health is as expected: (status, nats, sigchain).
pub(crate) async fn health_is(home: SocketAddr, expected: (&str, &str, &str)) {
    loop {
        let health = read(home, "/v1/healthz").await;
        if (health["status"].as_str(), health["nats"].as_str(), health["sigchain"].as_str())
            == (Some(expected.0), Some(expected.1), Some(expected.2))
        {
            return;
        }
        sleep(RETRY).await;
    }
}

/// Reads a count off the internal listener, such as `kez_chat_broker_up`.
pub(crate) async fn metric(internal: SocketAddr, name: &str) -> u64 {
    let answer = insist(internal, &http::get("/metrics")).await;
    let text = String::from_utf8(answer.body).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}
