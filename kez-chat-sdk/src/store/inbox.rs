//! What came in: each frame is disposed of in one transaction, before it is acknowledged.

use bytes::Bytes;
use kez_core::{
    identity::PrimaryKey,
    payload::{Content, MessageId, Payload, ReceiptStatus},
};
use rusqlite::{Connection, OptionalExtension};
use zeroize::Zeroizing;

use super::{
    Store, StoreError,
    announce::Received,
    blocked, contacts, events, heads,
    outbox::raise_state,
    sequence::{arrive, begin_where_others_ended, take_number},
    strangers::{Room, make_room, note_claim},
    timeline::about,
};
use crate::event::{Event, MessageState, Peer};

const MAX_QUARANTINED_FRAMES: u32 = 1_000;
const MAX_QUARANTINED_BYTES: u64 = 16 << 20;
/// A duplicate makes its receipt be sent again, at most this often.
pub(super) const RECEIPT_AGAIN_AFTER_MS: u64 = 60_000;

/// What came off the broker, and what is to be kept of it.
pub(crate) enum Frame {
    /// A message that opened well.
    Message(Box<Incoming>),
    /// One that a later version may read.
    Unread {
        /// As it came.
        wire: Bytes,
        /// Why it was not read.
        reason: String,
    },
}

/// A message that opened well.
pub(crate) struct Incoming {
    pub(crate) author: PrimaryKey,
    pub(crate) payload: Payload,
    /// The payload as it was sealed.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// The frame as it came.
    pub(crate) wire: Bytes,
    /// Whether it is to a handle that never was ours.
    pub(crate) misaddressed: bool,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It is here, now or already.
    Kept,
    /// It is here as it came, for a later version.
    PutAside,
    /// It is none of ours to keep.
    Dropped,
}

/// A frame that was put aside.
pub(crate) struct Quarantined {
    pub(crate) row: i64,
    pub(crate) wire: Vec<u8>,
}

impl Store {
    /// Keeps what came in, and whatever follows from it, in one transaction. `now_ms` is by the home's clock.
    pub(crate) async fn receive(
        &self,
        own: PrimaryKey,
        frames: Vec<Frame>,
        now_ms: u64,
    ) -> Result<Vec<Stored>, StoreError> {
        self.transact(move |db| {
            let stored = frames.into_iter().map(|frame| dispose(db, &own, frame, now_ms));
            let stored = stored.collect::<Result<Vec<_>, StoreError>>()?;
            begin_where_others_ended(db)?;
            if stored.contains(&Stored::PutAside) {
                make_room_in_quarantine(db)?;
            }
            Ok(stored)
        })
        .await
    }

    /// Lists the frames that were put aside after `after`, a few at a time, unless this version of the application has
    /// tried them already.
    pub(crate) async fn quarantined(&self, after: i64, version: &'static str) -> Result<Vec<Quarantined>, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(
                "SELECT row, frame FROM quarantine
                 WHERE row > ?1 AND (SELECT quarantine_tried_by IS NOT ?2 FROM account) ORDER BY row LIMIT 32",
            )?;
            let rows =
                statement.query_map((after, version), |row| Ok(Quarantined { row: row.get(0)?, wire: row.get(1)? }))?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    /// Takes a frame out of the quarantine, in the transaction that keeps the message that it turned out to be.
    pub(crate) async fn leave_quarantine(
        &self,
        row: i64,
        own: PrimaryKey,
        message: Option<Incoming>,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        self.transact(move |db| {
            db.execute("DELETE FROM quarantine WHERE row = ?1", [row])?;
            message.map_or(Ok(()), |message| dispose(db, &own, Frame::Message(message.into()), now_ms).map(drop))?;
            begin_where_others_ended(db)
        })
        .await
    }

    /// Notes that this version of the application has tried every quarantined frame.
    pub(crate) async fn set_quarantine_tried(&self, version: &'static str) -> Result<(), StoreError> {
        self.transact(move |db| Ok(db.execute("UPDATE account SET quarantine_tried_by = ?1", [version]).map(drop)?))
            .await
    }
}

/// Disposes of one frame. What this file's own rows keep from being taken in is put aside like what can't be read, so
/// that one message never stops the others; only the disk can.
fn dispose(db: &Connection, own: &PrimaryKey, frame: Frame, now_ms: u64) -> Result<Stored, StoreError> {
    let (wire, reason) = match frame {
        Frame::Unread { wire, reason } => (wire, reason),
        Frame::Message(incoming) => {
            db.prepare_cached("SAVEPOINT frame")?.execute([])?;
            match take(db, own, &incoming, now_ms) {
                Err(StoreError::Damaged(reason)) => {
                    db.prepare_cached("ROLLBACK TO frame")?.execute([])?;
                    db.prepare_cached("RELEASE frame")?.execute([])?;
                    tracing::error!(reason, "a message could not be taken in; it is kept as it came");
                    (incoming.wire, reason)
                }
                taken => {
                    db.prepare_cached("RELEASE frame")?.execute([])?;
                    return taken;
                }
            }
        }
    };
    db.prepare_cached("INSERT INTO quarantine (reason, stored_at_ms, frame) VALUES (?1, ?2, ?3)")?
        .execute((reason, now_ms, &*wire))?;
    Ok(Stored::PutAside)
}

