//! Fetching: a blob is pulled from a peer, verified as it comes, and opened into the file it stands for.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures::StreamExt;
use iroh_blobs::{
    Hash, HashAndFormat,
    api::blobs::{BlobStatus, EncodedItem},
    protocol::ChunkRanges,
};
use kez_core::{
    filecrypt::{FileError, Opener},
    identity::PrimaryKey,
    payload::{Addresses, FileEntry},
};
use tempfile::NamedTempFile;
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{Node, NodeError, dest::Target};
use crate::files::TransferPath;

/// The tag of blobs that are being fetched: what came is kept until the file is delivered, across restarts too.
const WANTED: &str = "fetch";
/// How many verified pieces of 16 KiB may wait to be opened.
const PIECES_AHEAD: usize = 32;

/// What a fetch tells while it is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FetchStep {
    /// The peer is reached over this, from now on.
    Over(TransferPath),
    /// So many bytes of the file are here. They never become fewer.
    Came(u64),
}

impl Node {
    /// Fetches a file that a peer shares, into `to_dir`, and returns where it is.
    ///
    /// What is here of it already is not asked for again, and the peer is not needed at all if that is everything.
    /// `progress` hears how far it is. Dropping the future cancels; a later call goes on from where it was. No file appears
    /// unless it is the announced one, and none is replaced.
    ///
    /// # Errors
    /// Most of [`NodeError`]: its variants say whose fault it was and what to do.
    pub(crate) async fn fetch(
        &self,
        peer: PrimaryKey,
        addresses: &Addresses,
        entry: &FileEntry,
        to_dir: &Path,
        progress: impl FnMut(FetchStep) + Send,
    ) -> Result<PathBuf, NodeError> {
        let target = Target::new(to_dir, &entry.path);
        target.check()?;
        let hash = Hash::from_bytes(entry.blob_hash);
        // The lasting tag is one for all fetches of this blob; the other keeps it if one of those ends first.
        let _held = self.store.tags().temp_tag(HashAndFormat::raw(hash)).await.map_err(NodeError::store)?;
        self.tag(WANTED, hash).await?;
        let outcome = self.fetch_held(peer, addresses, entry, &target, progress).await;
        if outcome.as_ref().err().is_none_or(|error| !error.can_be_resumed())
            && let Err(error) = self.untag(WANTED, hash).await
        {
            tracing::warn!(%error, "a fetched blob stays in the store");
        }
        outcome
    }

    async fn fetch_held(
        &self,
        peer: PrimaryKey,
        addresses: &Addresses,
        entry: &FileEntry,
        target: &Target,
        mut progress: impl FnMut(FetchStep) + Send,
    ) -> Result<PathBuf, NodeError> {
        let hash = Hash::from_bytes(entry.blob_hash);
        if !self.has(entry.blob_hash).await? {
            let upstream = self.connect(peer, addresses).await?;
            let pulled = self.pull(&upstream, entry, &mut progress).await?;
            upstream.linger();
            tracing::debug!(pulled, "a blob is complete");
        }
        let BlobStatus::Complete { size } = self.store.blobs().status(hash).await.map_err(NodeError::store)? else {
            return Err(NodeError::store(io::Error::other("the blob is gone again")));
        };
        let opener = Opener::new(&entry.key, entry.plain_len, size).map_err(|error| bad_content(entry, error))?;
        let part = self.open(entry, opener, target).await?;
        let path = target.deliver(part)?;
        progress(FetchStep::Came(entry.plain_len));
        Ok(path)
    }

    /// Opens a complete blob into a partial file. The store verifies the blob once more on the way: what is on its
    /// disk may have changed since.
    async fn open(&self, entry: &FileEntry, opener: Opener, target: &Target) -> Result<NamedTempFile, NodeError> {
        let (pieces, waiting) = mpsc::channel(PIECES_AHEAD);
        let writer = spawn_blocking({
            let (entry, target) = (entry.clone(), target.clone());
            move || write_part(&entry, opener, &target, waiting)
        });
        let mut items = Box::pin(self.store.export_bao(entry.blob_hash, ChunkRanges::all()).stream());
        let mut damage = None;
        while let Some(item) = items.next().await {
            match item {
                EncodedItem::Error(error) => damage = Some(error),
                EncodedItem::Leaf(leaf) => {
                    let taken = pieces.send(leaf.data).await;
                    if taken.is_err() {
                        // The writer failed, and says why.
                        break;
                    }
                }
                _ => {}
            }
        }
        drop(pieces);
        let written = writer.await.map_err(NodeError::store)?;
        match damage {
            Some(error) => Err(NodeError::Damaged { path: entry.path.to_string(), source: error.into() }),
            None => written,
        }
    }
}

fn write_part(
    entry: &FileEntry,
    mut opener: Opener,
    target: &Target,
    mut sealed: mpsc::Receiver<Bytes>,
) -> Result<NamedTempFile, NodeError> {
    let mut part = target.create()?;
    let mut plain = Vec::new();
    while let Some(piece) = sealed.blocking_recv() {
        opener.update(&piece, &mut plain).map_err(|error| bad_content(entry, error))?;
        part.write_all(&plain).map_err(|source| NodeError::write(part.path(), source))?;
        plain.clear();
    }
    opener.finish(&entry.plain_hash).map_err(|error| bad_content(entry, error))?;
    part.as_file().sync_all().map_err(|source| NodeError::write(part.path(), source))?;
    Ok(part)
}

pub(super) fn bad_content(entry: &FileEntry, source: FileError) -> NodeError {
    NodeError::BadContent { path: entry.path.to_string(), source }
}
