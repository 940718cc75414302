//! Events, for everybody on this home who wants them.
//!
//! The SDK gives each event once, and again after a restart until it is handled. Here it is given to everybody who listens,
//! and handled once all of them have said so. What somebody was given and left without a word is kept for who comes next.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::api::event::{Event, PendingEvent};

/// How many events are held; what nobody here wants beyond that stays with the SDK until the next owner.
const MOST_HELD: usize = 4096;
/// How many events somebody is given who has not said of any that they are handled.
const MOST_GIVEN: usize = 256;

/// Who listens, and what is not handled.
#[derive(Debug, Default)]
pub(super) struct Hub {
    inner: Mutex<Inner>,
    /// Something has changed for those who listen.
    news: Notify,
    /// Something has changed for who brings events.
    room: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    held: BTreeMap<i64, Held>,
    listeners: BTreeMap<u64, Listener>,
    last_listener: u64,
    /// What is to be handled because somebody has left.
    over: Vec<i64>,
}

#[derive(Debug)]
struct Held {
    event: Event,
    /// To whom it was given who has not handled it.
    given: BTreeSet<u64>,
    is_handled: bool,
    /// Whether somebody was given it, and left.
    is_owed: bool,
}

#[derive(Debug, Default)]
struct Listener {
    /// The key of whom events have to be about.
    about: Option<String>,
    /// The last event that it was given, or that was not for it.
    at: i64,
    given: usize,
}

impl Listener {
    fn wants(&self, event: &Event) -> bool {
        self.about.as_deref().is_none_or(|about| event.about() == Some(about))
    }
}

impl Inner {
    /// Takes out the event if everybody is done with it.
    fn settle(&mut self, id: i64) -> bool {
        let Some(held) = self.held.get(&id) else { return false };
        let is_over = held.is_handled && !held.is_owed && held.given.is_empty();
        let is_awaited = self.listeners.values().any(|listener| listener.at < id && listener.wants(&held.event));
        if is_over && !is_awaited {
            self.held.remove(&id);
            return true;
        }
        false
    }
}

impl Hub {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Each change is whole before anything can panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether events may be brought: as long as there is room, or nobody here wants what there is no room for.
    pub(super) fn has_room(&self) -> bool {
        let inner = self.inner();
        inner.held.len() < MOST_HELD || inner.listeners.values().all(|listener| listener.about.is_some())
    }

    /// Waits until there may be more room, or something is over.
    pub(super) async fn changed(&self) {
        self.room.notified().await;
    }

    /// Takes what is over because somebody has left.
    pub(super) fn take_over(&self) -> Vec<i64> {
        std::mem::take(&mut self.inner().over)
    }

    /// Holds an event for those who listen, now or later.
    pub(super) fn add(&self, id: i64, event: Event) {
        let mut inner = self.inner();
        if inner.held.len() < MOST_HELD || inner.listeners.values().any(|listener| listener.wants(&event)) {
            inner.held.insert(id, Held { event, given: BTreeSet::new(), is_handled: false, is_owed: false });
        }
        drop(inner);
        self.news.notify_waiters();
    }

    /// Begins to listen: to all events, or to those about one person.
    pub(super) fn listen(self: &Arc<Self>, about: Option<String>) -> Listening {
        let mut inner = self.inner();
        inner.last_listener += 1;
        let number = inner.last_listener;
        inner.listeners.insert(number, Listener { about, ..Listener::default() });
        Listening { hub: Arc::clone(self), number }
    }
}

/// Somebody who listens, until this is dropped.
#[derive(Debug)]
pub(super) struct Listening {
    hub: Arc<Hub>,
    number: u64,
}

impl Listening {
    /// Waits for the next event. It may be dropped and called again.
    pub(super) async fn next(&self) -> PendingEvent {
        loop {
            let news = self.hub.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some(event) = self.give() {
                return event;
            }
            news.await;
        }
    }

    fn give(&self) -> Option<PendingEvent> {
        let mut inner = self.hub.inner();
        let Inner { held, listeners, .. } = &mut *inner;
        let listener = listeners.get_mut(&self.number).filter(|listener| listener.given < MOST_GIVEN)?;
        let (&id, next) = held.range_mut(listener.at + 1..).find(|(_, held)| listener.wants(&held.event))?;
        next.given.insert(self.number);
        next.is_owed = false;
        listener.given += 1;
        listener.at = id;
        Some(PendingEvent { event_id: id, event: next.event.clone() })
    }

