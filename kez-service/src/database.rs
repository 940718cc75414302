//! SQLite for a server: opened durably, migrated by number, read by many at once, written by one for all, copied while
//! in use.

mod backup;
mod write;

use std::io;
use std::path::{self, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use tokio::sync::{Mutex, OwnedMutexGuard};

pub use self::backup::BackupError;
use self::write::Writer;

/// Connections that only read; in WAL mode none of them waits for the writer.
const READERS: usize = 4;

/// How long a call waits for another process that holds the file, such as a backup.
const BUSY: Duration = Duration::from_secs(5);

/// What a database file has to be.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Marks the file as this server's own (`PRAGMA application_id`), so that a path that was mixed up is noticed.
    pub application_id: i32,
    /// SQL scripts, the oldest first. Once released none is ever changed; new ones are appended.
    pub migrations: &'static [&'static str],
}

/// A database file that could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file cannot be opened or prepared.
    #[error("cannot open the database {}; check that the path and its folder are writable", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// There is no such file, and none is made by a command that only works on one.
    #[error("there is no database {}; name the file that the server uses", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by an earlier version of this server, and only the server itself changes that.
    #[error(
        "the database {} has schema {found}, and this version needs {known}; start the server of this version on it once",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// The schema number found in it.
        found: u32,
        /// The schema number that is needed.
        known: u32,
    },
    /// The path names no file.
    #[error("the database path {path:?} is no path to a file")]
    BadPath {
        /// The path.
        path: PathBuf,
        /// What was wrong with it.
        source: io::Error,
    },
    /// The file is a database, but another program's.
    #[error("{} is another program's database; give this server a path of its own", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later version of this server.
    #[error(
        "the database {} has schema {found}, and this version knows {known} at most; run the newer version again",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema number found in it.
        found: u32,
        /// The highest schema number that this code has.
        known: u32,
    },
    /// A migration failed; the file is as it was before it.
    #[error("migration {number} of the database {} failed; it was rolled back", path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// The migration, counted from 1.
        number: u32,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The operating system gave no thread for the connection that writes.
    #[error("no thread could be started for the database {}", path.display())]
    NoThread {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The runtime ended meanwhile.
    #[error("the process is stopping, so the database was not opened")]
    Stopping,
}

/// A call to the database that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// SQLite failed; a write was rolled back.
    #[error("the database failed")]
    Sqlite(#[from] rusqlite::Error),
    /// The database has been closed, because the server is stopping.
    #[error("the database is closed")]
    Closed,
}

impl DbError {
    /// Tells whether the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Closed => true,
            Self::Sqlite(error) => {
                matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
            }
        }
    }
}

/// An open database: one connection that writes, some that read. Clones share them.
#[derive(Clone, Debug)]
pub struct Database {
    path: Arc<Path>,
    writer: Writer,
    readers: Arc<[Slot]>,
    turn: Arc<AtomicUsize>,
}

/// Who opens a file: the server, which makes and migrates it, or a command that works beside it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Server,
    Visitor,
}

/// A connection, until the database is closed.
type Slot = Arc<Mutex<Option<Connection>>>;

impl Database {
    /// Opens the file at `path`, makes it if there is none, and brings it to the newest schema.
    /// Commits are durable when they return (WAL, `synchronous=FULL`).
    ///
    /// # Errors
    /// When the file is unusable, another program's or of a later schema, or a migration fails.
    pub async fn open(path: impl Into<PathBuf>, schema: Schema) -> Result<Self, OpenError> {
        Self::open_as(path.into(), schema, Owner::Server).await
    }

    /// Opens a file that a server has made and may be using, for a command that works beside it. It is neither made
    /// nor migrated.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and when the file is missing or of an earlier schema.
    pub async fn open_beside(path: impl Into<PathBuf>, schema: Schema) -> Result<Self, OpenError> {
        Self::open_as(path.into(), schema, Owner::Visitor).await
    }

    async fn open_as(path: PathBuf, schema: Schema, owner: Owner) -> Result<Self, OpenError> {
        tokio::task::spawn_blocking(move || open(&path, schema, owner))
            .await
            .map_err(panic_on)
            .map_err(|Stopping| OpenError::Stopping)?
    }

    /// Runs `call` with a connection that reads, on this very thread: for statements that find a few rows through an
    /// index. They wait for no writer (WAL) and mostly for no disk, so that they are done long before another thread
    /// would have begun. Pages, counts and scans go to [`read`](Self::read).
    ///
    /// # Errors
    /// Those of `call`, and [`DbError::Closed`].
    pub async fn look_up<T, F>(&self, call: F) -> Result<T, DbError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T>,
    {
        let slot = self.free_reader().await;
        let connection = slot.as_ref().ok_or(DbError::Closed)?;
        Ok(call(connection)?)
    }

