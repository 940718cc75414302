//! Why blobs are kept: each reason is a tag of its own, across restarts too. What has none goes with the next collection.

use std::{collections::HashSet, pin::pin};

use futures::StreamExt;
use iroh_blobs::{Hash, HashAndFormat};
use tokio::task::spawn_blocking;

use super::{Node, NodeError, dest::sync_folder};

/// Why a blob is kept. What a download keeps is named by a [`Tag`](super::Tag).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It was shared.
    Shared,
    /// It is a file, or a picture of one, that we publish.
    Published,
    /// It is a manifest of our own.
    Manifest,
    /// It is another's manifest.
    Browsed,
}

impl Purpose {
    fn prefix(self) -> &'static str {
        match self {
            Self::Shared => "share/",
            Self::Published => "publish/",
            Self::Manifest => "manifest/",
            Self::Browsed => "browse/",
        }
    }

    fn tag(self, hash: Hash) -> String {
        format!("{}{}", self.prefix(), hash.to_hex())
    }
}

impl Node {
    /// Keeps blobs that are here for one more purpose: on disk when this returns, across restarts too.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub(crate) async fn keep(&self, blobs: &[[u8; 32]], purpose: Purpose) -> Result<(), NodeError> {
        for &blob in blobs {
            let hash = Hash::from_bytes(blob);
            let kept = self.store.tags().set(purpose.tag(hash), HashAndFormat::raw(hash)).await;
            kept.map_err(NodeError::store)?;
        }
        let folder = self.paths.data_path.clone();
        spawn_blocking(move || sync_folder(&folder)).await.map_err(NodeError::store)?.map_err(NodeError::store)?;
        self.store.sync_db().await.map_err(NodeError::store)
    }

    /// Keeps a blob for a purpose no more.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub(crate) async fn release(&self, blob_hash: [u8; 32], purpose: Purpose) -> Result<(), NodeError> {
        let tag = purpose.tag(Hash::from_bytes(blob_hash));
        self.store.tags().delete(tag).await.map(drop).map_err(NodeError::store)
    }

    /// Keeps for a purpose only these blobs: what was cut short may have left others.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub(crate) async fn keep_only(&self, purpose: Purpose, blobs: &HashSet<[u8; 32]>) -> Result<(), NodeError> {
        for blob in self.kept(purpose).await?.difference(blobs) {
            self.release(*blob, purpose).await?;
        }
        Ok(())
    }

    /// Lists what is kept for a purpose.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub(crate) async fn kept(&self, purpose: Purpose) -> Result<HashSet<[u8; 32]>, NodeError> {
        self.tagged(purpose.prefix()).await
    }

    /// Lists the blobs whose tags begin so.
    pub(super) async fn tagged(&self, prefix: &str) -> Result<HashSet<[u8; 32]>, NodeError> {
        let mut tags = pin!(self.store.tags().list_prefix(prefix).await.map_err(NodeError::store)?);
        let mut blobs = HashSet::new();
        while let Some(tag) = tags.next().await {
            blobs.insert(*tag.map_err(NodeError::store)?.hash.as_bytes());
        }
        Ok(blobs)
    }
}
