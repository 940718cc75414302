//! What a client needs to know before it connects, and whether the server is well.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use kez_core::broker::subject;
use kez_core::identity::PrimaryKey;
use kez_service::problem::Problem;
use serde::Serialize;

use super::{App, broker_away, registry_failed};
use crate::broker::{INBOX_PER_ROUTE, INBOX_TTL, MAX_MESSAGE_BYTES};
use crate::clock::now_ms;

#[derive(Serialize)]
pub(super) struct Info {
    domain: String,
    now_ms: u64,
    server_keys: Vec<PrimaryKey>,
    nats: Nats,
    sigchain_url: String,
    relays: Vec<String>,
    versions: [u32; 1],
    limits: Limits,
}

#[derive(Serialize)]
struct Nats {
    urls: Vec<String>,
    streams: [&'static str; 1],
    epoch: String,
}

#[derive(Serialize)]
struct Limits {
    /// The largest message on the broker, headers included.
    message_bytes: u32,
    /// How many messages of one sender wait in one inbox.
    inbox_per_sender: u32,
    /// How long a message waits.
    inbox_ttl_s: u64,
}

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
        now_ms: now_ms(),
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

#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
    nats: &'static str,
}

/// Tells that the server answers, and whether the broker is within reach. It is 200 either way: starting the server
/// again does not bring the broker back.
pub(super) async fn healthz(State(app): State<Arc<App>>) -> Json<Health> {
    let (status, nats) = if app.link.borrow().is_some() { ("ok", "ok") } else { ("degraded", "away") };
    Json(Health { status, nats })
}
