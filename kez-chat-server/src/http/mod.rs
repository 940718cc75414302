//! The home server over HTTP (`docs/PROTOCOL.md` §3).

mod info;
mod internal;
mod profile;
mod register;
mod retire;
mod signed;
mod webfinger;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use kez_core::error::Code;
use kez_core::handle::{Home, Policy};
use kez_core::identity::PrimaryKey;
use kez_service::internal::without_pages;
use kez_service::layers::{self, Limits};
use kez_service::openapi;
use kez_service::problem::{Problem, code};
use kez_service::rate::{self, Limiter};
use tokio::sync::{Notify, watch};
use utoipa::IntoResponses;
use utoipa::openapi::{RefOr, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::broker::Link;
use crate::callout::Callout;
use crate::clock::Clock;
use crate::endpoints::{Endpoints, Sigchains};
use crate::metrics::Metrics;
use crate::registry::{Registry, RegistryError};

/// When to ask again while the broker is away.
const RETRY_AFTER_S: u64 = 5;

/// What the handlers share.
pub(crate) struct App {
    pub(crate) domain: Home,
    pub(crate) policy: Policy,
    pub(crate) clock: Clock,
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
    pub(crate) metrics: Metrics,
}

/// Who may ask how often.
#[derive(Clone, Debug)]
pub(crate) struct Limiters {
    pub(crate) register: Limiter,
    pub(crate) lookup: Limiter,
}

impl App {
    fn link(&self) -> Result<Link, Problem> {
        self.link.borrow().clone().ok_or_else(broker_away)
    }
}

/// Routes of the public listener.
pub(crate) fn public(app: Arc<App>, limiters: Limiters) -> Router {
    let http = app.metrics.http.clone();
    let limited = |limiter| from_fn_with_state(limiter, rate::limit);
    let changes = OpenApiRouter::new()
        .routes(routes!(register::register))
        .routes(routes!(retire::retire))
        .route_layer(limited(limiters.register));
    let lookups = OpenApiRouter::new()
        .routes(routes!(profile::by_handle))
        .routes(routes!(profile::by_primary))
        .routes(routes!(info::info))
        .routes(routes!(webfinger::webfinger))
        .route_layer(limited(limiters.lookup));
    // Who watches the server is not limited.
    let router = OpenApiRouter::new().merge(changes).merge(lookups).routes(routes!(info::healthz)).with_state(app);
    let router = openapi::described(
        router,
        "kez home server",
        env!("CARGO_PKG_VERSION"),
        "Gives out handles and tells who has which (docs/PROTOCOL.md §3).",
    );
    layers::around(router, Limits { body_bytes: 4096, ..Limits::default() }, http).layer(layers::for_browsers())
}

/// Routes of the internal listener, which is bound to `bound`.
pub(crate) fn internal(app: Arc<App>, bound: IpAddr) -> Router {
    let http = app.metrics.http.clone();
    let router = Router::new()
        .route("/internal/nats/auth", post(internal::auth))
        .route("/metrics", get(internal::metrics))
        .with_state(app);
    let router = without_pages(router, bound);
    layers::around(router, Limits { time: Duration::from_secs(5), ..Limits::default() }, http)
}

/// What every look-up may be refused with.
struct LookUpRefusals;

impl IntoResponses for LookUpRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        openapi::refusals(&[400, 404, 410, 429, 503])
    }
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
