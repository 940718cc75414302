//! How much files may take: what is shared, what is being fetched, and what is promised to those that are about to come.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use kez_core::{filecrypt::blob_len, payload::FileEntry};

use super::{FilesError, node::Node};
use crate::shared::Shared;

/// What files take on this device.
///
/// ```
/// use kez_chat_sdk::FileUsage;
///
/// fn left(usage: &FileUsage) -> Option<u64> {
///     Some(usage.quota_bytes?.saturating_sub(usage.shared_bytes + usage.fetching_bytes))
/// }
/// let usage = FileUsage { shared_bytes: 60, fetching_bytes: 30, quota_bytes: Some(100) };
/// assert_eq!(left(&usage), Some(10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileUsage {
    /// Bytes of the sealed files that are held ready for others: shared or published, each counted once.
    pub shared_bytes: u64,
    /// Bytes that came of files that are being fetched.
    pub fetching_bytes: u64,
    /// How much both may be, if there is a limit.
    pub quota_bytes: Option<u64>,
}

/// Bytes that were promised to work that is under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Room {
    promised: Arc<AtomicU64>,
    bytes: u64,
}

impl Room {
    /// Says how much of it is still needed.
    pub(super) fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.promised.fetch_sub(self.bytes - bytes, Ordering::AcqRel);
        self.bytes = bytes;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

pub(super) async fn usage(shared: &Shared, node: &Node) -> Result<FileUsage, FilesError> {
    let shared_bytes = shared.store.own_bytes().await?;
    let fetching_bytes = node.fetching_bytes().await?;
    Ok(FileUsage { shared_bytes, fetching_bytes, quota_bytes: shared.config.file_quota })
}

/// Promises room for so many bytes of blobs, before anything of them is written.
///
/// # Errors
/// [`FilesError::QuotaExceeded`].
pub(super) async fn make(shared: &Shared, node: &Node, needed_bytes: u64) -> Result<Room, FilesError> {
    let promised = &shared.node.promised;
    // What others were promised is counted before what there is: what moves from one to the other is never missed.
    let before = promised.fetch_add(needed_bytes, Ordering::AcqRel);
    let room = Room { promised: Arc::clone(promised), bytes: needed_bytes };
    if let Some(quota_bytes) = shared.config.file_quota {
        let usage = usage(shared, node).await?;
        let used_bytes = usage.shared_bytes.saturating_add(usage.fetching_bytes).saturating_add(before);
        if used_bytes.saturating_add(needed_bytes) > quota_bytes {
            return Err(FilesError::QuotaExceeded { needed_bytes, used_bytes, quota_bytes });
        }
    }
    Ok(room)
}

/// Promises room for what is not here yet of these files.
///
/// # Errors
/// [`FilesError::QuotaExceeded`].
pub(super) async fn make_for(
    shared: &Shared,
    node: &Node,
    entries: impl Iterator<Item = &FileEntry>,
) -> Result<Room, FilesError> {
    let mut needed_bytes: u64 = 0;
    let is_limited = shared.config.file_quota.is_some();
    for entry in entries.filter(|_| is_limited) {
        // Files beyond any length are refused later, by name.
        let len = blob_len(entry.plain_len).unwrap_or(u64::MAX);
        needed_bytes = needed_bytes.saturating_add(len.saturating_sub(node.local_bytes(entry.blob_hash).await?));
    }
    make(shared, node, needed_bytes).await
}
