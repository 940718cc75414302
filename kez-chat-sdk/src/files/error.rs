//! Why a file could not be shared, fetched or shown.

use std::error::Error as StdError;

use kez_core::{
    manifest::{EntryId, ManifestError},
    payload::PayloadError,
};
use thiserror::Error;

use super::TransferError;
use crate::{
    account::AccountError,
    contacts::ContactError,
    conversation::SendError,
    event::{Peer, ShareId},
    store::StoreError,
};

/// Says why a file could not be shared or fetched.
///
/// ```
/// use kez_chat_sdk::{FilesError, ShareId};
///
/// assert_eq!(FilesError::NoSuchOffer(ShareId::new(3)).code(), "NoSuchOffer");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FilesError {
    /// There is no such offer.
    #[error("there is no offer {0}; list the offers that there are")]
    NoSuchOffer(ShareId),
    /// The sender can't be reached now.
    #[error("{peer} is away and can't be reached now; fetch it when they are back online")]
    Waiting {
        /// Who has the file.
        peer: Box<Peer>,
        /// What happened.
        source: TransferError,
    },
    /// Nothing of that name is published.
    #[error("there is no published entry {0} for you; list what there is")]
    NoSuchEntry(EntryId),
    /// What was shared can't be published: nobody was offered it, or the offer was deleted.
    #[error("there is no such share any more; publish the file itself")]
    NothingShared,
    /// What somebody publishes was not looked at yet.
    #[error("what {peer} publishes is not known here; look at it first")]
    NotBrowsed {
        /// Whose it is.
        peer: Box<Peer>,
    },
    /// What somebody publishes is malformed, or not what their sigchain says.
    #[error("what {peer} publishes can't be shown: {source}; ask them to publish it again")]
    BadManifest {
        /// Whose it is.
        peer: Box<Peer>,
        /// What is wrong.
        source: ManifestError,
    },
    /// What somebody publishes as a thumbnail is none.
    #[error("the thumbnail that {peer} publishes can't be shown: {source}; the file itself may be sound")]
    BadThumbnail {
        /// Whose it is.
        peer: Box<Peer>,
        /// What is wrong.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// It can't be published.
    #[error("that can't be published: {0}; publish less, or for fewer people")]
    Unpublishable(#[from] ManifestError),
    /// The person can't be looked at.
    #[error(transparent)]
    Contact(#[from] ContactError),
    /// Our own sigchain can't be written on.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The file's name can't be shared.
    #[error(transparent)]
    BadName(#[from] PayloadError),
    /// The announcement could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The transfer failed.
    #[error(transparent)]
    Transfer(TransferError),
    /// The database can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FilesError {
    /// Returns the error's stable name.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::NoSuchOffer(_) => "NoSuchOffer",
            Self::Waiting { .. } => "Waiting",
            Self::NoSuchEntry(_) => "NoSuchEntry",
            Self::NothingShared => "NothingShared",
            Self::NotBrowsed { .. } => "NotBrowsed",
            Self::BadManifest { source, .. } => source.code().as_str(),
            Self::BadThumbnail { .. } => "BadThumbnail",
            Self::Unpublishable(error) => error.code().as_str(),
            Self::Contact(error) => error.code(),
            Self::Account(error) => error.code(),
            Self::BadName(error) => error.code().as_str(),
            Self::Send(error) => error.code(),
            Self::Transfer(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

impl From<TransferError> for FilesError {
    fn from(error: TransferError) -> Self {
        Self::Transfer(error)
    }
}
