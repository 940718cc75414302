//! How fast what others fetch from us may go out.

use std::{num::NonZeroU32, sync::Arc};

use governor::{DefaultDirectRateLimiter, Quota};
use tokio::sync::{Mutex, watch};

/// Bytes are counted in such cells: the limiter divides a second by their number.
const CELL_BYTES: u64 = 1 << 10;
/// Slower, and a reader who has to wait for others would take us for gone.
const MIN_CELLS_PER_S: u64 = 16;
const MAX_CELLS_PER_S: u64 = 1 << 20;
/// The least that goes out at once after a pause; the pieces that are sent have 16 KiB.
const MIN_BURST_CELLS: u64 = 64;

/// The limit of all uploads together. Its clones are the same limit.
#[derive(Clone, Debug)]
pub(crate) struct UploadLimit {
    limiter: watch::Sender<Option<Arc<DefaultDirectRateLimiter>>>,
    /// Whoever came first goes first.
    queue: Arc<Mutex<()>>,
}

impl UploadLimit {
    /// Sets how many bytes go out in a second, also of what is under way.
    pub(crate) fn set(&self, bytes_per_s: Option<u64>) {
        self.limiter.send_replace(bytes_per_s.map(limiter));
    }

    /// Waits until so many bytes may go out.
    pub(super) async fn take(&self, bytes: usize) {
        if self.limiter.borrow().is_none() {
            return;
        }
        let mut limit = self.limiter.subscribe();
        let cells = to_cells((bytes as u64).div_ceil(CELL_BYTES).min(MIN_BURST_CELLS));
        let _turn = self.queue.lock().await;
        loop {
            let Some(limiter) = limit.borrow_and_update().clone() else {
                return;
            };
            tokio::select! {
                _ = limiter.until_n_ready(cells) => return,
                _ = limit.changed() => {}
            }
        }
    }
}

impl Default for UploadLimit {
    fn default() -> Self {
        Self { limiter: watch::Sender::new(None), queue: Arc::default() }
    }
}

fn limiter(bytes_per_s: u64) -> Arc<DefaultDirectRateLimiter> {
    let rate = (bytes_per_s / CELL_BYTES).clamp(MIN_CELLS_PER_S, MAX_CELLS_PER_S);
    let burst = to_cells((rate / 8).max(MIN_BURST_CELLS));
    Arc::new(DefaultDirectRateLimiter::direct(Quota::per_second(to_cells(rate)).allow_burst(burst)))
}

fn to_cells(number: u64) -> NonZeroU32 {
    u32::try_from(number).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use futures::FutureExt;

    use super::*;

    const PIECE: usize = 16 << 10;

    async fn send(limit: &UploadLimit, bytes: usize) -> Duration {
        let begun = Instant::now();
        for _ in 0..bytes.div_ceil(PIECE) {
            limit.take(PIECE).await;
        }
        begun.elapsed()
    }

    #[tokio::test]
    async fn no_more_goes_out_than_may() {
        let limit = UploadLimit::default();
        limit.set(Some(4 << 20));
        // An eighth of a second's worth goes out at once. The rest takes its time, in whatever order it is asked for.
        let took = futures::future::join(send(&limit, 1 << 20), send(&limit, 1 << 20)).map(|(a, b)| a.max(b)).await;
        assert!(took >= Duration::from_millis(370), "{took:?}");
    }

    #[tokio::test]
    async fn a_limit_that_is_lifted_lets_go_who_waits() {
        let limit = UploadLimit::default();
        assert!(send(&limit, 1 << 30).now_or_never().is_some(), "there is none by default");
        // Raised to the least that there is: a gigabyte would take the better part of a day.
        limit.set(Some(1));
        let mut sending = std::pin::pin!(send(&limit, 1 << 30));
        assert!(futures::poll!(&mut sending).is_pending());
        limit.set(Some(32 << 10));
        assert!(futures::poll!(&mut sending).is_pending());
        limit.set(None);
        sending.await;
    }
}
