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
    /// In order of time, since all wait equally long; a consumer may stand here twice, of which one counts.
    due: VecDeque<(Instant, String)>,
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
                    self.due.push_front((now, consumer.to_owned()));
                }
            }
        }
    }

    /// Counts the consumers that wait.
    pub(crate) fn len(&self) -> i64 {
        i64::try_from(self.seen.len()).unwrap_or(i64::MAX)
    }

    /// Tells when [`take`](Self::take) is next worth a try.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.front().map(|(due, _)| *due)
    }

    /// Takes a consumer whose time has come.
    pub(crate) fn take(&mut self, now: Instant) -> Option<String> {
        while self.next_due().is_some_and(|due| due <= now) {
            let (_, consumer) = self.due.pop_front()?;
            if self.seen.remove(&consumer).is_some() {
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
        assert_eq!(hints.next_due(), Some(start + DELAY));
        assert_eq!(hints.take(start + DELAY).as_deref(), Some("a"));
        assert_eq!(hints.take(start + 2 * DELAY), None, "each once");
        assert_eq!(hints.next_due(), None);
    }
}
