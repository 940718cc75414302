//! What an open account does by itself when nobody is waiting: it indexes what came, and erases what was kept long enough.
//!
//! Each piece is a short transaction of its own, so messages get through between any two, and it may be dropped at any time.

use std::{convert::Infallible, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use crate::{shared::Shared, store::StoreError};

/// After how long without a change nobody is at work.
const QUIET: Duration = Duration::from_secs(1);
/// How long work is put off for others.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause between two pieces of work.
const BREATH: Duration = Duration::from_millis(20);
/// How often there is a look when nothing changes, since time passes.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);
/// How often the index is written anew to be rid of what was erased.
const FORGET_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// Does what there is to do, online or not, but not while the client is suspended.
pub(crate) async fn run(shared: &Shared) -> Infallible {
    let mut changes = shared.store.changes();
    let mut forgot_at: Option<Instant> = None;
    loop {
        let wish = shared.link.wish();
        if !wish.is_connection() {
            shared.link.other_wish(wish).await;
            continue;
        }
        changes.mark_unchanged();
        let may_forget = forgot_at.is_none_or(|at| at.elapsed() >= FORGET_EVERY);
        let worked = tokio::select! {
            worked = work(shared, may_forget) => worked,
            () = shared.link.other_wish(wish) => continue,
        };
        match worked {
            Ok(Work::Some) => {
                changes.mark_unchanged();
                sleep(BREATH).await;
                if changes.has_changed().unwrap_or(false) {
                    quiet(&mut changes).await;
                }
                continue;
            }
            Ok(Work::LastWords) => forgot_at = Some(Instant::now()),
            Ok(Work::None) => {}
            Err(error) => tracing::warn!(%error, "upkeep is put off"),
        }
        tokio::select! {
            Ok(()) = changes.changed() => quiet(&mut changes).await,
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

/// What a piece of work was.
enum Work {
    /// There may be more.
    Some,
    /// The last words of erased messages are gone.
    LastWords,
    /// There was nothing to do.
    None,
}

/// Does one piece of work.
async fn work(shared: &Shared, may_forget: bool) -> Result<Work, StoreError> {
    let store = &shared.store;
    if store.index_texts().await? {
        return Ok(Work::Some);
    }
    // A home whose clock is ahead must not erase anything either, as long as ours is not.
    let now_ms = shared.home_now_ms().min(shared.now_ms());
    if shared.link.knows_home_time() && store.erase_expired(now_ms).await? {
        return Ok(Work::Some);
    }
    let forgotten = if may_forget { store.forget_words().await? } else { None };
    Ok(match forgotten {
        Some(true) => Work::Some,
        Some(false) => Work::LastWords,
        None => Work::None,
    })
}

/// Waits until nobody is at work, or has been for long.
async fn quiet(changes: &mut watch::Receiver<u64>) {
    let end = Instant::now() + PATIENCE;
    loop {
        tokio::select! {
            Ok(()) = changes.changed() => {}
            () = sleep(QUIET) => return,
            () = sleep_until(end) => return,
        }
    }
}