    async fn free_reader(&self) -> OwnedMutexGuard<Option<Connection>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut from_turn = (0..READERS).map(|n| &self.readers[turn.wrapping_add(n) % READERS]);
        match from_turn.find_map(|slot| Arc::clone(slot).try_lock_owned().ok()) {
            Some(free) => free,
            None => Arc::clone(&self.readers[turn % READERS]).lock_owned().await,
        }
    }

    /// Runs `call` with a connection that reads, off the async threads.
    ///
    /// # Errors
    /// Those of `call`, and [`DbError::Closed`].
    pub async fn read<T, F>(&self, call: F) -> Result<T, DbError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        // Waiting for a turn holds no thread, and the guard goes along: a caller that gives up does not let the next one
        // in before this call has ended.
        let slot = self.free_reader().await;
        let call = move || {
            let connection = slot.as_ref().ok_or(DbError::Closed)?;
            call(connection).map_err(DbError::from)
        };
        tokio::task::spawn_blocking(call).await.map_err(panic_on).map_err(|Stopping| DbError::Closed)?
    }

    /// Runs `call` in a write transaction, off the async threads, and commits when it returns `Ok`.
    /// Writes run one after another, and those that come at the same time are committed together: what another one
    /// fails of, this one does not. Once begun, one goes on to its end even if the caller does not wait for it; if the
    /// caller has left before, nothing is written.
    ///
    /// # Errors
    /// Those of `call` and of the commit, after which nothing was written, and [`DbError::Closed`].
    pub async fn write<T, F>(&self, call: F) -> Result<T, DbError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        self.writer.write(call).await
    }

    /// Waits for the calls under way and closes the file; later calls fail with [`DbError::Closed`].
    pub async fn close(self) {
        for slot in self.readers.iter() {
            if let Some(connection) = slot.lock().await.take() {
                close(connection);
            }
        }
        // The writer goes last: the last connection to close folds the WAL back into the file.
        self.writer.close().await;
    }
}

fn close(connection: Connection) {
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "a database connection did not close cleanly");
    }
}

/// The runtime ended before the call began.
struct Stopping;

/// Carries a panic of a blocking call on to its caller.
fn panic_on(error: tokio::task::JoinError) -> Stopping {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Stopping,
    }
}

fn open(path: &Path, schema: Schema, owner: Owner) -> Result<Database, OpenError> {
    // SQLite takes some names, such as the empty one, for databases that vanish; no absolute path is one of them.
    let path = &path::absolute(path).map_err(|source| OpenError::BadPath { path: path.to_owned(), source })?;
    let unusable = |source| OpenError::Unusable { path: path.to_owned(), source };
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    match owner {
        Owner::Server => flags |= OpenFlags::SQLITE_OPEN_CREATE,
        Owner::Visitor if !path.exists() => return Err(OpenError::Missing { path: path.to_owned() }),
        Owner::Visitor => {}
    }
    #[cfg(unix)]
    if owner == Owner::Server {
        make_private(path);
    }
    let mut writer = Connection::open_with_flags(path, flags).map_err(unusable)?;
    writer.busy_timeout(BUSY).map_err(unusable)?;
    // Before anything is written, so that a file that is not ours stays as it is.
    if !is_ours(&mut writer, schema).map_err(unusable)? {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    if owner == Owner::Visitor {
        check_current(&writer, path, schema)?;
    }
    prepare(&writer).map_err(unusable)?;
    if owner == Owner::Server {
        writer.pragma_update(None, "application_id", schema.application_id).map_err(unusable)?;
        migrate(&mut writer, path, schema)?;
    }

    let readers = (0..READERS)
        .map(|_| reader(path).map(|connection| Arc::new(Mutex::new(Some(connection)))))
        .collect::<rusqlite::Result<_>>()
        .map_err(unusable)?;
    let writer = Writer::start(writer).map_err(|source| OpenError::NoThread { path: path.to_owned(), source })?;
    Ok(Database { path: path.as_path().into(), writer, readers, turn: Arc::default() })
}

fn is_ours(connection: &mut Connection, schema: Schema) -> rusqlite::Result<bool> {
    // One snapshot: another server may be making the file at this moment.
    let snapshot = connection.transaction()?;
    let id: i32 = snapshot.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let objects: i64 = snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(id == schema.application_id || (id == 0 && objects == 0))
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    use_wal(connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)
}

/// Makes a new file that only its owner can read; SQLite gives its `-wal` and `-shm` files the same mode. A file that
/// is there keeps the mode that it has.
#[cfg(unix)]
fn make_private(path: &Path) {
    use std::os::unix::fs::OpenOptionsExt as _;
    // Whatever is in the way, SQLite says it better a moment later.
    let _ = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
}

/// Changes to WAL, which needs the file for a moment alone and, unlike all else, does not wait by itself.
fn use_wal(connection: &Connection) -> rusqlite::Result<()> {
    let deadline = Instant::now() + BUSY;
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            done => return done,
        }
    }
}

fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// Refuses a schema that is not this version's, for who does not migrate.
fn check_current(connection: &Connection, path: &Path, schema: Schema) -> Result<(), OpenError> {
    let path = path.to_owned();
    let known = schema.migrations.len() as u32;
    match connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0)) {
        Ok(found) if found < known => Err(OpenError::Older { path, found, known }),
        Ok(found) if found > known => Err(OpenError::Newer { path, found, known }),
        Ok(_) => Ok(()),
        Err(source) => Err(OpenError::Unusable { path, source }),
    }
}

/// Applies what is missing, each migration with its number in a transaction of its own. The number is
/// read inside it, so that two servers that start on one file at once do not apply one twice.
fn migrate(connection: &mut Connection, path: &Path, schema: Schema) -> Result<(), OpenError> {
    let known = schema.migrations.len() as u32;
    loop {
        let unusable = |source| OpenError::Unusable { path: path.to_owned(), source };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unusable)?;
        let found: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(unusable)?;
        if found > known {
            return Err(OpenError::Newer { path: path.to_owned(), found, known });
        }
        let Some(script) = schema.migrations.get(found as usize) else {
            return Ok(());
        };
        let number = found + 1;
        transaction
            .execute_batch(script)
            .and_then(|()| transaction.pragma_update(None, "user_version", number))
            .and_then(|()| transaction.commit())
            .map_err(|source| OpenError::Migration { path: path.to_owned(), number, source })?;
        tracing::info!(path = %path.display(), number, "migrated the database");
    }
}

#[cfg(test)]
mod tests;
