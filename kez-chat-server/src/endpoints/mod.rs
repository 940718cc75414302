//! Where people listen, as their profiles hint: the endpoints of their sigchains, fetched, verified and kept for a while.
//!
//! Nobody believes a hint, so none is worth waiting for. What is known is told at once, and renewed behind the answer's
//! back; only somebody of whom nothing is known yet is waited for, briefly, if the chain is asked for at once. A sigchain
//! server that is down, slow or hostile makes hints stale or empty and nothing else, and so does a flood of look-ups.

mod fetch;
mod op;
mod sigchains;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kez_core::handle::Policy;
use lru::LruCache;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::fetch::{FetchError, Known, Validators, fetch};
pub(crate) use self::op::EndpointOp;
use self::sigchains::Dial;
pub use self::sigchains::SigchainClientError;
pub(crate) use self::sigchains::Sigchains;
use crate::registry::StoredKey;

/// How long somebody's first hint is waited for.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest time that one fetch takes, all pages together.
const FETCH_TIME: Duration = Duration::from_secs(10);
/// How soon a fetch that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// So much longer is a chain left alone that is not sound, or too long for a hint.
const UNSOUND_FACTOR: u32 = 10;
/// People whose hints are kept, the last asked for; a hint takes less than a kilobyte, at worst seven.
const MOST_PEOPLE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);
const FETCHES_AT_ONCE: usize = 4;
/// From one fetch to the next in its place, at least. So there are 200 a second at most, whoever is looked up: they keep
/// [`MOST_PEOPLE`] fresh, and leave both servers to those who wait for them.
const PACE: Duration = Duration::from_millis(20);
/// Fetches that run or wait. Beyond that a hint is not asked for.
const FETCHES_WAITING: usize = 256;

/// What happened so far. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    /// Look-ups that were answered with a fresh hint.
    pub(crate) hits: Counter,
    /// Fetches begun, the unchanged ones included.
    pub(crate) fetches: Counter,
    /// Fetches that brought nothing to tell.
    pub(crate) failures: Counter,
}

/// Everybody's endpoint hints. Dropping it ends the fetches under way.
pub(crate) struct Endpoints {
    shared: Arc<Shared>,
    _stop: DropGuard,
}

struct Shared {
    sigchains: Arc<Sigchains>,
    policy: Policy,
    fresh_for: Duration,
    people: Mutex<LruCache<StoredKey, Entry>>,
    waiting: Arc<Semaphore>,
    running: Arc<Semaphore>,
    counters: Counters,
    stop: CancellationToken,
}

/// What is known of one person.
#[derive(Default)]
struct Entry {
    /// `None` before the first fetch has brought something.
    hint: Option<Vec<EndpointOp>>,
    validators: Validators,
    /// When to fetch again; `None`: at once.
    due: Option<Instant>,
    flight: Option<Flight>,
}

/// The fetch that was begun last.
#[derive(Clone)]
struct Flight {
    /// Closed when it has ended.
    ended: watch::Receiver<()>,
    /// Whether it did not have to wait for others.
    is_prompt: bool,
}

impl Entry {
    fn endpoints(&self) -> Vec<EndpointOp> {
        self.hint.clone().unwrap_or_default()
    }

    fn flight(&self) -> Option<Flight> {
        self.flight.as_ref().filter(|flight| flight.ended.has_changed().is_ok()).cloned()
    }
}

impl Endpoints {
    /// Keeps hints for `fresh_for` before they are fetched again.
    pub(crate) fn new(sigchains: Arc<Sigchains>, policy: Policy, fresh_for: Duration, counters: Counters) -> Self {
        let stop = CancellationToken::new();
        let shared = Shared {
            sigchains,
            policy,
            fresh_for,
            people: Mutex::new(LruCache::new(MOST_PEOPLE)),
            waiting: Arc::new(Semaphore::new(FETCHES_WAITING)),
            running: Arc::new(Semaphore::new(FETCHES_AT_ONCE)),
            counters,
            stop: stop.clone(),
        };
        Self { shared: Arc::new(shared), _stop: stop.drop_guard() }
    }

