//! A new key, and its backup: without one there is no way on to an account.

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use kez_core::{
    identity::{PrimaryKey, SecretKey},
    mnemonic::{Mnemonic, Quiz},
};

use super::{AccountError, backup, blocking, load_key, new_install};
use crate::{
    home_dir::HomeDir,
    key_store::KeyStore,
    net::Roots,
    store::{AccountRow, Store},
};

/// A key that is kept, and how far the way to an account has come.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) key: SecretKey,
    pub(super) store: Store,
    pub(super) row: AccountRow,
    pub(super) roots: Roots,
    /// Owned until the account is complete or given up.
    _home_dir: HomeDir,
}

impl Draft {
    /// Opens what was begun in a home directory, or begins.
    pub(super) async fn open(home_dir: HomeDir, key: SecretKey) -> Result<Box<Self>, AccountError> {
        let store = Store::open(&home_dir.database(), &key).await?;
        let row = store.begin_account(new_install()).await?;
        match row.handle {
            Some(handle) if row.published => Err(AccountError::AlreadyRegistered { handle }),
            _ => Ok(Box::new(Self { key, store, row, roots: Roots::system(), _home_dir: home_dir })),
        }
    }
}

/// What [`NewAccount::begin`] has found or made.
#[derive(Debug)]
pub enum BegunAccount {
    /// A key without a backup.
    New(NewAccount),
    /// An interrupted attempt, whose backup was confirmed.
    BackedUp(BackedUpAccount),
}

impl BegunAccount {
    /// [Confirms the backup by a file](NewAccount::confirm_backup_file), unless an earlier attempt has confirmed it.
    ///
    /// # Errors
    /// As [`NewAccount::confirm_backup_file`].
    pub async fn with_backup_file(self, path: &Path) -> Result<BackedUpAccount, Unconfirmed> {
        match self {
            Self::New(account) => account.confirm_backup_file(path).await,
            Self::BackedUp(account) => Ok(account),
        }
    }
}

/// An account in the making: there is a key, and it is kept.
///
/// It can only become an account by way of a [`BackedUpAccount`], which has what registers: no application can skip the
/// backup by accident.
///
/// ```
/// use std::{path::Path, sync::Arc};
/// use kez_chat_sdk::{HomeUrl, NewAccount, Passphrase, PassphraseFile, resolve_handle};
///
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stage = Stage::set().await;
/// # let home_url = stage.home_url();
/// let key_store = PassphraseFile::new("bot/seed.age", Passphrase::new("correct horse".into()));
/// let begun = NewAccount::begin("bot", Arc::new(key_store)).await?;
/// let account = begun.with_backup_file(Path::new("bot-backup.txt")).await?;
/// // Such as https://kez.lat
/// let handle = resolve_handle("bot-1", Some(&HomeUrl::parse(&home_url)?))?;
/// let registered = account.register(&handle, |step| println!("{step}")).await?;
/// println!("{} is {}", registered.handle, registered.primary);
/// # stage.strike().await;
/// # Ok(())
/// # }
/// ```
///
/// What is not backed up can't be registered:
///
/// ```compile_fail,E0599
/// # async fn run(account: kez_chat_sdk::NewAccount, handle: kez_chat_sdk::handle::Handle) {
/// account.register(&handle, |_| {}).await;
/// # }
/// ```
#[derive(Debug)]
pub struct NewAccount(Box<Draft>);

/// An account in the making whose words are on paper or in a file. All that is left is to
/// [register](BackedUpAccount::register) it.
#[derive(Debug)]
pub struct BackedUpAccount(pub(super) Box<Draft>);

