//! Fetching: what others offered is brought here when the person asks for it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use kez_core::payload::Addresses;

use super::{FilesError, TransferError, node::FetchStep, slot::node, transfer::Meter};
use crate::{
    event::{Peer, ShareId, SharedFile},
    shared::Shared,
    store::OfferRow,
};

/// Files that somebody holds ready for us.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What to fetch them by.
    pub share_id: ShareId,
    /// Who.
    pub from: Peer,
    /// When they say they offered them, in milliseconds since 1970.
    pub sent_at_ms: u64,
    /// What.
    pub files: Vec<SharedFile>,
    /// Whether we have fetched them.
    pub fetched: bool,
}

impl From<OfferRow> for Offer {
    fn from(row: OfferRow) -> Self {
        let files = row.share.entries.iter().map(SharedFile::of).collect();
        Self { share_id: row.id, from: row.from, sent_at_ms: row.sent_at_ms, files, fetched: row.fetched }
    }
}

pub(super) async fn fetch(
    shared: &Arc<Shared>,
    share_id: ShareId,
    to_dir: &Path,
    mut meter: Meter,
) -> Result<Vec<PathBuf>, FilesError> {
    let offer = shared.store.offer(share_id).await?.ok_or(FilesError::NoSuchOffer(share_id))?;
    let entries = &offer.share.entries;
    meter.expect(0, entries.iter().map(|entry| entry.plain_len).sum());
    let node = node(shared).await?;
    // Where their endpoint is now comes before where it was when they offered.
    let fresh = shared.presences.addresses(&offer.from.primary);
    let addresses = Addresses::new(fresh.iter().chain(offer.share.addresses.iter()));
    let mut paths = Vec::with_capacity(entries.len());
    let mut before = 0;
    for entry in entries {
        meter.name(entry.path.as_str());
        let report = |step| match step {
            FetchStep::Over(path) => meter.reach(path),
            FetchStep::Came(done_bytes) => meter.set(before + done_bytes),
        };
        let fetched = node.fetch(offer.from.primary, &addresses, entry, to_dir, report).await;
        paths.push(fetched.map_err(|error| match error {
            source @ TransferError::Unreachable { .. } => {
                FilesError::Waiting { peer: offer.from.clone().into(), source }
            }
            other => other.into(),
        })?);
        before += entry.plain_len;
    }
    shared.store.set_fetched(share_id).await?;
    Ok(paths)
}
