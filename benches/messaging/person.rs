//! An account in a folder: registered like anybody's, with the key in a plain file beside it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use kez_chat_sdk::{HomeUrl, KeyStore, KeyStoreError, NewAccount, handle::Handle, identity::SecretKey, resolve_handle};

pub(crate) struct Person {
    folder: PathBuf,
    pub(crate) key: SecretKey,
    pub(crate) handle: Handle,
}

impl Person {
    /// Finds the account that is kept in a folder, or registers it.
    pub(crate) async fn find_or_register(folder: &Path, name: &str, home_url: &str) -> Self {
        let folder = folder.to_owned();
        let key_store = Arc::new(KeyFile(folder.join("key")));
        let handle = resolve_handle(name, Some(&HomeUrl::parse(home_url).unwrap())).unwrap();
        if !folder.exists() {
            fs::create_dir(&folder).unwrap();
            let begun = NewAccount::begin(folder.join("home"), key_store.clone()).await.unwrap();
            let account = begun.with_backup_file(&folder.join("words")).await.unwrap();
            account.register(&handle, |_| {}).await.unwrap();
        }
        let key = key_store.load().unwrap().unwrap();
        Self { folder, key, handle }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    pub(crate) fn key_store(&self) -> Arc<dyn KeyStore> {
        Arc::new(KeyFile(self.folder.join("key")))
    }
}

/// A key that is at hand at once. A passphrase file takes a second, on purpose.
struct KeyFile(PathBuf);

impl KeyStore for KeyFile {
    fn load(&self) -> Result<Option<SecretKey>, KeyStoreError> {
        Ok(fs::read(&self.0).ok().map(|seed| SecretKey::from_seed(seed.try_into().unwrap())))
    }

    fn save(&self, key: &SecretKey) -> Result<(), KeyStoreError> {
        fs::write(&self.0, key.expose_seed()).map_err(|error| KeyStoreError::Unavailable(Box::new(error)))
    }
}
