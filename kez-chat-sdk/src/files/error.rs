//! Why a file could not be shared, fetched or shown.

use std::{error::Error as StdError, path::PathBuf, sync::Arc};

use kez_core::{
    manifest::{EntryId, ManifestError},
    payload::PayloadError,
};
use thiserror::Error;

use super::{OwnShareId, TransferError};
use crate::{
    account::AccountError,
    contacts::ContactError,
    conversation::SendError,
    event::{DownloadId, Peer, ShareId},
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
    /// The offer has no such file.
    #[error("there is no file {0} in the offer; they are counted from 0")]
    NoSuchFile(usize),
    /// There is no such download.
    #[error("there is no download {0}; list the downloads that there are")]
    NoSuchDownload(DownloadId),
    /// The sender can't be reached now. The download goes on by itself when they are back.
    #[error("{peer} is away and can't be reached now; will download when they are back online")]
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
    /// The name of a file can't be shared.
    #[error("{} can't be shared under its name: {source}; rename it", path.display())]
    BadName {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: PayloadError,
    },
    /// There is nothing in the folder that can be shared.
    #[error("there is no file in {}, so there is nothing to share", path.display())]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// There are more files in the folder than a share can have.
    #[error("there are more than {max} files in {}; share its parts", path.display())]
    TooManyFiles {
        /// The folder.
        path: PathBuf,
        /// How many there may be.
        max: usize,
    },
    /// Nobody was named who may fetch it.
    #[error("name at least one contact to share with")]
    NoReaders,
    /// We hold nothing ready under this number, or not for this reader.
    #[error("you share nothing under number {0} with them; list what you share")]
    NoSuchShare(OwnShareId),
    /// Files would take more than they may on this device.
    #[error(
        "{needed_bytes} bytes more are needed, and {used_bytes} of the {quota_bytes} that files may take are in use; end shares, fetch or give up what was begun, or raise the limit"
    )]
    QuotaExceeded {
        /// How many bytes are needed.
        needed_bytes: u64,
        /// How many are in use.
        used_bytes: u64,
        /// How many there may be.
        quota_bytes: u64,
    },
    /// The download was cancelled, or its offer is gone, or its sender a contact no more.
    #[error("the download was cancelled, or what was offered is gone; fetch it again if it is still offered")]
    Cancelled,
    /// What stands for a folder is no list of files.
    #[error("the list of the files in {path:?} is not sound: {source}; ask for it again")]
    BadFolderList {
        /// The folder's path.
        path: String,
        /// What is wrong with it.
        source: PayloadError,
    },
    /// Several wait for one download, and it ended so for all of them.
    #[error(transparent)]
    Joined(Arc<FilesError>),
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
            Self::NoSuchFile(_) => "NoSuchFile",
            Self::NoSuchDownload(_) => "NoSuchDownload",
            Self::Waiting { .. } => "Waiting",
            Self::NoSuchEntry(_) => "NoSuchEntry",
            Self::NothingShared => "NothingShared",
            Self::NotBrowsed { .. } => "NotBrowsed",
            Self::BadManifest { source, .. } => source.code().as_str(),
            Self::BadThumbnail { .. } => "BadThumbnail",
            Self::Unpublishable(error) => error.code().as_str(),
            Self::Contact(error) => error.code(),
            Self::Account(error) => error.code(),
            Self::BadName { source, .. } => source.code().as_str(),
            Self::EmptyFolder { .. } => "EmptyFolder",
            Self::TooManyFiles { .. } => "TooManyFiles",
            Self::NoReaders => "NoReaders",
            Self::NoSuchShare(_) => "NoSuchShare",
            Self::QuotaExceeded { .. } => "QuotaExceeded",
            Self::Cancelled => "Cancelled",
            Self::BadFolderList { .. } => "BadFolderList",
            Self::Joined(error) => error.code(),
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
