//! What can go wrong with a file transfer.

use std::{error::Error as StdError, io, path::PathBuf};

use kez_core::{filecrypt::FileError, identity::PrimaryKey};
use thiserror::Error;

type Cause = Box<dyn StdError + Send + Sync>;

/// Says what went wrong with a file, on whose side, and what to do about it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The store could not be opened.
    #[error("the file store in {} does not open: {source}; close what else uses it, or check the disk", dir.display())]
    StoreUnavailable {
        /// The store's folder.
        dir: PathBuf,
        /// What was wrong.
        source: Cause,
    },
    /// A relay's URL can't be used.
    #[error("{url:?} is no relay's https:// URL; correct the settings")]
    BadRelay {
        /// The URL.
        url: String,
    },
    /// No socket could be opened.
    #[error("no network socket opens for file transfers: {source}; check the network's permissions and try again")]
    NoSocket {
        /// What was wrong.
        source: Cause,
    },
    /// The open store failed.
    #[error("the file store failed: {source}; check that the disk has room and try again")]
    Store {
        /// What was wrong.
        source: Cause,
    },
    /// What the store holds of a fetched file is no longer what came.
    #[error(
        "what came of {path:?} is damaged on this disk ({source}); it is removed within minutes, fetch it again then"
    )]
    Damaged {
        /// The path under which it was shared.
        path: String,
        /// What was wrong.
        source: Cause,
    },
    /// The file to share could not be read.
    #[error("{} can't be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is to be shared is no file.
    #[error("{} is not a file; name a file", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// The file changed while it was read.
    #[error("{} changed while it was being shared; share it again when nothing writes to it", path.display())]
    FileChanged {
        /// The file.
        path: PathBuf,
    },
    /// The file can't be sealed.
    #[error("{} can't be shared: {source}", path.display())]
    Unsealable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// The peer did not answer at any of their addresses.
    #[error("{peer} can't be reached ({source}); try again when they are online")]
    Unreachable {
        /// Who has the file.
        peer: Box<PrimaryKey>,
        /// What was wrong.
        source: Cause,
    },
    /// The peer does not share this file with us, or no longer.
    #[error("{peer} does not share this file with you, or no longer; ask them to share it again")]
    NotPermitted {
        /// Who has the file.
        peer: Box<PrimaryKey>,
    },
    /// The peer no longer has the file.
    #[error("{peer} no longer has this file; ask them to share it again")]
    Gone {
        /// Who had the file.
        peer: Box<PrimaryKey>,
    },
    /// The peer's copy is damaged, or they send something else.
    #[error("{peer} can't deliver this file, their copy is damaged ({source}); ask them to share it again")]
    PeerFault {
        /// Who has the file.
        peer: Box<PrimaryKey>,
        /// What was wrong.
        source: Cause,
    },
    /// The connection broke. What came is kept.
    #[error("the transfer from {peer} broke off ({source}); fetch again to go on from where it was")]
    Interrupted {
        /// Who has the file.
        peer: Box<PrimaryKey>,
        /// What was wrong.
        source: Cause,
    },
    /// The file is not what its sender announced.
    #[error("{path:?} is not the file that was announced: {source}; nothing was saved, ask for it again")]
    BadContent {
        /// The path under which it was shared.
        path: String,
        /// What was wrong.
        source: FileError,
    },
    /// The peer's blob is longer than one of its kind may be.
    #[error("what {peer} publishes is {found} bytes long, above the {max_len} that it may have; it was not fetched")]
    TooLong {
        /// Whose it is.
        peer: Box<PrimaryKey>,
        /// Its length.
        found: u64,
        /// The most that it may have.
        max_len: u64,
    },
    /// There is something at the file's place.
    #[error("{} exists already and is not overwritten; move it away or choose another folder", path.display())]
    AlreadyExists {
        /// The place.
        path: PathBuf,
    },
    /// What stands where a folder should be is none.
    #[error("{} is a link or no folder, so nothing is saved below it; choose another folder", path.display())]
    NotAFolder {
        /// What stands there.
        path: PathBuf,
    },
    /// The file could not be written.
    #[error("{} can't be written: {source}; check the folder's permissions and the disk's room", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl NodeError {
    pub(super) fn store(source: impl StdError + Send + Sync + 'static) -> Self {
        Self::Store { source: Box::new(source) }
    }

    /// Tells whether what was fetched so far is of use to a later try.
    pub(super) fn can_be_resumed(&self) -> bool {
        !matches!(self, Self::NotPermitted { .. } | Self::Gone { .. } | Self::BadContent { .. } | Self::Damaged { .. })
    }

    /// Returns the error's stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::StoreUnavailable { .. } => "StoreUnavailable",
            Self::BadRelay { .. } => "BadRelay",
            Self::NoSocket { .. } => "NoSocket",
            Self::Store { .. } => "StoreFailed",
            Self::Damaged { .. } => "Damaged",
            Self::Read { .. } => "CannotRead",
            Self::NotAFile { .. } => "NotAFile",
            Self::FileChanged { .. } => "FileChanged",
            Self::Unreachable { .. } => "Unreachable",
            Self::NotPermitted { .. } => "NotPermitted",
            Self::Gone { .. } => "Gone",
            Self::PeerFault { .. } => "PeerFault",
            Self::Interrupted { .. } => "Interrupted",
            Self::Unsealable { source, .. } | Self::BadContent { source, .. } => source.code().as_str(),
            Self::TooLong { .. } => "TooLong",
            Self::AlreadyExists { .. } => "AlreadyExists",
            Self::NotAFolder { .. } => "NotAFolder",
            Self::Write { .. } => "CannotWrite",
        }
    }
}
