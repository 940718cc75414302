//! Keeps the downloads going that are not over, for as long as the client is in the foreground.
//!
//! One that is asked for, or was being worked on when an earlier process ended, is worked on at once. One that waits goes on
//! when its peer is there again or says that their endpoint is somewhere else, and from time to time.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use kez_core::{identity::PrimaryKey, payload::FOLDER_MEDIA_TYPE};
use tokio::{
    task::{AbortHandle, JoinError, JoinSet, spawn_blocking},
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{
    DownloadState,
    attempt::{Ended, attempt},
    awaited::{Order, Outcome},
};
use crate::{
    event::DownloadId,
    files::{
        FilesError, TransferError,
        node::{Target, clear_parts},
    },
    presence::Sight,
    shared::Shared,
    store::{DownloadRow, Pause, StoreError},
};

/// How many are worked on at a time.
const AT_ONCE: usize = 6;
/// How long one waits for its peer before it is tried again, at first and at most.
const FIRST_WAIT: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);
/// How often at most it is looked whether those that are worked on are still wanted.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the keeper rests after the store has failed it.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// Works on downloads until the client closes.
pub(crate) async fn run(shared: &Arc<Shared>) -> Infallible {
    let mut orders = shared.downloads.taken.lock().await;
    let mut keeper = loop {
        match Keeper::load(shared).await {
            Ok(keeper) => break keeper,
            Err(error) => tracing::warn!(%error, "downloads do not go on yet"),
        }
        sleep(AFTER_FAILURE).await;
    };
    let (mut heard, mut connection) = (shared.presences.heard(), shared.link.connection());
    let (mut wishes, mut changes) = (shared.link.wishes(), shared.store.changes());
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if wishes.borrow_and_update().is_foreground() {
            keeper.begin_due();
        } else {
            keeper.rest();
        }
        let next_due = keeper.next_due();
        tokio::select! {
            Some(order) = orders.recv() => match order {
                Order::Start(id) => keeper.start(id),
                Order::Stop(id) => keeper.stop(id),
            },
            Some(ended) = keeper.attempts.join_next() => keeper.settle(ended).await,
            () = heard.changed() => {}
            _ = connection.changed() => {}
            _ = wishes.changed() => {}
            _ = look.tick(), if !keeper.running.is_empty() => {
                if changes.has_changed().unwrap_or(false) {
                    changes.mark_unchanged();
                    keeper.stop_unwanted().await;
                }
            }
            () = wait_until(next_due) => {}
        }
    }
}

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

struct Keeper<'a> {
    shared: &'a Arc<Shared>,
    attempts: JoinSet<Ended>,
    running: HashMap<DownloadId, AbortHandle>,
    /// Those to be worked on next.
    queue: VecDeque<DownloadId>,
    waiting: HashMap<DownloadId, Waiting>,
}

/// What a download waits for.
struct Waiting {
    peer: PrimaryKey,
    /// How its peer was seen when it was last tried, or when they went away since.
    tried: Sight,
    next_try_ms: u64,
}

impl<'a> Keeper<'a> {
    async fn load(shared: &'a Arc<Shared>) -> Result<Self, StoreError> {
        let mut keeper = Self {
            shared,
            attempts: JoinSet::new(),
            running: HashMap::new(),
            queue: VecDeque::new(),
            waiting: HashMap::new(),
        };
        for row in shared.store.downloads().await? {
            match row.state {
                DownloadState::Running => {
                    keeper.queue.push_back(row.id);
                    // A process was killed while it worked on it.
                    let _ = spawn_blocking(move || clear(&row)).await;
                }
                DownloadState::Waiting { .. } => {
                    let waiting =
                        Waiting { peer: row.from.primary, tried: Sight::default(), next_try_ms: row.next_try_ms };
                    keeper.waiting.insert(row.id, waiting);
                }
                DownloadState::Done { .. } | DownloadState::Failed { .. } => {}
            }
        }
        Ok(keeper)
    }