    /// Notes what was handled, and returns what nobody waits for any more.
    pub(super) fn handled(&self, ids: &[i64]) -> Vec<i64> {
        let mut inner = self.hub.inner();
        let mut over = Vec::new();
        for &id in ids {
            let Some(held) = inner.held.get_mut(&id) else { continue };
            if !held.given.remove(&self.number) {
                continue;
            }
            held.is_handled = true;
            if let Some(listener) = inner.listeners.get_mut(&self.number) {
                listener.given -= 1;
            }
            if inner.settle(id) {
                over.push(id);
            }
        }
        drop(inner);
        self.hub.room.notify_one();
        self.hub.news.notify_waiters();
        over
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut inner = self.hub.inner();
        inner.listeners.remove(&self.number);
        for held in inner.held.values_mut() {
            held.is_owed |= held.given.remove(&self.number);
        }
        let ids: Vec<i64> = inner.held.keys().copied().collect();
        for id in ids {
            if inner.settle(id) {
                inner.over.push(id);
            }
        }
        drop(inner);
        self.hub.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::api::Peer;

    fn from(name: &str) -> Event {
        Event::Deleted { from: Peer { primary: name.to_owned(), handle: None }, id: "00".to_owned() }
    }

    async fn next(listening: &Listening) -> i64 {
        timeout(Duration::from_secs(5), listening.next()).await.expect("there is one").event_id
    }

    async fn is_quiet(listening: &Listening) -> bool {
        timeout(Duration::from_millis(20), listening.next()).await.is_err()
    }

    #[tokio::test]
    async fn an_event_is_over_once_everybody_has_handled_it() {
        let hub = Arc::new(Hub::default());
        hub.add(1, from("bob"));
        let (one, other) = (hub.listen(None), hub.listen(None));
        assert_eq!((next(&one).await, next(&other).await), (1, 1));
        assert!(one.handled(&[1]).is_empty(), "the other has it still");
        assert!(one.handled(&[1]).is_empty(), "said twice");
        assert_eq!(other.handled(&[1, 7]), [1]);
        assert!(is_quiet(&one).await);
    }

    #[tokio::test]
    async fn what_somebody_left_unhandled_comes_to_the_next() {
        let hub = Arc::new(Hub::default());
        let (one, other) = (hub.listen(None), hub.listen(None));
        hub.add(1, from("bob"));
        hub.add(2, from("bob"));
        assert_eq!((next(&one).await, next(&other).await), (1, 1));
        assert_eq!(next(&one).await, 2);
        assert!(one.handled(&[1, 2]).is_empty());
        drop(other);
        // The second was never given to it: it is over.
        assert_eq!(hub.take_over(), [2]);
        assert!(is_quiet(&one).await, "who has handled it is not given it again");
        let third = hub.listen(None);
        assert_eq!(next(&third).await, 1);
        assert_eq!(third.handled(&[1]), [1]);
    }

    #[tokio::test]
    async fn who_wants_one_person_leaves_the_others_alone() {
        let hub = Arc::new(Hub::default());
        let chat = hub.listen(Some("bob".to_owned()));
        hub.add(1, from("carol"));
        hub.add(2, from("bob"));
        assert_eq!(next(&chat).await, 2);
        assert_eq!(chat.handled(&[2]), [2]);
        drop(chat);
        assert!(hub.take_over().is_empty());
        let all = hub.listen(None);
        assert_eq!(next(&all).await, 1, "it waits for who wants it");
    }

    #[tokio::test]
    async fn what_nobody_here_wants_does_not_keep_away_what_somebody_wants() {
        let hub = Arc::new(Hub::default());
        let chat = hub.listen(Some("bob".to_owned()));
        for id in 1..=MOST_HELD as i64 + 10 {
            hub.add(id, from("carol"));
        }
        assert!(hub.has_room());
        hub.add(10_000, from("bob"));
        assert_eq!(next(&chat).await, 10_000);
        let _all = hub.listen(None);
        assert!(!hub.has_room(), "the rest stays with the SDK");
    }

    #[tokio::test]
    async fn who_handles_nothing_is_given_no_end_of_events() {
        let hub = Arc::new(Hub::default());
        let slow = hub.listen(None);
        for id in 1..=300 {
            hub.add(id, from("bob"));
        }
        for id in 1..=256 {
            assert_eq!(next(&slow).await, id);
        }
        assert!(is_quiet(&slow).await);
        slow.handled(&[7]);
        assert_eq!(next(&slow).await, 257);
    }
}
