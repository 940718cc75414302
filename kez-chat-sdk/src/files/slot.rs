//! The account's Iroh node: started when files are first touched, and found here while it runs.

use std::sync::{Arc, atomic::AtomicU64};

use kez_core::{handle::Policy, identity::PrimaryKey, payload::Addresses};
use tokio::sync::Mutex;

use super::{
    FilesError, Relays, TransferError,
    node::{Caller, Node, NodeSettings, Purpose},
    published,
};
use crate::{
    shared::Shared,
    store::{Store, StoreError},
};

/// The account's Iroh node, started when files are first touched: who only chats opens no further socket.
#[derive(Default)]
pub(crate) struct NodeSlot {
    running: Mutex<Option<Arc<Node>>>,
    /// Bytes that work under way may still write into the store.
    pub(super) promised: Arc<AtomicU64>,
}

impl NodeSlot {
    /// Takes back a reader's right to these blobs at once, if the node runs, and has what nobody needs any more removed. What
    /// the database allows them stays: it has been changed before.
    pub(crate) async fn stop_serving(&self, store: &Store, reader: PrimaryKey, blobs: &[[u8; 32]]) {
        let Some(node) = self.running.lock().await.clone().filter(|_| !blobs.is_empty()) else { return };
        blobs.iter().for_each(|&blob| node.revoke(reader, blob));
        self.serve_again(store, reader, blobs).await;
        let _turn = node.ledger().await;
        if let Err(error) = settle(store, &node).await {
            tracing::warn!(error = error.code(), "blobs that nobody may fetch stay until the next start");
        }
        node.collect_soon();
    }

