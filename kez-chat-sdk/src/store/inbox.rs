//! What came in: each frame is disposed of in one transaction, before it is acknowledged.

use kez_core::{
    handle::Policy,
    identity::PrimaryKey,
    payload::{Channel, Content, MessageId, Payload, ReceiptStatus},
};
use rusqlite::{OptionalExtension, Transaction};
use zeroize::Zeroizing;

use super::{Store, StoreError, contacts, events, outbox::raise_state};
use crate::{
    conversation::MessageState,
    event::{Event, Peer, ShareId, SharedFile},
};

/// How many messages a stranger may leave here; more are dropped.
const MAX_FROM_STRANGER: u32 = 50;
/// How many messages all strangers may leave; then whoever left the most loses their oldest.
const MAX_FROM_STRANGERS: u32 = 1_000;
/// How long a stranger's message waits to be asked for.
const STRANGERS_WAIT_MS: u64 = 30 * 24 * 3_600_000;
const MAX_QUARANTINED_FRAMES: u32 = 1_000;
const MAX_QUARANTINED_BYTES: u64 = 16 << 20;
/// A duplicate makes its receipt be sent again, at most this often.
const RECEIPT_AGAIN_AFTER_MS: u64 = 60_000;

/// A message that opened well.
pub(crate) struct Incoming {
    pub(crate) own: PrimaryKey,
    pub(crate) author: PrimaryKey,
    pub(crate) payload: Payload,
    /// The payload as it was sealed.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(crate) now_ms: u64,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It is new, or changed something.
    New,
    /// It was here already.
    Duplicate,
    /// It is none of ours to keep.
    Dropped,
}

impl Store {
    /// Keeps a message, and whatever follows from it, in one transaction.
    pub(crate) async fn receive(&self, incoming: Incoming) -> Result<Stored, StoreError> {
        self.transact(move |tx| match &incoming.payload.content {
            Content::Receipt { status, ids } => receive_receipt(tx, &incoming, *status, ids),
            _ => receive_message(tx, &incoming),
        })
        .await
    }

    /// Keeps a frame that this version can't read, for a later one. The oldest make room.
    pub(crate) async fn quarantine(&self, frame: Vec<u8>, reason: String, now_ms: u64) -> Result<(), StoreError> {
        self.transact(move |tx| {
            tx.execute(
                "INSERT INTO quarantine (reason, stored_at_ms, frame) VALUES (?1, ?2, ?3)",
                (reason, now_ms, frame),
            )?;
            tx.execute(
                "DELETE FROM quarantine WHERE row IN (
                    SELECT row FROM (
                        SELECT row, row_number() OVER newest AS frames, sum(length(frame)) OVER newest AS bytes
                        FROM quarantine WINDOW newest AS (ORDER BY row DESC))
                    WHERE frames > ?1 OR bytes > ?2)",
                (MAX_QUARANTINED_FRAMES, MAX_QUARANTINED_BYTES),
            )?;
            Ok(())
        })
        .await
    }
}

fn receive_message(tx: &Transaction<'_>, incoming: &Incoming) -> Result<Stored, StoreError> {
    let Incoming { own, author, payload, bytes, now_ms } = incoming;
    let known = author == own || contacts::find(tx, author)?.is_some();
    let seen = tx
        .query_row(
            "SELECT receipt_at_ms FROM messages WHERE author = ?1 AND id = ?2",
            (author.as_bytes(), payload.id.0),
            |row| row.get::<_, Option<u64>>(0),
        )
        .optional()?;
    if let Some(receipt_at_ms) = seen {
        if known && receipt_at_ms.is_none_or(|at| at.saturating_add(RECEIPT_AGAIN_AFTER_MS) <= *now_ms) {
            owe_receipt(tx, own, author, &payload.id, *now_ms)?;
        }
        return Ok(Stored::Duplicate);
    }
    if !known && !make_room_for_stranger(tx, author, *now_ms)? {
        return Ok(Stored::Dropped);
    }
    tx.execute(
        "INSERT INTO messages (author, id, peer, kind, payload, sent_at_ms, stored_at_ms, state)
         VALUES (?1, ?2, ?1, ?3, ?4, ?5, ?6, 0)",
        (author.as_bytes(), payload.id.0, payload.content.kind(), &**bytes, payload.sent_at_ms, now_ms),
    )?;
    if known {
        owe_receipt(tx, own, author, &payload.id, *now_ms)?;
        announce(tx, author, payload)?;
    } else {
        let from = Peer { primary: *author, handle: None };
        events::push(
            tx,
            &Event::Request { from, claimed_handle: payload.from.clone(), sent_at_ms: payload.sent_at_ms },
        )?;
    }
    Ok(Stored::New)
}

/// Takes a receipt for messages that we sent to its sender; others it does not touch.
fn receive_receipt(
    tx: &Transaction<'_>,
    incoming: &Incoming,
    status: ReceiptStatus,
    ids: &[MessageId],
) -> Result<Stored, StoreError> {
    let Incoming { own, author, .. } = incoming;
    let Some(contact) = contacts::find(tx, author)? else { return Ok(Stored::Dropped) };
    let state = match status {
        ReceiptStatus::Delivered => MessageState::Delivered,
        ReceiptStatus::Read => MessageState::Read,
    };
    let mut result = Stored::Duplicate;
    for id in ids {
        let theirs: bool = tx.query_row(
            "SELECT EXISTS (SELECT 1 FROM messages WHERE author = ?1 AND id = ?2 AND peer = ?3)",
            (own.as_bytes(), id.0, author.as_bytes()),
            |row| row.get(0),
        )?;
        if theirs && raise_state(tx, own, id, state)? {
            tx.execute("DELETE FROM outbox WHERE message_id = ?1", [id.0])?;
            let to = Peer { primary: *author, handle: contact.handle.clone() };
            events::push(tx, &Event::MessageState { to, id: *id, state })?;
            result = Stored::New;
        }
    }
    Ok(result)
}

/// Gives out, oldest first, what somebody sent before they were a contact.
pub(super) fn release_requests(tx: &Transaction<'_>, author: &PrimaryKey) -> Result<(), StoreError> {
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
        announce(tx, author, &payload)?;
    }
    Ok(())
}

/// Tells the application of a message by somebody it knows.
fn announce(tx: &Transaction<'_>, author: &PrimaryKey, payload: &Payload) -> Result<(), StoreError> {
    let handle = contacts::find(tx, author)?.and_then(|contact| contact.handle);
    let from = Peer { primary: *author, handle };
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

fn owe_receipt(
    tx: &Transaction<'_>,
    own: &PrimaryKey,
    author: &PrimaryKey,
    id: &MessageId,
    now_ms: u64,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE messages SET receipt_at_ms = ?3 WHERE author = ?1 AND id = ?2",
        (author.as_bytes(), id.0, now_ms),
    )?;
    if author != own {
        tx.execute("INSERT OR IGNORE INTO receipts_due (author, id) VALUES (?1, ?2)", (author.as_bytes(), id.0))?;
    }
    Ok(())
}

/// Messages of people who are no contacts; they have no receipt yet.
const STRANGERS: &str = "FROM messages WHERE receipt_at_ms IS NULL AND author = peer
    AND NOT EXISTS (SELECT 1 FROM contacts WHERE owner = author)";

/// Keeps strangers from filling the disk, and from keeping other strangers out.
fn make_room_for_stranger(tx: &Transaction<'_>, author: &PrimaryKey, now_ms: u64) -> Result<bool, StoreError> {
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
