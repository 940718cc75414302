//! The sweep: one walk after another through what waits on the broker. What is nobody's goes, and floods are found.
//!
//! A message for somebody registered is never purged here, read or not, unless it is part of a flood.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use futures::StreamExt as _;
use futures::stream;
use kez_core::identity::PrimaryKey;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Config;
use super::floods::{Floods, Measures};
use super::jetstream::{JetStream, StreamState, Waiting};
use super::meters::Meters;
use super::totals::{Totals, read_route, recipient_and_route};
use super::trouble::{Trouble, WorkError};
use crate::registry::Registry;

/// Pages of 100,000 pairs that one round goes through; a walk that is not at its end goes on in the next.
const PAGES: u32 = 5;
/// Recipients that are purged in one round, for how long, and how many at the same time.
const PURGES: usize = 1_000;
const PURGING: Duration = Duration::from_secs(5);
const PURGES_AT_ONCE: usize = 8;
/// Recipients of the first walk whom the keeper is told of.
const HINTS: usize = 4_000;

/// Sweeps for as long as a session lasts.
pub(crate) struct Sweep {
    js: JetStream,
    registry: Registry,
    floods: Arc<Floods>,
    measures: Measures,
    /// Where the keeper hears of inboxes to look at.
    keeper: mpsc::Sender<PrimaryKey>,
    meters: Meters,
    may_sweep: bool,
    every: Duration,
    walk: Walk,
    /// The stream as it was when the last walk began after which there was nothing left to do.
    settled: Option<StreamState>,
    hints_left: usize,
    trouble: Trouble,
}

/// A walk under way.
#[derive(Default)]
struct Walk {
    /// The stream when it began; `None` before that.
    began: Option<(StreamState, Instant)>,
    offset: usize,
    totals: Totals,
    /// Whether something was left for another walk.
    is_unfinished: bool,
}

/// Recipients who are nobody, and the stream sequence up to which their messages came before that was asked.
type Unowned = HashMap<String, u64>;

impl Sweep {
    /// `may_sweep` says that the registry is this stream's, so that whom it does not know is nobody.
    pub(crate) fn new(
        config: &Config,
        js: JetStream,
        floods: Arc<Floods>,
        keeper: mpsc::Sender<PrimaryKey>,
        may_sweep: bool,
    ) -> Self {
        Self {
            js,
            registry: config.registry.clone(),
            floods,
            measures: Measures::default(),
            keeper,
            meters: config.meters.clone(),
            may_sweep,
            every: config.sweep_every,
            walk: Walk::default(),
            settled: None,
            hints_left: HINTS,
            trouble: Trouble::default(),
        }
    }

    /// Sweeps until it is dropped, which may be at any point.
    pub(crate) async fn run(mut self) {
        loop {
            if self.may_sweep {
                let outcome = self.round().await;
                if outcome.is_err() {
                    self.walk = Walk::default();
                }
                self.trouble.report(outcome, "the sweep of what waits on the broker");
            }
            tokio::time::sleep(self.every).await;
        }
    }

    /// Goes on with the walk, or begins a new one if anything has changed.
    async fn round(&mut self) -> Result<(), WorkError> {
        let state = self.js.state().await?;
        let (began, at) = match self.walk.began {
            Some(began) => began,
            None if self.settled == Some(state) => return Ok(()),
            None => *self.walk.began.insert((state, Instant::now())),
        };
        self.settled = None;
        self.meters.sweep_rounds.inc();
        let mut unowned = Unowned::new();
        let mut is_over = false;
        for _ in 0..PAGES {
            // Names come in order. Those that come and go meanwhile shift the others, so one may be missed or seen twice:
            // the next walk sees it, and what is above the limit is measured before anything is done about it.
            let page = self.js.waiting(self.walk.offset).await?;
            self.walk.offset += page.counts.len();
            is_over = page.counts.is_empty() || self.walk.offset >= page.total;
            self.take(page, &mut unowned).await?;
            if is_over {
                break;
            }
        }
        if is_over && self.floods.may_be_in(state.bytes) {
            let suspects = self.walk.totals.at_least(self.floods.least_messages());
            self.walk.is_unfinished |= !self.floods.judge(&mut self.measures, suspects, &state).await?;
        }
        // Afterwards, since a flood to nobody is gone in one go.
        self.walk.is_unfinished |= !self.purge(unowned).await?;
        if is_over {
            self.meters.sweep_seconds.set(at.elapsed().as_secs_f64());
            self.meters.sweep_pairs.set(i64::try_from(self.walk.offset).unwrap_or(i64::MAX));
            self.settled = (!self.walk.is_unfinished).then_some(began);
            self.walk = Walk::default();
            self.hints_left = 0;
        }
        Ok(())
    }