    /// Works on what can be worked on now.
    fn begin_due(&mut self) {
        let (shared, now_ms) = (self.shared, self.shared.now_ms());
        let is_online = shared.link.is_online();
        let mut due = Vec::new();
        for (&id, waiting) in &mut self.waiting {
            let sight = shared.presences.sight(&waiting.peer);
            if !sight.is_there {
                waiting.tried.is_there = false;
            }
            let has_come = sight.is_there && sight != waiting.tried;
            if has_come || (is_online && waiting.until_due(now_ms).is_zero()) {
                due.push(id);
            }
        }
        for id in due {
            self.waiting.remove(&id);
            self.queue.push_back(id);
        }
        while self.running.len() < AT_ONCE
            && let Some(id) = self.queue.pop_front()
        {
            let begun = self.attempts.spawn(attempt(Arc::clone(shared), id));
            self.running.insert(id, begun);
        }
    }

    /// Stops all work; what was being worked on is next when the client is in the foreground again.
    fn rest(&mut self) {
        self.attempts.abort_all();
        for (id, _) in self.running.drain() {
            self.queue.push_front(id);
        }
    }

    /// Returns when the next one is tried again.
    fn next_due(&self) -> Option<Instant> {
        // Without a connection of our own it would be in vain; when there is one again it is looked.
        let wish = self.shared.link.wish();
        if !self.shared.link.is_online() || !wish.is_foreground() {
            return None;
        }
        let now_ms = self.shared.now_ms();
        self.waiting.values().map(|waiting| waiting.until_due(now_ms)).min().map(|wait| Instant::now() + wait)
    }

    fn start(&mut self, id: DownloadId) {
        self.waiting.remove(&id);
        if !self.running.contains_key(&id) && !self.queue.contains(&id) {
            self.queue.push_back(id);
        }
    }

    /// Stops work on a download whose row is gone, and lets go of what came.
    fn stop(&mut self, id: DownloadId) {
        self.waiting.remove(&id);
        self.queue.retain(|queued| *queued != id);
        if let Some(running) = self.running.remove(&id) {
            running.abort();
        }
        self.shared.downloads.tell(id, Err(FilesError::Cancelled));
        let shared = Arc::clone(self.shared);
        tokio::spawn(async move {
            // If the node does not run, it looks for this when it starts.
            if let Some(node) = shared.node.running().await
                && let Err(error) = node.let_go_all(id.0).await
            {
                tracing::warn!(%error, "what came of a download stays in the store");
            }
        });
    }

    /// Stops work on downloads whose rows are gone: their offer is, or their peer is a contact no more.
    async fn stop_unwanted(&mut self) {
        match self.shared.store.open_downloads().await {
            Ok(open) => {
                let open: HashSet<_> = open.into_iter().collect();
                let known = self.running.keys().chain(&self.queue).chain(self.waiting.keys());
                let gone: Vec<_> = known.copied().filter(|id| !open.contains(id)).collect();
                gone.into_iter().for_each(|id| self.stop(id));
            }
            Err(error) => tracing::warn!(%error, "downloads are not looked after"),
        }
    }

    /// Takes in what an attempt came to.
    async fn settle(&mut self, ended: Result<Ended, JoinError>) {
        // One that was stopped has nothing to say.
        let Ok(Ended { id, outcome, row, tried }) = ended else { return };
        if self.running.remove(&id).is_none() {
            return;
        }
        let Some(row) = row else {
            return self.shared.downloads.tell(id, outcome);
        };
        // An error that comes of our own leaving is none.
        if self.shared.stop.is_cancelled() || !self.shared.link.wish().is_foreground() {
            return self.queue.push_front(id);
        }
        if let Err(error) = self.keep(&row, &outcome, tried).await {
            tracing::warn!(%error, "it is not kept how a download stands");
        }
        self.shared.downloads.tell(id, outcome.map_err(|error| named(&row, error)));
    }

