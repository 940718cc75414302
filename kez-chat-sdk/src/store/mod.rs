//! The account's database: one SQLCipher file, one writer thread (`docs/PROTOCOL.md` §12).
//!
//! Each call is one transaction on the store's own thread and is durable when it returns
//! (`synchronous=FULL`). A call that was begun is finished even if its caller stops waiting.

mod account;
mod announce;
mod chains;
mod contacts;
mod events;
mod inbox;
mod outbox;
mod schema;
#[cfg(feature = "files")]
mod shares;
mod unsent;

use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread,
};

use hkdf::Hkdf;
use kez_core::identity::SecretKey;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use sha2::Sha256;
use thiserror::Error;
use tokio::sync::{oneshot, watch};
use zeroize::Zeroizing;

pub(crate) use account::AccountRow;
pub(crate) use contacts::{ContactRow, Trouble};
pub(crate) use inbox::{Incoming, Stored};
pub(crate) use outbox::{OutboxRow, Outgoing};
#[cfg(feature = "files")]
pub(crate) use shares::{OfferRow, OwnFile};

/// Says why the account's database can't be used. It is never wiped: recovery is the person's decision.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file does not open under this account's key.
    #[error(
        "the account's database does not open with this key: it is damaged, or another account's; restore it from a backup or recover into a new home"
    )]
    NotOurs,
    /// The file was written by a later version.
    #[error("the account's database has version {found}, this application knows {known}: update the application")]
    TooNew {
        /// The file's version.
        found: u32,
        /// The version that this application writes.
        known: u32,
    },
    /// A row does not hold what this application writes.
    #[error("the account's database holds something unexpected: {0}; restore it from a backup")]
    Damaged(String),
    /// The database refused.
    #[error("the account's database refused ({0}); check the disk")]
    Sqlite(#[from] rusqlite::Error),
    /// The system gives us no thread.
    #[error("the account's database can't be opened: {0}; close something and try again")]
    NoThread(std::io::Error),
    /// The recipient was removed while the message was on its way into the outbox.
    #[error("{0} is not a contact any more; add them first")]
    NotAContact(Box<kez_core::identity::PrimaryKey>),
    /// The store's thread has ended.
    #[error("the account was closed")]
    Closed,
}

impl StoreError {
    /// Returns the error's stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotOurs => "StoreNotOurs",
            Self::TooNew { .. } => "StoreTooNew",
            Self::Damaged(_) => "StoreDamaged",
            Self::Sqlite(_) | Self::NoThread(_) => "StoreFailed",
            Self::NotAContact(_) => "NotAContact",
            Self::Closed => "Closed",
        }
    }

    /// Wraps what a stored value's parser said.
    pub(crate) fn damaged(error: impl std::fmt::Display) -> Self {
        Self::Damaged(error.to_string())
    }
}

type Work = Box<dyn FnOnce(&mut Connection) + Send>;

enum Job {
    Work(Work),
    /// Ends the thread, and says so when the file is closed.
    Close(oneshot::Sender<()>),
}

/// A handle on the store's thread. Clones share it; the last one that goes waits until the file is closed.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    thread: Arc<StoreThread>,
    /// Counts committed changes.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct StoreThread {
    jobs: mpsc::Sender<Job>,
    handle: Option<thread::JoinHandle<()>>,
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

impl Store {
    /// Opens the database of the account that `key` belongs to, making it where there is none.
    pub(crate) async fn open(path: &Path, key: &SecretKey) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (opened, answer) = oneshot::channel();
        let path = path.to_owned();
        let database_key = database_key(key);
        let handle = thread::Builder::new()
            .name("kez-store".into())
            .spawn(move || match open(&path, &database_key) {
                Ok(mut connection) => {
                    drop(database_key);
                    let _ = opened.send(Ok(()));
                    let mut closed = None;
                    for job in queue {
                        match job {
                            Job::Work(work) => work(&mut connection),
                            Job::Close(done) => {
                                closed = Some(done);
                                break;
                            }
                        }
                    }
                    drop(connection);
                    if let Some(done) = closed {
                        let _ = done.send(());
                    }
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            })
            .map_err(StoreError::NoThread)?;
        let thread = StoreThread { jobs, handle: Some(handle) };
        answer.await.map_err(|_| StoreError::Closed)??;
        Ok(Self { thread: Arc::new(thread), changes: watch::Sender::new(0) })
    }