impl NewAccount {
    /// Makes a key and keeps it, or finds the one of an interrupted attempt.
    ///
    /// # Errors
    /// [`AccountError`]; `AlreadyRegistered` if the account is complete.
    pub async fn begin(
        home_dir: impl Into<PathBuf>,
        key_store: Arc<dyn KeyStore>,
    ) -> Result<BegunAccount, AccountError> {
        let home_dir = HomeDir::own(home_dir.into())?;
        let key = match load_key(Arc::clone(&key_store)).await? {
            Some(key) => key,
            None => {
                let key = SecretKey::generate(&mut rand::rng());
                save_key(key_store, &key).await?;
                key
            }
        };
        let draft = Draft::open(home_dir, key).await?;
        Ok(if draft.row.backed_up {
            BegunAccount::BackedUp(BackedUpAccount(draft))
        } else {
            BegunAccount::New(Self(draft))
        })
    }

    /// Returns the new key.
    #[must_use]
    pub fn primary(&self) -> PrimaryKey {
        self.0.key.primary()
    }

    /// Returns the 24 words that are the key, to be shown once and written on paper.
    #[must_use]
    pub fn mnemonic(&self) -> Mnemonic {
        Mnemonic::of(&self.0.key)
    }

    /// Confirms the backup by the answers to a quiz on [the words](Self::mnemonic), in the order of its positions.
    ///
    /// # Errors
    /// [`Unconfirmed`] with `WrongWords`: it holds the account, for another try.
    pub async fn confirm_quiz(self, quiz: &Quiz, answers: &[String]) -> Result<BackedUpAccount, Unconfirmed> {
        if quiz.positions().is_empty() || !quiz.is_about(&self.primary()) || !quiz.passes(answers) {
            return Err(Unconfirmed { account: self, error: AccountError::WrongWords });
        }
        self.backed_up().await
    }

    /// Confirms the backup by writing the words to a new file (mode 0600) and reading them back, where there is nobody
    /// to answer a quiz.
    ///
    /// # Errors
    /// [`Unconfirmed`] with `BackupFile`, also if there is another file of that name; it holds the account, for another
    /// try.
    pub async fn confirm_backup_file(self, path: &Path) -> Result<BackedUpAccount, Unconfirmed> {
        match backup::write_and_check(path, &self.0.key) {
            Ok(()) => self.backed_up().await,
            Err(error) => Err(Unconfirmed { account: self, error }),
        }
    }

    async fn backed_up(self) -> Result<BackedUpAccount, Unconfirmed> {
        match self.0.store.set_backed_up().await {
            Ok(()) => Ok(BackedUpAccount(self.0)),
            Err(error) => Err(Unconfirmed { account: self, error: error.into() }),
        }
    }
}

impl BackedUpAccount {
    /// Returns the new key.
    #[must_use]
    pub fn primary(&self) -> PrimaryKey {
        self.0.key.primary()
    }

    /// Sets the certificate authorities that the home and its sigchain server may have their certificates from.
    #[must_use]
    pub fn with_roots(mut self, roots: Roots) -> Self {
        self.0.roots = roots;
        self
    }

    /// Writes the words to a further new file (mode 0600) and reads them back.
    ///
    /// # Errors
    /// [`AccountError::BackupFile`], also if there is another file of that name.
    pub fn write_backup_file(&self, path: &Path) -> Result<(), AccountError> {
        backup::write_and_check(path, &self.0.key)
    }
}

/// Says why a backup was not confirmed, and gives the account back for another try.
#[derive(Debug)]
pub struct Unconfirmed {
    /// The account as it was.
    pub account: NewAccount,
    /// What was wrong.
    pub error: AccountError,
}

impl fmt::Display for Unconfirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Unconfirmed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// Gives the account up: [begin](NewAccount::begin) again to go on.
impl From<Unconfirmed> for AccountError {
    fn from(unconfirmed: Unconfirmed) -> Self {
        unconfirmed.error
    }
}

/// Saves the key off the async threads.
pub(super) async fn save_key(key_store: Arc<dyn KeyStore>, key: &SecretKey) -> Result<(), AccountError> {
    let key = key.clone();
    Ok(blocking(move || key_store.save(&key)).await?)
}
