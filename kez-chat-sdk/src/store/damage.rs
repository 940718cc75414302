//! What a store makes of a file that is not what it was: it says so, and leaves the file to the person.

use std::{fs, path::PathBuf};

use kez_core::identity::SecretKey;
use rusqlite::{Connection, types::Value};
use tempfile::TempDir;

use super::{Store, StoreError, schema};

/// SQLCipher's.
const PAGE_BYTES: usize = 4096;

/// An account's file that was closed in order.
struct Sound {
    dir: TempDir,
    key: SecretKey,
    bytes: Vec<u8>,
    rows: Rows,
}

/// Each table's rows.
type Rows = Vec<(String, Vec<Vec<Value>>)>;

impl Sound {
    /// Fills the tables until the file has pages of every kind: long values, deep trees, indices and free pages.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = SecretKey::from_seed([1; 32]);
        let path = dir.path().join("kez.db");
        let store = Store::open(&path, &key).await.unwrap();
        let fill = "
            INSERT INTO account (id, install, born_at_ms) VALUES (1, zeroblob(8), 0);
            WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
            INSERT INTO messages (author, id, peer, kind, payload, sent_at_ms, stored_at_ms, state)
                SELECT randomblob(32), randomblob(16), randomblob(32), 1, randomblob(100 + 9000 * (i % 50 = 0)), i, i, 0 FROM n;
            INSERT INTO quarantine (reason, stored_at_ms, frame) VALUES ('BadVersion', 1, randomblob(60000));
            INSERT INTO receipts_due (author, id) SELECT author, id FROM messages;
            INSERT INTO events (body) SELECT hex(payload) FROM messages WHERE row % 10 = 0;
            DELETE FROM events WHERE id % 2 = 0;
            DELETE FROM quarantine;";
        store.transact::<_, StoreError>(move |db| Ok(db.execute_batch(fill)?)).await.unwrap();
        let rows = rows(&store).await.unwrap();
        store.close().await;
        drop(store);
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.len() > 100 * PAGE_BYTES && fs::read_dir(dir.path()).unwrap().count() == 1);
        Self { dir, key, bytes, rows }
    }

    /// Opens other bytes in the file's place and reads everything. The file has to stay as it is.
    async fn read(&self, bytes: &[u8]) -> Result<Rows, StoreError> {
        let path = self.path();
        for entry in fs::read_dir(self.dir.path()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        fs::write(&path, bytes).unwrap();
        let read = match Store::open(&path, &self.key).await {
            Ok(store) => rows(&store).await,
            Err(error) => Err(error),
        };
        assert!(fs::read(&path).unwrap() == bytes, "the file was written to: {:?}", read.err());
        read
    }

    /// Tells whether damage is noticed. Else it may do no harm: it is in a free page that nobody reads.
    async fn notices(&self, bytes: &[u8], what: &str) -> bool {
        match self.read(bytes).await {
            Ok(rows) => {
                assert!(rows == self.rows, "{what} shows other rows");
                false
            }
            Err(error) => {
                assert_advice(&error, what);
                true
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("kez.db")
    }
}

/// Reads every row, and every page on the way.
async fn rows(store: &Store) -> Result<Rows, StoreError> {
    store
        .read(|db| {
            let tables = values(db, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
            let tables = tables.into_iter().map(|row| match &row[0] {
                Value::Text(name) => Ok((name.clone(), values(db, &format!("SELECT * FROM {name}"))?)),
                other => panic!("{other:?}"),
            });
            let tables = tables.collect::<Result<Rows, StoreError>>()?;
            let verdict: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
            if verdict == "ok" { Ok(tables) } else { Err(StoreError::damaged(verdict)) }
        })
        .await
}

fn values(db: &Connection, query: &str) -> Result<Vec<Vec<Value>>, StoreError> {
    let mut statement = db.prepare(query)?;
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect())?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Says what to do next, as every error about a damaged file has to.
#[track_caller]
fn assert_advice(error: &StoreError, what: &str) {
    assert!(matches!(error.code(), "StoreDamaged" | "StoreNotOurs"), "{what}: {} ({error:?})", error.code());
    assert!(error.to_string().contains("restore it from a backup"), "{what}: {error}");
}

#[tokio::test]
async fn a_flipped_bit_in_any_page_is_noticed_or_does_no_harm() {
    let sound = Sound::new().await;
    let (mut noticed, pages) = (0, sound.bytes.len() / PAGE_BYTES);
    // The first page begins with the salt; the others are covered whole by SQLCipher's code.
    let first = [0, 20, PAGE_BYTES / 2, PAGE_BYTES - 1];
    for place in first.into_iter().chain((1..pages).map(|page| page * PAGE_BYTES + page % PAGE_BYTES)) {
        let mut bytes = sound.bytes.clone();
        bytes[place] ^= 0x10;
        noticed += usize::from(sound.notices(&bytes, &format!("a bit at {place}")).await);
    }
    assert!(noticed > pages * 3 / 4, "{noticed} of {pages}");
    assert!(!sound.notices(&sound.bytes, "nothing").await, "and the sound file is sound");
}

#[tokio::test]
async fn a_cut_file_is_noticed() {
    let sound = Sound::new().await;
    let whole = sound.bytes.len();
    for end in [0, 1, 15, 16, 100, PAGE_BYTES - 1, PAGE_BYTES, PAGE_BYTES + 1, whole / 2, whole - PAGE_BYTES] {
        let what = format!("a file cut to {end} of {whole} bytes");
        assert!(sound.notices(&sound.bytes[..end], &what).await, "{what} is taken for whole");
    }
}

#[tokio::test]
async fn a_file_of_something_else_is_told_apart() {
    let sound = Sound::new().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let plain = elsewhere.path().join("plain.db");
    Connection::open(&plain).unwrap().execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    let other = elsewhere.path().join("other.db");
    drop(Store::open(&other, &SecretKey::from_seed([2; 32])).await.unwrap());
    for (what, bytes) in [
        ("a plain database", fs::read(plain).unwrap()),
        ("another account's database", fs::read(other).unwrap()),
        ("a text", b"dear diary, ".repeat(1000)),
        ("zeros", vec![0; 10 * PAGE_BYTES]),
    ] {
        let error = sound.read(&bytes).await.unwrap_err();
        assert!(matches!(error, StoreError::NotOurs), "{what}: {error:?}");
        assert_advice(&error, what);
    }
}

#[tokio::test]
async fn a_later_versions_file_is_left_for_it() {
    let sound = Sound::new().await;
    let store = Store::open(&sound.path(), &sound.key).await.unwrap();
    let later = schema::KNOWN + 1;
    store.transact::<_, StoreError>(move |db| Ok(db.pragma_update(None, "user_version", later)?)).await.unwrap();
    drop(store);
    let read = sound.read(&fs::read(sound.path()).unwrap()).await;
    assert!(matches!(read, Err(StoreError::TooNew { found, known: schema::KNOWN }) if found == later), "{read:?}");
    assert!(read.unwrap_err().to_string().contains("update the application"));
}

/// As when a process is killed while it makes the file.
#[tokio::test]
async fn a_file_is_made_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let (path, key) = (dir.path().join("kez.db"), SecretKey::from_seed([1; 32]));
    for leftover in ["kez.new", "kez.new-wal", "kez.new-shm"] {
        fs::write(dir.path().join(leftover), b"half of something").unwrap();
    }
    drop(Store::open(&path, &key).await.unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left over");
    assert!(Store::open(&path, &key).await.is_ok());
    let nowhere = Store::open(&dir.path().join("gone/kez.db"), &key).await;
    assert!(nowhere.as_ref().is_err_and(|error| error.code() == "StoreFailed"), "{nowhere:?}");
}

/// A disk that is full or read-only, in a mount namespace that goes with its process.
#[cfg(target_os = "linux")]
mod disk {
    use std::{env, path::Path, process::Command};

    use super::*;

    const FOLDER: &str = "KEZ_SMALL_DISK";

    /// Runs an ignored test of this file as the one process that sees a disk of a megabyte.
    #[track_caller]
    fn with_small_disk(test: &str) {
        let folder = tempfile::tempdir().unwrap();
        let script = "mount -t tmpfs -o size=1200k tmpfs \"$KEZ_SMALL_DISK\" && exec \"$@\"";
        let output = Command::new("unshare")
            .args(["--mount", "--user", "--map-root-user", "sh", "-c", script, "sh"])
            .arg(env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }

    fn small_disk() -> PathBuf {
        env::var_os(FOLDER).expect("a test with a small disk runs this").into()
    }

    async fn put_aside(store: &Store, bytes: usize) -> Result<(), StoreError> {
        let insert = "INSERT INTO quarantine (reason, stored_at_ms, frame) VALUES ('', 0, randomblob(?1))";
        store.transact(move |db| Ok(db.execute(insert, [bytes]).map(drop)?)).await
    }

    async fn count(store: &Store) -> u32 {
        store.read(|db| Ok(db.query_row("SELECT count(*) FROM quarantine", [], |row| row.get(0))?)).await.unwrap()
    }

    #[test]
    fn a_full_disk_refuses_and_loses_nothing() {
        with_small_disk("store::damage::disk::on_a_full_disk");
    }

    #[tokio::test]
    #[ignore = "needs a small disk; run by a_full_disk_refuses_and_loses_nothing"]
    async fn on_a_full_disk() {
        let (disk, key) = (small_disk(), SecretKey::from_seed([1; 32]));
        let (path, ballast) = (disk.join("kez.db"), disk.join("ballast"));
        fs::write(&ballast, vec![0; 100_000]).unwrap();
        let store = Store::open(&path, &key).await.unwrap();
        let mut kept = 0;
        let error = loop {
            match put_aside(&store, 10_000).await {
                Ok(()) => kept += 1,
                Err(error) => break error,
            }
        };
        assert!(kept > 3, "{kept}");
        assert_eq!(error.code(), "StoreFailed", "{error:?}");
        assert!(error.to_string().contains("full") && error.to_string().contains("check the disk"), "{error}");
        assert_eq!(count(&store).await, kept, "what was there can be read");
        put_aside(&store, 10_000).await.unwrap_err();
        // Opening needs no room that is not there, or says that it does.
        store.close().await;
        drop(store);
        match Store::open(&path, &key).await {
            Ok(store) => assert_eq!(count(&store).await, kept),
            Err(error) => assert_eq!(error.code(), "StoreFailed", "{error:?}"),
        }
        let new = Store::open(&disk.join("new.db"), &key).await;
        assert!(new.as_ref().is_err_and(|error| error.code() == "StoreFailed"), "{new:?}");
        assert!(!disk.join("new.db").exists(), "there is no half file");

        fs::remove_file(ballast).unwrap();
        let store = Store::open(&path, &key).await.unwrap();
        put_aside(&store, 10_000).await.unwrap();
        assert_eq!(count(&store).await, kept + 1, "with room again it goes on");
    }

    #[test]
    fn a_read_only_disk_is_told() {
        with_small_disk("store::damage::disk::on_a_read_only_disk");
    }

    #[tokio::test]
    #[ignore = "needs a disk of its own; run by a_read_only_disk_is_told"]
    async fn on_a_read_only_disk() {
        let (disk, key) = (small_disk(), SecretKey::from_seed([1; 32]));
        let path = disk.join("kez.db");
        let store = Store::open(&path, &key).await.unwrap();
        put_aside(&store, 1_000).await.unwrap();
        store.close().await;
        drop(store);
        let before = fs::read(&path).unwrap();
        let remount = |how: &str, disk: &Path| {
            assert!(Command::new("mount").args(["-o", how]).arg(disk).status().unwrap().success());
        };
        remount("remount,ro", &disk);
        for file in ["kez.db", "new.db"] {
            let refused = match Store::open(&disk.join(file), &key).await {
                Ok(store) => put_aside(&store, 1_000).await.unwrap_err(),
                Err(error) => error,
            };
            assert_eq!(refused.code(), "StoreFailed", "{refused:?}");
            assert!(refused.to_string().contains("check the disk"), "{refused}");
        }
        assert!(fs::read(&path).unwrap() == before);
        remount("remount,rw", &disk);
        let store = Store::open(&path, &key).await.unwrap();
        assert_eq!(count(&store).await, 1);
    }
}
