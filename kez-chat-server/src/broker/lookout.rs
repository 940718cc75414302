//! The lookout: a look at the inbox stream as a whole, every second, for how full it is and for floods that can't wait for
//! a walk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Config;
use super::floods::Floods;
use super::jetstream::{JetStream, Store, StreamState};
use super::meters::Meters;
use super::trouble::{Trouble, WorkError};

/// How many looks there are for each round of the sweep.
const LOOKS: u32 = 10;
/// How many looks back what has come is looked at.
const BACK: usize = 30;

/// Watches for as long as a session lasts.
pub(crate) struct Lookout {
    js: JetStream,
    floods: Arc<Floods>,
    meters: Meters,
    may_sweep: bool,
    every: Duration,
    /// The stream at the last looks, the oldest first.
    seen: VecDeque<StreamState>,
    /// When a sample last showed nothing, and how many bytes there were.
    sampled: Option<(Instant, u64)>,
    is_filling: bool,
    trouble: Trouble,
}

impl Lookout {
    /// `may_sweep` says that the registry is this stream's; without, nothing is purged.
    pub(crate) fn new(config: &Config, js: JetStream, floods: Arc<Floods>, may_sweep: bool) -> Self {
        Self {
            js,
            floods,
            meters: config.meters.clone(),
            may_sweep,
            every: config.sweep_every,
            seen: VecDeque::new(),
            sampled: None,
            is_filling: false,
            trouble: Trouble::default(),
        }
    }

    /// Watches until it is dropped, which may be at any point.
    pub(crate) async fn run(mut self) {
        loop {
            let outcome = self.look().await;
            self.trouble.report(outcome, "the lookout for floods");
            tokio::time::sleep(self.every / LOOKS).await;
        }
    }

    async fn look(&mut self) -> Result<(), WorkError> {
        let store = self.js.store().await?;
        self.meters.show(&store);
        self.watch_level(&store);
        if !self.may_sweep {
            return Ok(());
        }
        let surge = self.watch_for_surges(store.inbox).await;
        surge.and(self.floods.settle().await)
    }

    async fn watch_for_surges(&mut self, state: StreamState) -> Result<(), WorkError> {
        if self.seen.len() == BACK {
            self.seen.pop_front();
        }
        self.seen.push_back(state);
        let before = self.seen[0];
        if !self.floods.is_surge(before.bytes, state.bytes) {
            return Ok(());
        }
        let (every, floods) = (self.every, &self.floods);
        if self.sampled.is_some_and(|(at, bytes)| at.elapsed() < every && !floods.is_more(bytes, state.bytes)) {
            return Ok(());
        }
        self.sampled = Some((Instant::now(), state.bytes));
        if self.floods.sample(&before, &state).await? {
            self.seen.clear();
            self.sampled = None;
        }
        Ok(())
    }

    /// Says once when the inbox stream is nearly full, and once when it is not any more.
    fn watch_level(&mut self, store: &Store) {
        let (bytes, limit) = (store.inbox.bytes, store.inbox_limit);
        let is_filling = is_filling(bytes, limit);
        if std::mem::replace(&mut self.is_filling, is_filling) == is_filling {
            return;
        }
        if is_filling {
            tracing::warn!(bytes, limit, "what waits takes 80 % of what it may; give the broker a larger store");
        } else {
            tracing::info!(bytes, limit, "what waits takes less than 80 % of what it may again");
        }
    }
}

fn is_filling(bytes: u64, limit: i64) -> bool {
    u64::try_from(limit).is_ok_and(|limit| limit > 0 && bytes >= limit / 5 * 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_is_four_fifths() {
        for (bytes, limit, expected) in [(79, 100, false), (80, 100, true), (5, 0, false), (5, -1, false)] {
            assert_eq!(is_filling(bytes, limit), expected);
        }
    }
}
