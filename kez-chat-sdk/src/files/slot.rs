//! Where the account's running Iroh node is found.

use std::sync::Arc;

use kez_core::{identity::PrimaryKey, payload::Addresses};
use tokio::sync::Mutex;

use super::node::Node;

/// The account's Iroh node, started when files are first touched: who only chats opens no further socket.
#[derive(Default)]
pub(crate) struct NodeSlot(pub(super) Mutex<Option<Arc<Node>>>);

impl NodeSlot {
    /// Takes back a reader's right to these blobs, if the node runs.
    pub(crate) async fn stop_serving(&self, reader: PrimaryKey, blobs: &[[u8; 32]]) {
        if let Some(node) = &*self.0.lock().await {
            blobs.iter().for_each(|&blob| node.revoke(reader, blob));
        }
    }

    /// Gives a reader's right to these blobs back, if the node runs.
    pub(crate) async fn serve_again(&self, reader: PrimaryKey, blobs: &[[u8; 32]]) {
        if let Some(node) = &*self.0.lock().await {
            blobs.iter().for_each(|&blob| node.allow(reader, blob));
        }
    }

    /// Returns where our endpoint is now; nothing while no file is served.
    pub(crate) fn addresses(&self) -> Addresses {
        // A node that is just starting has none yet.
        let node = self.0.try_lock().ok();
        node.and_then(|node| node.as_ref().map(|node| node.addresses())).unwrap_or_default()
    }

    pub(crate) async fn shutdown(&self) {
        if let Some(node) = self.0.lock().await.take() {
            node.shutdown().await;
        }
    }
}

impl std::fmt::Debug for NodeSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeSlot")
    }
}
