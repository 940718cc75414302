//! Work on files that is under way: what is awaited, watched and cancelled.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle, time::Instant};

use super::FilesError;
use crate::store::StoreError;

/// The rate is that of about this long.
const RATE_WINDOW: Duration = Duration::from_secs(3);

/// Over what a peer is reached.
///
/// ```
/// use kez_chat_sdk::TransferPath;
///
/// assert_ne!(TransferPath::Direct, TransferPath::Relay);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferPath {
    /// Straight to them.
    Direct,
    /// Through a relay, which sees who talks to whom and how much, and nothing of what.
    Relay,
}

/// How far a transfer has come.
///
/// ```
/// use kez_chat_sdk::TransferProgress;
///
/// let progress = TransferProgress { path: "report.pdf".into(), done_bytes: 30, total_bytes: 120, ..Default::default() };
/// assert_eq!(100 * progress.done_bytes / progress.total_bytes, 25, "per cent");
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct TransferProgress {
    /// The name of the file that is under way.
    pub path: String,
    /// Bytes of all files that are done.
    pub done_bytes: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Bytes a second, of the last few seconds; nothing until there is something to go by.
    pub bytes_per_s: Option<u64>,
    /// How long the rest takes at that rate.
    pub remaining: Option<Duration>,
    /// How the peer is reached, once they are.
    pub over: Option<TransferPath>,
}

impl fmt::Debug for TransferProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the file's name: it is private.
        write!(f, "TransferProgress({} of {} bytes, {:?}/s", self.done_bytes, self.total_bytes, self.bytes_per_s)?;
        write!(f, ", {:?} remaining, over {:?})", self.remaining, self.over)
    }
}

/// Work on files that is under way. It is awaited for its outcome, and goes on whether it is or not; dropping it cancels.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stage = Stage::set().await;
/// # let alice = stage.client("alice").await;
/// # let bob = stage.client("bob").await;
/// # alice.contacts().add("@bob").await?;
/// std::fs::write("film.bin", vec![0; 1 << 20])?;
/// let mut sharing = alice.files().share("film.bin".as_ref(), &[bob.primary()]);
/// while let Some(progress) = sharing.progress().await {
///     println!("{} of {} bytes", progress.done_bytes, progress.total_bytes);
/// }
/// let share = sharing.await?;
/// assert_eq!(share.messages.len(), 1);
/// # alice.shutdown().await;
/// # bob.shutdown().await;
/// # stage.strike().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping it cancels"]
#[derive(Debug)]
pub struct Transfer<T> {
    progress: watch::Receiver<TransferProgress>,
    task: JoinHandle<Result<T, FilesError>>,
}

impl<T: Send + 'static> Transfer<T> {
    /// Begins work that reports how far it has come.
    pub(super) fn begin<W>(work: impl FnOnce(Meter) -> W) -> Self
    where
        W: Future<Output = Result<T, FilesError>> + Send + 'static,
    {
        let (sender, progress) = watch::channel(TransferProgress::default());
        Self { progress, task: tokio::spawn(work(Meter::new(sender))) }
    }
}

impl<T> Transfer<T> {
    /// Waits until it has come further, and returns how far; nothing when it has ended. Steps that nobody waited for are
    /// passed over. It is cancel-safe.
    pub async fn progress(&mut self) -> Option<TransferProgress> {
        self.progress.changed().await.ok()?;
        Some(self.progress.borrow_and_update().clone())
    }

    /// Returns how far it has come now.
    #[must_use]
    pub fn latest(&self) -> TransferProgress {
        self.progress.borrow().clone()
    }
}

impl<T> Future for Transfer<T> {
    type Output = Result<T, FilesError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.task).poll(context));
        Poll::Ready(match outcome {
            Ok(outcome) => outcome,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is ending.
                Err(_) => Err(StoreError::Closed.into()),
            },
        })
    }
}

impl<T> Drop for Transfer<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tells a [`Transfer`]'s holder how far the work has come.
#[derive(Debug)]
pub(super) struct Meter {
    progress: watch::Sender<TransferProgress>,
    /// When so many bytes had been done: the rate is counted from there.
    mark: Option<(Instant, u64)>,
}

impl Meter {
    pub(super) fn new(progress: watch::Sender<TransferProgress>) -> Self {
        Self { progress, mark: None }
    }

    /// Says what another meter says.
    pub(super) fn follow(&self, other: TransferProgress) {
        self.progress.send_if_modified(|progress| {
            let is_news = *progress != other;
            *progress = other;
            is_news
        });
    }

    /// Says what there is to do, and what of it is done already.
    pub(super) fn expect(&mut self, done_bytes: u64, total_bytes: u64) {
        self.mark = None;
        self.progress.send_modify(|progress| (progress.done_bytes, progress.total_bytes) = (done_bytes, total_bytes));
    }

    /// Returns how many bytes there are in all.
    pub(super) fn total_bytes(&self) -> u64 {
        self.progress.borrow().total_bytes
    }

    /// Names the file that is under way.
    pub(super) fn name(&self, path: &str) {
        self.progress.send_modify(|progress| path.clone_into(&mut progress.path));
    }

    /// Says how the peer is reached.
    pub(super) fn reach(&self, over: TransferPath) {
        self.progress.send_if_modified(|progress| progress.over.replace(over) != Some(over));
    }

    /// Says how many bytes of all files are done.
    pub(super) fn set(&mut self, done_bytes: u64) {
        let (since, from_bytes) = *self.mark.get_or_insert_with(|| (Instant::now(), done_bytes));
        let (took, came) = (since.elapsed(), done_bytes.saturating_sub(from_bytes));
        let rate = (took >= RATE_WINDOW / 6).then(|| (came as f64 / took.as_secs_f64()) as u64);
        if took >= RATE_WINDOW {
            // Half of the window is carried over, so that the rate does not jump.
            self.mark = Some((since + took / 2, from_bytes + came / 2));
        }
        self.progress.send_modify(|progress| {
            progress.done_bytes = done_bytes;
            if let Some(rate) = rate {
                let rest = progress.total_bytes.saturating_sub(done_bytes);
                progress.bytes_per_s = Some(rate);
                progress.remaining = rest.checked_div(rate).map(Duration::from_secs);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_that_of_the_last_seconds() {
        let mut transfer = Transfer::begin(|mut meter| async move {
            meter.expect(0, 100_000);
            meter.name("film.bin");
            for step in 0..=20 {
                meter.set(step * 1_000);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            // Ten times as fast.
            for step in 1..=6 {
                meter.set(20_000 + step * 10_000);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Ok(meter.progress.borrow().total_bytes)
        });
        let (mut slow, mut last) = (None, TransferProgress::default());
        while let Some(progress) = transfer.progress().await {
            if progress.done_bytes == 20_000 {
                slow = Some(progress.clone());
            }
            last = progress;
        }
        let slow = slow.unwrap();
        assert_eq!((slow.bytes_per_s, slow.remaining), (Some(1_000), Some(Duration::from_secs(80))));
        assert_eq!((last.path.as_str(), last.done_bytes), ("film.bin", 80_000));
        assert!(last.bytes_per_s.unwrap() > 8_000, "{last:?}");
        assert_eq!(transfer.await.unwrap(), 100_000);
    }

    #[tokio::test]
    async fn who_drops_it_cancels_it() {
        let (alive, gone) = tokio::sync::oneshot::channel::<()>();
        let transfer = Transfer::begin(|meter| async move {
            let _kept = (alive, meter);
            std::future::pending::<Result<(), _>>().await
        });
        drop(transfer);
        assert!(gone.await.is_err());
    }
}
