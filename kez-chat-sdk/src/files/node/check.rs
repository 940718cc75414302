//! Looking at what is on the disk: whether blobs are sound, and how much there is of what is being fetched.

use std::{io, pin::pin};

use futures::StreamExt;
use iroh_blobs::{HashAndFormat, api::blobs::EncodedItem, protocol::ChunkRanges};
use kez_core::filecrypt::blob_len;

use super::{Node, NodeError, open::WANTED, plain_bytes};

impl Node {
    /// Reads a blob from the disk and tells whether it is here in full and its bytes are those of its hash. Nothing is
    /// decrypted. `progress` hears how many bytes of the file were looked at.
    ///
    /// # Errors
    /// [`NodeError::Store`] if it can't be told now.
    pub(crate) async fn is_sound(
        &self,
        blob_hash: [u8; 32],
        plain_len: u64,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<bool, NodeError> {
        if !self.has(blob_hash).await? {
            return Ok(false);
        }
        let mut read = 0;
        // Readers of the store don't verify; what it encodes for others it does.
        let mut items = pin!(self.store.export_bao(blob_hash, ChunkRanges::all()).stream());
        while let Some(item) = items.next().await {
            match item {
                EncodedItem::Leaf(leaf) => {
                    read += leaf.data.len() as u64;
                    progress(plain_bytes(read));
                }
                EncodedItem::Error(error) => {
                    let error = io::Error::from(error);
                    // The blob's file is read by too many others.
                    let is_busy = error.kind() == io::ErrorKind::ResourceBusy;
                    return if is_busy { Err(NodeError::store(error)) } else { Ok(false) };
                }
                _ => {}
            }
        }
        Ok(blob_len(plain_len).is_ok_and(|len| len == read))
    }

    /// Returns how many bytes are here of blobs that are being fetched.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub(crate) async fn fetching_bytes(&self) -> Result<u64, NodeError> {
        let mut bytes = 0;
        for blob in self.tagged(WANTED).await? {
            bytes += self.local_bytes(blob).await?;
        }
        Ok(bytes)
    }

    /// Returns how many bytes of a blob are here.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub(crate) async fn local_bytes(&self, blob_hash: [u8; 32]) -> Result<u64, NodeError> {
        let local = self.store.remote().local(HashAndFormat::raw(blob_hash.into())).await.map_err(NodeError::store)?;
        Ok(local.local_bytes())
    }

    /// Removes now what nothing keeps.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub(crate) async fn collect(&self) -> Result<(), NodeError> {
        self.collector.collect().await
    }

    /// Removes soon what nothing keeps.
    pub(crate) fn collect_soon(&self) {
        self.collector.collect_soon();
    }
}
