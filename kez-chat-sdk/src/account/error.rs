//! What can go wrong on the way to an account.

use std::{io, path::PathBuf};

use kez_core::{
    handle::{Handle, HandleError},
    identity::PrimaryKey,
    sigchain::ChainError,
};
use thiserror::Error;

use crate::{backup::BackupError, home_dir::HomeDirError, key_store::KeyStoreError, net::NetError, store::StoreError};

/// Says why an account could not be made or completed. A later attempt goes on where this one stopped.
///
/// ```
/// use kez_chat_sdk::{HomeUrl, resolve_handle};
///
/// let server = HomeUrl::parse("kez.lat")?;
/// let error = resolve_handle("alice@other.example", Some(&server)).unwrap_err();
/// assert_eq!(error.code(), "TwoHomes");
/// # Ok::<(), kez_chat_sdk::HomeUrlError>(())
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AccountError {
    /// The home directory holds a complete account.
    #[error("this home already holds the account {handle}; use another home for another account")]
    AlreadyRegistered {
        /// The account's handle.
        handle: Handle,
    },
    /// An earlier attempt got as far as another handle.
    #[error("this home has already registered {handle}; go on with that handle, or use another home")]
    RegisteredAs {
        /// The handle that the home server has registered for this key.
        handle: Handle,
    },
    /// An answer is not the word at its place.
    #[error("those are not the words; look at what you wrote down and try again")]
    WrongWords,
    /// The backup file could not be written or does not read back.
    #[error("the backup file {} was not written: {source}; name a new file in a folder that exists", path.display())]
    BackupFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The input is no handle.
    #[error(transparent)]
    BadHandle(#[from] HandleError),
    /// Handle and server name two homes.
    #[error("{handle} does not live at {server}; give only one of the two, or make them agree")]
    TwoHomes {
        /// The handle.
        handle: Handle,
        /// The server's home.
        server: String,
    },
    /// Somebody else has the handle, or this key has another one.
    #[error("{handle} is taken; choose another name")]
    HandleTaken {
        /// The handle.
        handle: Handle,
    },
    /// The home gives the handle to nobody.
    #[error("{handle} is reserved; choose another name")]
    ReservedHandle {
        /// The handle.
        handle: Handle,
    },
    /// The home server knows no account of this key.
    #[error("nobody is registered with {primary} at {server}; check the words and the home, or register")]
    NobodyHere {
        /// The key that the words give.
        primary: Box<PrimaryKey>,
        /// The home server.
        server: String,
    },
    /// The key's account has left for good.
    #[error(
        "the account of {primary} has left that home for good and does not come back; recover it where it moved to, or register a new one in another home"
    )]
    Retired {
        /// The key.
        primary: Box<PrimaryKey>,
    },
    /// Home and sigchain name different handles for the key.
    #[error(
        "the home says that this key is {home}, its sigchain says {chain}; recover at the home where the account is, or ask its operator"
    )]
    OtherHandle {
        /// What the home says.
        home: Handle,
        /// What the person last said on the sigchain.
        chain: Handle,
    },
    /// The sigchain server shows less than the home has seen.
    #[error(
        "the sigchain server shows an older history of this key than its home knows of; nothing was signed: try again later, or ask the operator"
    )]
    ChainBehind,
    /// A later installation has the account.
    #[error("this account was signed in elsewhere; go on there, or recover it from its words into another home")]
    SignedInElsewhere,
    /// The account can't move there.
    #[error("the account can't move to {to}: {why}")]
    CantMove {
        /// The handle that it was to have.
        to: Handle,
        /// The rule that stands against it.
        why: &'static str,
    },
    /// The account is moving, and that is not done yet.
    #[error(
        "the account is moving to {to} already, which goes on by itself; let it end first, or move there again to wait for it"
    )]
    Moving {
        /// The handle that it will have.
        to: Handle,
    },
    /// What waits at the home that the account moves away from can't be fetched.
    #[error(
        "what waits for you at {home} can't be fetched now ({detail}), so the move is not done; it goes on by itself, or move without the old home and lose what waits there"
    )]
    OldHomeAway {
        /// The home.
        home: String,
        /// What happened.
        detail: String,
    },
    /// The account has moved to another home than this client is at.
    #[error("the account has moved to another home; close this client and open the account anew")]
    Moved,
    /// The sigchain server has another history than this device.
    #[error(
        "the sigchain server has another event of this key in that place; try again, or go on where else you use the key"
    )]
    ChainConflict,
    /// The key's own chain is not sound.
    #[error("the published sigchain of this key is not sound: {0}; ask the operator of the sigchain server")]
    Chain(#[from] ChainError),
    /// The backup can't be restored.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The home directory can't be used.
    #[error(transparent)]
    HomeDir(#[from] HomeDirError),
    /// The key can't be had or kept.
    #[error(transparent)]
    KeyStore(#[from] KeyStoreError),
    /// A server could not be asked.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The database can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AccountError {
    /// Returns the error's stable name.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::AlreadyRegistered { .. } => "AlreadyRegistered",
            Self::RegisteredAs { .. } => "RegisteredAs",
            Self::WrongWords => "WrongWords",
            Self::BackupFile { .. } => "BackupFile",
            Self::BadHandle(error) => error.code().as_str(),
            Self::TwoHomes { .. } => "TwoHomes",
            Self::HandleTaken { .. } => "HandleTaken",
            Self::ReservedHandle { .. } => "ReservedHandle",
            Self::NobodyHere { .. } => "NobodyHere",
            Self::Retired { .. } => "Retired",
            Self::OtherHandle { .. } => "OtherHandle",
            Self::ChainBehind => "ChainBehind",
            Self::SignedInElsewhere => "SignedInElsewhere",
            Self::CantMove { .. } => "CantMove",
            Self::Moving { .. } => "Moving",
            Self::OldHomeAway { .. } => "OldHomeAway",
            Self::Moved => "Moved",
            Self::ChainConflict => "ChainConflict",
            Self::Chain(error) => error.code().as_str(),
            Self::Backup(error) => error.code(),
            Self::HomeDir(error) => error.code(),
            Self::KeyStore(error) => error.code(),
            Self::Net(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}
