//! What the two kinds of writers have in common.

use std::{
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::{Result, bail};
use kez_testbed::http::Answer;
use rand::rngs::StdRng;
use tokio::{
    sync::watch,
    time::{Duration, Instant, sleep, timeout},
};

use super::line::Line;
use crate::print;

/// How long a server may refuse one request before the soak gives up.
const PATIENCE: Duration = Duration::from_secs(60);
const PROGRESS_EVERY: u32 = 50;
const RETRY: Duration = Duration::from_millis(20);

/// Writing to one of the servers, and remembering what it acknowledged.
pub(super) trait Work {
    /// How many write at the same time, each on a connection of its own.
    const WRITERS: usize;
    /// What was acknowledged until some moment, and is to be checked.
    type Promised;

    /// Writes until `end` says so; what has begun is acknowledged then.
    async fn write(&self, line: Line, rng: StdRng, end: watch::Receiver<bool>) -> Result<()>;

    /// Returns what was acknowledged last, and some of what was before.
    fn promised(&self) -> Self::Promised;

    /// Checks that it stands.
    async fn check(&self, line: &mut Line, promised: Self::Promised) -> Result<()>;

    /// Returns all that was acknowledged.
    fn everything(&self) -> Self::Promised;

    /// Checks that it stands and is sound on a server that is written to no more, and may have been for a while longer.
    async fn check_copy(&self, server: SocketAddr, everything: Self::Promised) -> Result<()>;
}

/// What has happened so far.
pub(super) struct Tally {
    wanted: u32,
    kills: AtomicU32,
    registrations: AtomicU64,
    events: AtomicU64,
    /// Requests whose answer never came, and how many of them turned out to stand.
    cut: AtomicU64,
    stood: AtomicU64,
    broken: Mutex<Vec<String>>,
}

impl Tally {
    pub(super) fn new(wanted: u32) -> Self {
        let (kills, broken) = (AtomicU32::new(0), Mutex::default());
        let [registrations, events, cut, stood] = [0; 4].map(AtomicU64::new);
        Self { wanted, kills, registrations, events, cut, stood, broken }
    }

    /// Counts a kill that is to come, unless there were enough of them or a promise was broken.
    pub(super) fn one_more_kill(&self) -> bool {
        let next = |kills| (kills < self.wanted).then_some(kills + 1);
        let taken = lock(&self.broken).is_empty() && self.kills.fetch_update(Relaxed, Relaxed, next).is_ok();
        if taken && self.kills.load(Relaxed).is_multiple_of(PROGRESS_EVERY) {
            print(&self.progress());
        }
        taken
    }

    pub(super) fn registered(&self) {
        self.registrations.fetch_add(1, Relaxed);
    }

    pub(super) fn appended(&self) {
        self.events.fetch_add(1, Relaxed);
    }

    pub(super) fn registrations(&self) -> u64 {
        self.registrations.load(Relaxed)
    }

    pub(super) fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }

    /// Notes a promise that was broken, in words that find it in a log.
    pub(super) fn breaks(&self, what: String) {
        lock(&self.broken).push(what);
    }

    pub(super) fn broken(&self) -> Vec<String> {
        lock(&self.broken).clone()
    }

    pub(super) fn progress(&self) -> String {
        format!(
            "{} of {} kills, {} registrations and {} events acknowledged; {} requests were cut off, {} of them stood",
            self.kills.load(Relaxed),
            self.wanted,
            self.registrations(),
            self.events(),
            self.cut.load(Relaxed),
            self.stood.load(Relaxed),
        )
    }

    pub(super) fn sum(&self) -> String {
        format!(
            "soak servers: {} kills, {} registrations and {} events acknowledged, {} lost",
            self.kills.load(Relaxed),
            self.registrations(),
            self.events(),
            self.broken().len(),
        )
    }

    /// Sends a request until it is acknowledged, which has to be with 201 unless an earlier try had succeeded, and then
    /// with 200. `stands` looks whether it had, after a try whose answer never came.
    pub(super) async fn insist(
        &self,
        what: &str,
        line: &mut Line,
        request: &[u8],
        mut stands: impl AsyncFnMut(&mut Line) -> Result<bool>,
    ) -> Result<Option<Answer>> {
        let deadline = Instant::now() + PATIENCE;
        // Empty: a server that asked for patience may have gone on meanwhile.
        let mut due = Some(201);
        while Instant::now() < deadline {
            let Ok(answer) = timeout(PATIENCE, line.ask(request)).await else { break };
            match answer? {
                Some(answer) if answer.status == 503 => {
                    due = None;
                    sleep(RETRY).await;
                }
                Some(answer)
                    if due.map_or(answer.status == 200 || answer.status == 201, |due| due == answer.status) =>
                {
                    return Ok(Some(answer));
                }
                Some(answer) => {
                    let body = String::from_utf8_lossy(&answer.body);
                    self.breaks(format!("{what}: {} instead of {due:?}: {body}", answer.status));
                    return Ok(None);
                }
                None => {
                    let stood = stands(line).await?;
                    self.cut.fetch_add(1, Relaxed);
                    self.stood.fetch_add(stood.into(), Relaxed);
                    due = Some(if stood { 200 } else { 201 });
                }
            }
        }
        bail!("{what}: not acknowledged within {PATIENCE:?}")
    }
}

/// Locks what no panic leaves half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
