//! The connection to the home's broker: one session after another, until the client closes (`docs/PROTOCOL.md` §5).

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

#[cfg(feature = "files")]
use crate::files::downloads::keeper::run as keep_downloading;
use crate::{
    account::{moving, own_chain},
    backoff::Backoff,
    connection::{Deliveries, Session, SessionError, connect},
    contacts, gossip, inbox,
    link::{ConnectionState, Wish},
    offline::with_sources,
    outbox, presence, requests,
    shared::Shared,
    upkeep,
};

/// How long a session that is left may take to send its last receipts, and then to hang up.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long a session lasts that was no mistake: after it, the next attempt is made soon.
const SETTLED: Duration = Duration::from_secs(10);

/// Keeps a session going whenever one is wanted until the client closes, then leaves nothing of it running.
pub(crate) async fn run(shared: Arc<Shared>) {
    if let Err(error) = inbox::retry_quarantined(&shared).await {
        tracing::warn!(%error, "what was put aside was not tried again");
    }
    tokio::select! {
        () = keep_connected(&shared) => {}
        () = moving::carry_on(&shared) => {}
        () = shared.own.until_over() => {}
        never = upkeep::run(&shared) => match never {},
        never = keep_downloading(&shared) => match never {},
    }
    #[cfg(feature = "files")]
    {
        shared.downloads.end();
        shared.node.shutdown().await;
    }
    shared.link.set_connection(shared.own.now().end().unwrap_or(ConnectionState::Closed));
}

#[cfg(not(feature = "files"))]
async fn keep_downloading(_: &Arc<Shared>) -> std::convert::Infallible {
    std::future::pending().await
}

async fn keep_connected(shared: &Arc<Shared>) {
    let mut backoff = Backoff::default();
    while !shared.stop.is_cancelled() {
        let wish = shared.link.wish();
        if wish.is_connection() {
            connect_once(shared, wish, &mut backoff).await;
        } else {
            #[cfg(feature = "files")]
            shared.node.shutdown().await;
            shared.link.set_connection(ConnectionState::Suspended);
            called_off(shared, wish).await;
            backoff.reset();
        }
    }
}

/// Has one session, and waits until it is time for the next.
async fn connect_once(shared: &Arc<Shared>, wish: Wish, backoff: &mut Backoff) {
    shared.link.set_connection(ConnectionState::Connecting);
    let (events, mut ended) = mpsc::channel(16);
    let connected = tokio::select! {
        connected = connect(shared, events) => connected,
        () = called_off(shared, wish) => return backoff.reset(),
    };
    let end = match connected {
        Ok((session, deliveries)) => {
            let begun = Instant::now();
            let end = hold(shared, wish, session, deliveries, &mut ended).await;
            shared.presences.stop_listening(matches!(end, Some(SessionError::Lost)));
            // Sending has waited already, if need be, while messages still came in.
            if begun.elapsed() > SETTLED || matches!(end, Some(SessionError::RouteDenied)) {
                backoff.reset();
            }
            end
        }
        Err(error) => Some(error),
    };
    let Some(error) = end else { return backoff.reset() };
    let cause = error.cause(shared.handle.home());
    let retry_in = backoff.after(&cause);
    tracing::info!(code = cause.code(), error = with_sources(&error), ?retry_in, "offline");
    shared.link.set_connection(ConnectionState::Offline { cause, retry_in });
    tokio::select! {
        () = called_off(shared, wish) => backoff.reset(),
        () = tokio::time::sleep(retry_in) => {}
    }
}

/// Works until the connection ends, or is not wanted any more: then there is no error.
async fn hold(
    shared: &Arc<Shared>,
    wish: Wish,
    session: Session,
    deliveries: Deliveries,
    ended: &mut mpsc::Receiver<SessionError>,
) -> Option<SessionError> {
    shared.link.count(|traffic| {
        (traffic.behind, traffic.is_sending, traffic.quiet_after) = (0, true, session.quiet_after);
        traffic.began = Some(Instant::now());
    });
    shared.link.set_connection(ConnectionState::Online);
    tracing::info!("online");
    #[cfg(feature = "files")]
    crate::files::serve_in_background(shared);
    let end = tokio::select! {
        Err(error) = inbox::run(shared, &session, deliveries.inbox) => Some(error),
        Err(error) = presence::run(shared, &session, deliveries.presence) => Some(error),
        Err(error) = outbox::run(shared, &session) => Some(error),
        () = own_chain::watch(shared, session.brokers()) => Some(SessionError::Lost),
        () = gossip::watch(shared) => Some(SessionError::Lost),
        () = contacts::keep_fresh(shared) => Some(SessionError::Lost),
        () = requests::watch(shared) => Some(SessionError::Lost),
        never = keep_published_said(shared) => match never {},
        Some(error) = ended.recv() => Some(error),
        () = called_off(shared, wish) => None,
    };
    if end.is_none() {
        // What is owed and what was acknowledged a moment ago still goes out.
        let _ = timeout(LAST_WORDS, async {
            // A connection that is only made anew is no absence.
            let leaves = shared.stop.is_cancelled() || !shared.link.wish().is_foreground();
            if leaves && let Err(error) = presence::goodbye(shared, &session).await {
                tracing::warn!(%error, "contacts were not told that we leave");
            }
            outbox::last_words(shared, &session).await
        })
        .await;
        drop(session);
        // The library's own tasks hold the other end of this.
        let _ = timeout(LAST_WORDS, async { while ended.recv().await.is_some() {} }).await;
    }
    end
}

/// Keeps the sigchain saying what is published.
async fn keep_published_said(shared: &Arc<Shared>) -> Infallible {
    #[cfg(feature = "files")]
    return crate::files::keep_said(shared).await;
    #[cfg(not(feature = "files"))]
    std::future::pending().await
}

/// Waits until the client closes, or wants something else than the connection that `wish` asked for.
async fn called_off(shared: &Shared, wish: Wish) {
    tokio::select! {
        () = shared.stop.cancelled() => {}
        () = shared.link.other_wish(wish) => {}
    }
}
