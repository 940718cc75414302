//! The connection to the home's broker: one session after another, until the client closes (`docs/PROTOCOL.md` §5).

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};

use crate::{
    account::own_chain,
    connection::{SessionError, connect},
    inbox,
    link::ConnectionState,
    outbox,
    shared::Shared,
};

/// How long a client that closes may take to send its last receipts.
const LAST_WORDS: Duration = Duration::from_secs(2);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(60);
/// How long a session lasts that was no mistake: after it, the next attempt is made soon.
const SETTLED: Duration = Duration::from_secs(10);

/// Keeps a session going until the client closes, then leaves nothing of it running.
pub(crate) async fn run(shared: Arc<Shared>) {
    if let Err(error) = inbox::retry_quarantined(&shared).await {
        tracing::warn!(%error, "what was put aside was not tried again");
    }
    tokio::select! {
        () = keep_connected(&shared) => {}
        () = shared.own.until_over() => {}
    }
    #[cfg(feature = "files")]
    shared.node.shutdown().await;
    shared.link.set_connection(shared.own.now().end().unwrap_or(ConnectionState::Closed));
}

async fn keep_connected(shared: &Arc<Shared>) {
    let mut retry_in = FIRST_RETRY;
    loop {
        shared.link.set_connection(ConnectionState::Connecting);
        let begun = Instant::now();
        let ended = one_session(shared).await;
        if shared.stop.is_cancelled() {
            return;
        }
        tracing::info!(cause = %ended, "offline");
        // Sending has waited already, if need be, while messages still came in.
        if begun.elapsed() > SETTLED || matches!(ended, SessionError::RouteDenied) {
            retry_in = FIRST_RETRY;
        }
        shared.link.set_connection(ConnectionState::Offline { cause: ended.to_string(), retry_in });
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(retry_in) => {}
        }
        retry_in = (retry_in * 2).min(LAST_RETRY);
    }
}

/// Connects, and works until the connection ends.
async fn one_session(shared: &Arc<Shared>) -> SessionError {
    let (events, mut ended) = mpsc::channel(16);
    let connected = tokio::select! {
        connected = connect(shared, events) => connected,
        () = shared.stop.cancelled() => Err(SessionError::Lost),
    };
    let (session, deliveries) = match connected {
        Ok(connected) => connected,
        Err(error) => return error,
    };
    shared.link.set_connection(ConnectionState::Online);
    tracing::info!("online");

    #[cfg(feature = "files")]
    crate::files::serve_in_background(shared);
    let end = tokio::select! {
        Err(error) = inbox::run(shared, &session, deliveries) => error,
        Err(error) = outbox::run(shared, &session) => error,
        () = own_chain::watch(shared, session.brokers()) => SessionError::Lost,
        Some(error) = ended.recv() => error,
        () = shared.stop.cancelled() => SessionError::Lost,
    };
    if shared.stop.is_cancelled() {
        // What is owed and what was acknowledged a moment ago still goes out.
        let _ = tokio::time::timeout(LAST_WORDS, outbox::last_words(shared, &session)).await;
    }
    end
}
