//! Secret files: read, made, rotated.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rand::CryptoRng;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::{MAX_FILE_BYTES, PREFIX, ServerSecret};

/// What can be wrong with a secret file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The file is not there or cannot be read.
    #[error("the secret file {path} can't be read; make one with `kez-chat-server keygen {path}`")]
    Read {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner may read or write the file.
    #[error("the secret file {path} has mode {mode:04o}, so others can get at it; run `chmod 600 {path}`")]
    TooOpen {
        /// The file asked for.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold one or two lines of the form that `keygen` writes.
    #[error(
        "the secret file {path} is not in the expected form: one line `{PREFIX}<64 hex digits>`, \
         while rotating a second one with the previous secret"
    )]
    Malformed {
        /// The file asked for.
        path: PathBuf,
    },
    /// A new secret file could not be written; an existing file is never overwritten.
    #[error("no secret was written to {path}; name a file that does not exist yet")]
    Write {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A secret file could not be replaced; it is as it was.
    #[error("the secret file {path} could not be replaced and is as it was; check that its folder is writable")]
    Replace {
        /// The file asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds a previous secret already, and a third one is not kept.
    #[error(
        "the secret file {path} is being rotated already; first end that with `kez-chat-server keygen --drop-previous \
         {path}`, a day after the server was restarted with it"
    )]
    Rotating {
        /// The file asked for.
        path: PathBuf,
    },
    /// The file holds no previous secret.
    #[error("the secret file {path} holds no previous secret, so there is nothing to drop")]
    NotRotating {
        /// The file asked for.
        path: PathBuf,
    },
}

