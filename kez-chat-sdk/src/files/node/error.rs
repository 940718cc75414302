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
    #[error("the file store failed: {source}; check the disk and try again")]
    Store {
        /// What was wrong.
        source: Cause,
    },
    /// The disk that holds the store is full.
    #[error(
        "the account's disk has no room for the file ({source}); make some, and try again to go on from where it was"
    )]
    StoreFull {
        /// What was wrong.
        source: Cause,
    },
    /// The store may not be written.
    #[error("the file store may not be written ({source}); correct the permissions of the account's folder")]
    StoreDenied {
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
    #[error("{} can't be written: {source}; check the disk or choose another folder", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk that the file was to be written to is full.
    #[error("there is no room for {} ({source}); make some or choose another folder, nothing is lost", path.display())]
    WriteFull {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file may not be written there.
    #[error("{} may not be written ({source}); correct its permissions or choose another folder", path.display())]
    WriteDenied {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl NodeError {
    pub(super) fn store(source: impl StdError + Send + Sync + 'static) -> Self {
        let why = DiskTrouble::below(&source);
        let source = Box::new(source);
        match why {
            Some(DiskTrouble::Full) => Self::StoreFull { source },
            Some(DiskTrouble::Denied) => Self::StoreDenied { source },
            None => Self::Store { source },
        }
    }

    pub(super) fn write(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match DiskTrouble::of(&source) {
            Some(DiskTrouble::Full) => Self::WriteFull { path, source },
            Some(DiskTrouble::Denied) => Self::WriteDenied { path, source },
            None => Self::Write { path, source },
        }
    }

    /// Tells whether the disk is what keeps the store from working.
    pub(super) fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::StoreFull { .. } | Self::StoreDenied { .. })
    }

    /// Tells whether it is the store that failed, for whatever reason.
    pub(super) fn is_of_the_store(&self) -> bool {
        self.is_of_the_disk() || matches!(self, Self::Store { .. } | Self::Damaged { .. })
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
            Self::StoreFull { .. } => "StoreFull",
            Self::StoreDenied { .. } => "StoreDenied",
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
            Self::WriteFull { .. } => "WriteFull",
            Self::WriteDenied { .. } => "WriteDenied",
        }
    }
}

/// What a person can do something about when a disk refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DiskTrouble {
    Full,
    Denied,
}

impl DiskTrouble {
    fn of(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Self::Full),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(Self::Denied),
            _ => None,
        }
    }

    /// Looks for the system's word below what the store made of it.
    fn below(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            let io_error = error.downcast_ref::<io::Error>();
            if let Some(found) = io_error.and_then(Self::of) {
                return Some(found);
            }
            // What an `io::Error` was made of is not among its sources.
            let inner = io_error.and_then(io::Error::get_ref);
            next = inner.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| error.source());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_forbidden_one_are_told_apart() {
        let wrapped = |kind: io::ErrorKind| io::Error::other(io::Error::other(io::Error::from(kind)));
        for (kind, store, write) in [
            (io::ErrorKind::StorageFull, "StoreFull", "WriteFull"),
            (io::ErrorKind::QuotaExceeded, "StoreFull", "WriteFull"),
            (io::ErrorKind::PermissionDenied, "StoreDenied", "WriteDenied"),
            (io::ErrorKind::ReadOnlyFilesystem, "StoreDenied", "WriteDenied"),
            (io::ErrorKind::UnexpectedEof, "StoreFailed", "CannotWrite"),
        ] {
            assert_eq!(NodeError::store(wrapped(kind)).code(), store);
            assert_eq!(NodeError::write("a", kind.into()).code(), write);
        }
    }
}
