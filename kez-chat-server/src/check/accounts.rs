//! What users and the streams' account share: exactly what `nats-conf` exports.

use std::time::Duration;

use async_nats::{Client, HeaderMap};
use futures::StreamExt as _;
use futures::future::join_all;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Report;
use super::ask::ask;
use crate::nats_conf::{JS_ACCOUNT, USER_ACCOUNT, shared_subjects};

/// What no user may reach.
pub(super) const FORBIDDEN: &str = "$JS.API.INFO";

const PATIENCE: Duration = Duration::from_secs(3);
/// In a cluster a subscription takes a moment to reach the other nodes, so a message is sent again.
const AGAIN: Duration = Duration::from_millis(200);

/// The probe among the users.
pub(super) struct Probe {
    pub(super) client: Client,
    pub(super) token: String,
}

/// Something that the two accounts share, under the probe's own name.
pub(super) struct Shared {
    pub(super) kind: Kind,
    pub(super) subject: String,
    pattern: String,
}

/// Which way it goes.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// From the users to the streams' account.
    Service,
    /// From there to the users.
    Stream,
}

/// Fills in the wildcards of what is shared: `token` is nobody's key, and `check` no route and no ack.
pub(super) fn shared(token: &str) -> Vec<Shared> {
    shared_subjects()
        .into_iter()
        .map(|(kind, pattern)| {
            let kind = if kind == "service" { Kind::Service } else { Kind::Stream };
            let subject = pattern.replacen('*', token, 1).replace(['*', '>'], "check");
            Shared { kind, subject, pattern }
        })
        .collect()
}

/// Sends a message along each shared subject, and one where none may get through.
pub(super) async fn look(probe: &Probe, js: &Client, report: &mut Report) {
    let shared = shared(&probe.token);
    let arrived = join_all(shared.iter().map(|shared| match shared.kind {
        Kind::Service => arrives(&probe.client, js, &shared.subject),
        Kind::Stream => arrives(js, &probe.client, &shared.subject),
    }))
    .await;
    let lost: Vec<_> =
        shared.iter().zip(arrived).filter(|(_, arrived)| !arrived).map(|(shared, _)| &*shared.pattern).collect();
    if !lost.is_empty() {
        let text = format!(
            "between accounts {USER_ACCOUNT} and {JS_ACCOUNT} nothing gets through on {}; put the `exports` and \
             `imports` of `nats-conf` into nats.conf",
            lost.join(" and ")
        );
        report.missing("sharing", text);
    } else if ask(&probe.client, FORBIDDEN).await.is_some_and(|answer| answer.get("error").is_none()) {
        let text = format!(
            "users reach JetStream's interface ({FORBIDDEN}), and with it each other's inboxes; take `jetstream` from \
             account {USER_ACCOUNT}, and share only what `nats-conf` prints"
        );
        report.missing("sharing", text);
    } else {
        report.ok("sharing", format!("accounts {USER_ACCOUNT} and {JS_ACCOUNT} share what they have to"));
    }
}

/// Tells whether what one publishes gets to the other.
async fn arrives(from: &Client, to: &Client, subject: &str) -> bool {
    let Ok(mut messages) = to.subscribe(subject.to_owned()).await else { return false };
    // A stream stores nothing that is meant for another one.
    let mut headers = HeaderMap::new();
    headers.insert(async_nats::header::NATS_EXPECTED_STREAM, "kez-check");
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let again = Instant::now() + AGAIN;
        if from.publish_with_headers(subject.to_owned(), headers.clone(), "".into()).await.is_err() {
            return false;
        }
        match timeout_at(again, messages.next()).await {
            Ok(Some(_)) => return true,
            Ok(None) => return false,
            Err(_) => sleep_until(again).await,
        }
    }
    false
}
