//! Files that were offered: by others to us, and by us.

use kez_core::{
    identity::PrimaryKey,
    payload::{Addresses, Content, FileShare, MessageId},
};
use rusqlite::{Connection, OptionalExtension};

use super::{
    Store, StoreError,
    announce::{self, decode},
    contacts,
};
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

    /// Returns where somebody said that their endpoint is when they last offered us something.
    pub(crate) async fn last_offered_from(&self, peer: PrimaryKey) -> Result<Addresses, StoreError> {
        self.read(move |db| {
            let last = "SELECT message_id FROM offers WHERE author = ?1 ORDER BY id DESC LIMIT 1";
            let id = db.query_row(last, [peer.as_bytes()], |row| row.get(0).map(MessageId)).optional()?;
            let share = id.map_or(Ok(None), |id| offered_by(db, &peer, id))?;
            Ok(share.map(|share| share.addresses).unwrap_or_default())
        })
        .await
    }

    /// Returns what a message of ours has offered; nothing if it is no offer of files, or was erased.
    pub(crate) async fn own_offer(&self, own: PrimaryKey, id: MessageId) -> Result<Option<FileShare>, StoreError> {
        self.read(move |db| offered_by(db, &own, id)).await
    }
}

fn offered_by(db: &Connection, author: &PrimaryKey, id: MessageId) -> Result<Option<FileShare>, StoreError> {
    let content = announce::received(db, author.as_bytes(), &id)?.map(|message| message.payload.content);
    Ok(content.and_then(|content| match content {
        Content::FileShare(share) => Some(share),
        _ => None,
    }))
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
    let payload = decode(&bytes)?;
    let Content::FileShare(share) = payload.content else {
        return Err(StoreError::Damaged("an offer whose message is no file share".into()));
    };
    let handle = contacts::find(tx, &primary)?.and_then(|contact| contact.handle);
    Ok(Some(OfferRow { id, from: Peer { primary, handle }, sent_at_ms: payload.sent_at_ms, share, fetched }))
}
