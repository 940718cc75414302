//! Files that others offered to us.

use kez_core::{
    handle::Policy,
    payload::{Channel, Content, FileShare, Payload},
};
use rusqlite::{Connection, OptionalExtension};

use super::{Store, StoreError, contacts};
use crate::{
    event::{Peer, ShareId},
    keys::checked,
};

/// An offer of somebody else's.
#[derive(Clone, Debug)]
pub(crate) struct OfferRow {
    pub(crate) id: ShareId,
    pub(crate) from: Peer,
    pub(crate) sent_at_ms: u64,
    pub(crate) share: FileShare,
    pub(crate) fetched: bool,
}

impl Store {
    pub(crate) async fn offers(&self) -> Result<Vec<OfferRow>, StoreError> {
        self.read(|tx| {
            let ids = tx
                .prepare_cached("SELECT id FROM offers ORDER BY id")?
                .query_map([], |row| row.get(0).map(ShareId))?
                .collect::<Result<Vec<_>, _>>()?;
            let offers = ids.into_iter().filter_map(|id| find_offer(tx, id).transpose());
            offers.collect()
        })
        .await
    }

    pub(crate) async fn offer(&self, id: ShareId) -> Result<Option<OfferRow>, StoreError> {
        self.read(move |tx| find_offer(tx, id)).await
    }
}

fn find_offer(tx: &Connection, id: ShareId) -> Result<Option<OfferRow>, StoreError> {
    let found = tx
        .query_row(
            "SELECT offers.author, offers.fetched, messages.payload FROM offers
             JOIN messages ON messages.author = offers.author AND messages.id = offers.message_id
             WHERE offers.id = ?1",
            [id.0],
            |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?)),
        )
        .optional()?;
    let Some((author, fetched, bytes)) = found else { return Ok(None) };
    let primary = checked(&author).map_err(StoreError::damaged)?;
    let payload = Payload::decode(&bytes, Channel::Inbox, Policy::Development).map_err(StoreError::damaged)?;
    let Content::FileShare(share) = payload.content else {
        return Err(StoreError::Damaged("an offer whose message is no file share".into()));
    };
    let handle = contacts::find(tx, &primary)?.and_then(|contact| contact.handle);
    Ok(Some(OfferRow { id, from: Peer { primary, handle }, sent_at_ms: payload.sent_at_ms, share, fetched }))
}
