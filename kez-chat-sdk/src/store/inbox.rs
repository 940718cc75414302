//! What came in: each frame is disposed of in one transaction, before it is acknowledged.

use kez_core::{
    identity::PrimaryKey,
    payload::{Content, MessageId, Payload, ReceiptStatus},
};
use rusqlite::{OptionalExtension, Transaction};
use zeroize::Zeroizing;

use super::{
    Store, StoreError,
    announce::{Room, announce, make_room_for_stranger},
    contacts, events,
    outbox::raise_state,
};
use crate::event::{Event, MessageState, Peer};

/// The kind's number (§7).
const RECEIPT_KIND: u64 = 3;
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
    /// It is here, now or already.
    Kept,
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
    let contact = contacts::find(tx, author)?;
    let known = author == own || contact.is_some();
    let seen = tx
        .query_row(
            "SELECT receipt_at_ms FROM messages WHERE author = ?1 AND id = ?2",
            (author.as_bytes(), payload.id.0),
            |row| row.get::<_, Option<u64>>(0),
        )
        .optional()?;
    if let Some(receipt_at_ms) = seen {
        if known && receipt_at_ms.is_none_or(|at| at.saturating_add(RECEIPT_AGAIN_AFTER_MS) <= *now_ms) {
            owe_receipt(tx, incoming)?;
        }
        return Ok(Stored::Kept);
    }
    let room = if known { Room::Further } else { make_room_for_stranger(tx, author, *now_ms)? };
    if room == Room::None {
        return Ok(Stored::Dropped);
    }
    tx.execute(
        "INSERT INTO messages (author, id, peer, kind, payload, sent_at_ms, stored_at_ms, state)
         VALUES (?1, ?2, ?1, ?3, ?4, ?5, ?6, 0)",
        (author.as_bytes(), payload.id.0, payload.content.kind(), &**bytes, payload.sent_at_ms, now_ms),
    )?;
    if known {
        owe_receipt(tx, incoming)?;
        let from = Peer { primary: *author, handle: contact.and_then(|contact| contact.handle) };
        announce(tx, from, payload)?;
    } else if room == Room::First {
        let from = Peer { primary: *author, handle: None };
        events::push(
            tx,
            &Event::Request { from, claimed_handle: payload.from.clone(), sent_at_ms: payload.sent_at_ms },
        )?;
    }
    Ok(Stored::Kept)
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
        }
    }
    Ok(Stored::Kept)
}

/// Owes the author a delivery receipt; none for one's own notes, and none for receipts, whatever else they say.
fn owe_receipt(tx: &Transaction<'_>, incoming: &Incoming) -> Result<(), StoreError> {
    let Incoming { own, author, payload, now_ms, .. } = incoming;
    let (author_bytes, id) = (author.as_bytes(), payload.id.0);
    tx.execute("UPDATE messages SET receipt_at_ms = ?3 WHERE author = ?1 AND id = ?2", (author_bytes, id, now_ms))?;
    if author != own && payload.content.kind() != RECEIPT_KIND {
        tx.execute("INSERT OR IGNORE INTO receipts_due (author, id) VALUES (?1, ?2)", (author_bytes, id))?;
    }
    Ok(())
}
