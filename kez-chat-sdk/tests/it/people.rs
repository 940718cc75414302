//! Accounts for tests: a folder each, a real key file, a real registration.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use kez_chat_sdk::{
    AccountError, BackedUpAccount, BegunAccount, Client, ClientBuilder, ConnectionState, Event, HomeUrl, KeyStore,
    KeyStoreError, NewAccount, OfflineCause, PendingEvent, Registered, Roots, handle::Handle, identity::SecretKey,
    mnemonic::Mnemonic, recover_account, recover_account_from, resolve_handle,
};
use kez_testbed::Testbed;
use tempfile::TempDir;

/// Long enough for a busy machine; nothing waits this long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A key store as an application would bring it. A passphrase file takes a second each time, on purpose.
#[derive(Default)]
pub(crate) struct HeldKey(Mutex<Option<SecretKey>>);

impl KeyStore for HeldKey {
    fn load(&self) -> Result<Option<SecretKey>, KeyStoreError> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn save(&self, key: &SecretKey) -> Result<(), KeyStoreError> {
        match self.0.lock().unwrap().replace(key.clone()) {
            None => Ok(()),
            Some(_) => Err(KeyStoreError::Occupied),
        }
    }
}

/// A person with a home directory. Dropping it removes the directory.
pub(crate) struct Person {
    pub(crate) folder: TempDir,
    key: Arc<HeldKey>,
}

impl Person {
    pub(crate) fn new() -> Self {
        Self::new_in(&std::env::temp_dir())
    }

    /// Makes one whose home directory is in a folder.
    pub(crate) fn new_in(folder: &Path) -> Self {
        Self { folder: tempfile::tempdir_in(folder).unwrap(), key: Arc::default() }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(crate) fn key_store(&self) -> Arc<dyn KeyStore> {
        self.key.clone()
    }

    /// Returns the key, once there is one.
    pub(crate) fn key(&self) -> SecretKey {
        self.key.load().unwrap().unwrap()
    }

    pub(crate) fn words_file(&self) -> PathBuf {
        self.folder.path().join("words.txt")
    }

    pub(crate) async fn begin(&self) -> BegunAccount {
        NewAccount::begin(self.home(), self.key_store()).await.unwrap()
    }

    /// Begins, where nothing was begun yet.
    pub(crate) async fn new_account(&self) -> NewAccount {
        match self.begin().await {
            BegunAccount::New(account) => account,
            BegunAccount::BackedUp(_) => panic!("it is backed up already"),
        }
    }

    /// Begins and makes a backup file, or goes on with what has one.
    pub(crate) async fn backed_up(&self) -> BackedUpAccount {
        self.begin().await.with_backup_file(&self.words_file()).await.unwrap()
    }

    /// Registers a name with a backup file, and opens the client.
    pub(crate) async fn register(&self, testbed: &Testbed, name: &str) -> Client {
        self.backed_up().await.register(&handle_at(testbed, name), |_| {}).await.unwrap();
        self.open().await
    }

    /// Gets somebody's account back on a device of its own, from the words that they wrote down.
    pub(crate) async fn recover(&self, testbed: &Testbed, lost: &Person) -> Result<Registered, AccountError> {
        let words = Mnemonic::parse(&std::fs::read_to_string(lost.words_file()).unwrap()).unwrap();
        let server = HomeUrl::parse(&testbed.home_url()).unwrap();
        recover_account(self.home(), self.key_store(), &words, &server, &Roots::system()).await
    }

    /// Gets somebody's account back on a device of its own, from the words that they wrote down and a backup.
    pub(crate) async fn recover_from(
        &self,
        testbed: &Testbed,
        lost: &Person,
        backup: &Path,
    ) -> Result<Registered, AccountError> {
        let words = Mnemonic::parse(&std::fs::read_to_string(lost.words_file()).unwrap()).unwrap();
        let server = HomeUrl::parse(&testbed.home_url()).unwrap();
        recover_account_from(self.home(), self.key_store(), &words, &server, &Roots::system(), backup).await
    }

    pub(crate) async fn open(&self) -> Client {
        self.builder().open().await.unwrap()
    }

    /// Prepares to open the client with other settings.
    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder(self.home(), self.key_store())
    }
}

pub(crate) fn handle_at(testbed: &Testbed, name: &str) -> Handle {
    resolve_handle(name, Some(&HomeUrl::parse(&testbed.home_url()).unwrap())).unwrap()
}

/// Registers two people who have added each other.
pub(crate) async fn two_friends(testbed: &Testbed) -> ((Person, Client), (Person, Client)) {
    let (alice, bob) = (Person::new(), Person::new());
    let (a, b) = tokio::join!(alice.register(testbed, "alice"), bob.register(testbed, "bob"));
    a.contacts().add("@bob").await.unwrap();
    b.contacts().add("@alice").await.unwrap();
    ((alice, a), (bob, b))
}

/// Waits for the next event and handles it.
pub(crate) async fn next(client: &Client) -> Event {
    let PendingEvent { id, event } = pending(client).await;
    client.handled(id).await.unwrap();
    event
}

pub(crate) async fn pending(client: &Client) -> PendingEvent {
    tokio::time::timeout(PATIENCE, client.next_event()).await.expect("an event in time").unwrap()
}

pub(crate) async fn until(client: &Client, wanted: impl Fn(&ConnectionState) -> bool) -> ConnectionState {
    let mut connection = client.connection();
    let state = tokio::time::timeout(PATIENCE, connection.until(wanted)).await;
    state.unwrap_or_else(|_| panic!("still {}", connection.current())).expect("the client was closed")
}

/// Waits until the client is offline for the reason with this code, and returns the reason.
pub(crate) async fn offline(client: &Client, code: &str) -> OfflineCause {
    let is_it =
        |state: &ConnectionState| matches!(state, ConnectionState::Offline { cause, .. } if cause.code() == code);
    match until(client, is_it).await {
        ConnectionState::Offline { cause, .. } => cause,
        other => panic!("{other}"),
    }
}

pub(crate) async fn online(client: &Client) {
    until(client, |state| *state == ConnectionState::Online).await;
}

#[track_caller]
pub(crate) fn text_of(event: &Event) -> &str {
    match event {
        Event::Message { text, .. } => text,
        other => panic!("a message was expected: {other:?}"),
    }
}
