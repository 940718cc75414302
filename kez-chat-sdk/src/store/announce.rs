//! Telling the application of messages by people it knows.

use kez_core::{
    handle::Policy,
    payload::{Channel, Content, MessageId, Payload},
};
use rusqlite::{Connection, OptionalExtension};

use super::{
    StoreError,
    contacts::is_in_doubt,
    events,
    timeline::{answered, erase, is_shown, show, take_change, wording},
};
use crate::event::{Event, Order, Peer, ShareId, SharedFile};

/// A message that is stored here.
pub(super) struct Received {
    pub(super) payload: Payload,
    /// Whether it is to a handle that never was ours.
    pub(super) misaddressed: bool,
    /// When it came to be here, by the home's clock.
    pub(super) stored_at_ms: u64,
}

/// Reads a stored message; `None` if it was erased since.
pub(super) fn received(db: &Connection, author: &[u8; 32], id: &MessageId) -> Result<Option<Received>, StoreError> {
    let row = db
        .prepare_cached(
            "SELECT payload, misaddressed, stored_at_ms FROM messages WHERE author = ?1 AND id = ?2 AND erased = 0",
        )?
        .query_row((author, id.0), |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((bytes, misaddressed, stored_at_ms)) = row else { return Ok(None) };
    Ok(Some(Received { payload: decode(&bytes)?, misaddressed, stored_at_ms }))
}

/// Reads a payload that was stored; the rules for what may come in held then.
pub(super) fn decode(bytes: &[u8]) -> Result<Payload, StoreError> {
    Payload::decode(bytes, Channel::Inbox, Policy::Development).map_err(StoreError::damaged)
}

/// Tells the application of a message by somebody it knows, and shows it in its conversation.
pub(super) fn announce(db: &Connection, from: &Peer, message: &Received, order: Order) -> Result<(), StoreError> {
    let from = from.clone();
    let payload = &message.payload;
    let (id, sent_at_ms) = (payload.id, payload.sent_at_ms);
    if message.misaddressed {
        let text = match &payload.content {
            Content::Text(text) => Some(text.clone()),
            _ => None,
        };
        return events::push(db, &Event::Misaddressed { from, id, to: payload.to.clone(), sent_at_ms, text });
    }
    if !is_shown(&payload.content) {
        return take_change(db, &from, payload)?.map_or(Ok(()), |event| events::push(db, &event));
    }
    let name = (*from.primary.as_bytes(), id.0);
    let wording = wording(db, from.primary.as_bytes(), name)?;
    if wording.is_deleted {
        return erase(db, name);
    }
    let born_at_ms: u64 =
        db.prepare_cached("SELECT coalesce(max(born_at_ms), 0) FROM account")?.query_row([], |row| row.get(0))?;
    let earlier = sent_at_ms < born_at_ms;
    let in_doubt = is_in_doubt(db, &from.primary)?;
    show(db, &from.primary, &id, message.stored_at_ms, in_doubt)?;
    let event = match &payload.content {
        Content::Text(text) => {
            let reply_to = payload.reply_to.map_or(Ok(None), |to| answered(db, &from.primary, to))?;
            let text = wording.text.unwrap_or_else(|| text.clone());
            Event::Message { from, id, sent_at_ms, text, reply_to, order, earlier, in_doubt }
        }
        Content::FileShare(share) => {
            let share_id = db.query_row(
                "INSERT INTO offers (author, message_id) VALUES (?1, ?2) RETURNING id",
                (from.primary.as_bytes(), id.0),
                |row| row.get(0).map(ShareId),
            )?;
            let files = share.entries.iter().map(SharedFile::of).collect();
            Event::FileShared { from, share_id, sent_at_ms, files, order, earlier, in_doubt }
        }
        content => Event::Unsupported { from, kind: content.kind(), sent_at_ms, order, earlier, in_doubt },
    };
    events::push(db, &event)
}
