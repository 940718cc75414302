//! The account's Iroh node: started when files are first touched, and found here while it runs.

use std::sync::Arc;

use kez_core::{handle::Policy, identity::PrimaryKey, payload::Addresses};
use tokio::sync::Mutex;

use super::{
    FilesError, Relays,
    node::{Node, NodeSettings},
    published,
};
use crate::{shared::Shared, store::StoreError};

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

    /// Serves somebody nothing at all any more, if the node runs.
    pub(crate) async fn shut_out(&self, reader: PrimaryKey) {
        if let Some(node) = self.running().await {
            node.shut_out(reader);
        }
    }

    /// Ends what [`NodeSlot::shut_out`] began.
    pub(crate) async fn let_in(&self, reader: PrimaryKey) {
        if let Some(node) = self.running().await {
            node.let_in(reader);
        }
    }

    /// Returns the node, if it runs.
    pub(super) async fn running(&self) -> Option<Arc<Node>> {
        self.0.lock().await.clone()
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

/// Returns the running node, starting it where it is not.
pub(super) async fn node(shared: &Arc<Shared>) -> Result<Arc<Node>, FilesError> {
    // In a task of its own: a start that is begun is finished, whoever stops waiting for it.
    let shared = Arc::clone(shared);
    match tokio::spawn(async move { start(&shared).await }).await {
        Ok(node) => node,
        Err(_) => Err(StoreError::Closed.into()),
    }
}

async fn start(shared: &Arc<Shared>) -> Result<Arc<Node>, FilesError> {
    let mut running = shared.node.0.lock().await;
    if let Some(node) = &*running {
        return Ok(Arc::clone(node));
    }
    if shared.stop.is_cancelled() {
        return Err(StoreError::Closed.into());
    }
    let settings = NodeSettings {
        relays: shared.config.relays.clone(),
        roots: shared.config.roots.clone(),
        loopback_allowed: shared.policy == Policy::Development,
        lan_discovery: shared.config.lan_discovery,
        uploads: shared.config.uploads.clone(),
        ..NodeSettings::default()
    };
    let readers = shared.store.file_readers().await?;
    let node = Arc::new(Node::start(&shared.blobs_dir(), &shared.key, settings).await?);
    for blocked in shared.store.blocked().await? {
        node.shut_out(blocked.who.primary);
    }
    for (reader, blob_hash) in readers {
        node.allow(reader, blob_hash);
    }
    published::restore(shared, &node).await?;
    learn_relays(shared, &node).await;
    *running = Some(Arc::clone(&node));
    shared.presences.tell_news();
    // The address that others see, and the relay, come a moment later; and people walk about.
    let told_of = Arc::downgrade(shared);
    node.when_moved(move || {
        if let Some(shared) = told_of.upgrade() {
            shared.presences.tell_news();
        }
    });
    Ok(node)
}

/// Uses the home's relays, if it can be asked. Until then only direct ways are taken; the next connection asks again.
async fn learn_relays(shared: &Shared, node: &Node) {
    if shared.config.relays != Relays::Home || node.has_relays() {
        return;
    }
    tokio::select! {
        info = shared.home.info() => if let Ok(info) = info {
            node.learn_relays(&info.relays).await;
        },
        () = shared.stop.cancelled() => {}
    }
}

/// Serves what was shared earlier, if anything was.
pub(crate) fn serve_in_background(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let running = shared.node.0.lock().await.clone();
        let shares = shared.store.shares_anything().await.unwrap_or(false);
        if let Some(node) = running {
            learn_relays(&shared, &node).await;
        } else if shares && let Err(error) = start(&shared).await {
            tracing::warn!(%error, "shared files are not served");
        }
        // It may have been left while the node started.
        if shared.stop.is_cancelled() || !shared.link.wish().is_connection() {
            shared.node.shutdown().await;
        }
    });
}
