//! Who is there, among contacts (`docs/PROTOCOL.md` §8).

mod hearing;
mod roster;
mod talk;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

#[cfg(feature = "files")]
use kez_core::payload::Addresses;
use kez_core::{identity::PrimaryKey, payload::PresenceState};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

pub(crate) use self::talk::{goodbye, run};
use self::{hearing::Hearing, roster::Roster};
use crate::{
    shared::Shared,
    store::{Store, StoreError},
};

/// What is kept when the person wants to be seen by nobody.
const SETTING: &str = "visibility";
const INVISIBLE: &str = "invisible";
/// Where it is kept when the last presence was sent: the home's clock, as we estimate it, may go back a little.
const LAST_SENT: &str = "presence_sent_ms";

/// Whether somebody is there, as far as they let us know.
///
/// ```
/// use kez_chat_sdk::Availability;
///
/// assert_eq!(serde_json::to_value(Availability::Away)?, "away");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Availability {
    /// They are not, or they don't say.
    #[default]
    Offline,
    /// They are.
    Online,
    /// They are, but not at the keyboard.
    Away,
}

/// How contacts are to see us.
///
/// ```
/// use kez_chat_sdk::Visibility;
///
/// assert_eq!(Visibility::default(), Visibility::Online);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Visibility {
    /// As being there.
    #[default]
    Online,
    /// As being there, but not at the keyboard.
    Away,
    /// Not at all. It is kept until another choice is made, also over restarts.
    Invisible,
}

/// A handle on who is there. Only contacts learn whether we are, and we of contacts only.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stage = Stage::set().await;
/// # let alice = stage.client("alice").await;
/// # let bob = stage.client("bob").await;
/// # alice.contacts().add("@bob").await?;
/// use kez_chat_sdk::{Availability, Visibility};
///
/// let mut watch = alice.presence().watch();
/// # bob.contacts().add("@alice").await?;
/// # bob.presence().set(Visibility::Away).await?;
/// // Bob, who has Alice as a contact, comes online.
/// let (who, availability) = watch.changed().await.unwrap();
/// assert_eq!(who, bob.primary());
/// assert_ne!(availability, Availability::Offline);
/// assert_eq!(alice.presence().of(who), availability);
/// // Alice wants to be left alone.
/// alice.presence().set(Visibility::Invisible).await?;
/// # alice.shutdown().await;
/// # bob.shutdown().await;
/// # stage.strike().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Presence<'a> {
    shared: &'a Shared,
}

impl<'a> Presence<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared }
    }

    /// Chooses how contacts see us from now on.
    ///
    /// # Errors
    /// [`StoreError`]; nothing has changed then.
    pub async fn set(&self, visibility: Visibility) -> Result<(), StoreError> {
        let kept = if visibility == Visibility::Invisible { INVISIBLE } else { "visible" };
        self.shared.store.set_setting(SETTING, kept.to_owned()).await?;
        self.shared.presences.visibility.send_replace(visibility);
        Ok(())
    }

    /// Returns how contacts see us.
    #[must_use]
    pub fn visibility(&self) -> Visibility {
        *self.shared.presences.visibility.borrow()
    }

    /// Tells whether a contact is there.
    #[must_use]
    pub fn of(&self, peer: PrimaryKey) -> Availability {
        self.shared.presences.roster().availability(&peer, Instant::now())
    }

    /// Returns when a contact last showed that they were there, by the home's clock, in milliseconds since 1970; `None` if
    /// they have not since this client was opened.
    #[must_use]
    pub fn last_seen_ms(&self, peer: PrimaryKey) -> Option<u64> {
        self.shared.presences.roster().last_seen_ms(&peer)
    }

    /// Watches who comes and goes. Whoever is there already is told first.
    #[must_use]
    pub fn watch(&self) -> PresenceWatch {
        let presences = &self.shared.presences;
        PresenceWatch { state: presences.roster.subscribe(), told: HashMap::new() }
    }
}

/// Watches who comes and goes. What follows fast may be skipped, the last state of each never is.
#[derive(Debug)]
pub struct PresenceWatch {
    state: watch::Receiver<Roster>,
    told: HashMap<PrimaryKey, Availability>,
}

impl PresenceWatch {
    /// Waits until somebody's state is another one than was told last; returns who, and the new one. `None` once the client
    /// is closed.
    ///
    /// It may be dropped and called again: no change is lost.
    pub async fn changed(&mut self) -> Option<(PrimaryKey, Availability)> {
        loop {
            let expires = {
                let roster = self.state.borrow_and_update();
                let now = Instant::now();
                let new =
                    roster.everybody(now).find(|(who, now)| self.told.get(who).copied().unwrap_or_default() != *now);
                if let Some((who, availability)) = new {
                    self.told.insert(who, availability);
                    return Some((who, availability));
                }
                roster.next_expiry(now)
            };
            tokio::select! {
                changed = self.state.changed() => changed.ok()?,
                () = sleep_until(expires) => {}
            }
        }
    }
}

