//! Why a person could not be added, found or changed.

use kez_core::{
    contact_uri::UriError,
    handle::{Handle, HandleError},
    identity::PrimaryKey,
    sigchain::{ChainError, Head},
};
use thiserror::Error;

use super::Trouble;
use crate::{net::NetError, store::StoreError};

/// Says why a person could not be added, found or changed.
///
/// ```
/// use kez_chat_sdk::ContactError;
///
/// assert_eq!(ContactError::Yourself.code(), "Yourself");
/// assert_eq!(ContactError::Yourself.to_string(), "that is you; add somebody else");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ContactError {
    /// The input is no handle.
    #[error(transparent)]
    BadHandle(#[from] HandleError),
    /// The input is no contact URI.
    #[error(transparent)]
    BadUri(#[from] UriError),
    /// Their home knows no such handle.
    #[error("there is no {0}; check the spelling")]
    NoSuchHandle(Handle),
    /// The handle or the key is our own.
    #[error("that is you; add somebody else")]
    Yourself,
    /// Their sigchain server knows nothing of them yet.
    #[error("{0} has published nothing about themselves yet; try again when their registration is complete")]
    NoChain(String),
    /// Nobody of that name was added.
    #[error("{0} is not a contact; add them first")]
    NotAContact(String),
    /// The handle belongs to another key than before: somebody else may have taken their place.
    #[error(
        "{handle} now belongs to another key ({found}) than before ({pinned}); nothing more is sent to them: ask them on another way which key is theirs, and accept that one"
    )]
    KeyChanged {
        /// The handle.
        handle: Handle,
        /// The key that was pinned when they were added.
        pinned: Box<PrimaryKey>,
        /// The key that their home gives now.
        found: Box<PrimaryKey>,
    },
    /// The key that was to be accepted is not the one that the home gives.
    #[error(
        "their home gives the key {found} for {handle}, not the one that you name ({named}); nothing was changed: ask them again, on another way"
    )]
    NotTheirKey {
        /// The handle.
        handle: Handle,
        /// The key that was to be accepted.
        named: Box<PrimaryKey>,
        /// The key that their home gives now.
        found: Box<PrimaryKey>,
    },
    /// Their sigchain is not sound, or not the one that was seen before.
    #[error("the sigchain of {who} is not sound: {source}; nothing more is sent to them until this is cleared up")]
    Chain {
        /// The person.
        who: String,
        /// What is wrong.
        source: ChainError,
    },
    /// There are no two histories to choose from.
    #[error("the sigchain of {0} is not forked; there is no history to choose")]
    NotForked(String),
    /// The history that the server shows does not have the event that was named.
    #[error(
        "the sigchain that their server shows has no event {head}; nothing was changed: ask {who} again, on another way"
    )]
    OtherHistory {
        /// The person.
        who: String,
        /// The head that was named.
        head: Head,
    },
    /// Nobody in trouble can be marked as verified.
    #[error("{who} can't be marked as verified now: {trouble}")]
    InTrouble {
        /// The person.
        who: String,
        /// What is wrong.
        trouble: Box<Trouble>,
    },
    /// They have left for good.
    #[error("{0} has retired; there is nobody to verify any more")]
    Retired(String),
    /// The nickname can't be shown, or is too long.
    #[error("a nickname has 1 to 64 characters on one line, without spaces around; choose another one")]
    BadNickname,
    /// Another contact has the nickname.
    #[error("another contact is called {0} already; choose another nickname")]
    NicknameTaken(String),
    /// A server could not be asked.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The database can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ContactError {
    /// Returns the error's stable name.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::BadHandle(error) => error.code().as_str(),
            Self::BadUri(error) => error.code().as_str(),
            Self::NoSuchHandle(_) => "NoSuchHandle",
            Self::Yourself => "Yourself",
            Self::NoChain(_) => "NoChain",
            Self::NotAContact(_) => "NotAContact",
            Self::KeyChanged { .. } => "KeyChanged",
            Self::NotTheirKey { .. } => "NotTheirKey",
            Self::Chain { source, .. } => source.code().as_str(),
            Self::NotForked(_) => "NotForked",
            Self::OtherHistory { .. } => "OtherHistory",
            Self::InTrouble { .. } => "InTrouble",
            Self::Retired(_) => "Retired",
            Self::BadNickname => "BadNickname",
            Self::NicknameTaken(_) => "NicknameTaken",
            Self::Net(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}
