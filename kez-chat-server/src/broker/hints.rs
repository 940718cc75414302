//! Which inboxes have something to purge, and when to look.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// How long after the first acknowledgement an inbox is looked at.
const DELAY: Duration = Duration::from_secs(1);
/// After so many acknowledgements it is looked at without waiting.
const MANY: u32 = 256;

/// Acknowledgements seen but not acted on, by consumer name (64 hex digits).
#[derive(Debug, Default)]
pub(crate) struct Hints {
    seen: HashMap<String, u32>,
    /// In order of time, since all wait equally long; one that was taken for its many may still stand here.
    due: VecDeque<(Instant, String)>,
    /// Those with many. They come after those that have waited: who acknowledges without end holds up nobody else.
    many: VecDeque<String>,
}

impl Hints {
    pub(crate) fn note(&mut self, consumer: &str, now: Instant) {
        match self.seen.get_mut(consumer) {
            None => {
                self.seen.insert(consumer.to_owned(), 1);
                self.due.push_back((now + DELAY, consumer.to_owned()));
            }
            Some(count) => {
                *count += 1;
                if *count == MANY {
                    self.many.push_back(consumer.to_owned());
                }
            }
        }
    }

    /// Counts the consumers that wait.
    pub(crate) fn len(&self) -> i64 {
        i64::try_from(self.seen.len()).unwrap_or(i64::MAX)
    }

    /// Tells when [`take`](Self::take) is next worth a try.
    pub(crate) fn next_due(&self, now: Instant) -> Option<Instant> {
        let due = self.due.front().map(|(due, _)| *due);
        if self.many.is_empty() { due } else { Some(now) }
    }

    /// Takes a consumer whose time has come.
    pub(crate) fn take(&mut self, now: Instant) -> Option<String> {
        while let Some((due, _)) = self.due.front()
            && *due <= now
        {
            let (_, consumer) = self.due.pop_front()?;
            if self.seen.remove(&consumer).is_some() {
                return Some(consumer);
            }
        }
        while let Some(consumer) = self.many.pop_front() {
            // Else its time had come before its turn did.
            if self.seen.get(&consumer).is_some_and(|count| *count >= MANY) {
                self.seen.remove(&consumer);
                return Some(consumer);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_a_second_or_for_many() {
        let start = Instant::now();
        let mut hints = Hints::default();
        hints.note("a", start);
        hints.note("a", start);
        for _ in 0..MANY {
            hints.note("b", start + DELAY / 2);
        }
        assert_eq!(hints.len(), 2);
        assert_eq!(hints.take(start + DELAY / 2).as_deref(), Some("b"), "many do not wait");
        assert_eq!(hints.len(), 1);
        assert_eq!(hints.take(start + DELAY / 2), None);
        assert_eq!(hints.next_due(start), Some(start + DELAY));
        assert_eq!(hints.take(start + DELAY).as_deref(), Some("a"));
        assert_eq!(hints.take(start + 2 * DELAY), None, "each once");
        assert_eq!(hints.next_due(start), None);
    }

    #[test]
    fn who_has_waited_comes_before_who_has_many() {
        let start = Instant::now();
        let mut hints = Hints::default();
        hints.note("waits", start);
        let later = start + DELAY;
        for flooder in ["x", "y"] {
            (0..2 * MANY).for_each(|_| hints.note(flooder, later));
        }
        assert_eq!(hints.next_due(later), Some(later));
        for expected in [Some("waits"), Some("x"), Some("y"), None] {
            assert_eq!(hints.take(later).as_deref(), expected);
        }
    }
}