fn take(db: &Connection, own: &PrimaryKey, incoming: &Incoming, now_ms: u64) -> Result<Stored, StoreError> {
    if blocked::drops(db, &incoming.author, &incoming.payload, now_ms)? {
        return Ok(Stored::Dropped);
    }
    let stored = match &incoming.payload.content {
        Content::Receipt { status, ids } => receive_receipt(db, own, &incoming.author, *status, ids)?,
        _ => receive_message(db, own, incoming, now_ms)?,
    };
    heads::hear(db, &incoming.author, &incoming.payload)?;
    Ok(stored)
}

/// Drops the oldest frames above what is kept for a later version. It looks at all of them, so once for many is enough.
fn make_room_in_quarantine(db: &Connection) -> Result<(), StoreError> {
    db.prepare_cached(
        "DELETE FROM quarantine WHERE row IN (
            SELECT row FROM (
                SELECT row, row_number() OVER newest AS frames, sum(length(frame)) OVER newest AS bytes
                FROM quarantine WINDOW newest AS (ORDER BY row DESC))
            WHERE frames > ?1 OR bytes > ?2)",
    )?
    .execute((MAX_QUARANTINED_FRAMES, MAX_QUARANTINED_BYTES))?;
    Ok(())
}

fn receive_message(db: &Connection, own: &PrimaryKey, incoming: &Incoming, now_ms: u64) -> Result<Stored, StoreError> {
    let Incoming { author, payload, bytes, misaddressed, .. } = incoming;
    let is_note = author == own;
    let contact = contacts::handle_of(db, author)?;
    let is_known = is_note || contact.is_some();
    let seen = db
        .prepare_cached("SELECT receipt_at_ms FROM messages WHERE author = ?1 AND id = ?2")?
        .query_row((author.as_bytes(), payload.id.0), |row| row.get::<_, Option<u64>>(0))
        .optional()?;
    if let Some(receipt_at_ms) = seen {
        let due = receipt_at_ms.is_none_or(|at| at.saturating_add(RECEIPT_AGAIN_AFTER_MS) <= now_ms);
        if is_known && !is_note && due {
            db.prepare_cached("UPDATE messages SET receipt_at_ms = ?3 WHERE author = ?1 AND id = ?2")?.execute((
                author.as_bytes(),
                payload.id.0,
                now_ms,
            ))?;
            owe_receipt(db, author, &payload.id)?;
        }
        if is_known && !is_note {
            take_number(db, &Peer { primary: *author, handle: contact.flatten() }, payload)?;
        }
        return Ok(Stored::Kept);
    }
    if blocked::is_refused(db, author, payload.sent_at_ms)? {
        return Ok(Stored::Dropped);
    }
    let room = if is_known { Room::Further } else { make_room(db, author, now_ms)? };
    if room == Room::None {
        return Ok(Stored::Dropped);
    }
    let (about_author, about_id) = about(author, &payload.content).unzip();
    db.prepare_cached(
        "INSERT INTO messages (author, id, peer, kind, payload, sent_at_ms, stored_at_ms, state, misaddressed,
            receipt_at_ms, about_author, about_id)
         VALUES (?1, ?2, ?1, ?3, ?4, ?5, ?6, 0, ?7, ?8, ?9, ?10)",
    )?
    .execute((
        author.as_bytes(),
        payload.id.0,
        payload.content.kind(),
        &**bytes,
        payload.sent_at_ms,
        now_ms,
        misaddressed,
        is_known.then_some(now_ms),
        about_author,
        about_id,
    ))?;
    if is_known {
        if !is_note {
            owe_receipt(db, author, &payload.id)?;
        }
        let from = Peer { primary: *author, handle: contact.flatten() };
        if !is_note {
            contacts::note_from(db, &from, payload.from.as_ref())?;
        }
        let message = Received { payload: payload.clone(), misaddressed: *misaddressed, stored_at_ms: now_ms };
        arrive(db, &from, &message)?;
        return Ok(Stored::Kept);
    }
    note_claim(db, author, payload.from.as_ref())?;
    if room == Room::First {
        let from = Peer { primary: *author, handle: None };
        let (claimed_handle, sent_at_ms) = (payload.from.clone(), payload.sent_at_ms);
        events::push(db, &Event::Request { from, claimed_handle, sent_at_ms })?;
    }
    Ok(Stored::Kept)
}

/// Takes a receipt for messages that we sent to its sender; others it does not touch.
fn receive_receipt(
    db: &Connection,
    own: &PrimaryKey,
    author: &PrimaryKey,
    status: ReceiptStatus,
    ids: &[MessageId],
) -> Result<Stored, StoreError> {
    let Some(handle) = contacts::handle_of(db, author)? else { return Ok(Stored::Dropped) };
    let state = match status {
        ReceiptStatus::Delivered => MessageState::Delivered,
        ReceiptStatus::Read => MessageState::Read,
    };
    let to = Peer { primary: *author, handle };
    for id in ids {
        if raise_state(db, own, author.as_bytes(), id, state)? {
            db.prepare_cached("DELETE FROM outbox WHERE message_id = ?1")?.execute([id.0])?;
            events::push(db, &Event::MessageState { to: to.clone(), id: *id, state })?;
        }
    }
    Ok(Stored::Kept)
}

fn owe_receipt(db: &Connection, author: &PrimaryKey, id: &MessageId) -> Result<(), StoreError> {
    db.prepare_cached("INSERT OR IGNORE INTO receipts_due (author, id) VALUES (?1, ?2)")?
        .execute((author.as_bytes(), id.0))?;
    Ok(())
}
