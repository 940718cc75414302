//! What every server relies on.

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
    let size = |c: &Connection| c.query_row("SELECT size FROM things WHERE name = 'a'", [], |row| row.get::<_, i64>(0));
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

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, path) = fresh();
    let database = Database::open(&path, V1).await.unwrap();
    let modes: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().permissions().mode() & 0o777)
        .collect();
    // The file, its log and the log's index.
    assert_eq!(modes, [0o600; 3]);
    database.close().await;
}