    /// Counts a page, and picks out who is nobody.
    async fn take(&mut self, page: Waiting, unowned: &mut Unowned) -> Result<(), WorkError> {
        let mut keys = HashSet::new();
        let mut others = HashSet::new();
        for (subject, messages) in &page.counts {
            let Some((recipient, route)) = recipient_and_route(subject) else { continue };
            if let Some(route) = read_route(route) {
                self.walk.totals.add(route, *messages);
            }
            match read_key(recipient) {
                Some(key) => drop(keys.insert(key)),
                None => drop(others.insert(recipient)),
            }
        }
        // The registry is asked after the page's `state` was read: what comes later for somebody who registers meanwhile
        // has a higher sequence.
        let owners = self.registry.owners(keys.iter().copied()).await?;
        let nobody = keys.iter().filter(|key| !owners.contains(*key)).map(|key| HEXLOWER.encode(key));
        let others = others.into_iter().filter(|recipient| is_literal(recipient)).map(str::to_owned);
        // In no particular order, so that none is always the last.
        for recipient in nobody.chain(others) {
            if unowned.len() == PURGES {
                self.walk.is_unfinished = true;
                break;
            }
            unowned.entry(recipient).or_insert(page.state.last_seq);
        }
        self.hint(owners);
        Ok(())
    }

    /// Tells the keeper of people with messages: what they acknowledged while no server was watching goes.
    fn hint(&mut self, owners: HashSet<[u8; 32]>) {
        for owner in owners.into_iter().take(self.hints_left) {
            self.hints_left -= 1;
            if let Ok(owner) = PrimaryKey::from_bytes(&owner)
                && self.keeper.try_send(owner).is_err()
            {
                // Their next acknowledgement or login does the same.
                self.hints_left = 0;
                return;
            }
        }
    }

    /// Purges messages to nobody; returns whether it came to its end. Who has a consumer is somebody whom the registry does
    /// not know, and in no hurry to go: see [`consumers`](super::consumers).
    async fn purge(&self, unowned: Unowned) -> Result<bool, WorkError> {
        let deadline = Instant::now() + PURGING;
        let js = &self.js;
        let mut purges = stream::iter(unowned)
            .map(async |(recipient, last_seq)| {
                if Instant::now() >= deadline {
                    return Ok(None);
                }
                if js.has_consumer(&recipient).await? {
                    return Ok(Some(0));
                }
                js.purge_recipient(&recipient, last_seq).await.map(Some)
            })
            .buffer_unordered(PURGES_AT_ONCE);
        let mut all = true;
        while let Some(purged) = purges.next().await {
            match purged? {
                Some(purged) => drop(self.meters.sweep_purged.inc_by(purged)),
                None => all = false,
            }
        }
        Ok(all)
    }
}

/// Reads a recipient as honest senders write it.
fn read_key(recipient: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(recipient.as_bytes()).ok()?.try_into().ok()
}

/// Tells whether a filter with this token matches nothing else. Anybody registered may send to a recipient called `*`;
/// and what the broker could not write as JSON is not what it has. Such messages wait until they are too old, and count
/// in their sender's total.
fn is_literal(token: &str) -> bool {
    !token.contains(['*', '>', '\u{fffd}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_read_as_they_are_written() {
        assert_eq!(read_key(&"ab".repeat(32)), Some([0xab; 32]));
        for not in ["foo", &"AB".repeat(32), &"ab".repeat(31), &"ab".repeat(33), "*"] {
            assert_eq!(read_key(not), None, "{not}");
        }
        for (token, expected) in [("foo", true), ("AB", true), ("*", false), (">", false), ("a\u{fffd}", false)] {
            assert_eq!(is_literal(token), expected, "{token}");
        }
    }
}
