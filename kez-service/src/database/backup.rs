//! A copy of a database that is in use.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::NamedTempFile;

use super::{Database, Stopping, panic_on, reader};

/// A backup that was not made; the place it was meant for is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The copy cannot be written where it was wanted.
    #[error("no backup was written to {}; name a new file in a folder that is writable and has room", path.display())]
    Write {
        /// The file that was wanted.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// SQLite could not copy the database.
    #[error("the database could not be copied to {}", path.display())]
    Copy {
        /// The file that was wanted.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The copy does not pass SQLite's own check, so the database does not either.
    #[error("the copy is damaged, and so is the database: {found}; restore an older backup")]
    Damaged {
        /// The first thing that the check found.
        found: String,
    },
    /// The runtime ended meanwhile.
    #[error("the process is stopping, so no backup was made")]
    Stopping,
}

impl Database {
    /// Writes a copy of the database to a new file that only its owner can read, while other calls and other
    /// processes go on. The copy is the state at one moment, checked (`PRAGMA quick_check`) and on the disk when this
    /// returns; it can be opened like the original. An existing file is never overwritten.
    ///
    /// # Errors
    /// When the copy cannot be written, or the database is damaged.
    pub async fn backup(&self, to: impl Into<PathBuf>) -> Result<(), BackupError> {
        let (from, to) = (self.path.clone(), to.into());
        tokio::task::spawn_blocking(move || copy(&from, &to))
            .await
            .map_err(panic_on)
            .map_err(|Stopping| BackupError::Stopping)?
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let write = |source| BackupError::Write { path: to.to_owned(), source };
    let failed = |source| BackupError::Copy { path: to.to_owned(), source };
    let folder = match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Under another name until it is whole; a failure on the way leaves nothing.
    let part = NamedTempFile::with_prefix_in(".backup-", folder).map_err(write)?;
    let name = part.path().to_str().ok_or_else(|| write(io::ErrorKind::InvalidFilename.into()))?;
    let source = reader(from).map_err(failed)?;
    source.execute("VACUUM INTO ?1", [name]).map_err(failed)?;
    let copy = Connection::open(part.path()).map_err(failed)?;
    let found: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if found != "ok" {
        return Err(BackupError::Damaged { found });
    }
    drop(copy);
    part.as_file().sync_all().map_err(write)?;
    part.persist_noclobber(to).map_err(|error| write(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(write)
}

#[cfg(test)]
mod tests {
    use super::super::Schema;
    use super::*;

    const SCHEMA: Schema = Schema {
        application_id: 0x6b65_7a42,
        migrations: &["CREATE TABLE pairs (a INTEGER PRIMARY KEY, b INTEGER NOT NULL) STRICT;"],
    };

    async fn sums(database: &Database) -> (i64, i64, i64) {
        let sql = "SELECT count(*), total(a), total(b) FROM pairs";
        let sums =
            |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, f64>(1)? as i64, row.get::<_, f64>(2)? as i64));
        database.read(move |db| db.query_row(sql, [], sums)).await.unwrap()
    }

    #[tokio::test]
    async fn a_backup_under_load_is_one_moment_and_opens_like_the_original() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("a.db"), SCHEMA).await.unwrap();
        let insert = |n: i64| {
            // Two rows that only ever exist together.
            database.write(move |db| {
                db.execute("INSERT INTO pairs VALUES (?1, ?2)", [n, 0])?;
                db.execute("INSERT INTO pairs VALUES (?1, ?2)", [-n, 0])
            })
        };
        let load = async {
            for n in 1..=300 {
                insert(n).await.unwrap();
            }
        };
        let copies = async {
            for n in 0..10 {
                database.backup(folder.path().join(format!("copy-{n}.db"))).await.unwrap();
            }
        };
        tokio::join!(load, copies);
        let mut seen = 0;
        for n in 0..10 {
            let copy = Database::open(folder.path().join(format!("copy-{n}.db")), SCHEMA).await.unwrap();
            let (count, sum, _) = sums(&copy).await;
            assert_eq!((count % 2, sum), (0, 0), "copy {n}");
            assert!(count >= seen, "copy {n} is older than the one before");
            seen = count;
            copy.close().await;
        }
        database.close().await;
        assert!(
            std::fs::read_dir(folder.path())
                .unwrap()
                .all(|file| { !file.unwrap().file_name().to_string_lossy().starts_with(".backup-") })
        );
    }

    #[tokio::test]
    async fn an_existing_file_is_never_overwritten_and_a_bad_place_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("a.db"), SCHEMA).await.unwrap();
        let taken = folder.path().join("taken");
        std::fs::write(&taken, "precious").unwrap();
        for place in [taken.clone(), folder.path().join("nowhere/b.db")] {
            let error = database.backup(&place).await.unwrap_err();
            assert!(matches!(&error, BackupError::Write { path, .. } if *path == place), "{error}");
        }
        assert_eq!(std::fs::read_to_string(taken).unwrap(), "precious");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_backup_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("a.db"), SCHEMA).await.unwrap();
        let copy = folder.path().join("copy.db");
        database.backup(&copy).await.unwrap();
        assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
