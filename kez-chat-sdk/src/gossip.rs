//! Looking into the heads that contacts name, beside everything else: a message is delivered whatever it says of a chain
//! (`docs/PROTOCOL.md` §4).

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use kez_core::identity::PrimaryKey;
use tokio::time::Instant;

use crate::{
    account::{AccountError, own_chain},
    contacts::{ContactError, Contacts},
    shared::Shared,
    store::{HeardHead, StoreError},
};

/// How long a chain is left alone after it was fetched because of what somebody said: whoever makes heads up could have us
/// fetch without end.
const REST: Duration = Duration::from_secs(60);
/// How long it is left alone at most after its server could not be asked many times.
const LONGEST_REST: Duration = Duration::from_secs(3600);
/// How soon after a change of the store it is looked at, which it may be at once again.
const SOON: Duration = Duration::from_secs(1);

/// Which chains were fetched because of what somebody said.
#[derive(Debug, Default)]
pub(crate) struct Gossip(Mutex<HashMap<[u8; 32], Rest>>);

#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Instant,
    last: Duration,
}

/// What a fetch came to.
enum Fetched {
    /// All that the server shows follows what was known.
    Sound,
    /// It does not, and that was told.
    Unsound,
    /// The server could not be asked.
    Unanswered,
}

impl Gossip {
    /// Tells when a chain may be fetched; `None` for now.
    fn rests_until(&self, owner: &PrimaryKey) -> Option<Instant> {
        let rests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rests.get(owner.as_bytes()).map(|rest| rest.until).filter(|until| *until > Instant::now())
    }

    /// Leaves a chain alone for a while: the longer, the more often its server was asked in vain. Returns until when.
    fn rest(&self, owner: &PrimaryKey, answered: bool) -> Instant {
        let mut rests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let last = match rests.get(owner.as_bytes()) {
            Some(rest) if !answered => (rest.last * 2).min(LONGEST_REST),
            _ => REST,
        };
        rests.insert(*owner.as_bytes(), Rest { until: now + last, last });
        now + last
    }
}

/// Looks into what contacts say, for as long as a session lasts.
pub(crate) async fn watch(shared: &Shared) {
    let mut changes = shared.store.changes();
    loop {
        changes.mark_unchanged();
        let next = look(shared).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "what others say of sigchains could not be looked into");
            Some(Instant::now() + REST)
        });
        tokio::select! {
            _ = changes.changed() => tokio::time::sleep(SOON).await,
            () = wait_until(next) => {}
        }
    }
}

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Fetches the chains of which somebody names another head than is known here, and tells of those that do not show it.
/// Returns when there is more to look into.
async fn look(shared: &Shared) -> Result<Option<Instant>, StoreError> {
    let own = shared.primary();
    let doubted = shared.store.doubted_heads(own).await?;
    let mut next: Option<Instant> = None;
    for owner in doubted.iter().map(|heard| heard.owner(&own)).collect::<HashSet<_>>() {
        let at = match shared.gossip.rests_until(&owner) {
            Some(until) => Some(until),
            None => look_at(shared, &owner, &doubted).await?,
        };
        next = [next, at].into_iter().flatten().min();
    }
    Ok(next)
}

async fn look_at(shared: &Shared, owner: &PrimaryKey, doubted: &[HeardHead]) -> Result<Option<Instant>, StoreError> {
    let own = shared.primary();
    let of_this = |heard: &HeardHead| heard.owner(&own) == *owner;
    let fetched = if *owner == own { fetch_own(shared).await? } else { fetch(shared, owner).await? };
    let rested = shared.gossip.rest(owner, !matches!(fetched, Fetched::Unanswered));
    match fetched {
        Fetched::Sound => {
            // What was said only meanwhile is not judged by what was fetched before.
            let still = shared.store.doubted_heads(own).await?;
            let told = still.into_iter().filter(|heard| of_this(heard) && doubted.contains(heard)).collect();
            shared.store.tell_of_disagreement(own, told, shared.home_now_ms()).await?;
            Ok(None)
        }
        Fetched::Unsound => {
            shared.store.drop_doubts(doubted.iter().filter(|heard| of_this(heard)).cloned().collect()).await?;
            Ok(None)
        }
        Fetched::Unanswered => Ok(Some(rested)),
    }
}

async fn fetch_own(shared: &Shared) -> Result<Fetched, StoreError> {
    match own_chain::check(shared, &[]).await {
        Ok(()) => Ok(Fetched::Sound),
        Err(AccountError::Chain(_)) => Ok(Fetched::Unsound),
        Err(AccountError::Store(error)) => Err(error),
        Err(_) => Ok(Fetched::Unanswered),
    }
}

async fn fetch(shared: &Shared, owner: &PrimaryKey) -> Result<Fetched, StoreError> {
    match Contacts::new(shared).refresh(*owner).await {
        Ok(_) => Ok(Fetched::Sound),
        Err(ContactError::Net(_)) => Ok(Fetched::Unanswered),
        Err(ContactError::Store(error)) => Err(error),
        Err(_) => Ok(Fetched::Unsound),
    }
}

#[cfg(test)]
mod tests {
    use kez_core::identity::SecretKey;

    use super::*;

    #[test]
    fn a_chain_is_fetched_once_a_minute_and_ever_more_rarely_while_nobody_answers() {
        let gossip = Gossip::default();
        let [one, other] = [1, 2].map(|byte| SecretKey::from_seed([byte; 32]).primary());
        assert!(gossip.rests_until(&one).is_none());
        let mut rests = |answered| (gossip.rest(&one, answered) - Instant::now()).as_secs_f64().round();
        let waited: Vec<f64> = [false, false, false, true, false].into_iter().map(&mut rests).collect();
        assert_eq!(waited, [60., 120., 240., 60., 120.]);
        for _ in 0..9 {
            gossip.rest(&one, false);
        }
        assert!(gossip.rest(&one, false) <= Instant::now() + LONGEST_REST);
        assert!(gossip.rests_until(&one).is_some());
        assert!(gossip.rests_until(&other).is_none(), "each chain for itself");
    }
}
