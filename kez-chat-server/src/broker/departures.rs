//! What the broker still has of people and has to let go: of who left their connections, their consumer and their inbox,
//! of who is blocked their connections.
//!
//! The registry remembers them until all of it is gone, so a crash at any point leaves work to do and never a person to
//! forget. Every step can be done twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use kez_core::identity::PrimaryKey;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::jetstream::JetStream;
use super::kick::{KickError, Kicker};
use super::trouble::{Trouble, WorkError};
use crate::registry::{Departure, Registry, RegistryError, Standing};

/// How often the registry is looked at unasked: a command in another process may have taken somebody out.
const EVERY: Duration = Duration::from_secs(3);
/// How long after the first time everything is done once more. A login that was judged just before its owner was shut
/// out comes through within nats-server's `authorization.timeout` of 2 s, and makes the consumer anew.
const SETTLE: Duration = Duration::from_secs(10);
const AT_ONCE: usize = 16;
/// People looked at in one go.
const AT_MOST: u32 = 10_000;
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// Takes away what is left of people.
pub(crate) struct Departures {
    registry: Registry,
    kicker: Arc<Kicker>,
    wake: Arc<Notify>,
    underway: HashMap<PrimaryKey, Progress>,
    trouble: Trouble,
}

/// How far somebody's departure has come.
struct Progress {
    /// Which departure of theirs it is.
    since_ms: u64,
    is_done_once: bool,
    due: Instant,
    retry: Duration,
}

/// How an attempt to clear away ended.
enum Outcome {
    Cleared,
    /// They have registered again meanwhile, or are not blocked any more.
    Back,
}

impl Departures {
    pub(crate) fn new(registry: Registry, kicker: Arc<Kicker>, wake: Arc<Notify>) -> Self {
        Self { registry, kicker, wake, underway: HashMap::new(), trouble: Trouble::default() }
    }

    /// Works off who left, and who leaves, for as long as the session lasts. It may be dropped at any point.
    pub(crate) async fn run(&mut self, js: &JetStream) {
        // What an earlier session did may have been undone: a broker can come back without its last writes.
        self.underway.clear();
        loop {
            let outcome = self.round(js).await;
            self.report(outcome);
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Goes through everybody who is due; returns the first failure of all.
    async fn round(&mut self, js: &JetStream) -> Result<(), WorkError> {
        let departures = self.registry.departures(AT_MOST).await?;
        let since: HashMap<_, _> = departures.iter().map(|departure| (departure.person, departure.since_ms)).collect();
        self.underway.retain(|person, progress| since.get(person) == Some(&progress.since_ms));
        let now = Instant::now();
        for (person, since_ms) in since {
            let fresh = Progress { since_ms, is_done_once: false, due: now, retry: FIRST_RETRY };
            self.underway.entry(person).or_insert(fresh);
        }
        let due: Vec<_> =
            self.underway.iter().filter(|(_, progress)| progress.due <= now).map(|(person, _)| *person).collect();
        let (registry, kicker) = (&self.registry, &*self.kicker);
        let mut cleared = stream::iter(due)
            .map(async |person| (person, clear(registry, kicker, js, &person).await))
            .buffer_unordered(AT_ONCE);
        let mut outcome = Ok(());
        while let Some((person, result)) = cleared.next().await {
            let Some(progress) = self.underway.get_mut(&person) else { continue };
            match result {
                // The row went when they came back.
                Ok(Outcome::Back) => {
                    self.underway.remove(&person);
                }
                Ok(Outcome::Cleared) if progress.is_done_once => {
                    registry.departed(&Departure { person, since_ms: progress.since_ms }).await?;
                    tracing::info!("somebody who left or is blocked is gone from the broker");
                }
                Ok(Outcome::Cleared) => {
                    progress.is_done_once = true;
                    progress.due = Instant::now() + SETTLE;
                    progress.retry = FIRST_RETRY;
                }
                Err(error) => {
                    progress.due = Instant::now() + progress.retry;
                    progress.retry = (progress.retry * 2).min(LAST_RETRY);
                    outcome = outcome.and(Err(error));
                }
            }
        }
        outcome
    }

    /// Logs what changed. Who failed waits for another attempt, so a round without a failure does not say that all is
    /// well.
    fn report(&mut self, outcome: Result<(), WorkError>) {
        if outcome.is_err() || self.underway.values().all(|progress| progress.retry == FIRST_RETRY) {
            self.trouble.report(outcome, "taking away what is left of people");
        }
    }
}

/// Ends a person's connections. Of who left it then deletes consumer and inbox: in this order, so that nobody is there
/// to be delivered to. Without the kick the rest is done all the same.
async fn clear(
    registry: &Registry,
    kicker: &Kicker,
    js: &JetStream,
    person: &PrimaryKey,
) -> Result<Outcome, WorkError> {
    // Who was taken out may register anew at any time, and is nobody who left from then on: what comes after this point
    // may be theirs.
    let last_seq = js.state().await?.last_seq;
    if standing(registry, person).await? == Some(Standing::Active) {
        return Ok(Outcome::Back);
    }
    let kicked = match kicker.kick(person).await {
        // It said so by itself, and trying again would not help.
        Err(KickError::NoSysUser) => Ok(0),
        kicked => kicked,
    };
    // Kicking takes a while, and what comes for somebody who is back is theirs.
    match standing(registry, person).await? {
        Some(Standing::Active) => return Ok(Outcome::Back),
        // A block may be undone, and what waits is theirs still.
        Some(Standing::Blocked) => {
            tracing::debug!(kicked = kicked.as_ref().ok(), "disconnected somebody who is blocked");
            kicked?;
            return Ok(Outcome::Cleared);
        }
        Some(Standing::Retired) | None => {}
    }
    js.delete_consumer(person).await?;
    let purged = js.purge_through(person, last_seq).await?;
    if matches!(standing(registry, person).await?, Some(Standing::Active | Standing::Blocked)) {
        js.provision(person).await?;
    }
    tracing::debug!(kicked = kicked.as_ref().ok(), purged, "cleared away what was left of somebody");
    kicked?;
    Ok(Outcome::Cleared)
}

async fn standing(registry: &Registry, person: &PrimaryKey) -> Result<Option<Standing>, RegistryError> {
    Ok(registry.by_primary(person).await?.map(|entry| entry.standing))
}
