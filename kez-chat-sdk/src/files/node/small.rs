//! Blobs that are made and read in memory: manifests and thumbnails.

use std::{io, time::Duration};

use bytes::Bytes;
use iroh_blobs::{Hash, HashAndFormat, api::blobs::BlobStatus};
use kez_core::{identity::PrimaryKey, payload::Addresses};

use super::{Node, NodeError, NodeSettings, Purpose, import::write_through, pull::Arrival, upstream::Upstream};

impl Node {
    /// Puts a small blob into the store. It is on disk, and kept, when this returns.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub(crate) async fn add(&self, blob: Bytes, purpose: Purpose) -> Result<[u8; 32], NodeError> {
        let added = self.store.blobs().add_bytes(blob).temp_tag().await.map_err(NodeError::store)?;
        let hash = added.hash();
        write_through(&self.paths, hash).await?;
        self.keep(&[*hash.as_bytes()], purpose).await?;
        Ok(*hash.as_bytes())
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
            let NodeSettings { connect_timeout, stall_timeout, .. } = self.settings;
            let pulled = self.pull_small(peer, addresses, hash, max_len, stall_timeout.min(connect_timeout)).await;
            match pulled {
                // The connection was there before, perhaps, and they are somewhere else by now.
                Err(NodeError::Interrupted { .. }) => {
                    self.pull_small(peer, addresses, hash, max_len, stall_timeout).await?;
                }
                pulled => pulled?,
            }
        }
        let read = self.read(blob_hash, max_len).await?;
        read.ok_or_else(|| NodeError::store(io::Error::other("the blob is gone again, or is not what it was")))
    }

    /// Pulls a small blob from a peer. It ends when nothing came from them for as long as `patience`.
    async fn pull_small(
        &self,
        peer: PrimaryKey,
        addresses: &Addresses,
        hash: Hash,
        max_len: u64,
        patience: Duration,
    ) -> Result<(), NodeError> {
        let upstream = self.upstream(peer, addresses, self.settings.connect_timeout).await?;
        tokio::select! {
            pulled = self.pull_up_to(&upstream, hash, max_len) => pulled?,
            stalled = upstream.silence(patience) => {
                upstream.give_up();
                return Err(stalled);
            }
        }
        upstream.linger();
        Ok(())
    }

    async fn pull_up_to(&self, upstream: &Upstream, hash: Hash, max_len: u64) -> Result<(), NodeError> {
        let found = upstream.size_of(hash).await?;
        if found > max_len {
            return Err(NodeError::TooLong { peer: Box::new(upstream.peer), found, max_len });
        }
        self.pull_missing(upstream, hash, found, &Arrival::default()).await.map(drop)
    }
}
