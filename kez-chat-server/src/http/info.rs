//! What a client needs to know before it connects, and whether the server is well.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use kez_core::broker::subject;
use kez_core::identity::PrimaryKey;
use kez_service::problem::{Problem, RefusalForNow};
use serde::Serialize;
use utoipa::ToSchema;

use super::{App, broker_away, registry_failed};
use crate::broker::{INBOX_PER_ROUTE, INBOX_TTL, MAX_MESSAGE_BYTES};

/// How long the registry may take to say that it is there.
const REGISTRY_TIME: Duration = Duration::from_secs(2);

/// What a client needs to know of a home.
#[derive(Serialize, ToSchema)]
pub(super) struct Info {
    domain: String,
    now_ms: u64,
    #[schema(value_type = Vec<String>)]
    server_keys: Vec<PrimaryKey>,
    nats: Nats,
    sigchain_url: String,
    relays: Vec<String>,
    versions: [u32; 1],
    limits: Limits,
}

#[derive(Serialize, ToSchema)]
struct Nats {
    urls: Vec<String>,
    streams: [&'static str; 1],
    epoch: String,
}

#[derive(Serialize, ToSchema)]
struct Limits {
    /// The largest message on the broker, headers included.
    message_bytes: u32,
    /// How many messages of one sender wait in one inbox.
    inbox_per_sender: u32,
    /// How long a message waits.
    inbox_ttl_s: u64,
}

/// Tells what a client needs before it connects.
#[utoipa::path(
    get,
    path = "/v1/info",
    responses(
        (status = 200, description = "About this home; not to be cached", body = Info),
        (status = 429, response = RefusalForNow),
        (status = 503, response = RefusalForNow),
    ),
)]
pub(super) async fn info(
    State(app): State<Arc<App>>,
) -> Result<([(HeaderName, &'static str); 1], Json<Info>), Problem> {
    let seen = app.link.borrow().as_ref().map(|link| link.epoch.clone());
    let epoch = match seen {
        Some(epoch) => epoch,
        // While the broker is away, the last one stands; before the first contact there is none to tell.
        None => app.registry.epoch().await.map_err(registry_failed)?.ok_or_else(broker_away)?,
    };
    let info = Info {
        domain: app.domain.to_string(),
        now_ms: app.clock.now_ms(),
        server_keys: app.server_keys.clone(),
        nats: Nats { urls: app.nats_urls.clone(), streams: [subject::INBOX_STREAM], epoch },
        sigchain_url: app.sig_url.clone(),
        relays: app.relays.clone(),
        versions: [1],
        limits: Limits {
            message_bytes: MAX_MESSAGE_BYTES,
            inbox_per_sender: INBOX_PER_ROUTE,
            inbox_ttl_s: INBOX_TTL.as_secs(),
        },
    };
    // A clock that comes out of a cache is worse than none.
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(info)))
}

/// Whether the server can do its work, and what of it. The words of `status` are `ok`, `degraded` and `failing`.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    status: &'static str,
    nats: Reach,
    registry: Reach,
    sigchain: Reach,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Reach {
    Ok,
    Away,
}

impl From<bool> for Reach {
    fn from(answers: bool) -> Self {
        if answers { Self::Ok } else { Self::Away }
    }
}

/// Tells what of the server works.
///
/// It is 200 without the broker or the sigchain server, since starting this server
/// again would not bring them back, and 503 without the registry, without which it can do nothing.
#[utoipa::path(
    get,
    path = "/v1/healthz",
    responses(
        (status = 200, description = "The server works, or some of it", body = Health),
        (status = 503, description = "The registry does not answer, so nothing works", body = Health),
    ),
)]
pub(super) async fn healthz(State(app): State<Arc<App>>) -> (StatusCode, Json<Health>) {
    let nats = app.link.borrow().is_some().into();
    let (registry, sigchain) = tokio::join!(registry_answers(&app), app.sigchains.answers());
    let (registry, sigchain) = (registry.into(), sigchain.into());
    let (code, status) = match (registry, nats, sigchain) {
        (Reach::Away, ..) => (StatusCode::SERVICE_UNAVAILABLE, "failing"),
        (_, Reach::Ok, Reach::Ok) => (StatusCode::OK, "ok"),
        _ => (StatusCode::OK, "degraded"),
    };
    (code, Json(Health { status, nats, registry, sigchain }))
}

async fn registry_answers(app: &App) -> bool {
    match tokio::time::timeout(REGISTRY_TIME, app.registry.check()).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the registry does not answer");
            false
        }
        Err(_) => {
            tracing::error!("the registry takes too long to answer");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use kez_core::handle::{Home, Policy};
    use tokio::sync::{Notify, watch};

    use super::*;
    use crate::callout::Callout;
    use crate::clock::Clock;
    use crate::endpoints::{Endpoints, Sigchains};
    use crate::metrics::Metrics;
    use crate::registry::Registry;
    use crate::secret::ServerSecret;

    #[tokio::test]
    async fn without_its_registry_the_server_is_failing() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(folder.path().join("handles.db"), Policy::Production).await.unwrap();
        let secret = ServerSecret::generate(&mut rand::rng());
        let domain = Home::parse("kez.lat", Policy::Production).unwrap();
        let sigchains = Arc::new(Sigchains::new("http://127.0.0.1:1".into()).unwrap());
        let fresh_for = Duration::from_secs(60);
        let metrics = Metrics::new();
        let app = Arc::new(App {
            domain: domain.clone(),
            policy: Policy::Production,
            clock: Clock::system(),
            registry: registry.clone(),
            callout: Arc::new(Callout::new(&secret, domain, registry.clone(), Clock::system(), metrics.clone())),
            link: watch::channel(None).1,
            departed: Arc::new(Notify::new()),
            endpoints: Endpoints::new(Arc::clone(&sigchains), Policy::Production, fresh_for, metrics.endpoints.clone()),
            sigchains,
            server_keys: Vec::new(),
            nats_urls: Vec::new(),
            sig_url: String::new(),
            relays: Vec::new(),
            metrics,
        });
        let (code, Json(health)) = healthz(State(Arc::clone(&app))).await;
        assert_eq!((code, health.status, health.registry), (StatusCode::OK, "degraded", Reach::Ok));

        registry.close().await;
        let (code, Json(health)) = healthz(State(app)).await;
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!((health.status, health.registry), ("failing", Reach::Away));
    }
}
