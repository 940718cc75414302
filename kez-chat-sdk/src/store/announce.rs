//! Telling the application of messages: as they come in from contacts, and later for those that strangers left.

use kez_core::{
    handle::Policy,
    identity::PrimaryKey,
    payload::{Channel, Content, Payload},
};
use rusqlite::Transaction;

use super::{StoreError, events};
use crate::event::{Event, Peer, ShareId, SharedFile};

/// How many messages a stranger may leave here; more are dropped.
const MAX_FROM_STRANGER: u32 = 50;
/// How many messages all strangers may leave; then whoever left the most loses their oldest.
const MAX_FROM_STRANGERS: u32 = 1_000;
/// How long a stranger's message waits to be asked for.
const STRANGERS_WAIT_MS: u64 = 30 * 24 * 3_600_000;

/// Tells the application of a message by somebody it knows.
pub(super) fn announce(tx: &Transaction<'_>, from: Peer, payload: &Payload) -> Result<(), StoreError> {
    let author = from.primary;
    let (id, sent_at_ms) = (payload.id, payload.sent_at_ms);
    let event = match &payload.content {
        Content::Text(text) => Event::Message { from, id, sent_at_ms, text: text.clone() },
        Content::FileShare(share) => {
            let share_id = tx.query_row(
                "INSERT INTO offers (author, message_id) VALUES (?1, ?2) RETURNING id",
                (author.as_bytes(), id.0),
                |row| row.get(0).map(ShareId),
            )?;
            let files = share.entries.iter().map(SharedFile::of).collect();
            Event::FileShared { from, share_id, sent_at_ms, files }
        }
        // Edits, deletions and reactions are kept with their conversation; this version does not render them.
        _ => Event::Unsupported { from, kind: payload.content.kind(), sent_at_ms },
    };
    events::push(tx, &event)
}

/// Gives out, oldest first, what somebody sent before they were a contact.
pub(super) fn release(tx: &Transaction<'_>, from: &Peer) -> Result<(), StoreError> {
    let author = from.primary;
    let mut statement = tx.prepare_cached(
        "SELECT id, payload FROM messages WHERE author = ?1 AND peer = ?1 AND receipt_at_ms IS NULL ORDER BY row",
    )?;
    let rows = statement.query_map([author.as_bytes()], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))?;
    for row in rows.collect::<Result<Vec<_>, _>>()? {
        let (id, bytes): ([u8; 16], Vec<u8>) = row;
        let payload = Payload::decode(&bytes, Channel::Inbox, Policy::Development).map_err(StoreError::damaged)?;
        tx.execute("INSERT OR IGNORE INTO receipts_due (author, id) VALUES (?1, ?2)", (author.as_bytes(), id))?;
        tx.execute(
            "UPDATE messages SET receipt_at_ms = stored_at_ms WHERE author = ?1 AND id = ?2",
            (author.as_bytes(), id),
        )?;
        announce(tx, from.clone(), &payload)?;
    }
    Ok(())
}

/// Messages of people who are no contacts; they have no receipt yet.
const STRANGERS: &str = "FROM messages WHERE receipt_at_ms IS NULL AND author = peer
    AND NOT EXISTS (SELECT 1 FROM contacts WHERE owner = author)";

/// Keeps strangers from filling the disk, and from keeping other strangers out.
pub(super) fn make_room_for_stranger(
    tx: &Transaction<'_>,
    author: &PrimaryKey,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let expired = now_ms.saturating_sub(STRANGERS_WAIT_MS);
    tx.execute(
        &format!("DELETE FROM messages WHERE row IN (SELECT row {STRANGERS} AND stored_at_ms < ?1)"),
        [expired],
    )?;
    let (theirs, all): (u32, u32) = tx.query_row(
        &format!("SELECT coalesce(sum(author = ?1), 0), count(*) {STRANGERS}"),
        [author.as_bytes()],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if all >= MAX_FROM_STRANGERS {
        let most = format!("SELECT author {STRANGERS} GROUP BY author ORDER BY count(*) DESC LIMIT 1");
        let oldest = format!("SELECT min(row) {STRANGERS} AND author = ({most})");
        tx.execute(&format!("DELETE FROM messages WHERE row = ({oldest})"), [])?;
    }
    Ok(theirs < MAX_FROM_STRANGER)
}