/// A contact, as far as files are concerned.
#[cfg(feature = "files")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sight {
    /// Whether they say that they are there. One who does not may be.
    pub(crate) is_there: bool,
    /// Where they said last that their endpoint is.
    pub(crate) addresses: Addresses,
}

/// Hears when a contact says something.
#[cfg(feature = "files")]
#[derive(Debug)]
pub(crate) struct Heard(watch::Receiver<Roster>);

#[cfg(feature = "files")]
impl Heard {
    /// Waits until somebody has said something since this was made or returned last. It is cancel-safe.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What a client knows of who is there, and how it wants to be seen.
#[derive(Debug)]
pub(crate) struct Presences {
    roster: watch::Sender<Roster>,
    visibility: watch::Sender<Visibility>,
    /// Who was told that we are there, and not yet that we are no more; also on a connection before this one.
    told: Mutex<HashSet<PrimaryKey>>,
    hearing: Mutex<Hearing>,
    /// When the last presence was sent, by its own word.
    last_sent_ms: AtomicU64,
    /// Woken when there is something to be told before the next round.
    news: Notify,
    /// Whether that is something for all contacts.
    is_news_for_all: AtomicBool,
}

impl Presences {
    /// Begins with nobody there, and with the visibility that was chosen.
    pub(crate) async fn open(store: &Store) -> Result<Self, StoreError> {
        let is_invisible = store.setting(SETTING).await?.is_some_and(|kept| kept == INVISIBLE);
        let last_sent_ms = store.setting(LAST_SENT).await?.and_then(|kept| kept.parse().ok()).unwrap_or(0);
        let visibility = if is_invisible { Visibility::Invisible } else { Visibility::Online };
        Ok(Self {
            roster: watch::Sender::default(),
            visibility: watch::Sender::new(visibility),
            told: Mutex::default(),
            hearing: Mutex::default(),
            last_sent_ms: AtomicU64::new(last_sent_ms),
            news: Notify::new(),
            is_news_for_all: AtomicBool::new(false),
        })
    }

    /// Returns when the next presence says that it was sent: each later than the one before, or it would count for nothing.
    fn next_sent_ms(&self, now_ms: u64) -> u64 {
        let next = |last: u64| Some(now_ms.max(last.saturating_add(1)));
        match self.last_sent_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(last) | Err(last) => now_ms.max(last.saturating_add(1)),
        }
    }

    /// Looks for a contact.
    #[cfg(feature = "files")]
    pub(crate) fn sight(&self, peer: &PrimaryKey) -> Sight {
        let roster = self.roster();
        let is_there = roster.availability(peer, Instant::now()) != Availability::Offline;
        Sight { is_there, addresses: roster.addresses(peer) }
    }

    /// Listens to what contacts say.
    #[cfg(feature = "files")]
    pub(crate) fn heard(&self) -> Heard {
        Heard(self.roster.subscribe())
    }

    /// Keeps when the last presence was sent.
    async fn keep_last_sent(&self, store: &Store) -> Result<(), StoreError> {
        store.set_setting(LAST_SENT, self.last_sent_ms.load(Ordering::Relaxed).to_string()).await
    }

    /// Has contacts told who have heard nothing yet, and those who are there: somebody is new, or our endpoint has moved.
    pub(crate) fn tell_news(&self) {
        self.news.notify_one();
    }

    /// Has all contacts told where our endpoint is that has just begun. Whoever was there before we ended without a word
    /// thinks that they know, and does not answer: we can't tell that they are there.
    #[cfg(feature = "files")]
    pub(crate) fn tell_addresses(&self) {
        self.is_news_for_all.store(true, Ordering::Relaxed);
        self.news.notify_one();
    }

    fn roster(&self) -> watch::Ref<'_, Roster> {
        self.roster.borrow()
    }

    /// Tells whether a connection that is made now listens to presence, and notes that it does.
    pub(crate) fn begin_to_listen(&self) -> bool {
        let (mut hearing, now) = (self.hearing(), Instant::now());
        let may = hearing.rests_until(now).is_none();
        if may {
            hearing.begin(now);
        }
        may
    }

    /// Notes that the connection has ended, and whether somebody may have ended it.
    pub(crate) fn stop_listening(&self, was_lost: bool) {
        self.hearing().end(was_lost, Instant::now());
    }

    fn hearing(&self) -> MutexGuard<'_, Hearing> {
        // Nothing that holds it can panic half-way.
        self.hearing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self) -> MutexGuard<'_, HashSet<PrimaryKey>> {
        // As above.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a visibility is on the wire; `None` for silence.
fn wire_state(visibility: Visibility) -> Option<PresenceState> {
    match visibility {
        Visibility::Online => Some(PresenceState::Online),
        Visibility::Away => Some(PresenceState::Away),
        Visibility::Invisible => None,
    }
}
