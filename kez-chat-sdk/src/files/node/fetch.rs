//! Fetching: a blob is pulled from a peer, and verified as it comes.

use std::{sync::Arc, time::Duration};

use iroh_blobs::{Hash, api::blobs::BlobStatus};
use kez_core::{
    filecrypt::{FileError, blob_len},
    identity::PrimaryKey,
    payload::{Addresses, FileEntry},
};
use tokio::sync::Mutex;

use super::{Node, NodeError, pull::Arrival, upstream::Upstream};
use crate::files::TransferPath;

/// What a fetch tells while it is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FetchStep {
    /// The peer is reached over this, from now on.
    Over(TransferPath),
    /// So many bytes of the file are here. They never become fewer.
    Came(u64),
}

/// The way to a peer for all that is fetched from them: they are called when something is missing first, and anew when the
/// connection broke. Lines to one peer share it.
#[derive(Debug)]
pub(crate) struct Line {
    peer: PrimaryKey,
    addresses: Addresses,
    /// How long they may take to answer before they count as away.
    within: Duration,
    upstream: Mutex<Option<Arc<Upstream>>>,
}

impl Node {
    /// Returns the way to a peer, who is called when something is missing first. They may take as long as `at_most` to
    /// answer, or what the settings say, before they count as away.
    pub(crate) fn line(&self, peer: PrimaryKey, addresses: Addresses, at_most: Duration) -> Line {
        let within = at_most.min(self.settings.connect_timeout);
        Line { peer, addresses, within, upstream: Mutex::default() }
    }

    /// Brings what is missing of a blob here, if anything is. `arrival` and `progress` hear how far it is. Dropping the future
    /// cancels; a later call goes on from where it was, as long as a [`Tag`](super::Tag) keeps the blob.
    ///
    /// # Errors
    /// Those of [`NodeError`] that are about the peer, `BadContent`, and those of the store.
    pub(super) async fn bring(
        &self,
        line: &Line,
        entry: &FileEntry,
        arrival: &Arrival,
        progress: &mut (impl FnMut(FetchStep) + Send),
    ) -> Result<(), NodeError> {
        let hash = Hash::from_bytes(entry.blob_hash);
        if let BlobStatus::Complete { size } = self.store.blobs().status(hash).await.map_err(NodeError::store)? {
            check_len(entry, size)?;
            arrival.complete(size);
            return Ok(());
        }
        let upstream = self.connection(line).await?;
        let pulled = self.pull(&upstream, entry, arrival, progress).await?;
        tracing::debug!(pulled, "a blob is complete");
        Ok(())
    }

    /// Hangs up, if anybody was called.
    pub(crate) async fn hang_up(&self, line: &Line) {
        line.upstream.lock().await.take();
    }

    /// Hangs up for all who fetch from the same peer: nothing comes from where they were called any more.
    pub(crate) async fn give_up(&self, line: &Line) {
        if let Some(upstream) = line.upstream.lock().await.take() {
            upstream.give_up();
        }
    }

    pub(super) async fn connection(&self, line: &Line) -> Result<Arc<Upstream>, NodeError> {
        let mut kept = line.upstream.lock().await;
        // This one, or what others have made since it broke.
        let upstream = self.upstream(line.peer, &line.addresses, line.within).await?;
        Ok(Arc::clone(kept.insert(upstream)))
    }
}

/// Refuses a blob that is not as long as the announced file makes it.
pub(super) fn check_len(entry: &FileEntry, found: u64) -> Result<(), NodeError> {
    let expected = blob_len(entry.plain_len).map_err(|error| bad_content(entry, error))?;
    if found == expected { Ok(()) } else { Err(bad_content(entry, FileError::BadLength { expected, found })) }
}

pub(super) fn bad_content(entry: &FileEntry, source: FileError) -> NodeError {
    NodeError::BadContent { path: entry.path.to_string(), source }
}
