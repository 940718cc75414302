//! The directory that holds an account: one process owns it at a time.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Says why a home directory can't be used.
///
/// ```
/// use kez_chat_sdk::HomeDirError;
///
/// let error = HomeDirError::Owned { path: "alice".into(), pid: "4711".into() };
/// assert_eq!(error.to_string(), "alice is in use by process 4711; stop it, or use another home");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HomeDirError {
    /// Another process has it open.
    #[error("{} is in use by process {pid}; stop it, or use another home", path.display())]
    Owned {
        /// The directory.
        path: PathBuf,
        /// The process that owns it, as far as it said so.
        pid: String,
    },
    /// The file system refused.
    #[error("{} can't be used: {source}; check that it exists and is writable", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl HomeDirError {
    /// Returns the error's stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Owned { .. } => "HomeOwned",
            Self::Io { .. } => "HomeUnusable",
        }
    }
}

/// An owned home directory. The ownership ends with the value, or with the process however it ends.
#[derive(Debug)]
pub(crate) struct HomeDir {
    path: PathBuf,
    lock: File,
}

impl Drop for HomeDir {
    fn drop(&mut self) {
        // Closing alone is not enough: a process that is being started may hold a copy of the handle for a moment.
        let _ = self.lock.unlock();
    }
}

impl HomeDir {
    /// Makes the directory where it is missing (mode 0700) and takes ownership of it.
    pub(crate) fn own(path: PathBuf) -> Result<Self, HomeDirError> {
        let io = |source| HomeDirError::Io { path: path.clone(), source };
        create_private(&path).map_err(io)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("owner"))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                lock.read_to_string(&mut pid).map_err(io)?;
                return Err(HomeDirError::Owned { path, pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        // Only to name the owner to others: the lock is what counts.
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(io)?;
        Ok(Self { path, lock })
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("kez.db")
    }

    /// Returns where Iroh keeps the sealed blobs.
    #[cfg(feature = "files")]
    pub(crate) fn blobs(&self) -> PathBuf {
        self.path.join("blobs")
    }
}

fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("home");
        let first = HomeDir::own(path.clone()).unwrap();
        match HomeDir::own(path.clone()) {
            Err(HomeDirError::Owned { pid, .. }) => assert_eq!(pid, std::process::id().to_string()),
            other => panic!("{other:?}"),
        }
        drop(first);
        assert!(HomeDir::own(path).is_ok());
    }
}
