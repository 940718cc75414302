//! What was sent, and what became of it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard},
};

use kez_core::identity::PrimaryKey;
use rand::RngExt as _;
use tokio::sync::watch;

/// How much of everything has happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Messages read, each once.
    pub(crate) read: u64,
    /// Deliveries of messages that had been read, or were on their way a second time.
    pub(crate) repeats: u64,
    /// Messages sent again for another epoch.
    pub(crate) sent_again: u64,
    pub(crate) registered: u64,
    pub(crate) logins: u64,
    pub(crate) appended: u64,
}

/// A message that its sender still has, since nobody has read it.
#[derive(Clone, Copy)]
struct Unread {
    from: PrimaryKey,
    to: PrimaryKey,
    /// Whether the broker has said that it has it.
    is_stored: bool,
}

/// Everybody's outboxes, and the counts.
pub(crate) struct Ledger {
    /// By id; those that were read leave nothing but that.
    kept: Mutex<BTreeMap<String, Option<Unread>>>,
    /// How many messages each person has read.
    readers: Mutex<HashMap<PrimaryKey, u64>>,
    counts: watch::Sender<Counts>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { kept: Mutex::default(), readers: Mutex::default(), counts: watch::channel(Counts::default()).0 }
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }

    /// Waits until it is so; asked again whenever anything changes.
    pub(crate) async fn until(&self, mut is_so: impl FnMut(&Counts) -> bool) {
        self.counts.subscribe().wait_for(|counts| is_so(counts)).await.unwrap();
    }

    /// Keeps a new message; returns its id, which is its text too.
    pub(crate) fn keep(&self, from: PrimaryKey, to: PrimaryKey) -> String {
        let id = format!("{:032x}", rand::rng().random::<u128>());
        lock(&self.kept).insert(id.clone(), Some(Unread { from, to, is_stored: false }));
        id
    }

    /// Notes that the broker said that it has a message.
    pub(crate) fn stored(&self, id: &str) {
        if let Some(Some(message)) = lock(&self.kept).get_mut(id) {
            message.is_stored = true;
        }
        self.count(|_| ());
    }

    /// Notes that a message has come to `reader`, who may have read it before.
    pub(crate) fn delivered(&self, id: &str, reader: &PrimaryKey) {
        let message = lock(&self.kept).get_mut(id).expect("nobody has sent this").take();
        match message {
            Some(message) => {
                assert_eq!(message.to, *reader, "somebody reads what is another's");
                *lock(&self.readers).entry(*reader).or_default() += 1;
                self.count(|counts| counts.read += 1);
            }
            None => self.count(|counts| counts.repeats += 1),
        }
    }

    /// Returns what a sender still has: ids and recipients.
    pub(crate) fn unread_from(&self, from: &PrimaryKey) -> Vec<(String, PrimaryKey)> {
        self.unread(|it| it.from == *from).into_iter().map(|(id, it)| (id, it.to)).collect()
    }

    /// Returns the ids of what waits for somebody.
    pub(crate) fn unread_to(&self, to: &PrimaryKey) -> Vec<String> {
        self.unread(|it| it.to == *to).into_iter().map(|(id, _)| id).collect()
    }

    /// Counts what waits for somebody on the broker, by its own word.
    pub(crate) fn stored_for(&self, to: &PrimaryKey) -> usize {
        self.unread(|it| it.to == *to && it.is_stored).len()
    }

    /// Tells whether everything has been read.
    pub(crate) fn is_all_read(&self) -> bool {
        lock(&self.kept).values().all(Option::is_none)
    }

    /// Tells whether all of these have been read.
    pub(crate) fn are_read(&self, ids: &[String]) -> bool {
        let kept = lock(&self.kept);
        ids.iter().all(|id| kept.get(id).is_some_and(Option::is_none))
    }

    fn unread(&self, which: impl Fn(&Unread) -> bool) -> Vec<(String, Unread)> {
        let kept = lock(&self.kept);
        let unread = kept.iter().filter_map(|(id, it)| it.filter(&which).map(|it| (id.clone(), it)));
        unread.collect()
    }

    pub(crate) fn read_by(&self, reader: &PrimaryKey) -> u64 {
        lock(&self.readers).get(reader).copied().unwrap_or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