impl ServerSecret {
    /// Reads a secret file.
    ///
    /// # Errors
    /// If the file cannot be read, is open to others than its owner, or is not in the form that
    /// [`create_file`](Self::create_file) writes.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        let read = |source| SecretError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read)?;
        check_mode(&file, path)?;
        // Reserved at once, so that growing leaves no copy behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_BYTES as usize + 1));
        file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(read)?;
        Self::from_text(&text).ok_or_else(|| SecretError::Malformed { path: path.to_owned() })
    }

    /// Writes a new secret file that only its owner can read (mode 0600). It is there whole or not at all.
    ///
    /// # Errors
    /// If the file exists already or cannot be written.
    pub fn create_file(&self, path: &Path) -> Result<(), SecretError> {
        let write = |source| SecretError::Write { path: path.to_owned(), source };
        let folder = folder_of(path);
        self.written_beside(folder).and_then(|file| Ok(file.persist_noclobber(path)?)).map_err(write)?;
        sync_folder(folder).map_err(write)
    }

    /// Begins a rotation: replaces a secret file by one with a new secret, the old one kept as its second line.
    ///
    /// Issuer, users and curve key are the new secret's from then on, all at once: the broker has to be restarted with
    /// a new `nats.conf` and the server after it, and nobody can log in between the two. The server key of the old
    /// secret goes on being announced and its routes granted; a day later every login was made with the new one, and
    /// [`drop_previous`](Self::drop_previous) ends the rotation.
    ///
    /// Whatever happens on the way, the file is either the old one or the new one. A kill in between may leave a file
    /// `.secret-…` of mode 0600 beside it, which nothing needs.
    ///
    /// # Errors
    /// Those of [`from_file`](Self::from_file), and if the file holds two secrets already or cannot be replaced.
    pub fn rotate(path: &Path, rng: &mut impl CryptoRng) -> Result<(), SecretError> {
        let old = Self::from_file(path)?;
        if old.is_rotating() {
            return Err(SecretError::Rotating { path: path.to_owned() });
        }
        let mut new = Self::generate(rng);
        new.previous = Some(old.current);
        new.replace_file(path)
    }

    /// Ends a rotation: replaces a secret file by one without its second line.
    ///
    /// # Errors
    /// Those of [`from_file`](Self::from_file), and if the file holds one secret only or cannot be replaced.
    pub fn drop_previous(path: &Path) -> Result<(), SecretError> {
        let mut secret = Self::from_file(path)?;
        match secret.previous.take() {
            Some(_) => secret.replace_file(path),
            None => Err(SecretError::NotRotating { path: path.to_owned() }),
        }
    }

    fn replace_file(&self, path: &Path) -> Result<(), SecretError> {
        let replace = || {
            // A symbolic link stays one.
            let path = fs::canonicalize(path)?;
            let folder = folder_of(&path);
            let file = self.written_beside(folder)?;
            keep_owner(&path, file.as_file())?;
            file.persist(&path)?;
            sync_folder(folder)
        };
        replace().map_err(|source| SecretError::Replace { path: path.to_owned(), source })
    }

    /// Writes a file of mode 0600 that is not yet under its name.
    fn written_beside(&self, folder: &Path) -> io::Result<NamedTempFile> {
        let mut file = NamedTempFile::with_prefix_in(".secret-", folder)?;
        file.write_all(self.to_text().as_bytes())?;
        file.as_file().sync_all()?;
        Ok(file)
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(unix)]
fn check_mode(file: &File, path: &Path) -> Result<(), SecretError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = file.metadata().map_err(|source| SecretError::Read { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(SecretError::TooOpen { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn check_mode(_file: &File, _path: &Path) -> Result<(), SecretError> {
    // Windows keeps access lists, not modes; a file in the user's profile is theirs alone.
    Ok(())
}

/// Gives the new file the old one's owner and mode: whoever rotates as root must not lock the server out.
#[cfg(unix)]
fn keep_owner(old: &Path, new: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let (old, made) = (fs::metadata(old)?, new.metadata()?);
    if (old.uid(), old.gid()) != (made.uid(), made.gid()) {
        fchown(new, Some(old.uid()), Some(old.gid()))?;
    }
    new.set_permissions(old.permissions())
}

#[cfg(not(unix))]
fn keep_owner(_old: &Path, _new: &File) -> io::Result<()> {
    Ok(())
}

/// Makes the new name durable.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    // A folder can't be opened as a file there.
    Ok(())
}

#[cfg(test)]
mod tests {
    use kez_core::identity::{PrimaryKey, SecretKey};

    use super::*;

    fn secret(byte: u8) -> ServerSecret {
        ServerSecret { current: Zeroizing::new([byte; 32]), previous: None }
    }

    fn primaries(path: &Path) -> Vec<PrimaryKey> {
        ServerSecret::from_file(path).unwrap().server_keys().iter().map(SecretKey::primary).collect()
    }

    #[test]
    fn file_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let made = ServerSecret::generate(&mut rand::rng());
        made.create_file(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.len(), PREFIX.len() + 65);
        assert_eq!(ServerSecret::from_file(&path).unwrap().public_keys(), made.public_keys());
        assert!(matches!(made.create_file(&path), Err(SecretError::Write { .. })), "never overwritten");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[cfg(unix)]
    #[test]
    fn mode_is_checked() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        secret(1).create_file(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        for (mode, fine) in [(0o640, false), (0o604, false), (0o620, false), (0o400, true)] {
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(ServerSecret::from_file(&path).is_ok(), fine, "{mode:o}");
        }
    }

    #[test]
    fn a_rotation_keeps_the_old_secret_until_it_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let made = secret(1);
        made.create_file(&path).unwrap();
        let old = primaries(&path);
        assert!(matches!(ServerSecret::drop_previous(&path), Err(SecretError::NotRotating { .. })));

        ServerSecret::rotate(&path, &mut rand::rng()).unwrap();
        let both = primaries(&path);
        assert_eq!((both.len(), both[1]), (2, old[0]));
        let keys = ServerSecret::from_file(&path).unwrap().public_keys();
        assert_ne!(keys, made.public_keys());
        assert!(matches!(ServerSecret::rotate(&path, &mut rand::rng()), Err(SecretError::Rotating { .. })));
        assert_eq!(primaries(&path), both, "a refusal changes nothing");

        ServerSecret::drop_previous(&path).unwrap();
        assert_eq!(primaries(&path), both[..1]);
        assert_eq!(ServerSecret::from_file(&path).unwrap().public_keys(), keys, "nats.conf stays as it is");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[cfg(unix)]
    #[test]
    fn a_replaced_file_keeps_its_mode_and_its_link() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("secret"), dir.path().join("link"));
        secret(1).create_file(&path).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
        symlink(&path, &link).unwrap();
        ServerSecret::rotate(&link, &mut rand::rng()).unwrap();
        assert!(link.is_symlink());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o400);
        assert_eq!(primaries(&path).len(), 2);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_that_takes_no_file_leaves_the_secret_as_it_is() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        // Readable, and in a folder that nobody can write to, not even root.
        let target = Path::new("/proc/self/comm");
        symlink(target, &link).unwrap();
        let before = fs::read_to_string(&link).unwrap();
        assert!(matches!(secret(1).replace_file(&link), Err(SecretError::Replace { .. })));
        assert_eq!(fs::read_to_string(&link).unwrap(), before);
    }
}
