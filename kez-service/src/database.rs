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
use tokio::sync::{Mutex, MutexGuard};

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

    async fn free_reader(&self) -> MutexGuard<'_, Option<Connection>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let from_turn = (0..READERS).map(|n| &self.readers[turn.wrapping_add(n) % READERS]);
        match from_turn.clone().find_map(|slot| slot.try_lock().ok()) {
            Some(free) => free,
            None => self.readers[turn % READERS].lock().await,
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
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        run(&self.readers[turn % READERS], call).await
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

async fn run<T, F>(slot: &Slot, call: F) -> Result<T, DbError>
where
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    T: Send + 'static,
{
    // Waiting for a turn holds no thread, and the guard goes along: a caller that gives up does not
    // let the next one in before this call has ended.
    let slot = Arc::clone(slot).lock_owned().await;
    let call = move || {
        let connection = slot.as_ref().ok_or(DbError::Closed)?;
        call(connection).map_err(DbError::from)
    };
    tokio::task::spawn_blocking(call).await.map_err(panic_on).map_err(|Stopping| DbError::Closed)?
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
    let mut writer = Connection::open_with_flags(path, flags).map_err(unusable)?;
    writer.busy_timeout(BUSY).map_err(unusable)?;
    // Before anything is written, so that a file that is not ours stays as it is.
    if !is_ours(&mut writer, schema).map_err(unusable)? {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    if owner == Owner::Visitor {
        check_current(&writer, path, schema)?;
    }
    prepare(&writer, schema).map_err(unusable)?;
    migrate(&mut writer, path, schema)?;

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

fn prepare(connection: &Connection, schema: Schema) -> rusqlite::Result<()> {
    use_wal(connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "application_id", schema.application_id)
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

fn check_current(connection: &Connection, path: &Path, schema: Schema) -> Result<(), OpenError> {
    let found: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|source| OpenError::Unusable { path: path.to_owned(), source })?;
    let known = schema.migrations.len() as u32;
    if found < known { Err(OpenError::Older { path: path.to_owned(), found, known }) } else { Ok(()) }
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
mod tests {
    use super::*;

    const ID: i32 = 0x6b65_7a54;
    const ONE: &str = "CREATE TABLE things (name TEXT PRIMARY KEY) STRICT;";
    const TWO: &str = "ALTER TABLE things ADD COLUMN size INTEGER; INSERT INTO things VALUES ('a', 1);";
    const BROKEN: &str = "INSERT INTO things VALUES ('b', 2); INSERT INTO nowhere VALUES (1);";
    const V1: Schema = Schema { application_id: ID, migrations: &[ONE] };
    const V2: Schema = Schema { application_id: ID, migrations: &[ONE, TWO] };
    const V3: Schema = Schema { application_id: ID, migrations: &[ONE, TWO, BROKEN] };

    fn fresh() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        (folder, path)
    }

    async fn count(database: &Database) -> i64 {
        let sql = "SELECT count(*) FROM things";
        database.read(move |c| c.query_row(sql, [], |row| row.get(0))).await.unwrap()
    }

    fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> rusqlite::Result<T> {
        connection.pragma_query_value(None, name, |row| row.get(0))
    }

    #[tokio::test]
    async fn migrations_are_applied_once_and_in_order() {
        let (_folder, path) = fresh();
        Database::open(&path, V1).await.unwrap().close().await;
        for _ in 0..2 {
            let database = Database::open(&path, V2).await.unwrap();
            assert_eq!(count(&database).await, 1);
            let version: i64 = database.read(|c| pragma(c, "user_version")).await.unwrap();
            assert_eq!(version, 2);
            database.close().await;
        }
    }

    #[tokio::test]
    async fn two_that_open_at_once_apply_each_migration_once() {
        for _ in 0..25 {
            let (_folder, path) = fresh();
            let (one, two) = tokio::join!(Database::open(&path, V2), Database::open(&path, V2));
            assert_eq!(count(&one.unwrap()).await, 1);
            assert_eq!(count(&two.unwrap()).await, 1);
        }
    }

    #[tokio::test]
    async fn a_failed_migration_leaves_the_file_as_it_was() {
        let (_folder, path) = fresh();
        let error = Database::open(&path, V3).await.unwrap_err();
        assert!(matches!(error, OpenError::Migration { number: 3, .. }), "{error}");
        let database = Database::open(&path, V2).await.unwrap();
        assert_eq!(count(&database).await, 1);
    }

    #[tokio::test]
    async fn a_newer_file_is_refused() {
        let (_folder, path) = fresh();
        Database::open(&path, V2).await.unwrap().close().await;
        let error = Database::open(&path, V1).await.unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error}");
    }

    #[tokio::test]
    async fn a_visitor_neither_makes_nor_migrates_a_file() {
        let (_folder, path) = fresh();
        let error = Database::open_beside(&path, V1).await.unwrap_err();
        assert!(matches!(error, OpenError::Missing { .. }), "{error}");
        assert!(!path.exists());

        let server = Database::open(&path, V1).await.unwrap();
        let error = Database::open_beside(&path, V2).await.unwrap_err();
        assert!(matches!(error, OpenError::Older { found: 1, known: 2, .. }), "{error}");
        let visitor = Database::open_beside(&path, V1).await.unwrap();
        visitor.write(|t| t.execute("INSERT INTO things VALUES ('x')", [])).await.unwrap();
        assert_eq!(count(&server).await, 1);
    }

    #[tokio::test]
    async fn a_foreign_file_is_refused_and_left_alone() {
        let (_folder, path) = fresh();
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
        let before = std::fs::read(&path).unwrap();
        let error = Database::open(&path, V1).await.unwrap_err();
        assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);

        std::fs::write(&path, "this is no database, and long enough to tell").unwrap();
        let error = Database::open(&path, V1).await.unwrap_err();
        assert!(matches!(error, OpenError::Unusable { .. }), "{error}");
    }

    #[tokio::test]
    async fn an_empty_path_is_refused() {
        // SQLite would take it for a database that is gone when it is closed.
        let error = Database::open("", V1).await.unwrap_err();
        assert!(matches!(error, OpenError::BadPath { .. }), "{error}");
    }

    #[tokio::test]
    async fn the_writer_is_durable_and_readers_cannot_write() {
        let (_folder, path) = fresh();
        let database = Database::open(&path, V1).await.unwrap();
        let (mode, synchronous, keys): (String, i64, i64) = database
            .write(|t| Ok((pragma(t, "journal_mode")?, pragma(t, "synchronous")?, pragma(t, "foreign_keys")?)))
            .await
            .unwrap();
        assert_eq!((mode.as_str(), synchronous, keys), ("wal", 2, 1));
        let refused = database.read(|c| c.execute("INSERT INTO things VALUES ('x')", [])).await;
        assert!(matches!(refused, Err(DbError::Sqlite(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn a_write_that_fails_or_panics_leaves_nothing_and_blocks_nobody() {
        let (_folder, path) = fresh();
        let database = Database::open(&path, V1).await.unwrap();
        let insert = "INSERT INTO things VALUES ('x')";
        let failed = database
            .write(move |t| {
                t.execute(insert, [])?;
                t.execute("INSERT INTO nowhere VALUES (1)", [])
            })
            .await;
        assert!(matches!(failed, Err(DbError::Sqlite(_))));

        let other = database.clone();
        let panicked = tokio::spawn(async move {
            other
                .write(move |t| -> rusqlite::Result<()> {
                    t.execute(insert, [])?;
                    panic!("on purpose")
                })
                .await
        });
        assert!(panicked.await.unwrap_err().is_panic());

        assert_eq!(count(&database).await, 0);
        database.write(move |t| t.execute(insert, [])).await.unwrap();
        assert_eq!(count(&database).await, 1);
    }

    #[tokio::test]
    async fn a_look_up_takes_a_reader_that_is_free_and_waits_for_one_if_none_is() {
        let (_folder, path) = fresh();
        let database = Database::open(&path, V2).await.unwrap();
        let busy = futures::future::join_all(database.readers.iter().skip(1).map(|slot| slot.lock())).await;
        let size =
            |c: &Connection| c.query_row("SELECT size FROM things WHERE name = 'a'", [], |row| row.get::<_, i64>(0));
        for _ in 0..2 * READERS {
            assert_eq!(database.look_up(size).await.unwrap(), 1);
        }
        let last = database.readers[0].lock().await;
        let mut waiting = std::pin::pin!(database.look_up(size));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        drop((last, busy));
        assert_eq!(waiting.await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_closed_database_says_so_and_leaves_one_file() {
        let (folder, path) = fresh();
        let database = Database::open(&path, V2).await.unwrap();
        let other = database.clone();
        database.close().await;
        assert!(matches!(other.write(|_| Ok(())).await, Err(DbError::Closed)));
        assert!(matches!(other.read(|_| Ok(())).await, Err(DbError::Closed)));
        assert!(matches!(other.look_up(|_| Ok(())).await, Err(DbError::Closed)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
