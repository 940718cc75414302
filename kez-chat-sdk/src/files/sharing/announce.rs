//! The step from sealed files to a share: tags, readers, rows and announcements, all of them or none.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc};

use kez_core::{
    identity::PrimaryKey,
    payload::{Content, FileEntry, FileShare, MessageId},
};
use tokio::sync::oneshot;

use super::OwnShareId;
use crate::{
    conversation::Conversation,
    files::{
        FilesError,
        node::{Node, Purpose},
        slot::settle,
    },
    shared::Shared,
    store::{Draft, ShareFile, Store, StoreError},
};

/// Keeps sealed files and announces them to all readers, or to none. `entries` is what the message says.
pub(super) async fn commit(
    shared: &Arc<Shared>,
    node: &Arc<Node>,
    files: Vec<ShareFile>,
    entries: Vec<FileEntry>,
    readers: &BTreeSet<PrimaryKey>,
    name: Option<MessageId>,
) -> Result<(OwnShareId, Vec<MessageId>), FilesError> {
    let content = FileShare { entries, addresses: node.addresses() };
    let draft = |&reader: &PrimaryKey| {
        let draft = Conversation::new(shared, reader).draft(Content::FileShare(content.clone()));
        Draft { id: name.map_or(draft.id, |name| message_id(name, &reader)), ..draft }
    };
    let announcements: Vec<_> = readers.iter().map(draft).collect();
    let messages = announcements.iter().map(|announcement| announcement.id).collect();
    let turn = node.ledger().await;
    let (_waiting, given_up) = oneshot::channel();
    let kept = tokio::spawn({
        let (store, node, shared_at_ms) = (shared.store.clone(), Arc::clone(node), shared.home_now_ms());
        // What was begun is finished or undone, whoever stops waiting for it.
        async move {
            let _turn = turn;
            Keeping { store: &store, node: &node }.run(files, shared_at_ms, announcements, given_up).await
        }
    });
    let id = kept.await.map_err(|_| StoreError::Closed)??;
    Ok((id, messages))
}

/// Names the announcement to a reader of a share that has a name. It tells nobody of the name, nor of other readers'.
pub(super) fn message_id(share: MessageId, reader: &PrimaryKey) -> MessageId {
    let mut id = share.0;
    let hash = blake3::Hasher::new_derive_key("kez-chat-sdk announcement of a named share")
        .update(&share.0)
        .update(reader.as_bytes())
        .finalize();
    // As in every name of ours, the time comes first.
    id[6..].copy_from_slice(&hash.as_bytes()[..10]);
    MessageId(id)
}

/// Whoever has the turn to change what is kept.
struct Keeping<'a> {
    store: &'a Store,
    node: &'a Node,
}

impl Keeping<'_> {
    async fn run(
        &self,
        files: Vec<ShareFile>,
        shared_at_ms: u64,
        announcements: Vec<Draft>,
        mut given_up: oneshot::Receiver<Infallible>,
    ) -> Result<OwnShareId, FilesError> {
        let blobs: Vec<_> = files.iter().map(|file| file.file.blob_hash).collect();
        let readers: Vec<_> = announcements.iter().map(|announcement| announcement.recipient).collect();
        let mut outcome = self.node.keep(&blobs, Purpose::Shared).await.map_err(FilesError::from);
        // The files were held by who waits, up to here.
        if matches!(given_up.try_recv(), Err(oneshot::error::TryRecvError::Closed)) {
            outcome = outcome.and(Err(StoreError::Closed.into()));
        }
        let kept = match outcome {
            Ok(()) => {
                // Readers may ask as soon as the announcement is out.
                for &reader in &readers {
                    blobs.iter().for_each(|&blob| self.node.allow(reader, blob));
                }
                self.store.keep_share(files, shared_at_ms, announcements).await.map_err(FilesError::from)
            }
            Err(error) => Err(error),
        };
        if kept.is_err() {
            // Nobody was told: nothing stays behind.
            self.undo(&readers, &blobs).await;
        }
        kept
    }

    async fn undo(&self, readers: &[PrimaryKey], blobs: &[[u8; 32]]) {
        for &reader in readers {
            // What can't be looked up counts as nothing: they may fetch it again after the next start.
            let rights = self.store.readable_by(reader).await.unwrap_or_default();
            blobs.iter().filter(|blob| !rights.contains(*blob)).for_each(|&blob| self.node.revoke(reader, blob));
        }
        if let Err(error) = settle(self.store, self.node).await {
            tracing::warn!(error = error.code(), "sealed files that nobody was told of stay until the next start");
        }
    }
}