    /// Watches for committed changes. Whoever waits for one marks it as seen *before* looking at the store.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Runs one transaction; it is committed if `work` succeeds, and leaves no trace if it fails.
    ///
    /// Whoever watches for changes is woken from the store's own thread: a caller who stops waiting can't keep a
    /// committed change from being noticed.
    pub(crate) async fn transact<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let changes = self.changes.clone();
        self.enqueue(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            changes.send_modify(|count| *count += 1);
            Ok(result)
        })
        .await
    }

    /// Looks at one consistent state of the store.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.enqueue(move |connection| work(&connection.transaction()?)).await
    }

    async fn enqueue<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            let _ = done.send(work(connection));
        });
        self.thread.jobs.send(Job::Work(work)).map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Finishes what was begun and closes the file; whoever still asks gets [`StoreError::Closed`].
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.thread.jobs.send(Job::Close(done)).is_ok() {
            let _ = closed.await;
        }
    }
}

/// Derives the file's key from the seed (§12), as SQLCipher takes a raw one.
fn database_key(key: &SecretKey) -> Zeroizing<String> {
    let mut raw = Zeroizing::new([0; 32]);
    let hkdf = Hkdf::<Sha256>::new(Some(b"kez/store/1"), key.expose_seed());
    if hkdf.expand(&[], raw.as_mut_slice()).is_err() {
        unreachable!("HKDF-SHA256 yields 32 bytes");
    }
    let hex = Zeroizing::new(data_encoding::HEXLOWER.encode(raw.as_slice()));
    Zeroizing::new(format!("x'{}'", hex.as_str()))
}

fn open(path: &Path, key: &str) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path)?;
    // A file that does not open is a typed error of ours; SQLCipher would also print to standard error.
    connection.pragma_update(None, "cipher_log_level", "NONE")?;
    connection.pragma_update(None, "key", key)?;
    // The first read is what finds out whether the key fits.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(|error| {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => StoreError::NotOurs,
            _ => error.into(),
        }
    })?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    schema::migrate(&mut connection)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_is_encrypted_and_only_its_key_opens_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kez.db");
        let key = SecretKey::from_seed([1; 32]);
        let store = Store::open(&path, &key).await.unwrap();
        store
            .transact(|tx| {
                Ok(tx.execute(
                    "INSERT INTO account (id, install, born_at_ms, handle) VALUES (1, x'00', 0, 'MARKER')",
                    [],
                )?)
            })
            .await
            .unwrap();
        drop(store);
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"MARKER" || window == b"SQLite"));
        }
        assert!(Store::open(&path, &key).await.is_ok());
        let other = Store::open(&path, &SecretKey::from_seed([2; 32])).await;
        assert!(matches!(other, Err(StoreError::NotOurs)), "{other:?}");
        std::fs::write(&path, b"not a database at all, but long enough to look at").unwrap();
        assert!(matches!(Store::open(&path, &key).await, Err(StoreError::NotOurs)));
        assert!(path.exists(), "a damaged file is never wiped");
    }

    #[tokio::test]
    async fn a_failed_transaction_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("kez.db"), &SecretKey::from_seed([1; 32])).await.unwrap();
        let failed: Result<(), _> = store
            .transact(|tx| {
                tx.execute("INSERT INTO account (id, install, born_at_ms) VALUES (1, x'00', 0)", [])?;
                Err(StoreError::Damaged("on purpose".into()))
            })
            .await;
        assert!(failed.is_err());
        let rows: u32 =
            store.transact(|tx| Ok(tx.query_row("SELECT count(*) FROM account", [], |row| row.get(0))?)).await.unwrap();
        assert_eq!(rows, 0);
    }
}
