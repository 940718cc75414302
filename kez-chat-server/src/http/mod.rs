//! The home server over HTTP (`docs/PROTOCOL.md` §3).

mod info;
mod internal;
mod profile;
mod register;
mod retire;
mod signed;
mod webfinger;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use kez_core::error::Code;
use kez_core::handle::{Home, Policy};
use kez_core::identity::PrimaryKey;
use kez_service::layers::{self, Limits};
use kez_service::problem::{Problem, code};
use tokio::sync::{Notify, watch};

use crate::broker::Link;
use crate::callout::Callout;
use crate::endpoints::{Endpoints, Sigchains};
use crate::registry::{Registry, RegistryError};

/// When to ask again while the broker is away.
const RETRY_AFTER_S: u64 = 5;

/// What the handlers share.
pub(crate) struct App {
    pub(crate) domain: Home,
    pub(crate) policy: Policy,
    pub(crate) registry: Registry,
    pub(crate) callout: Arc<Callout>,
    pub(crate) link: watch::Receiver<Option<Link>>,
    /// Wakes the broker side when somebody has left.
    pub(crate) departed: Arc<Notify>,
    pub(crate) sigchains: Arc<Sigchains>,
    pub(crate) endpoints: Endpoints,
    pub(crate) server_keys: Vec<PrimaryKey>,
    pub(crate) nats_urls: Vec<String>,
    pub(crate) sig_url: String,
    pub(crate) relays: Vec<String>,
}

impl App {
    fn link(&self) -> Result<Link, Problem> {
        self.link.borrow().clone().ok_or_else(broker_away)
    }
}

/// Routes of the public listener.
pub(crate) fn public(app: Arc<App>) -> Router {
    let router = Router::new()
        .route("/v1/register", post(register::register))
        .route("/v1/retire", post(retire::retire))
        .route("/v1/u/{handle}", get(profile::by_handle))
        .route("/v1/p/{primary}", get(profile::by_primary))
        .route("/v1/info", get(info::info))
        .route("/v1/healthz", get(info::healthz))
        .route("/.well-known/webfinger", webfinger::route())
        .with_state(app);
    layers::around(router, Limits { body_bytes: 4096, ..Limits::default() })
}

/// Routes of the internal listener.
pub(crate) fn internal(app: Arc<App>) -> Router {
    let router = Router::new().route("/internal/nats/auth", post(internal::auth)).with_state(app);
    layers::around(router, Limits { time: Duration::from_secs(5), ..Limits::default() })
}

fn broker_away() -> Problem {
    let detail = "the broker is out of reach at the moment, so nothing was done; ask again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "BrokerAway", detail).retry_after(RETRY_AFTER_S)
}

fn malformed(code: Code, detail: impl ToString) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, code.as_str(), detail.to_string())
}

fn not_found(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, code::NOT_FOUND, detail)
}

fn handle_taken(detail: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, "HandleTaken", detail)
}

fn gone() -> Problem {
    let detail = "this person has left for good; the handle is never given again";
    Problem::new(StatusCode::GONE, Code::Retired.as_str(), detail)
}

fn registry_failed(error: RegistryError) -> Problem {
    match error {
        RegistryError::Database(error) => error.into(),
        error => Problem::internal(&error),
    }
}
