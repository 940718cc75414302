//! Where the seed is kept: in the operating system's protected storage, or encrypted under a passphrase.

#[cfg(feature = "keyring")]
mod os_keyring;
mod passphrase_file;

use kez_core::identity::SecretKey;
use thiserror::Error;

#[cfg(feature = "keyring")]
pub use os_keyring::OsKeyring;
pub use passphrase_file::{Passphrase, PassphraseFile};

/// Keeps one seed, never in plain text. Mobile applications bring their own (Keychain, Android Keystore).
///
/// Both calls may block; the SDK makes them off its async threads.
///
/// ```
/// use std::sync::Mutex;
/// use kez_chat_sdk::{KeyStore, KeyStoreError, identity::SecretKey};
///
/// /// A key that lasts as long as the process: for tests, and for bots that get it anew at each start.
/// #[derive(Default)]
/// struct InMemory(Mutex<Option<SecretKey>>);
///
/// impl KeyStore for InMemory {
///     fn load(&self) -> Result<Option<SecretKey>, KeyStoreError> {
///         let key = self.0.lock().map_err(|_| KeyStoreError::Unavailable("a thread panicked".into()))?;
///         Ok(key.clone())
///     }
///
///     fn save(&self, key: &SecretKey) -> Result<(), KeyStoreError> {
///         let mut kept = self.0.lock().map_err(|_| KeyStoreError::Unavailable("a thread panicked".into()))?;
///         if kept.is_some() {
///             return Err(KeyStoreError::Occupied);
///         }
///         *kept = Some(key.clone());
///         Ok(())
///     }
/// }
///
/// let store = InMemory::default();
/// assert!(store.load()?.is_none());
/// let key = SecretKey::from_seed([7; 32]);
/// store.save(&key)?;
/// assert_eq!(store.load()?.map(|kept| kept.primary()), Some(key.primary()));
/// assert!(matches!(store.save(&key), Err(KeyStoreError::Occupied)));
/// # Ok::<(), KeyStoreError>(())
/// ```
pub trait KeyStore: Send + Sync + 'static {
    /// Gives back the key, or `None` if none was saved.
    ///
    /// # Errors
    /// [`KeyStoreError`] if there may be a key, but it can't be had.
    fn load(&self) -> Result<Option<SecretKey>, KeyStoreError>;

    /// Saves the key durably. A key that is there already is never overwritten.
    ///
    /// # Errors
    /// [`KeyStoreError`] if it was not saved.
    fn save(&self, key: &SecretKey) -> Result<(), KeyStoreError>;
}

/// Says why a seed could not be loaded or saved.
///
/// ```
/// use kez_chat_sdk::KeyStoreError;
///
/// assert_eq!(KeyStoreError::WrongPassphrase.code(), "WrongPassphrase");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyStoreError {
    /// The passphrase does not open the file.
    #[error("the passphrase is wrong; try again")]
    WrongPassphrase,
    /// What is stored is no seed.
    #[error("the stored key is damaged ({0}); recover the account from its 24 words")]
    Damaged(String),
    /// There is a key already.
    #[error("there is a key already, and it is never overwritten; use another home")]
    Occupied,
    /// The storage refused.
    #[error("the key storage can't be used: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl KeyStoreError {
    /// Returns the error's stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongPassphrase => "WrongPassphrase",
            Self::Damaged(_) => "KeyDamaged",
            Self::Occupied => "KeyOccupied",
            Self::Unavailable(_) => "KeyStoreUnavailable",
        }
    }
}

/// Reads a stored seed.
fn key_from(bytes: &[u8]) -> Result<SecretKey, KeyStoreError> {
    let seed = bytes.try_into().map_err(|_| KeyStoreError::Damaged(format!("{} bytes instead of 32", bytes.len())))?;
    Ok(SecretKey::from_seed(seed))
}
