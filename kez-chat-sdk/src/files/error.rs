//! Why a file could not be shared, fetched or shown.

use kez_core::payload::PayloadError;
use thiserror::Error;

use super::TransferError;
use crate::{
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
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSuchOffer(_) => "NoSuchOffer",
            Self::Waiting { .. } => "Waiting",
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
