//! Fetching: what others offered is brought here when the person asks for it.

use std::{path::PathBuf, sync::Arc};

use super::{
    FilesError, Transfer,
    downloads::{FetchOptions, Wanted, download},
};
use crate::{
    event::{DownloadOrigin, Peer, ShareId, SharedFile},
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
    /// Whether we have fetched all of them.
    pub fetched: bool,
}

impl From<OfferRow> for Offer {
    fn from(row: OfferRow) -> Self {
        let files = row.share.entries.iter().map(SharedFile::of).collect();
        Self { share_id: row.id, from: row.from, sent_at_ms: row.sent_at_ms, files, fetched: row.fetched }
    }
}

/// Fetches what somebody has offered.
pub(super) fn fetch(shared: &Arc<Shared>, share_id: ShareId, options: FetchOptions) -> Transfer<Vec<PathBuf>> {
    let offers = Arc::clone(shared);
    download(shared, async move {
        let offer = offers.store.offer(share_id).await?.ok_or(FilesError::NoSuchOffer(share_id))?;
        Ok(Wanted { from: offer.from.primary, origin: DownloadOrigin::Offer(share_id), share: offer.share, options })
    })
}
