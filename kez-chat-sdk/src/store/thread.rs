//! The store's one thread: what is asked for at the same time is committed together.
//!
//! A commit waits for the disk, and while it does others ask. What has gathered by then is one transaction, with each
//! caller's part in a savepoint: a part that fails leaves no trace and takes nobody else's with it. Reads run between
//! transactions, so what they see is on disk. What nobody waits for keeps a moment for company.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::StoreError;

/// How many writes are committed together at most.
const MAX_TOGETHER: usize = 256;
/// How long a write that nobody waits for is kept for others to share its commit.
const KEPT_FOR_COMPANY: Duration = Duration::from_millis(5);

/// What kept a transaction from being committed, if anything did.
pub(super) type Failure = Option<Arc<rusqlite::Error>>;
/// What a write has to say once it is known whether it was committed.
pub(super) type Tell = Box<dyn FnOnce(Failure) + Send>;
pub(super) type Read = Box<dyn FnOnce(&Connection) + Send>;
/// A write, done in the transaction if one could be begun.
pub(super) type Write = Box<dyn FnOnce(Result<&mut Transaction<'_>, Arc<rusqlite::Error>>) -> Tell + Send>;

pub(super) enum Job {
    Read(Read),
    Write(Write),
    /// A write that may wait a moment for others.
    LazyWrite(Write),
    /// Ends the thread, and says so when the file is closed.
    Close(oneshot::Sender<()>),
}

/// The thread, and the way to it. Dropping it waits until the file is closed.
#[derive(Debug)]
pub(super) struct StoreThread {
    jobs: mpsc::Sender<Job>,
    handle: Option<thread::JoinHandle<()>>,
}

impl StoreThread {
    /// Starts the thread on what `open` opens; `committed` is called after each transaction.
    pub(super) async fn start(
        open: impl FnOnce() -> Result<Connection, StoreError> + Send + 'static,
        committed: impl Fn() + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel();
        let (opened, answer) = oneshot::channel();
        let work = move || match open() {
            Ok(connection) => {
                let _ = opened.send(Ok(()));
                run(connection, &queue, &committed);
            }
            Err(error) => {
                let _ = opened.send(Err(error));
            }
        };
        let handle = thread::Builder::new().name("kez-store".into()).spawn(work).map_err(StoreError::NoThread)?;
        let thread = Self { jobs, handle: Some(handle) };
        answer.await.map_err(|_| StoreError::Closed)??;
        Ok(thread)
    }

    pub(super) fn ask(&self, job: Job) -> Result<(), StoreError> {
        self.jobs.send(job).map_err(|_| StoreError::Closed)
    }
}

impl Drop for StoreThread {
    fn drop(&mut self) {
        let (done, _) = oneshot::channel();
        let _ = self.jobs.send(Job::Close(done));
        // A process that ends while SQLCipher still closes its file would pull the library from under it.
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

fn run(mut connection: Connection, queue: &mpsc::Receiver<Job>, committed: &impl Fn()) {
    let (mut closed, mut job) = (None, None);
    while closed.is_none() {
        job = job.or_else(|| queue.recv().ok());
        if job.is_none() {
            break;
        }
        let mut writes = Vec::new();
        let mut commit_at = Instant::now();
        for _ in 0..MAX_TOGETHER {
            match job.take() {
                Some(Job::Read(read)) => read(&connection),
                Some(Job::Write(write)) => {
                    writes.push(write);
                    commit_at = Instant::now();
                }
                Some(Job::LazyWrite(write)) => {
                    if writes.is_empty() {
                        commit_at = Instant::now() + KEPT_FOR_COMPANY;
                    }
                    writes.push(write);
                }
                Some(Job::Close(done)) => {
                    closed = Some(done);
                    break;
                }
                // Nothing more has come in time, or nobody is left to ask.
                None => break,
            }
            job = queue.recv_timeout(commit_at.saturating_duration_since(Instant::now())).ok();
        }
        if !writes.is_empty() {
            commit(&mut connection, writes, committed);
        }
    }
    drop(connection);
    if let Some(done) = closed {
        let _ = done.send(());
    }
}

fn commit(connection: &mut Connection, writes: Vec<Write>, committed: &impl Fn()) {
    let (told, outcome): (Vec<Tell>, _) = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(mut transaction) => {
            let told = writes.into_iter().map(|write| write(Ok(&mut transaction))).collect();
            (told, transaction.commit().map_err(Arc::new))
        }
        Err(error) => {
            let error = Arc::new(error);
            (writes.into_iter().map(|write| write(Err(Arc::clone(&error)))).collect(), Err(error))
        }
    };
    // Whoever watches is woken from here: a caller who stops waiting can't keep a change from being noticed.
    if outcome.is_ok() {
        committed();
    }
    let failure = outcome.err();
    for tell in told {
        tell(failure.clone());
    }
}
