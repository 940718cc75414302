//! Sharing: a file is sealed into the store and announced to those who may fetch it.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use kez_core::{
    filecrypt::FileKey,
    identity::PrimaryKey,
    payload::{Content, FileEntry, FileShare, MessageId, SharePath},
};

use super::{FilesError, node::Node, slot::node, transfer::Meter};
use crate::{conversation::Conversation, event::SharedFile, shared::Shared, store::OwnFile};

/// A file of ours that was announced to its readers.
#[derive(Clone, Debug)]
pub struct Share {
    /// The announcements, one for each reader.
    pub messages: Vec<MessageId>,
    /// The file.
    pub file: SharedFile,
}

pub(super) async fn share(
    shared: &Arc<Shared>,
    path: &Path,
    readers: BTreeSet<PrimaryKey>,
    mut meter: Meter,
) -> Result<Share, FilesError> {
    for &reader in &readers {
        Conversation::new(shared, reader).check_sendable().await?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let share_path = SharePath::parse(&name)?;
    meter.name(&name);
    meter.expect(0, tokio::fs::metadata(path).await.map_or(0, |metadata| metadata.len()));
    let node = node(shared).await?;
    let key = FileKey::generate(&mut rand::rng());
    let imported = node.import(path, &key, |done_bytes| meter.set(done_bytes)).await?;
    let entry = FileEntry {
        path: share_path,
        media_type: String::new(),
        blob_hash: imported.blob_hash,
        key,
        plain_hash: imported.plain_hash,
        plain_len: imported.plain_len,
    };
    let file = SharedFile::of(&entry);
    match announce(shared, &node, entry, &readers).await {
        Ok(messages) => Ok(Share { messages, file }),
        Err(error) => {
            // Nobody was told: nothing stays behind.
            readers.iter().for_each(|&reader| node.revoke(reader, imported.blob_hash));
            if let Err(left) = node.release(imported.blob_hash).await {
                tracing::warn!(error = %left, "a sealed file stays in the store");
            }
            Err(error)
        }
    }
}

/// Keeps a sealed file and announces it to all of its readers, or to none.
async fn announce(
    shared: &Arc<Shared>,
    node: &Node,
    entry: FileEntry,
    readers: &BTreeSet<PrimaryKey>,
) -> Result<Vec<MessageId>, FilesError> {
    let file = OwnFile {
        blob_hash: entry.blob_hash,
        key: entry.key.clone(),
        plain_hash: entry.plain_hash,
        plain_len: entry.plain_len,
    };
    let share = FileShare { entries: vec![entry], addresses: node.addresses() };
    let mut announcements = Vec::with_capacity(readers.len());
    for &reader in readers {
        let content = Content::FileShare(share.clone());
        announcements.push(Conversation::new(shared, reader).draft(content));
    }
    let messages = announcements.iter().map(|announcement| announcement.id).collect();
    // Readers may ask as soon as the announcement is out.
    for &reader in readers {
        node.allow(reader, file.blob_hash);
    }
    shared.store.keep_own_file(file, announcements).await?;
    Ok(messages)
}
