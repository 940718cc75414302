//! The account's database: one SQLCipher file, one writer thread (`docs/PROTOCOL.md` §12).
//!
//! Each call is one transaction on the store's own thread and is durable when it returns (`synchronous=FULL`); what is
//! asked for at the same time shares a commit.

mod account;
mod announce;
mod backup;
mod blocked;
#[cfg(feature = "files")]
mod browsed;
mod chains;
#[cfg(test)]
mod conformance;
mod contacts;
#[cfg(test)]
mod damage;
#[cfg(feature = "files")]
mod downloads;
mod events;
mod heads;
mod inbox;
mod moves;
#[cfg(feature = "files")]
mod offers;
mod outbox;
#[cfg(feature = "files")]
mod own_shares;
mod presence;
#[cfg(feature = "files")]
mod published;
mod retention;
mod schema;
mod sequence;
mod settings;
mod strangers;
mod texts;
mod thread;
mod timeline;
mod unshare;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use hkdf::Hkdf;
use kez_core::identity::SecretKey;
use rusqlite::{Connection, ErrorCode};
use sha2::Sha256;
use thiserror::Error;
use tokio::sync::{oneshot, watch};
use zeroize::Zeroizing;

use thread::{Job, StoreThread};

pub(crate) use account::AccountRow;
pub(crate) use backup::{BackupMark, prepare_restored, put_in_place, read_mark, write_backup};
#[cfg(feature = "files")]
pub(crate) use browsed::BrowsedRow;
pub(crate) use contacts::{ContactRow, Finding, HomeSays, Kept, LookUp, NextLook, Said, WalkEnd, Word};
#[cfg(feature = "files")]
pub(crate) use downloads::{DownloadRow, FilePlace, NewDownload, Pause};
pub(crate) use heads::HeardHead;
pub(crate) use inbox::{Frame, Incoming, Stored};
pub(crate) use moves::Move;
#[cfg(feature = "files")]
pub(crate) use offers::OfferRow;
pub(crate) use outbox::{Acknowledged, Draft, OutboxRow, ReceiptDue};
#[cfg(feature = "files")]
pub(crate) use own_shares::{OwnFile, OwnShareRow, ShareFile};
#[cfg(feature = "files")]
pub(crate) use published::{Audience, ManifestRow, NewEntry, Publication};
pub(crate) use sequence::Gap;

/// Says why the account's database can't be used. It is never wiped: recovery is the person's decision.
///
/// ```
/// use kez_chat_sdk::StoreError;
///
/// let error = StoreError::TooNew { found: 9, known: 2 };
/// assert_eq!(error.code(), "StoreTooNew");
/// ```
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
    /// A part of the file is not as it was written.
    #[error(
        "the account's database is damaged on the disk ({0}); restore it from a backup or recover into a new home, and check the disk"
    )]
    Corrupt(#[source] rusqlite::Error),
    /// The database refused.
    #[error("the account's database refused ({0}); check the disk")]
    Sqlite(#[source] rusqlite::Error),
    /// There can't be a new file.
    #[error("the account's database can't be made ({0}); check the disk")]
    NotMade(#[source] io::Error),
    /// What was to be kept could not be written to the disk.
    #[error("the account's database could not be written ({0}); check the disk, then try again")]
    NotCommitted(#[source] Arc<rusqlite::Error>),
    /// The system gives us no thread.
    #[error("the account's database can't be opened: {0}; close something and try again")]
    NoThread(io::Error),
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
            Self::Damaged(_) | Self::Corrupt(_) => "StoreDamaged",
            Self::Sqlite(_) | Self::NotMade(_) | Self::NotCommitted(_) | Self::NoThread(_) => "StoreFailed",
            Self::Closed => "Closed",
        }
    }

    /// Wraps what a stored value's parser said.
    pub(crate) fn damaged(error: impl std::fmt::Display) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(error),
            _ => Self::Sqlite(error),
        }
    }
}

/// A handle on the store's thread. Clones share it; the last one that goes waits until the file is closed.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    thread: Arc<StoreThread>,
    /// Counts committed changes.
    changes: watch::Sender<u64>,
}

impl Store {
    /// Opens the database of the account that `key` belongs to, making it where there is none.
    pub(crate) async fn open(path: &Path, key: &SecretKey) -> Result<Self, StoreError> {
        let (path, database_key) = (path.to_owned(), database_key(key));
        let changes = watch::Sender::new(0);
        let changed = changes.clone();
        let open = move || open(&path, &database_key);
        let thread = StoreThread::start(open, move || changed.send_modify(|count| *count += 1)).await?;
        Ok(Self { thread: Arc::new(thread), changes })
    }

