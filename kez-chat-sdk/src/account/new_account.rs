//! Making an account, step by step. Every step is durable: an interrupted attempt goes on where it was.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use kez_core::{
    handle::Handle,
    identity::{PrimaryKey, SecretKey},
    mnemonic::{Mnemonic, Quiz},
    sigchain::Op,
};

use super::{AccountError, backup, blocking, chain::OwnChain, load_key, new_install};
use crate::{
    clock::Clock,
    home_dir::HomeDir,
    key_store::KeyStore,
    net::{HomeClient, HomeUrl, Http, RegisterOutcome, Roots, SigchainClient, check_broker_url},
    store::{AccountRow, Store},
};

/// A step of registration that is done, for a person who watches.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistrationStep {
    /// The home server has given us the handle.
    HandleRegistered(Handle),
    /// Endpoints and handle are on the published sigchain.
    ChainPublished {
        /// The chain's full URL.
        sigchain_url: String,
    },
}

impl fmt::Display for RegistrationStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HandleRegistered(handle) => write!(f, "{handle} is registered"),
            Self::ChainPublished { sigchain_url } => write!(f, "your sigchain is published at {sigchain_url}"),
        }
    }
}

/// A complete account.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The account's key.
    pub primary: PrimaryKey,
    /// Its handle.
    pub handle: Handle,
    /// The full URL of its sigchain.
    pub sigchain_url: String,
}

/// An account in the making: there is a key, and it is kept.
///
/// It becomes an account only when its backup was confirmed, so that an application can't skip that by accident.
///
/// ```no_run
/// use std::{path::Path, sync::Arc};
/// use kez_chat_sdk::{HomeUrl, NewAccount, Passphrase, PassphraseFile, resolve_handle};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let key_store = PassphraseFile::new("bot/seed.age", Passphrase::new("correct horse".into()));
/// let mut account = NewAccount::begin("bot", Arc::new(key_store)).await?;
/// account.confirm_backup_file(Path::new("bot-backup.txt")).await?;
/// let handle = resolve_handle("bot-1", Some(&HomeUrl::parse("https://kez.lat")?))?;
/// let registered = account.register(&handle, |step| println!("{step}")).await?;
/// println!("{} is {}", registered.handle, registered.primary);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct NewAccount {
    key: SecretKey,
    store: Store,
    row: AccountRow,
    roots: Roots,
    /// Owned until the account is complete or given up.
    _home_dir: HomeDir,
}

impl NewAccount {
    /// Makes a key and keeps it, or finds the one of an interrupted attempt.
    ///
    /// # Errors
    /// [`AccountError`]; `AlreadyRegistered` if the account is complete.
    pub async fn begin(home_dir: impl Into<PathBuf>, key_store: Arc<dyn KeyStore>) -> Result<Self, AccountError> {
        let home_dir = HomeDir::own(home_dir.into())?;
        let key = match load_key(Arc::clone(&key_store)).await? {
            Some(key) => key,
            None => {
                let key = SecretKey::generate(&mut rand::rng());
                let kept = key.clone();
                blocking(move || key_store.save(&kept)).await?;
                key
            }
        };
        let store = Store::open(&home_dir.database(), &key).await?;
        let row = store.account(new_install(), Clock::system().now_ms()).await?;
        match &row.handle {
            Some(handle) if row.published => Err(AccountError::AlreadyRegistered { handle: handle.clone() }),
            _ => Ok(Self { key, store, row, roots: Roots::default(), _home_dir: home_dir }),
        }
    }

    /// Sets the certificate authorities that the home and its sigchain server may have their certificates from.
    pub fn set_roots(&mut self, roots: Roots) {
        self.roots = roots;
    }

    /// Returns the new key.
    #[must_use]
    pub fn primary(&self) -> PrimaryKey {
        self.key.primary()
    }

    /// Tells whether an earlier attempt has confirmed the backup.
    #[must_use]
    pub fn is_backed_up(&self) -> bool {
        self.row.backed_up
    }

    /// Returns the 24 words that are the key, to be shown once and written on paper.
    #[must_use]
    pub fn mnemonic(&self) -> Mnemonic {
        Mnemonic::of(&self.key)
    }

