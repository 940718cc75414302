//! Reading what a conversation shows.

use kez_core::{
    identity::PrimaryKey,
    payload::{Content, MessageId, MessageRef as WireRef},
};
use rusqlite::{Connection, OptionalExtension, Row};

use super::wording;
use crate::{
    event::{MessageState, ShareId, SharedFile},
    keys::checked,
    message::{Message, MessageContent, MessageRef, Place},
    store::{Store, StoreError, announce::decode, outbox::STATE},
};

/// How far a note to oneself has come when it is kept.
pub(in crate::store) const NOTE_STATE: MessageState = MessageState::Read;

impl Store {
    /// Returns up to `limit` messages of the conversation with `peer` before a place, in their order.
    pub(crate) async fn history(
        &self,
        own: PrimaryKey,
        peer: PrimaryKey,
        before: Place,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        self.read(move |db| {
            let mut statement =
                db.prepare_cached(&select("WHERE peer = ?1 AND place < ?2 ORDER BY place DESC LIMIT ?3"))?;
            let rows = statement.query_map((peer.as_bytes(), before.0, limit), read)?;
            let messages = rows.map(|row| message(db, &own, &peer, row?)).collect::<Result<Vec<_>, _>>();
            messages.map(|mut messages| {
                messages.reverse();
                messages
            })
        })
        .await
    }

    /// Returns up to `limit` messages of the conversation with `peer` after a place, in their order.
    pub(crate) async fn messages_after(
        &self,
        own: PrimaryKey,
        peer: PrimaryKey,
        after: Place,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(&select("WHERE peer = ?1 AND place > ?2 ORDER BY place LIMIT ?3"))?;
            let rows = statement.query_map((peer.as_bytes(), after.0, limit), read)?;
            rows.map(|row| message(db, &own, &peer, row?)).collect()
        })
        .await
    }

    /// Returns a message that the conversation with `peer` shows.
    pub(crate) async fn shown_message(
        &self,
        own: PrimaryKey,
        peer: PrimaryKey,
        name: MessageRef,
    ) -> Result<Option<Message>, StoreError> {
        self.read(move |db| {
            let mut statement =
                db.prepare_cached(&select("WHERE author = ?1 AND id = ?2 AND peer = ?3 AND place IS NOT NULL"))?;
            let found = statement.query_row((name.author.as_bytes(), name.id.0, peer.as_bytes()), read).optional()?;
            found.map(|stored| message(db, &own, &peer, stored)).transpose()
        })
        .await
    }
}

/// Returns the last message that the conversation with `peer` shows.
pub(super) fn last(db: &Connection, own: &PrimaryKey, peer: &PrimaryKey) -> Result<Option<Message>, StoreError> {
    let mut statement =
        db.prepare_cached(&select("WHERE peer = ?1 AND place IS NOT NULL ORDER BY place DESC LIMIT 1"))?;
    let stored = statement.query_row([peer.as_bytes()], read).optional()?;
    stored.map(|stored| message(db, own, peer, stored)).transpose()
}

/// Returns the message in a row of the table, and with whom its conversation is, if that shows it and it says something.
pub(in crate::store) fn shown_in(
    db: &Connection,
    own: &PrimaryKey,
    row: i64,
) -> Result<Option<(PrimaryKey, Message)>, StoreError> {
    let place = "SELECT peer FROM messages WHERE row = ?1 AND place IS NOT NULL AND erased = 0";
    let peer: Option<[u8; 32]> = db.prepare_cached(place)?.query_row([row], |row| row.get(0)).optional()?;
    let Some(peer) = peer else { return Ok(None) };
    let peer = checked(&peer).map_err(StoreError::damaged)?;
    let stored = db.prepare_cached(&select("WHERE row = ?1"))?.query_row([row], read)?;
    Ok(Some((peer, message(db, own, &peer, stored)?)))
}

/// Begins a query for messages as [`read`] takes them.
fn select(which: &str) -> String {
    format!(
        "SELECT author, id, payload, sent_at_ms, stored_at_ms, {STATE}, place, erased, in_doubt FROM messages {which}"
    )
}

/// A message's row, as it is kept.
struct StoredMessage {
    author: [u8; 32],
    id: [u8; 16],
    payload: Vec<u8>,
    sent_at_ms: u64,
    stored_at_ms: u64,
    state: i64,
    place: u64,
    is_erased: bool,
    in_doubt: bool,
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredMessage> {
    Ok(StoredMessage {
        author: row.get(0)?,
        id: row.get(1)?,
        payload: row.get(2)?,
        sent_at_ms: row.get(3)?,
        stored_at_ms: row.get(4)?,
        state: row.get(5)?,
        place: row.get(6)?,
        is_erased: row.get(7)?,
        in_doubt: row.get(8)?,
    })
}

fn message(db: &Connection, own: &PrimaryKey, peer: &PrimaryKey, stored: StoredMessage) -> Result<Message, StoreError> {
    let author = checked(&stored.author).map_err(StoreError::damaged)?;
    let is_own = author == *own;
    let mut message = Message {
        place: Place(stored.place),
        name: MessageRef { author, id: MessageId(stored.id) },
        is_own,
        sent_at_ms: stored.sent_at_ms,
        stored_at_ms: stored.stored_at_ms,
        content: MessageContent::Deleted,
        reply_to: None,
        reactions: Vec::new(),
        in_doubt: stored.in_doubt,
        state: is_own.then(|| MessageState::from_stored(stored.state)),
    };
    if stored.is_erased {
        return Ok(message);
    }
    let payload = decode(&stored.payload)?;
    let wording = wording(db, peer.as_bytes(), (stored.author, stored.id))?;
    message.reactions = wording.reactions;
    message.reply_to = payload.reply_to.map_or(Ok(None), |to| answered(db, peer, to))?;
    let share_id = match payload.content {
        Content::FileShare(_) => db
            .prepare_cached("SELECT id FROM offers WHERE author = ?1 AND message_id = ?2")?
            .query_row((stored.author, stored.id), |row| row.get(0).map(ShareId))
            .optional()?,
        _ => None,
    };
    message.content = shown(payload.content, wording.text, share_id);
    Ok(message)
}

/// Returns what a message says as it is shown, with its last text if its author has changed it.
pub(in crate::store) fn shown(content: Content, text: Option<String>, share_id: Option<ShareId>) -> MessageContent {
    match content {
        Content::Text(first) => MessageContent::Text { edited: text.is_some(), text: text.unwrap_or(first) },
        Content::FileShare(share) => {
            MessageContent::Files { share_id, files: share.entries.iter().map(SharedFile::of).collect() }
        }
        content => MessageContent::Unsupported { kind: content.kind() },
    }
}

/// Returns what a message of the conversation with `peer` answers, unless that is known to belong to another one.
pub(in crate::store) fn answered(
    db: &Connection,
    peer: &PrimaryKey,
    to: WireRef,
) -> Result<Option<MessageRef>, StoreError> {
    let Ok(author) = checked(&to.author) else { return Ok(None) };
    let is_elsewhere: bool = db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM messages WHERE author = ?1 AND id = ?2 AND peer <> ?3)")?
        .query_row((to.author, to.id.0, peer.as_bytes()), |row| row.get(0))?;
    Ok((!is_elsewhere).then_some(MessageRef { author, id: to.id }))
}
