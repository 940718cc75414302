//! Who waits for which download, and how far those have come that are worked on.

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::FutureExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    event::DownloadId,
    files::{FilesError, TransferProgress, transfer::Meter},
    shared::Shared,
    store::StoreError,
};

/// What a download came to, or that it waits.
pub(super) type Outcome = Result<Vec<PathBuf>, FilesError>;

/// What the keeper of downloads is to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Work on it now.
    Start(DownloadId),
    /// Nobody wants it any more; its row is gone.
    Stop(DownloadId),
}

/// The downloads that somebody waits for or works on.
pub(crate) struct Downloads {
    live: Mutex<HashMap<DownloadId, Live>>,
    orders: mpsc::UnboundedSender<Order>,
    /// Whoever holds it is the keeper.
    pub(super) taken: tokio::sync::Mutex<mpsc::UnboundedReceiver<Order>>,
    numbers: AtomicU64,
    /// Nothing is worked on any more.
    over: CancellationToken,
}

#[derive(Default)]
struct Live {
    progress: watch::Sender<TransferProgress>,
    holders: Vec<(u64, oneshot::Sender<Outcome>)>,
}

impl Default for Downloads {
    fn default() -> Self {
        let (orders, taken) = mpsc::unbounded_channel();
        Self {
            live: Mutex::default(),
            orders,
            taken: taken.into(),
            numbers: AtomicU64::new(0),
            over: CancellationToken::new(),
        }
    }
}

impl fmt::Debug for Downloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // How far they are names files.
        f.write_str("Downloads")
    }
}

impl Downloads {
    /// Returns how far a download has come that is worked on.
    pub(super) fn progress(&self, id: DownloadId) -> Option<TransferProgress> {
        self.live().get(&id).map(|live| live.progress.borrow().clone())
    }

    /// Returns what tells of a download how far it has come.
    pub(super) fn meter(&self, id: DownloadId) -> Meter {
        Meter::new(self.live().entry(id).or_default().progress.clone())
    }

    /// Tells whether anybody waits for a download.
    pub(super) fn is_awaited(&self, id: DownloadId) -> bool {
        self.live().get(&id).is_some_and(|live| !live.holders.is_empty())
    }

    /// Tells everybody who waits for a download what came of it.
    pub(super) fn tell(&self, id: DownloadId, outcome: Outcome) {
        let Some(live) = self.live().remove(&id) else { return };
        let mut holders = live.holders;
        let Some((_, last)) = holders.pop() else { return };
        if holders.is_empty() {
            // Who does not wait any more is not told.
            let _ = last.send(outcome);
            return;
        }
        let outcome = outcome.map_err(Arc::new);
        for (_, holder) in holders.into_iter().chain([(0, last)]) {
            let _ = holder.send(outcome.clone().map_err(FilesError::Joined));
        }
    }

    /// Sends away whoever waits, now and later: nothing is worked on any more. The next process goes on.
    pub(crate) fn end(&self) {
        self.over.cancel();
    }

    /// Has a download whose row is gone stopped.
    pub(super) fn stop(&self, id: DownloadId) {
        // There is none when the client is closing: then it is not worked on.
        let _ = self.orders.send(Order::Stop(id));
    }

    fn live(&self) -> MutexGuard<'_, HashMap<DownloadId, Live>> {
        // Nothing that holds it can panic half-way.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits for a download. Whoever is the last to let go of it, before it came to anything, forgets it.
pub(super) struct Held {
    shared: Arc<Shared>,
    id: DownloadId,
    number: u64,
    progress: watch::Receiver<TransferProgress>,
    outcome: oneshot::Receiver<Outcome>,
}

impl Held {
    /// Has a download worked on.
    pub(super) fn begin(shared: &Arc<Shared>, id: DownloadId) -> Self {
        let downloads = &shared.downloads;
        let number = downloads.numbers.fetch_add(1, Ordering::Relaxed);
        let (told, outcome) = oneshot::channel();
        let progress = {
            let mut all = downloads.live();
            let live = all.entry(id).or_default();
            live.holders.push((number, told));
            live.progress.subscribe()
        };
        let _ = downloads.orders.send(Order::Start(id));
        Self { shared: Arc::clone(shared), id, number, progress, outcome }
    }

    /// Waits for what comes of it, and passes on how far it has come.
    pub(super) async fn outcome(mut self, meter: Meter) -> Outcome {
        let over = self.shared.downloads.over.clone();
        loop {
            meter.follow(self.progress.borrow_and_update().clone());
            tokio::select! {
                biased;
                outcome = &mut self.outcome => {
                    meter.follow(self.progress.borrow().clone());
                    return outcome.unwrap_or(Err(StoreError::Closed.into()));
                }
                Ok(()) = self.progress.changed() => {}
                () = over.cancelled() => return Err(StoreError::Closed.into()),
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let downloads = &self.shared.downloads;
        // It goes on when the account is open again.
        if self.shared.stop.is_cancelled() || downloads.over.is_cancelled() {
            return;
        }
        let is_last = {
            let mut all = downloads.live();
            let Some(live) = all.get_mut(&self.id) else { return };
            let Some(place) = live.holders.iter().position(|(number, _)| *number == self.number) else { return };
            live.holders.remove(place);
            live.holders.is_empty()
        };
        if is_last {
            // Asked once, the store does it, also if it is closed right after.
            let _ = self.shared.store.forget_download(self.id).now_or_never();
            downloads.stop(self.id);
        }
    }
}