    /// Confirms the backup by the answers to a quiz on [the words](Self::mnemonic), in the order of its positions.
    ///
    /// # Errors
    /// [`AccountError::WrongWords`].
    pub async fn confirm_quiz(&mut self, quiz: &Quiz, answers: &[String]) -> Result<(), AccountError> {
        if quiz.positions().is_empty() || !quiz.is_about(&self.primary()) || !quiz.passes(answers) {
            return Err(AccountError::WrongWords);
        }
        self.set_backed_up().await
    }

    /// Confirms the backup by writing the words to a new file (mode 0600) and reading them back, where there is nobody
    /// to answer a quiz.
    ///
    /// # Errors
    /// [`AccountError::BackupFile`], also if there is another file of that name.
    pub async fn confirm_backup_file(&mut self, path: &Path) -> Result<(), AccountError> {
        backup::write_and_check(path, &self.key)
            .map_err(|source| AccountError::BackupFile { path: path.to_owned(), source })?;
        self.set_backed_up().await
    }

    async fn set_backed_up(&mut self) -> Result<(), AccountError> {
        self.store.set_backed_up().await?;
        self.row.backed_up = true;
        Ok(())
    }

    /// Registers the handle at its home and publishes endpoints and handle on the sigchain.
    ///
    /// It may be interrupted anywhere: [begin](Self::begin) again and it goes on. When it returns, the home directory is
    /// free for [`Client::open`](crate::Client::open).
    ///
    /// # Errors
    /// [`AccountError`]; `NotBackedUp` unless the backup was confirmed.
    pub async fn register(
        mut self,
        handle: &Handle,
        mut progress: impl FnMut(&RegistrationStep),
    ) -> Result<Registered, AccountError> {
        if !self.row.backed_up {
            return Err(AccountError::NotBackedUp);
        }
        let policy = HomeUrl::of(handle.home().clone()).policy();
        let http = Http::new(policy, &self.roots);
        let home = HomeClient::new(handle.home(), http.clone());
        // Its answer is checked to be of the home that was asked for before anything is signed.
        let info = home.info().await?;
        self.register_handle(&home, handle).await?;
        progress(&RegistrationStep::HandleRegistered(handle.clone()));

        let primary = self.key.primary();
        let url = info.nats.urls.first().cloned().unwrap_or_default();
        check_broker_url(&url, policy).await?;
        let server = SigchainClient::new(http, &info.sigchain_url);
        let stored = self.store.chain(primary, policy).await?;
        let mut chain = OwnChain::sync(&self.key, &self.store, server, stored).await?;
        let nats = Op::AddNatsEndpoint { home: handle.home().clone(), url: url.clone() };
        chain
            .ensure(nats, |chain| {
                chain.state().nats().is_some_and(|nats| nats.home == *handle.home() && nats.url == url)
            })
            .await?;
        let install = self.row.install;
        let iroh = Op::AddIrohEndpoint { install, relay_url: None };
        chain.ensure(iroh, |chain| chain.state().iroh().is_some_and(|iroh| iroh.install == install)).await?;
        chain.ensure(Op::SetHandle(Some(handle.clone())), |chain| chain.state().handle() == Some(handle)).await?;
        self.store.set_published(&info.sigchain_url).await?;

        let sigchain_url = SigchainClient::chain_url(&info.sigchain_url, &primary);
        progress(&RegistrationStep::ChainPublished { sigchain_url: sigchain_url.clone() });
        Ok(Registered { primary, handle: handle.clone(), sigchain_url })
    }

    async fn register_handle(&mut self, home: &HomeClient, handle: &Handle) -> Result<(), AccountError> {
        match &self.row.handle {
            Some(registered) if registered == handle => return Ok(()),
            Some(registered) => return Err(AccountError::RegisteredAs { handle: registered.clone() }),
            None => {}
        }
        match home.register(&self.key, handle).await? {
            RegisterOutcome::Ours => {}
            RegisterOutcome::OursIs(registered) => {
                self.store.set_registered(&registered).await?;
                self.row.handle = Some(registered.clone());
                return Err(AccountError::RegisteredAs { handle: registered });
            }
            RegisterOutcome::Taken => return Err(AccountError::HandleTaken { handle: handle.clone() }),
            RegisterOutcome::Reserved => return Err(AccountError::ReservedHandle { handle: handle.clone() }),
        }
        self.store.set_registered(handle).await?;
        self.row.handle = Some(handle.clone());
        Ok(())
    }
}
