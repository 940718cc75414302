//! Looking at contacts by itself: at each once a day, and sooner when something gives reason for it.

use std::time::Duration;

use kez_core::identity::PrimaryKey;
use tokio::sync::Mutex;

use super::look::Look;
use crate::{
    shared::Shared,
    store::{NextLook, StoreError},
};

/// For how long there is no other look after one, and no other glance at who is due after a change of the store.
const PAUSE: Duration = Duration::from_secs(5);
const BREATH: Duration = Duration::from_secs(1);
/// How often at least it is looked who is due: clocks jump.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// Looks at whoever is due, for as long as a session lasts: at three at a time, so that one slow server holds up few.
pub(crate) async fn keep_fresh(shared: &Shared) {
    let turn = Mutex::new(());
    tokio::join!(look_at_many(shared, &turn), look_at_many(shared, &turn), look_at_many(shared, &turn));
}

async fn look_at_many(shared: &Shared, turn: &Mutex<()>) {
    loop {
        let due = {
            // One looks who is next, the others wait for their turn.
            let _turn = turn.lock().await;
            next_due(shared).await
        };
        match due {
            Ok(peer) => {
                if let Err(error) = Look::again(peer).run(shared).await {
                    tracing::debug!(code = error.code(), "a look at a contact showed trouble, or nothing");
                }
            }
            Err(error) => tracing::warn!(%error, "it is not known who is to be looked at"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn next_due(shared: &Shared) -> Result<PrimaryKey, StoreError> {
    let mut changes = shared.store.changes();
    loop {
        changes.mark_unchanged();
        let now_ms = shared.home_now_ms();
        let wait = match shared.store.next_look(now_ms).await? {
            Some(NextLook { owner, wait_ms: 0 }) => {
                shared.store.begin_look(owner, now_ms).await?;
                return Ok(owner);
            }
            Some(NextLook { wait_ms, .. }) => Duration::from_millis(wait_ms).min(LONGEST_WAIT),
            None => LONGEST_WAIT,
        };
        tokio::select! {
            _ = changes.changed() => tokio::time::sleep(BREATH).await,
            () = tokio::time::sleep(wait) => {}
        }
    }
}
