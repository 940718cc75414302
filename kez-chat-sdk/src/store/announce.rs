//! Telling the application of messages by people it knows.

use kez_core::{
    handle::Policy,
    identity::PrimaryKey,
    payload::{Channel, Content, MessageId, Payload},
};
use rusqlite::Connection;

use super::{StoreError, events};
use crate::event::{Event, Order, Peer, ShareId, SharedFile};

/// A message that is stored here.
pub(super) struct Received {
    pub(super) payload: Payload,
    /// Whether it is to a handle that never was ours.
    pub(super) misaddressed: bool,
}

/// Reads a stored message.
pub(super) fn received(db: &Connection, author: &[u8; 32], id: &MessageId) -> Result<Received, StoreError> {
    let (bytes, misaddressed): (Vec<u8>, bool) = db
        .prepare_cached("SELECT payload, misaddressed FROM messages WHERE author = ?1 AND id = ?2")?
        .query_row((author, id.0), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Received { payload: decode(&bytes)?, misaddressed })
}

/// Reads a payload that was stored; the rules for what may come in held then.
pub(super) fn decode(bytes: &[u8]) -> Result<Payload, StoreError> {
    Payload::decode(bytes, Channel::Inbox, Policy::Development).map_err(StoreError::damaged)
}

/// Tells the application of a message by somebody it knows.
pub(super) fn announce(db: &Connection, from: &Peer, message: &Received, order: Order) -> Result<(), StoreError> {
    let from = from.clone();
    let payload = &message.payload;
    let (id, sent_at_ms) = (payload.id, payload.sent_at_ms);
    let born_at_ms: u64 =
        db.prepare_cached("SELECT coalesce(max(born_at_ms), 0) FROM account")?.query_row([], |row| row.get(0))?;
    let earlier = sent_at_ms < born_at_ms;
    let event = match &payload.content {
        _ if message.misaddressed => {
            let text = match &payload.content {
                Content::Text(text) => Some(text.clone()),
                _ => None,
            };
            Event::Misaddressed { from, id, to: payload.to.clone(), sent_at_ms, text }
        }
        Content::Text(text) => Event::Message { from, id, sent_at_ms, text: text.clone(), order, earlier },
        Content::FileShare(share) => {
            let share_id = db.query_row(
                "INSERT INTO offers (author, message_id) VALUES (?1, ?2) RETURNING id",
                (from.primary.as_bytes(), id.0),
                |row| row.get(0).map(ShareId),
            )?;
            let files = share.entries.iter().map(SharedFile::of).collect();
            Event::FileShared { from, share_id, sent_at_ms, files, order, earlier }
        }
        // As what takes the number of a message that was never sent.
        Content::Delete { id } if !is_kept(db, &from.primary, id)? => return Ok(()),
        // Edits, deletions and reactions are kept with their conversation; this version does not render them.
        content => Event::Unsupported { from, kind: content.kind(), sent_at_ms, order, earlier },
    };
    events::push(db, &event)
}

fn is_kept(db: &Connection, author: &PrimaryKey, id: &MessageId) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM messages WHERE author = ?1 AND id = ?2)")?
        .query_row((author.as_bytes(), id.0), |row| row.get(0))?)
}
