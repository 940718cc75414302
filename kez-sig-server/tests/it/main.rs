//! The sigchain server over real sockets, as `docs/PROTOCOL.md` §4 describes it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod append;
mod author;
mod binary;
mod hostile;
mod operation;
mod race;
mod read;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Once;

use kez_service::rate::Rate;
use kez_sig_server::{Server, Settings};
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::author::Author;

/// Any free loopback port.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A server on a free port with its database in a folder of its own.
struct Running {
    server: Server,
    client: Client,
    folder: tempfile::TempDir,
}

impl Running {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(ANY, folder.path().join("sigchains.db"));
        // Everybody in a test has one address.
        (settings.append_rate, settings.read_rate) = (Rate::OFF, Rate::OFF);
        change(&mut settings);
        let server = Server::bind(settings).await.unwrap();
        let client = Client::new(server.local_addr());
        Self { server, client, folder }
    }
}

/// What a client of this server does.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, base: format!("http://{address}") }
    }

    fn url(&self, author: &Author) -> String {
        format!("{}/v1/sigchains/ed25519/{}", self.base, author.hex())
    }

    async fn post(&self, author: &Author, jws: &str) -> Response {
        let request = self.http.post(format!("{}/events", self.url(author))).body(jws.to_owned());
        request.header("content-type", "application/jose").send().await.unwrap()
    }

    /// Appends an event that has to be taken as new.
    async fn append(&self, author: &Author, jws: &str) {
        assert_eq!(self.post(author, jws).await.status(), StatusCode::CREATED);
    }

    /// Reads a chain; `query` is empty or begins with `?`.
    async fn read(&self, author: &Author, query: &str) -> Value {
        let response = self.http.get(format!("{}{query}", self.url(author))).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.unwrap()
    }
}

/// Holds an answer against a problem's form, and returns its body.
async fn problem(response: Response, status: StatusCode, code: &str) -> Value {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.status(), status);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["code"], code, "{body}");
    assert_eq!(body["status"], status.as_u16());
    body
}
