use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::task::JoinSet;

use super::super::{Database, DbError, Schema};

const SCHEMA: Schema = Schema {
    application_id: 0x6b65_7a57,
    migrations: &["CREATE TABLE things (n INTEGER PRIMARY KEY CHECK (n > 0)) STRICT;"],
};

async fn fresh() -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path().join("test.db"), SCHEMA).await.unwrap();
    (folder, database)
}

fn insert(n: i64) -> impl FnOnce(&Connection) -> rusqlite::Result<usize> + Send + 'static {
    move |db| db.execute("INSERT INTO things VALUES (?1)", [n])
}

async fn stored(database: &Database) -> Vec<i64> {
    let all =
        |db: &Connection| db.prepare("SELECT n FROM things ORDER BY n")?.query_map([], |row| row.get(0))?.collect();
    database.read(all).await.unwrap()
}

/// Keeps the writer busy, so that what is asked for meanwhile comes to be committed together.
struct Held {
    release: mpsc::Sender<()>,
    writing: JoinSet<Result<(), DbError>>,
}

impl Held {
    async fn new(database: &Database) -> Self {
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (release, released) = mpsc::channel();
        let (database, mut writing) = (database.clone(), JoinSet::new());
        writing.spawn(async move {
            let hold = move |_: &Connection| {
                begun.send(()).unwrap();
                released.recv().unwrap();
                Ok(())
            };
            database.write(hold).await
        });
        has_begun.await.unwrap();
        Self { release, writing }
    }

    async fn release(self) {
        self.release.send(()).unwrap();
        self.writing.join_all().await.into_iter().collect::<Result<(), _>>().unwrap();
    }
}

/// Asks for writes in this order, and returns when all wait.
async fn ask<F>(
    database: &Database,
    calls: impl IntoIterator<Item = F>,
) -> Vec<tokio::task::JoinHandle<Result<usize, DbError>>>
where
    F: FnOnce(&Connection) -> rusqlite::Result<usize> + Send + 'static,
{
    let mut asked = Vec::new();
    for call in calls {
        let database = database.clone();
        asked.push(tokio::spawn(async move { database.write(call).await }));
        // The runtime has one thread, on which the new task goes until it waits.
        tokio::task::yield_now().await;
    }
    asked
}

/// Counts the commits in the log beside a database: the last frame of each has the file's size in its second word
/// (<https://sqlite.org/fileformat2.html#the_write_ahead_log>).
fn commits(database: &Path) -> usize {
    let log = std::fs::read(database.with_extension("db-wal")).unwrap();
    let word = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    let page = word(&log[8..12]) as usize;
    log[32..].chunks_exact(24 + page).filter(|frame| word(&frame[4..8]) > 0).count()
}

#[tokio::test]
async fn what_is_asked_for_at_once_is_committed_at_once() {
    let (folder, database) = fresh().await;
    let before = commits(&folder.path().join("test.db"));
    let held = Held::new(&database).await;
    let asked = ask(&database, (1..=50).map(insert)).await;
    held.release().await;
    for writing in asked {
        assert_eq!(writing.await.unwrap().unwrap(), 1);
    }
    assert_eq!(commits(&folder.path().join("test.db")) - before, 1);
    assert_eq!(stored(&database).await, Vec::from_iter(1..=50));
}

#[tokio::test]
async fn a_commit_has_an_end_however_many_ask() {
    let (folder, database) = fresh().await;
    let before = commits(&folder.path().join("test.db"));
    let held = Held::new(&database).await;
    let asked = ask(&database, (1..=i64::try_from(super::AT_ONCE).unwrap() + 1).map(insert)).await;
    held.release().await;
    for writing in asked {
        writing.await.unwrap().unwrap();
    }
    assert_eq!(commits(&folder.path().join("test.db")) - before, 2);
}

#[tokio::test]
async fn who_fails_or_panics_harms_nobody_else() {
    let (folder, database) = fresh().await;
    let before = commits(&folder.path().join("test.db"));
    let held = Held::new(&database).await;
    let calls = (1..=9).map(|n| {
        move |db: &Connection| {
            insert(n)(db)?;
            match n {
                3 => insert(-1)(db),
                6 => panic!("on purpose"),
                _ => Ok(1),
            }
        }
    });
    let asked = ask(&database, calls).await;
    held.release().await;
    for (n, writing) in (1..).zip(asked) {
        match (n, writing.await) {
            (3, Ok(Err(DbError::Sqlite(error)))) => assert!(error.to_string().contains("CHECK"), "{error}"),
            (6, Err(error)) => assert!(error.is_panic()),
            (_, outcome) => assert_eq!(outcome.unwrap().unwrap(), 1, "{n}"),
        }
    }
    assert_eq!(stored(&database).await, [1, 2, 4, 5, 7, 8, 9]);
    assert_eq!(commits(&folder.path().join("test.db")) - before, 1);
}

