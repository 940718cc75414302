//! The seed in the operating system's protected storage.

use keyring::v1::{Entry, Error};
use kez_core::identity::SecretKey;
use zeroize::Zeroizing;

use super::{KeyStore, KeyStoreError, key_from};

const SERVICE: &str = "kez-chat";

/// A seed in Keychain (macOS, iOS), Credential Manager (Windows) or a Secret Service (Linux).
///
/// ```
/// use kez_chat_sdk::{KeyStore, OsKeyring};
///
/// fn choose(name: &str) -> Option<Box<dyn KeyStore>> {
///     // On a machine without one: a `PassphraseFile`.
///     OsKeyring::is_available().then(|| Box::new(OsKeyring::new(name)) as Box<dyn KeyStore>)
/// }
/// # let _ = choose("alice");
/// ```
#[derive(Debug)]
pub struct OsKeyring {
    entry_name: String,
}

impl OsKeyring {
    /// Names the entry; accounts on one machine need a name each.
    #[must_use]
    pub fn new(entry_name: &str) -> Self {
        Self { entry_name: entry_name.to_owned() }
    }

    /// Tells whether there is a protected storage to speak to.
    #[must_use]
    pub fn is_available() -> bool {
        Entry::new(SERVICE, "availability").is_ok() && Entry::store_status().is_ok()
    }

    fn entry(&self) -> Result<Entry, KeyStoreError> {
        Entry::new(SERVICE, &self.entry_name).map_err(unavailable)
    }
}

impl KeyStore for OsKeyring {
    fn load(&self) -> Result<Option<SecretKey>, KeyStoreError> {
        match self.entry()?.get_secret() {
            Ok(seed) => key_from(&Zeroizing::new(seed)).map(Some),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    fn save(&self, key: &SecretKey) -> Result<(), KeyStoreError> {
        if self.load()?.is_some() {
            return Err(KeyStoreError::Occupied);
        }
        self.entry()?.set_secret(key.expose_seed()).map_err(unavailable)
    }
}

fn unavailable(error: Error) -> KeyStoreError {
    KeyStoreError::Unavailable(Box::new(error))
}
