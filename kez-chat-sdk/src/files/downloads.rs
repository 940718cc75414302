//! Downloads: what others hold ready is brought here, whatever told us of it.

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use kez_core::{
    identity::PrimaryKey,
    payload::{Addresses, FileShare},
};

use super::{
    FilesError, Transfer, TransferError,
    node::{Tag, Target, deliver, exists},
    slot::node,
};
use crate::{
    event::{DownloadOrigin, Peer},
    shared::Shared,
};

/// What somebody wants to have here.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Who holds it ready.
    pub(super) from: PrimaryKey,
    /// What told us of it.
    pub(super) origin: DownloadOrigin,
    /// The files, and where their holder was when they told of them.
    pub(super) share: FileShare,
    /// The folder that they go into.
    pub(super) to_dir: PathBuf,
}

/// Downloads files that somebody holds ready: `find` says which. An offer and an entry of what somebody publishes are
/// fetched by this alone.
pub(super) fn download<F>(shared: &Arc<Shared>, find: F) -> Transfer<Vec<PathBuf>>
where
    F: Future<Output = Result<Wanted, FilesError>> + Send + 'static,
{
    let shared = Arc::clone(shared);
    Transfer::begin(|mut meter| async move {
        let wanted = find.await?;
        let entries = &wanted.share.entries;
        meter.expect(0, entries.iter().fold(0, |sum, entry| entry.plain_len.saturating_add(sum)));
        let node = node(&shared).await?;
        // Where their endpoint is now comes before where it was when they told of the files.
        let fresh = shared.presences.addresses(&wanted.from);
        let addresses = Addresses::new(fresh.iter().chain(wanted.share.addresses.iter()));
        let line = node.line(wanted.from, addresses, Duration::MAX);
        let (mut paths, mut before) = (Vec::with_capacity(entries.len()), 0_u64);
        for (place, entry) in (0..).zip(entries) {
            meter.name(entry.path.as_str());
            let target = Target::new(&wanted.to_dir, &entry.path, format!("0-{place}"));
            target.check_folders()?;
            let path = target.path(0);
            if exists(&path)? {
                return Err(TransferError::AlreadyExists { path }.into());
            }
            let tag = Tag { download: 0, file: (place, 0) };
            let report = |done_bytes| meter.set(before.saturating_add(done_bytes));
            let part = node.fetch_part(&line, entry, &target, tag, report).await.map_err(|error| match error {
                source @ TransferError::Unreachable { .. } => {
                    FilesError::Waiting { peer: Box::new(Peer { primary: wanted.from, handle: None }), source }
                }
                other => other.into(),
            })?;
            if deliver(part, &path)?.is_some() {
                return Err(TransferError::AlreadyExists { path }.into());
            }
            node.let_go(tag).await?;
            paths.push(path);
            before = before.saturating_add(entry.plain_len);
        }
        node.hang_up(&line).await;
        if let DownloadOrigin::Offer(share_id) = wanted.origin {
            shared.store.set_fetched(share_id).await?;
        }
        Ok(paths)
    })
}