    async fn keep(&mut self, row: &DownloadRow, outcome: &Outcome, tried: Sight) -> Result<(), StoreError> {
        let (store, now_ms) = (&self.shared.store, self.shared.now_ms());
        let is_told = !self.shared.downloads.is_awaited(row.id);
        let progress = self.shared.downloads.progress(row.id).unwrap_or_default();
        match outcome {
            Ok(paths) => {
                store.finish_download(row.id, paths.clone(), progress.total_bytes, is_told, now_ms).await?;
                self.let_go(row.id).await;
                tracing::info!(id = row.id.0, "a download is done");
            }
            Err(FilesError::Transfer(error)) if can_wait(error) => {
                let came_further = progress.done_bytes > row.done_bytes;
                let tries = if came_further { 0 } else { row.tries.saturating_add(1) };
                let next_try_ms = now_ms.saturating_add(millis(wait_after(tries)));
                self.waiting.insert(row.id, Waiting { peer: row.from.primary, tried, next_try_ms });
                let message = error.to_string();
                let (done_bytes, total_bytes) = (progress.done_bytes, progress.total_bytes.max(row.total_bytes));
                let pause =
                    Pause { code: error.code().to_owned(), message, tries, next_try_ms, done_bytes, total_bytes };
                store.pause_download(row.id, pause, now_ms).await?;
                tracing::info!(id = row.id.0, code = error.code(), "a download waits");
            }
            // It is ours: the next process tries again.
            Err(FilesError::Store(error)) => tracing::warn!(%error, "a download stops"),
            Err(error) => {
                store.fail_download(row.id, error.code().to_owned(), error.to_string(), is_told, now_ms).await?;
                tracing::info!(id = row.id.0, code = error.code(), "a download has failed");
            }
        }
        Ok(())
    }

    async fn let_go(&self, id: DownloadId) {
        if let Some(node) = self.shared.node.running().await
            && let Err(error) = node.let_go_all(id.0).await
        {
            tracing::warn!(%error, "what came of a download stays in the store");
        }
    }
}

impl Waiting {
    /// Returns how long it is until it is tried again. A clock that was set back does not put it off.
    fn until_due(&self, now_ms: u64) -> Duration {
        let left = Duration::from_millis(self.next_try_ms.saturating_sub(now_ms));
        if left > LONGEST_WAIT { Duration::ZERO } else { left }
    }
}

/// Tells whether an error may be over by itself.
fn can_wait(error: &TransferError) -> bool {
    matches!(
        error,
        TransferError::Unreachable { .. }
            | TransferError::Interrupted { .. }
            | TransferError::NoSocket { .. }
            | TransferError::StoreUnavailable { .. }
    )
}

/// Says to whom what happened, where that is known.
fn named(row: &DownloadRow, error: FilesError) -> FilesError {
    match error {
        FilesError::Transfer(source @ (TransferError::Unreachable { .. } | TransferError::Interrupted { .. })) => {
            FilesError::Waiting { peer: row.from.clone().into(), source }
        }
        other => other,
    }
}

/// Returns how long to wait after so many tries in vain. Those who wait for one peer do not all come at once.
fn wait_after(tries: u32) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << tries.saturating_sub(1).min(8));
    doubled.mul_f64(rand::random_range(1.0..1.5)).min(LONGEST_WAIT)
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

/// Removes the partial files that a killed process has left.
fn clear(row: &DownloadRow) {
    for entry in &row.share.entries {
        let target = Target::new(&row.to_dir, &entry.path, row.mark.clone());
        if entry.media_type == FOLDER_MEDIA_TYPE {
            clear_parts(&target.path(0), &row.mark, true);
        } else {
            clear_parts(&target.folder(), &row.mark, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_get_rarer_up_to_one_an_hour_and_no_two_wait_alike() {
        let minutes = |tries| wait_after(tries).as_secs_f64() / 60.0;
        for (tries, least) in [(0, 1.0), (1, 1.0), (2, 2.0), (3, 4.0), (6, 32.0)] {
            let waits: Vec<_> = (0..20).map(|_| minutes(tries)).collect();
            assert!(waits.iter().all(|wait| (least..=(least * 1.5)).contains(wait)), "{tries}: {waits:?}");
            assert!(waits.iter().any(|wait| *wait != waits[0]));
        }
        assert!((1..u32::MAX / 2).step_by(1 << 28).all(|tries| wait_after(tries) <= LONGEST_WAIT));
        assert_eq!(wait_after(u32::MAX), LONGEST_WAIT);
    }

    #[test]
    fn a_clock_that_is_set_back_puts_nothing_off() {
        let peer = kez_core::identity::SecretKey::from_seed([1; 32]).primary();
        let waiting = Waiting { peer, tried: Sight::default(), next_try_ms: 10_000_000 };
        assert_eq!(waiting.until_due(9_999_000), Duration::from_secs(1));
        assert_eq!(waiting.until_due(10_000_001), Duration::ZERO);
        assert_eq!(waiting.until_due(1_000), Duration::ZERO);
    }
}
