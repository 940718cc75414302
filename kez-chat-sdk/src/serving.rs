//! What ends, or begins again, for somebody whom files are served to, when the person changes their mind. The database has
//! said it before: these are the blobs that are concerned. Without the feature `files` nothing is served.

use kez_core::identity::PrimaryKey;

use crate::{shared::Shared, store::StoreError};

#[cfg(feature = "files")]
impl Shared {
    /// Serves blobs to a reader no more.
    pub(crate) async fn stop_serving(&self, reader: PrimaryKey, blobs: Vec<[u8; 32]>) {
        self.node.stop_serving(&self.store, reader, &blobs).await;
    }

    /// Serves somebody nothing any more, until the block ends.
    pub(crate) async fn block_reader(&self, reader: PrimaryKey, blobs: Vec<[u8; 32]>) {
        self.stop_serving(reader, blobs).await;
        self.node.shut_out(reader).await;
    }

    /// Serves somebody again whose block has ended.
    pub(crate) async fn unblock_reader(&self, reader: PrimaryKey, blobs: Vec<[u8; 32]>) {
        self.node.serve_again(&self.store, reader, &blobs).await;
        self.node.let_in(reader).await;
    }

    /// Serves somebody nothing any more who is a contact no more, nor what is published for them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn forget_reader(&self, reader: PrimaryKey, blobs: Vec<[u8; 32]>) -> Result<(), StoreError> {
        self.stop_serving(reader, blobs).await;
        crate::files::refresh_audiences(self).await
    }
}

#[cfg(not(feature = "files"))]
impl Shared {
    pub(crate) async fn stop_serving(&self, _: PrimaryKey, _: Vec<[u8; 32]>) {}

    pub(crate) async fn block_reader(&self, _: PrimaryKey, _: Vec<[u8; 32]>) {}

    pub(crate) async fn unblock_reader(&self, _: PrimaryKey, _: Vec<[u8; 32]>) {}

    pub(crate) async fn forget_reader(&self, _: PrimaryKey, _: Vec<[u8; 32]>) -> Result<(), StoreError> {
        Ok(())
    }
}
