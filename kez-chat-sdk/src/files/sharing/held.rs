//! What we hold ready for others, and how it ends.

use kez_core::identity::PrimaryKey;

use super::OwnShareId;
use crate::{
    event::{Peer, SharedFile},
    files::FilesError,
    shared::Shared,
    store::OwnShareRow,
};

/// Files that we hold ready for others.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OwnShare {
    /// What to end it by.
    pub id: OwnShareId,
    /// When it was shared, by the home's clock, in milliseconds since 1970; 0 if that was not written down.
    pub shared_at_ms: u64,
    /// Who may fetch it, unless they are blocked.
    pub readers: Vec<Peer>,
    /// The files, as they were announced. A large folder is one of them.
    pub files: Vec<SharedFile>,
    /// How many files it is, those in a large folder included.
    pub file_count: u64,
    /// How many bytes they have.
    pub total_bytes: u64,
}

impl From<OwnShareRow> for OwnShare {
    fn from(row: OwnShareRow) -> Self {
        let OwnShareRow { id, shared_at_ms, readers, files, file_count, total_bytes } = row;
        Self { id, shared_at_ms, readers, files, file_count, total_bytes }
    }
}

pub(in crate::files) async fn list(shared: &Shared) -> Result<Vec<OwnShare>, FilesError> {
    Ok(shared.store.own_shares().await?.into_iter().map(OwnShare::from).collect())
}

pub(in crate::files) async fn unshare(
    shared: &Shared,
    share: OwnShareId,
    reader: Option<PrimaryKey>,
) -> Result<(), FilesError> {
    let lost = shared.store.unshare(shared.primary(), share, reader).await?;
    for (reader, blobs) in lost.ok_or(FilesError::NoSuchShare(share))? {
        shared.stop_serving(reader, blobs).await;
    }
    Ok(())
}