    /// Tells somebody's endpoints as far as they are known, waiting a moment if nothing ever was.
    pub(crate) async fn of(&self, person: &StoredKey) -> Vec<EndpointOp> {
        match self.shared.look_up(person) {
            Found::Told(endpoints) => endpoints,
            Found::Coming(mut flight) => {
                // Nothing is ever sent on it: it ends by being closed, or the time is up.
                let _ = timeout(FIRST_WAIT, flight.changed()).await;
                self.known(person)
            }
        }
    }

    /// Tells somebody's endpoints as far as they are known, without asking anybody.
    pub(crate) fn known(&self, person: &StoredKey) -> Vec<EndpointOp> {
        self.shared.people().get(person).map(Entry::endpoints).unwrap_or_default()
    }
}

enum Found {
    Told(Vec<EndpointOp>),
    Coming(watch::Receiver<()>),
}

impl Shared {
    fn people(&self) -> MutexGuard<'_, LruCache<StoredKey, Entry>> {
        // No entry is ever half changed.
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks somebody up, and sees to it that what is stale is fetched, once for all who ask.
    fn look_up(self: &Arc<Self>, person: &StoredKey) -> Found {
        let mut people = self.people();
        let entry = people.get_or_insert_mut(*person, Entry::default);
        if entry.due.is_some_and(|due| Instant::now() < due) {
            if entry.hint.is_some() {
                self.counters.hits.inc();
            }
            return Found::Told(entry.endpoints());
        }
        if entry.flight().is_none() {
            entry.flight = self.take_off(*person, entry.validators.clone());
        }
        match (entry.flight(), &entry.hint) {
            (Some(Flight { ended, is_prompt: true }), None) => Found::Coming(ended),
            _ => Found::Told(entry.endpoints()),
        }
    }

    /// Begins a fetch, unless the sigchain server is away or too many wait already.
    fn take_off(self: &Arc<Self>, person: StoredKey, validators: Validators) -> Option<Flight> {
        let place = Arc::clone(&self.waiting).try_acquire_owned().ok()?;
        let dial = self.sigchains.may_dial()?;
        let running = Arc::clone(&self.running).try_acquire_owned().ok();
        let is_prompt = running.is_some();
        let (landing, ended) = watch::channel(());
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let fetching = async {
                let running = match running {
                    Some(running) => running,
                    // The semaphore is never closed.
                    None => Arc::clone(&shared.running).acquire_owned().await.ok()?,
                };
                let next = Instant::now() + PACE;
                shared.refresh(person, validators, dial).await;
                drop((landing, place));
                sleep_until(next).await;
                Some(running)
            };
            shared.stop.run_until_cancelled(fetching).await;
        });
        Some(Flight { ended, is_prompt })
    }

    async fn refresh(&self, person: StoredKey, validators: Validators, dial: Dial) {
        if dial == Dial::Normal && self.sigchains.is_resting() {
            return;
        }
        self.counters.fetches.inc();
        let fetching = fetch(&self.sigchains, person, self.policy, validators);
        let fetched = timeout(FETCH_TIME, fetching).await.unwrap_or(Err(FetchError::Slow));
        match &fetched {
            Err(error) if error.asks_for_rest() => self.sigchains.rest(),
            _ => self.sigchains.note(!fetched.as_ref().is_err_and(FetchError::is_servers_fault)),
        }
        if let Err(error) = &fetched {
            self.counters.failures.inc();
            tracing::debug!(%person, error = error as &dyn std::error::Error, "a chain gave no hint");
        }

        let mut people = self.people();
        let entry = people.get_or_insert_mut(person, Entry::default);
        let now = Instant::now();
        match fetched {
            Ok(Some(Known { endpoints, validators })) => {
                entry.hint = Some(endpoints);
                entry.validators = validators;
                entry.due = Some(now + self.fresh_for);
            }
            // If it was forgotten meanwhile, the next look-up fetches it whole.
            Ok(None) => entry.due = entry.hint.is_some().then(|| now + self.fresh_for),
            Err(error) if error.is_servers_fault() => entry.due = Some(now + self.fresh_for.min(RETRY)),
            Err(_) => {
                entry.hint = Some(Vec::new());
                entry.validators = Validators::default();
                entry.due = Some(now + self.fresh_for * UNSOUND_FACTOR);
            }
        }
    }
}
