//! The account in a file that outlives the device. The format is that of the account's database, under a key of its own
//! (`docs/PROTOCOL.md` §12).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use kez_core::{identity::SecretKey, sigchain::Install};
use serde::Serialize;
use thiserror::Error;

use crate::{
    new_file::NewFile,
    shared::Shared,
    store::{self, BackupMark, StoreError},
};

/// A backup that was written.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stage = Stage::set().await;
/// # let client = stage.client("alice").await;
/// let backup = client.backup_to("alice.kez").await?;
/// println!("{} messages in {} bytes", backup.messages, backup.bytes);
/// # assert!(backup.messages == 0 && backup.bytes > 0);
/// assert_eq!(client.backup_to("alice.kez").await.unwrap_err().code(), "BackupUnusable", "it is there");
/// # client.shutdown().await;
/// # stage.strike().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Backup {
    /// When it was begun, by the home's clock, in milliseconds since 1970: what came later is not in it.
    pub made_at_ms: u64,
    /// How many messages the conversations in it show.
    pub messages: u64,
    /// How long the file is.
    pub bytes: u64,
}

/// Says why a backup was not written or can't be restored. The file is left as it is.
///
/// ```
/// use kez_chat_sdk::BackupError;
///
/// let error = BackupError::TooNew { path: "alice.kez".into(), found: 9, known: 5 };
/// assert_eq!(error.to_string(), "alice.kez was made by a later version (9, this application knows 5): update the application");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The file does not open under this account's key.
    #[error("{} does not open with this account's key: it is another account's, or no backup; check file and words", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The file is not as it was written.
    #[error("{} is damaged ({source}); use another copy, or recover without it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: StoreError,
    },
    /// The file was written by a later version.
    #[error("{} was made by a later version ({found}, this application knows {known}): update the application", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The file's version.
        found: u32,
        /// The version that this application writes.
        known: u32,
    },
    /// The file can't be read, or not be written.
    #[error("{} can't be used: {source}; name another file", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A recovery was begun in this home without the file, or with another one.
    #[error("another recovery was begun in this home; go on as it was begun, or recover into another home")]
    OtherAttempt,
    /// The account's own database can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BackupError {
    /// Returns the error's stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotOurs { .. } => "BackupNotOurs",
            Self::Damaged { .. } => "BackupDamaged",
            Self::TooNew { .. } => "BackupTooNew",
            Self::Io { .. } => "BackupUnusable",
            Self::OtherAttempt => "OtherAttempt",
            Self::Store(error) => error.code(),
        }
    }
}

/// Writes a backup of an open account.
pub(crate) async fn write(shared: &Shared, path: PathBuf) -> Result<Backup, BackupError> {
    let (database, key) = (shared.home_dir.database(), shared.key.clone());
    let mark =
        BackupMark { owner: *shared.primary().as_bytes(), install: shared.install, made_at_ms: shared.home_now_ms() };
    blocking(move || {
        let io = |source| BackupError::Io { path: path.clone(), source };
        let file = NewFile::at(&path).map_err(io)?;
        let messages = store::write_backup(&database, &key, file.path(), &mark)?;
        let bytes = fs::metadata(file.path()).map_err(io)?.len();
        file.keep().map_err(io)?;
        Ok(Backup { made_at_ms: mark.made_at_ms, messages, bytes })
    })
    .await
}

/// Finds out which backup a file is, if it is one of this key's.
pub(crate) async fn look_at(path: PathBuf, key: SecretKey) -> Result<BackupMark, BackupError> {
    blocking(move || {
        // SQLite names no reason.
        fs::File::open(&path).map_err(|source| BackupError::Io { path: path.clone(), source })?;
        let mark = store::read_mark(&path, &key).map_err(|error| of_file(&path, error))?;
        if mark.owner == *key.primary().as_bytes() { Ok(mark) } else { Err(BackupError::NotOurs { path }) }
    })
    .await
}

/// Makes a database out of a backup, beside the place where it belongs. It has to be put there.
pub(crate) async fn prepare(
    path: PathBuf,
    key: SecretKey,
    database: PathBuf,
    install: Install,
) -> Result<(), BackupError> {
    blocking(move || store::prepare_restored(&path, &key, &database, install).map_err(|error| of_file(&path, error)))
        .await
}

/// Says what an error means that reading a backup has ended with.
fn of_file(path: &Path, error: StoreError) -> BackupError {
    let path = path.to_owned();
    match error {
        StoreError::NotOurs => BackupError::NotOurs { path },
        StoreError::TooNew { found, known } => BackupError::TooNew { path, found, known },
        source @ (StoreError::Damaged(_) | StoreError::Corrupt(_)) => BackupError::Damaged { path, source },
        error => error.into(),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(StoreError::Closed.into()))
}