    /// Watches for committed changes. Whoever waits for one marks it as seen *before* looking at the store.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Runs one transaction; it is committed if `work` succeeds, and leaves no trace if it fails. Once begun it is
    /// finished, whoever stops waiting for it.
    pub(crate) async fn transact<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        self.write(Job::Write, work).await
    }

    /// Runs a transaction that nobody waits for: it may keep a moment, for others to share its commit.
    pub(crate) async fn transact_lazily<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        self.write(Job::LazyWrite, work).await
    }

    async fn write<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        &self,
        job: impl FnOnce(thread::Write) -> Job,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let (done, answer) = oneshot::channel();
        let write: thread::Write = Box::new(move |transaction| {
            let result = transaction.map_err(|error| StoreError::NotCommitted(error).into()).and_then(|transaction| {
                let savepoint = transaction.savepoint().map_err(StoreError::from)?;
                let result = work(&savepoint)?;
                savepoint.commit().map_err(StoreError::from)?;
                Ok(result)
            });
            Box::new(move |failure| {
                let _ = done.send(match failure {
                    Some(error) => result.and(Err(StoreError::NotCommitted(error).into())),
                    None => result,
                });
            })
        });
        self.thread.ask(job(write))?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Looks at one committed state of the store.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        self.thread.ask(Job::Read(Box::new(move |connection| {
            let _ = done.send(work(connection));
        })))?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Finishes what was begun and closes the file; whoever still asks gets [`StoreError::Closed`].
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.thread.ask(Job::Close(done)).is_ok() {
            let _ = closed.await;
        }
    }
}

/// Derives the file's key from the seed (§12).
fn database_key(key: &SecretKey) -> Zeroizing<String> {
    file_key(key, b"kez/store/1")
}

/// Derives a file's key, as SQLCipher takes a raw one.
fn file_key(key: &SecretKey, context: &[u8]) -> Zeroizing<String> {
    let mut raw = Zeroizing::new([0; 32]);
    let hkdf = Hkdf::<Sha256>::new(Some(context), key.expose_seed());
    if hkdf.expand(&[], raw.as_mut_slice()).is_err() {
        unreachable!("HKDF-SHA256 yields 32 bytes");
    }
    let hex = Zeroizing::new(data_encoding::HEXLOWER.encode(raw.as_slice()));
    Zeroizing::new(format!("x'{}'", hex.as_str()))
}

fn open(path: &Path, key: &str) -> Result<Connection, StoreError> {
    if !path.exists() {
        create(path, key)?;
    }
    let connection = unlock(Connection::open(path)?, key)?;
    if schema::version(&connection)? == 0 {
        return Err(StoreError::damaged("it is empty"));
    }
    set_up(connection)
}

/// Makes a file whole before it gets its name: one that is there and holds nothing has lost it.
fn create(path: &Path, key: &str) -> Result<(), StoreError> {
    remove_unfinished(path).map_err(StoreError::NotMade)?;
    let unfinished = unfinished(path);
    let connection = set_up(unlock(Connection::open(&unfinished)?, key)?)?;
    // Leaves one file, all on disk.
    connection.close().map_err(|(_, error)| error)?;
    rename_durably(&unfinished, path).map_err(StoreError::NotMade)
}

/// Returns the name of a database before it is whole.
fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Removes what an interrupted attempt has left.
fn remove_unfinished(path: &Path) -> io::Result<()> {
    for leftover in ["new", "new-wal", "new-shm"] {
        match fs::remove_file(path.with_extension(leftover)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    #[cfg(unix)]
    if let Some(dir) = to.parent() {
        fs::File::open(if dir.as_os_str().is_empty() { Path::new(".") } else { dir })?.sync_all()?;
    }
    Ok(())
}

fn unlock(connection: Connection, key: &str) -> Result<Connection, StoreError> {
    // A file that does not open is a typed error of ours; SQLCipher would also print to standard error.
    connection.pragma_update(None, "cipher_log_level", "NONE")?;
    connection.pragma_update(None, "key", key)?;
    // The first read is what finds out whether the key fits.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(|error| {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => StoreError::NotOurs,
            _ => error.into(),
        }
    })?;
    Ok(connection)
}

fn set_up(mut connection: Connection) -> Result<Connection, StoreError> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What is deleted is overwritten in pages that are written anyway.
    connection.pragma_update(None, "secure_delete", "FAST")?;
    connection.set_prepared_statement_cache_capacity(64);
    schema::migrate(&mut connection, schema::KNOWN)?;
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
            .transact::<_, StoreError>(|tx| {
                Ok(tx.execute(
                    "INSERT INTO account (id, install, born_at_ms, handle) VALUES (1, x'00', 0, 'MARKER')",
                    [],
                )?)
            })
            .await
            .unwrap();
        drop(store);
        for entry in fs::read_dir(dir.path()).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"MARKER" || window == b"SQLite"));
        }
        assert!(Store::open(&path, &key).await.is_ok());
        let other = Store::open(&path, &SecretKey::from_seed([2; 32])).await;
        assert!(matches!(other, Err(StoreError::NotOurs)), "{other:?}");
        fs::write(&path, b"not a database at all, but long enough to look at").unwrap();
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
        let rows: u32 = store
            .transact::<_, StoreError>(|tx| Ok(tx.query_row("SELECT count(*) FROM account", [], |row| row.get(0))?))
            .await
            .unwrap();
        assert_eq!(rows, 0);
    }
}
