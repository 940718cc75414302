//! A file that gets its name when all of it is on disk.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// A file in the making, of mode 0600. It goes with this value unless it is [kept](Self::keep).
#[derive(Debug)]
pub(crate) struct NewFile {
    file: NamedTempFile,
    target: PathBuf,
}

impl NewFile {
    /// Begins a file beside the name that it is to have, which nothing may have yet.
    pub(crate) fn at(target: &Path) -> io::Result<Self> {
        if target.try_exists()? {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file of that name"));
        }
        Ok(Self { file: NamedTempFile::new_in(folder_of(target))?, target: target.to_owned() })
    }

    /// Returns the name that it has now.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Gives it its name, and returns when that is on disk. Nothing is overwritten.
    pub(crate) fn keep(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist_noclobber(&self.target).map_err(|error| error.error)?;
        #[cfg(unix)]
        fs::File::open(folder_of(&self.target))?.sync_all()?;
        Ok(())
    }
}

impl io::Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a file that was not there, whole or not at all.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = NewFile::at(path)?;
    file.write_all(bytes)?;
    file.keep()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_for_its_owner_only_and_overwrites_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = NewFile::at(&path).unwrap();
        file.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "what is given up leaves nothing");

        let late = NewFile::at(&path).unwrap();
        write_new(&path, b"whole").unwrap();
        for refused in [late.keep(), NewFile::at(&path).map(drop)] {
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        }
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