#[tokio::test]
async fn after_a_rollback_of_everything_nothing_is_written_and_all_are_told() {
    let (_folder, database) = fresh().await;
    let held = Held::new(&database).await;
    let calls = (1..=3).map(|n| {
        move |db: &Connection| {
            // As SQLite does by itself when the disk is full.
            if n == 2 { db.execute("INSERT OR ROLLBACK INTO things VALUES (-1)", []) } else { insert(n)(db) }
        }
    });
    let asked = ask(&database, calls).await;
    held.release().await;
    for writing in asked {
        assert!(matches!(writing.await.unwrap(), Err(DbError::Sqlite(_))));
    }
    assert!(stored(&database).await.is_empty());
    database.write(insert(4)).await.unwrap();
    assert_eq!(stored(&database).await, [4]);
}

#[tokio::test]
async fn a_commit_that_fails_is_a_failure_for_all_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Schema {
        migrations: &[
            "CREATE TABLE things (n INTEGER PRIMARY KEY, other INTEGER REFERENCES things DEFERRABLE INITIALLY DEFERRED);",
        ],
        ..SCHEMA
    };
    let database = Database::open(folder.path().join("test.db"), schema).await.unwrap();
    let held = Held::new(&database).await;
    let sql = "INSERT INTO things VALUES (?1, ?2)";
    let calls = [(1, 1), (2, 77)].map(|pair| move |db: &Connection| db.execute(sql, pair));
    let asked = ask(&database, calls).await;
    held.release().await;
    for writing in asked {
        let error = writing.await.unwrap().unwrap_err();
        assert!(matches!(&error, DbError::Sqlite(error) if error.to_string().contains("FOREIGN KEY")), "{error:?}");
    }
    assert!(stored(&database).await.is_empty());
    database.write(move |db| db.execute(sql, (3, 3))).await.unwrap();
}

#[tokio::test]
async fn who_leaves_before_their_turn_writes_nothing_and_who_leaves_after_it_does() {
    let (_folder, database) = fresh().await;
    let held = Held::new(&database).await;
    let asked = ask(&database, [insert(1), insert(2), insert(3)]).await;
    asked[1].abort();
    assert!(tokio::time::timeout(Duration::from_millis(1), asked.into_iter().nth(1).unwrap()).await.unwrap().is_err());
    held.release().await;
    database.write(insert(4)).await.unwrap();
    assert_eq!(stored(&database).await, [1, 3, 4]);

    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (release, released) = mpsc::channel::<()>();
    let call = move |db: &Connection| {
        begun.send(()).unwrap();
        released.recv().unwrap();
        insert(5)(db)
    };
    let asked = ask(&database, [call]).await;
    has_begun.await.unwrap();
    asked[0].abort();
    release.send(()).unwrap();
    database.write(insert(6)).await.unwrap();
    assert_eq!(stored(&database).await, [1, 3, 4, 5, 6]);
}

#[tokio::test]
async fn who_reads_sees_a_commit_whole_or_not_at_all() {
    let (_folder, database) = fresh().await;
    let held = Held::new(&database).await;
    let first = ask(&database, [insert(1)]).await;
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (release, released) = mpsc::channel::<()>();
    let call = move |db: &Connection| {
        begun.send(()).unwrap();
        released.recv().unwrap();
        insert(2)(db)
    };
    let second = ask(&database, [call]).await;
    held.release().await;
    has_begun.await.unwrap();
    assert!(!first[0].is_finished(), "nothing is acknowledged before it is committed");
    assert!(stored(&database).await.is_empty());
    let any = |db: &Connection| db.prepare("SELECT n FROM things")?.exists([]);
    assert!(!database.look_up(any).await.unwrap());
    release.send(()).unwrap();
    for writing in first.into_iter().chain(second) {
        writing.await.unwrap().unwrap();
    }
    assert_eq!(stored(&database).await, [1, 2]);
}

#[tokio::test]
async fn what_was_asked_for_before_the_end_is_done_and_what_comes_later_is_refused() {
    let (_folder, database) = fresh().await;
    let held = Held::new(&database).await;
    let before = ask(&database, [insert(1), insert(2)]).await;
    let closing = tokio::spawn(database.clone().close());
    tokio::task::yield_now().await;
    let after = ask(&database, [insert(3), insert(4)]).await;
    held.release().await;
    closing.await.unwrap();
    for writing in before {
        assert_eq!(writing.await.unwrap().unwrap(), 1);
    }
    for writing in after {
        assert!(matches!(writing.await.unwrap(), Err(DbError::Closed)));
    }
    assert!(matches!(database.write(insert(5)).await, Err(DbError::Closed)));
}
