//! The seed in a file that a passphrase opens (age's scrypt recipient).

use std::{fmt, fs, io, path::PathBuf};

use age::{DecryptError, scrypt, secrecy::SecretString};
use kez_core::identity::SecretKey;
use zeroize::Zeroizing;

use super::{KeyStore, KeyStoreError, key_from};
use crate::new_file::write_new;

/// scrypt's cost as a power of two, with r = 8 and p = 1: 256 MiB and about a second. Fixed, because a file that a
/// fast machine made has to open on a small one.
const WORK_FACTOR: u8 = 18;
/// The highest cost that a file from elsewhere may ask for: 1 GiB.
const MAX_WORK_FACTOR: u8 = 20;

/// A passphrase: wiped on drop, never printed.
///
/// ```
/// use kez_chat_sdk::Passphrase;
///
/// assert_eq!(format!("{:?}", Passphrase::new("correct horse".into())), "Passphrase(redacted)");
/// ```
#[derive(Clone)]
pub struct Passphrase(SecretString);

impl Passphrase {
    /// Takes a passphrase.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(redacted)")
    }
}

/// A seed in an age file under a passphrase, for machines without protected storage. Mode 0600.
///
/// The file opens with the `age` tool too, which is a comfort in an emergency.
#[derive(Debug)]
pub struct PassphraseFile {
    path: PathBuf,
    passphrase: Passphrase,
}

impl PassphraseFile {
    /// Names the file and its passphrase; nothing is read or written yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, passphrase: Passphrase) -> Self {
        Self { path: path.into(), passphrase }
    }
}

impl KeyStore for PassphraseFile {
    fn load(&self) -> Result<Option<SecretKey>, KeyStoreError> {
        let sealed = match fs::read(&self.path) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unavailable(error)),
        };
        let mut identity = scrypt::Identity::new(self.passphrase.0.clone());
        identity.set_max_work_factor(MAX_WORK_FACTOR);
        let seed = age::decrypt(&identity, &sealed).map_err(|error| match error {
            DecryptError::DecryptionFailed | DecryptError::NoMatchingKeys | DecryptError::KeyDecryptionFailed => {
                KeyStoreError::WrongPassphrase
            }
            other => KeyStoreError::Damaged(other.to_string()),
        })?;
        key_from(&Zeroizing::new(seed)).map(Some)
    }

    fn save(&self, key: &SecretKey) -> Result<(), KeyStoreError> {
        let mut recipient = scrypt::Recipient::new(self.passphrase.0.clone());
        recipient.set_work_factor(WORK_FACTOR);
        let sealed = age::encrypt(&recipient, key.expose_seed()).map_err(unavailable)?;
        write_new(&self.path, &sealed).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyStoreError::Occupied,
            _ => unavailable(error),
        })
    }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> KeyStoreError {
    KeyStoreError::Unavailable(Box::new(error))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn file(dir: &Path, passphrase: &str) -> PassphraseFile {
        PassphraseFile::new(dir.join("seed.age"), Passphrase::new(passphrase.into()))
    }

    #[test]
    fn only_the_passphrase_opens_it() {
        let dir = tempfile::tempdir().unwrap();
        let key = SecretKey::from_seed([0xa7; 32]);
        let store = file(dir.path(), "correct horse");
        assert!(store.load().unwrap().is_none());
        store.save(&key).unwrap();
        assert_eq!(store.load().unwrap().unwrap().primary(), key.primary());
        assert!(matches!(file(dir.path(), "wrong").load(), Err(KeyStoreError::WrongPassphrase)));
        assert!(matches!(store.save(&SecretKey::from_seed([1; 32])), Err(KeyStoreError::Occupied)));

        let bytes = fs::read(dir.path().join("seed.age")).unwrap();
        assert!(!bytes.windows(8).any(|window| window == [0xa7; 8]), "the seed is not in plain text");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(dir.path().join("seed.age")).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(dir.path().join("seed.age"), &bytes[..bytes.len() / 2]).unwrap();
        assert!(matches!(store.load(), Err(KeyStoreError::Damaged(_) | KeyStoreError::WrongPassphrase)));
    }
}
