//! Blobs that are made and read in memory: manifests and thumbnails.

use std::{collections::HashSet, io};

use bytes::Bytes;
use iroh_blobs::{Hash, HashAndFormat, api::blobs::BlobStatus};
use kez_core::{identity::PrimaryKey, payload::Addresses};
use tokio::sync::watch;

use super::{Node, NodeError, import::write_through, upstream::Upstream};

/// Why a blob is kept: one that is not kept for anything goes after some minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It is a file, or a picture of one, that we publish.
    Published,
    /// It is a manifest of our own.
    Manifest,
    /// It is another's manifest.
    Browsed,
}

impl Purpose {
    fn tag(self) -> &'static str {
        match self {
            Self::Published => "publish",
            Self::Manifest => "manifest",
            Self::Browsed => "browse",
        }
    }
}

impl Node {
    /// Puts a small blob into the store. It is on disk, and kept, when this returns.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub(crate) async fn add(&self, blob: Bytes, purpose: Purpose) -> Result<[u8; 32], NodeError> {
        let added = self.store.blobs().add_bytes(blob).temp_tag().await.map_err(NodeError::store)?;
        let hash = added.hash();
        write_through(&self.paths, hash).await?;
        self.keep_for(*hash.as_bytes(), purpose).await?;
        Ok(*hash.as_bytes())
    }

    /// Keeps a blob that is here for one more purpose.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub(crate) async fn keep_for(&self, blob_hash: [u8; 32], purpose: Purpose) -> Result<(), NodeError> {
        self.tag(purpose.tag(), Hash::from_bytes(blob_hash)).await?;
        self.store.sync_db().await.map_err(NodeError::store)
    }

    /// Keeps a blob for a purpose no more.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub(crate) async fn release_for(&self, blob_hash: [u8; 32], purpose: Purpose) -> Result<(), NodeError> {
        self.untag(purpose.tag(), Hash::from_bytes(blob_hash)).await
    }

    /// Keeps for a purpose only these blobs: what was cut short may have left others.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub(crate) async fn keep_only(&self, purpose: Purpose, blobs: &HashSet<[u8; 32]>) -> Result<(), NodeError> {
        for blob in self.tagged(purpose.tag()).await?.difference(blobs) {
            self.untag(purpose.tag(), Hash::from_bytes(*blob)).await?;
        }
        Ok(())
    }

    /// Reads a blob of at most `max_len` bytes that is here, and verifies it on the way; nothing if it is not here in full
    /// or longer.
    ///
    /// # Errors
    /// [`NodeError::Store`], also if it is damaged.
    pub(crate) async fn read(&self, blob_hash: [u8; 32], max_len: u64) -> Result<Option<Bytes>, NodeError> {
        let hash = Hash::from_bytes(blob_hash);
        match self.store.blobs().status(hash).await.map_err(NodeError::store)? {
            BlobStatus::Complete { size } if size <= max_len => {
                self.store.blobs().get_bytes(hash).await.map(Some).map_err(NodeError::store)
            }
            _ => Ok(None),
        }
    }

    /// Brings a small blob from a peer into the store, unless it is here, and reads it. What is longer than `max_len` is
    /// not asked for. It is not kept for longer than some minutes.
    ///
    /// # Errors
    /// [`NodeError`]; [`NodeError::TooLong`] for what is longer.
    pub(crate) async fn bring_small(
        &self,
        peer: PrimaryKey,
        addresses: &Addresses,
        blob_hash: [u8; 32],
        max_len: u64,
    ) -> Result<Bytes, NodeError> {
        let hash = Hash::from_bytes(blob_hash);
        let raw = HashAndFormat::raw(hash);
        let _held = self.store.tags().temp_tag(raw).await.map_err(NodeError::store)?;
        if !self.has(blob_hash).await? {
            let upstream = self.upstream(peer, addresses, self.settings.connect_timeout).await?;
            tokio::select! {
                brought = self.pull_up_to(&upstream, hash, max_len) => brought?,
                stalled = upstream.silence(self.settings.stall_timeout) => {
                    upstream.give_up();
                    return Err(stalled);
                }
            }
        }
        let read = self.read(blob_hash, max_len).await?;
        read.ok_or_else(|| NodeError::store(io::Error::other("the blob is gone again, or is not what it was")))
    }

    async fn pull_up_to(&self, upstream: &Upstream, hash: Hash, max_len: u64) -> Result<(), NodeError> {
        let found = upstream.size_of(hash).await?;
        if found > max_len {
            return Err(NodeError::TooLong { peer: Box::new(upstream.peer), found, max_len });
        }
        self.pull_missing(upstream, hash, found, &watch::Sender::new(0)).await.map(drop)
    }
}
