//! What an operator does to the registry of a server that may be running meanwhile.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let operator = kez_chat_server::operator::Operator::open("handles.db").await?;
//! let entry = operator.find("alice").await?;
//! operator.set_blocked(&entry.handle, true).await?;
//! # Ok(())
//! # }
//! ```

use std::path::PathBuf;

use kez_core::handle::{Handle, HandleError, Home, Policy};
use kez_core::identity::PrimaryKey;
use kez_service::database::{BackupError, OpenError};
use kez_service::process::WrongSetting;

use crate::clock::Clock;
use crate::registry::{Change, Registry};

pub use crate::registry::{Entry, RegistryError, Standing, StoredKey};

/// What can go wrong with an operator's command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// The registry's file can't be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The registry can't be read or written.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The copy was not made.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// What was named is no handle of this home, no name, or no key.
    #[error("the name can't be used")]
    WrongName(#[from] WrongSetting),
    /// Nobody is registered under it.
    #[error("nobody is registered as {0} here; `kez-chat-server handles list` shows who is")]
    Unknown(String),
    /// The person has retired; their handle is a tombstone for good.
    #[error("{0} has retired for good, which nothing changes")]
    Retired(Handle),
    /// The name is reserved by the protocol, so an operator can't release it.
    #[error("{0} is reserved at every home, which no operator changes")]
    BuiltIn(String),
    /// The name is not reserved.
    #[error("{0} is not reserved; `kez-chat-server handles list --reserved` shows which names are")]
    NotReserved(String),
}

/// Whether a command changed something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It is so now.
    Changed,
    /// It was so already.
    Unchanged,
}

/// How reserving a name ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Reserved {
    /// Whether it was free of reservations before.
    pub outcome: Outcome,
    /// Who has the name already, and keeps it.
    pub holder: Option<Handle>,
}

/// The registry in an operator's hands, beside the server that uses it.
#[derive(Clone, Debug)]
pub struct Operator {
    registry: Registry,
    home: Home,
}

impl Operator {
    /// Opens the registry that a server has made. The server may be running.
    ///
    /// # Errors
    /// If there is no such file, it is another program's or another version's, or no server has run on it.
    pub async fn open(db_path: impl Into<PathBuf>) -> Result<Self, OperatorError> {
        let registry = Registry::open_beside(db_path.into()).await?;
        let home = registry.home().await?;
        Ok(Self { registry, home })
    }

    /// Tells whose registry this is.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Reads a name of this home, bare or qualified.
    ///
    /// # Errors
    /// [`OperatorError::WrongName`] if it is none, or another home's.
    pub fn handle(&self, name: &str) -> Result<Handle, OperatorError> {
        let wrong = |why: &str| WrongSetting {
            name: "the handle",
            value: name.to_owned(),
            expected: format!("a handle of {home}, such as alice or alice@{home}{why}", home = self.home),
        };
        let handle = Handle::parse(name, Some(&self.home), Policy::Development)
            .map_err(|error: HandleError| wrong(&format!(" ({error})")))?;
        if *handle.home() == self.home { Ok(handle) } else { Err(wrong("").into()) }
    }

    /// Finds a registration by its handle, bare or qualified, or by its key as `ed25519:…` or as the nkey `U…` that
    /// the broker's log shows.
    ///
    /// # Errors
    /// If it is neither, or nobody is registered under it.
    pub async fn find(&self, handle_or_key: &str) -> Result<Entry, OperatorError> {
        let key = match PrimaryKey::from_nkey(handle_or_key) {
            Ok(key) => Some(key),
            // A handle holds no colon unless its home does, and then an @ before it.
            Err(_) if handle_or_key.starts_with("ed25519:") => {
                Some(handle_or_key.parse().map_err(|error| WrongSetting {
                    name: "the key",
                    value: handle_or_key.to_owned(),
                    expected: format!("ed25519: and 64 hex digits ({error})"),
                })?)
            }
            Err(_) => None,
        };
        let found = match key {
            Some(key) => self.registry.by_primary(&key).await?,
            None => self.registry.by_handle(&self.handle(handle_or_key)?).await?,
        };
        found.ok_or_else(|| OperatorError::Unknown(handle_or_key.to_owned()))
    }

    /// Returns up to `limit` registrations after the handle `after`, in the order of their handles; from the first one
    /// if there is none.
    ///
    /// # Errors
    /// If the registry can't be read.
    pub async fn list(&self, after: Option<&Handle>, limit: u32) -> Result<Vec<Entry>, OperatorError> {
        Ok(self.registry.list(after, limit).await?)
    }

    /// Shuts a person out, or lets them in again. Who is shut out is refused at their next login, and a server that runs
    /// ends the connections that they have.
    ///
    /// # Errors
    /// If nobody has the handle, or they have retired.
    pub async fn set_blocked(&self, handle: &Handle, blocked: bool) -> Result<Outcome, OperatorError> {
        outcome(handle, self.registry.set_blocked(handle, blocked, Clock::system().now_ms()).await?)
    }

    /// Takes a registration away: the handle is free for anybody, the key for another handle, and the inbox goes.
    ///
    /// # Errors
    /// If nobody has the handle, or they have retired.
    pub async fn remove(&self, handle: &Handle) -> Result<(), OperatorError> {
        outcome(handle, self.registry.remove(handle, Clock::system().now_ms()).await?).map(drop)
    }

    /// Keeps a name from being registered, from now on. Who has it already keeps it.
    ///
    /// # Errors
    /// If the name is reserved at every home anyway, or the registry can't be written.
    pub async fn reserve(&self, handle: &Handle) -> Result<Reserved, OperatorError> {
        not_built_in(handle)?;
        let outcome = match self.registry.reserve(handle.name(), Clock::system().now_ms()).await? {
            Change::Done => Outcome::Changed,
            _ => Outcome::Unchanged,
        };
        let holder = self.registry.by_handle(handle).await?.map(|entry| entry.handle);
        Ok(Reserved { outcome, holder })
    }

    /// Lets a name that [`reserve`](Self::reserve) kept be registered again.
    ///
    /// # Errors
    /// If the name was not reserved, or is so at every home.
    pub async fn release(&self, handle: &Handle) -> Result<(), OperatorError> {
        not_built_in(handle)?;
        match self.registry.release(handle.name()).await? {
            Change::Done => Ok(()),
            _ => Err(OperatorError::NotReserved(handle.name().to_owned())),
        }
    }

    /// Returns the names that the operator keeps, in order.
    ///
    /// # Errors
    /// If the registry can't be read.
    pub async fn reserved(&self) -> Result<Vec<String>, OperatorError> {
        Ok(self.registry.reserved().await?)
    }

    /// Writes a consistent copy of the registry to a new file, while a server goes on.
    ///
    /// # Errors
    /// If the file is there already or can't be written.
    pub async fn backup(&self, to: impl Into<PathBuf>) -> Result<(), OperatorError> {
        Ok(self.registry.backup(to.into()).await?)
    }

    /// Closes the file.
    pub async fn close(self) {
        self.registry.close().await;
    }
}

fn outcome(handle: &Handle, change: Change) -> Result<Outcome, OperatorError> {
    match change {
        Change::Done => Ok(Outcome::Changed),
        Change::Already => Ok(Outcome::Unchanged),
        Change::Unknown => Err(OperatorError::Unknown(handle.to_string())),
        Change::Retired => Err(OperatorError::Retired(handle.clone())),
    }
}

fn not_built_in(handle: &Handle) -> Result<(), OperatorError> {
    handle.check_free().map_err(|_| OperatorError::BuiltIn(handle.name().to_owned()))
}