    /// Gives a reader's right to those of these blobs back that the database allows them, if the node runs.
    pub(crate) async fn serve_again(&self, store: &Store, reader: PrimaryKey, blobs: &[[u8; 32]]) {
        let Some(node) = self.running.lock().await.clone() else { return };
        let _turn = node.ledger().await;
        match store.readable_by(reader).await {
            Ok(rights) => blobs.iter().filter(|blob| rights.contains(*blob)).for_each(|&blob| node.allow(reader, blob)),
            Err(error) => tracing::warn!(%error, "files are not served to a reader until the next start"),
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

    /// Returns where our endpoint is now; nothing while no file is served.
    pub(crate) fn addresses(&self) -> Addresses {
        // A node that is just starting has none yet.
        let node = self.running.try_lock().ok();
        node.and_then(|node| node.as_ref().map(|node| node.addresses())).unwrap_or_default()
    }

    /// Returns the node, if it runs.
    pub(super) async fn running(&self) -> Option<Arc<Node>> {
        self.running.lock().await.clone()
    }

    pub(crate) async fn shutdown(&self) {
        if let Some(node) = self.running.lock().await.take() {
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
    let mut running = shared.node.running.lock().await;
    if let Some(node) = &*running {
        return Ok(Arc::clone(node));
    }
    if shared.stop.is_cancelled() {
        return Err(StoreError::Closed.into());
    }
    let kept = shared.store.kept_downloads(shared.now_ms()).await?;
    let node = Arc::new(Node::start(&shared.blobs_dir(), &shared.key, settings(shared)).await?);
    if let Err(error) = serve(shared, &node).await {
        node.shutdown().await;
        return Err(error);
    }
    learn_relays(shared, &node).await;
    if let Err(error) = node.let_go_of_others(&kept).await {
        tracing::warn!(%error, "what came of downloads that nobody wants stays in the store");
    }
    *running = Some(Arc::clone(&node));
    // Who tells of it looks for it here.
    drop(running);
    shared.presences.tell_addresses();
    // The address that others see, and the relay, come a moment later; and people walk about.
    let told_of = Arc::downgrade(shared);
    node.when_moved(move || {
        if let Some(shared) = told_of.upgrade() {
            shared.presences.tell_news();
        }
    });
    Ok(node)
}

/// Returns who calls relays and peers for a look at them: the node, or an endpoint of its own where none runs, so that nobody
/// is told of one that serves nothing.
pub(super) async fn caller(shared: &Shared, home_relays: &[String]) -> Result<Caller, TransferError> {
    match shared.node.running().await {
        Some(node) => Ok(node.caller()),
        None => {
            let relays = if shared.config.relays == Relays::Home { home_relays } else { &[] };
            Caller::bind(&shared.key, settings(shared), relays).await
        }
    }
}

fn settings(shared: &Shared) -> NodeSettings {
    NodeSettings {
        relays: shared.config.relays.clone(),
        roots: shared.config.roots.clone(),
        loopback_allowed: shared.policy == Policy::Development,
        lan_discovery: shared.config.lan_discovery,
        uploads: shared.config.uploads.clone(),
        ..NodeSettings::default()
    }
}

/// Has the node hold ready what the database says.
async fn serve(shared: &Shared, node: &Node) -> Result<(), FilesError> {
    // The last process may have ended between the two.
    settle(&shared.store, node).await?;
    for blocked in shared.store.blocked().await? {
        node.shut_out(blocked.who.primary);
    }
    for (reader, blob_hash) in shared.store.file_readers().await? {
        node.allow(reader, blob_hash);
    }
    published::restore(&shared.store, node).await
}

/// Has the node keep the blobs that are shared by the database, and no others for that. Whoever calls it has the node's ledger.
pub(super) async fn settle(store: &Store, node: &Node) -> Result<(), FilesError> {
    let (wanted, kept) = (store.shared_blobs().await?, node.kept(Purpose::Shared).await?);
    for &blob in kept.difference(&wanted) {
        node.release(blob, Purpose::Shared).await?;
    }
    let missing: Vec<_> = wanted.difference(&kept).copied().collect();
    if missing.is_empty() { Ok(()) } else { Ok(node.keep(&missing, Purpose::Shared).await?) }
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
        let running = shared.node.running.lock().await.clone();
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

#[cfg(test)]
mod tests {
    use kez_core::{filecrypt::FileKey, identity::SecretKey, payload::SharePath};
    use zeroize::Zeroizing;

    use super::*;
    use crate::{
        files::node::{Imported, Plain},
        store::{OwnFile, ShareFile},
    };

    /// As when a process is killed between tags and rows.
    #[tokio::test(flavor = "multi_thread")]
    async fn blobs_are_kept_as_the_database_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let key = SecretKey::generate(&mut rand::rng());
        let store = Store::open(&dir.path().join("kez.db"), &key).await.unwrap();
        let node = Node::start(&dir.path().join("blobs"), &key, NodeSettings::default()).await.unwrap();
        let seal = async |plain: &[u8]| {
            let key = FileKey::generate(&mut rand::rng());
            let Imported { blob_hash, plain_hash, plain_len, held, .. } =
                node.import(Plain::Memory(Zeroizing::new(plain.to_vec())), &key, |_| {}).await.unwrap();
            (OwnFile { blob_hash, key, plain_hash, plain_len, source: None, stamp: None }, held)
        };
        let (untold, tag) = seal(b"its row was not written").await;
        node.keep(&[untold.blob_hash], Purpose::Shared).await.unwrap();
        drop(tag);
        let (told, _tag) = seal(b"its tag was not set").await;
        let path = SharePath::parse("told").unwrap();
        let file = ShareFile { file: told.clone(), path, media_type: String::new(), is_listed: false };
        store.keep_share(vec![file], 1, Vec::new()).await.unwrap();
        settle(&store, &node).await.unwrap();
        assert_eq!(node.kept(Purpose::Shared).await.unwrap(), [told.blob_hash].into());
        node.collect().await.unwrap();
        assert!(!node.has(untold.blob_hash).await.unwrap() && node.has(told.blob_hash).await.unwrap());
        node.shutdown().await;
    }
}
