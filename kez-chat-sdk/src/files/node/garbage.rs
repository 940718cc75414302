//! Garbage: what no tag names is removed every few minutes, and when somebody asks.
//!
//! The store collects by itself only: after a pause, if it is told that it may. So there is no pause, and the answer comes
//! when it is time.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use iroh_blobs::{
    Hash,
    api::Store,
    store::{GcConfig, ProtectCb, ProtectOutcome},
};
use tokio::{sync::watch, task::spawn_blocking, time::timeout};

use super::NodeError;

/// How often blobs that no tag names are removed by themselves.
const INTERVAL: Duration = Duration::from_secs(5 * 60);

/// How many bytes a redb file begins with that tell that it is one.
const REDB_MAGIC_BYTES: u64 = 9;

/// Asks a store to collect.
#[derive(Clone)]
pub(super) struct Collector {
    /// How often it was asked.
    asked: watch::Sender<u64>,
    /// How many of these are done.
    done: watch::Receiver<u64>,
}

impl Collector {
    /// Makes a collector, and the settings of the store that listens to it.
    pub(super) fn new() -> (Self, GcConfig) {
        let (asked, heard) = watch::channel(0);
        let (told, done) = watch::channel(0);
        let turns = Arc::new(Turns { heard, begun: AtomicU64::new(0), told });
        let wait = move || {
            let turns = Arc::clone(&turns);
            // What the store waits for has to be shared between threads, which a task's handle is.
            tokio::spawn(async move { turns.next().await })
        };
        let may_collect: ProtectCb = Arc::new(move |_| {
            let turn = wait();
            Box::pin(async move {
                // It fails when the runtime ends, and then nothing is collected any more.
                let _ = turn.await;
                ProtectOutcome::Continue
            })
        });
        (Self { asked, done }, GcConfig { interval: Duration::ZERO, add_protected: Some(may_collect) })
    }

    /// Has what is garbage now removed, and waits until it is.
    pub(super) async fn collect(&self) -> Result<(), NodeError> {
        let turn = self.ask();
        self.done.clone().wait_for(|done| *done >= turn).await.map(drop).map_err(NodeError::store)
    }

    /// Has what is garbage now removed, soon.
    pub(super) fn collect_soon(&self) {
        self.ask();
    }

    fn ask(&self) -> u64 {
        let mut turn = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            turn = *asked;
        });
        turn
    }
}

/// Removes the files of blobs that a store has just been opened without: a process that is killed leaves them where they were
/// not written down yet.
pub(super) async fn remove_strays(store: &Store, folder: &Path) -> Result<(), NodeError> {
    let known: HashSet<Hash> = store.blobs().list().hashes().await.map_err(NodeError::store)?.into_iter().collect();
    let folder = folder.to_owned();
    let remove = move || {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let hash = name.to_str().and_then(|name| name.split_once('.')?.0.parse::<Hash>().ok());
            if hash.is_some_and(|hash| !known.contains(&hash))
                && let Err(error) = fs::remove_file(entry.path())
            {
                tracing::warn!(%error, "a stray file of the file store can't be removed");
            }
        }
    };
    spawn_blocking(remove).await.map_err(NodeError::store)
}

/// Removes a store's database that a killed process has not finished to make: redb writes the first bytes of a new file last.
/// Anything else stays as it is.
pub(super) fn remove_unmade(database: &Path) -> io::Result<()> {
    let mut begin = Vec::new();
    match File::open(database) {
        Ok(file) => file.take(REDB_MAGIC_BYTES).read_to_end(&mut begin)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let is_unmade = !begin.is_empty() && begin.iter().all(|byte| *byte == 0);
    if is_unmade { fs::remove_file(database) } else { Ok(()) }
}

/// When the store is to collect.
struct Turns {
    heard: watch::Receiver<u64>,
    /// How often it had been asked when the collection began that comes next, or goes on.
    begun: AtomicU64,
    told: watch::Sender<u64>,
}

impl Turns {
    /// Waits for the next turn. The last collection is over when this is called.
    async fn next(&self) {
        let done = self.begun.load(Ordering::Relaxed);
        self.told.send_replace(done);
        let mut heard = self.heard.clone();
        let asked = async {
            if heard.wait_for(|asked| *asked > done).await.is_err() {
                // Nobody is left to ask.
                std::future::pending::<()>().await;
            }
        };
        // However it ends, it is time.
        let _ = timeout(INTERVAL, asked).await;
        self.begun.store(*self.heard.borrow(), Ordering::Relaxed);
    }
}
