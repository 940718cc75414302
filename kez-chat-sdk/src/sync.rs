//! One visit to the home, for as long as a phone's background work may last.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::{link::ConnectionState, offline::OfflineCause, session::LAST_WORDS, shared::Shared, store::StoreError};

/// What a [visit](crate::Client::sync_once) did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncReport {
    /// How many frames came in: messages, receipts, and whatever else others send.
    pub received: usize,
    /// How many messages and receipts the broker took.
    pub sent: usize,
    /// How many messages and receipts still wait here to be sent.
    pub queued: usize,
    /// How it ended.
    pub outcome: SyncOutcome,
}

/// How a [visit](crate::Client::sync_once) ended.
///
/// ```
/// use kez_chat_sdk::{OfflineCause, SyncOutcome};
///
/// let outcome = SyncOutcome::Offline(OfflineCause::ConnectionLost);
/// assert_ne!(outcome, SyncOutcome::Complete, "there may be more: ask for another moment");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncOutcome {
    /// The inbox was read to its end, and all that could be sent now was.
    Complete,
    /// The time was up before. What was received until then is kept, and what was sent is.
    OutOfTime,
    /// There was no connection at the end, and so nobody knows.
    Offline(OfflineCause),
    /// There is to be no connection any more: the account lives in another installation,
    /// has moved to another home, or has retired.
    NotHere,
}

/// Connects, receives and sends what there is, and leaves within the time given.
pub(crate) async fn once(shared: &Shared, within: Duration) -> Result<SyncReport, StoreError> {
    let end = Instant::now() + within;
    let before = *shared.link.traffic().borrow();
    let visit = shared.link.visit();
    // Leaving takes its time too.
    let worked = timeout_at(end - LAST_WORDS.min(within / 4), until_quiet(shared)).await;
    let state = shared.link.connection().current();
    drop(visit);
    // Comes back at once where the connection stays, since the client was not suspended.
    let _ = timeout_at(end, shared.link.until_suspended()).await;
    let outcome = match (worked, state) {
        (Ok(outcome), _) => outcome?,
        (Err(_), ConnectionState::Offline { cause, .. }) => SyncOutcome::Offline(cause),
        (Err(_), _) => SyncOutcome::OutOfTime,
    };
    let after = *shared.link.traffic().borrow();
    Ok(SyncReport {
        received: after.received - before.received,
        sent: after.sent - before.sent,
        queued: shared.store.unsent().await?,
        outcome,
    })
}

/// Waits until nothing is left to be received, as far as can be known, nor to be sent.
async fn until_quiet(shared: &Shared) -> Result<SyncOutcome, StoreError> {
    let (mut connection, mut traffic) = (shared.link.connection(), shared.link.traffic());
    let mut changes = shared.store.changes();
    loop {
        match connection.until(|state| !matches!(state, ConnectionState::Suspended)).await {
            Some(ConnectionState::Online) => {}
            // Trying again is of no use.
            Some(ConnectionState::Offline { cause: cause @ OfflineCause::Refused(_), .. }) => {
                return Ok(SyncOutcome::Offline(cause));
            }
            Some(ConnectionState::SignedInElsewhere | ConnectionState::Moved | ConnectionState::Retired) => {
                return Ok(SyncOutcome::NotHere);
            }
            Some(ConnectionState::Closed) | None => return Err(StoreError::Closed),
            Some(_) => {
                connection.changed().await;
                continue;
            }
        }
        let flow = *traffic.borrow_and_update();
        let is_done = flow.behind == 0 && !flow.is_sending;
        tokio::select! {
            _ = connection.changed() => {}
            _ = traffic.changed() => {}
            _ = changes.changed() => {}
            () = tokio::time::sleep(flow.quiet_after), if is_done => return Ok(SyncOutcome::Complete),
        }
    }
}
