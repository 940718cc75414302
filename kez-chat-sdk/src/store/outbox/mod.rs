//! What is to be sent, and what was sent and is not yet known to have arrived (`docs/PROTOCOL.md` §8).

mod queue;
mod receipts;
mod resend;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use kez_core::{
    handle::Handle,
    identity::PrimaryKey,
    payload::{Content, MessageId},
    sigchain::Install,
};
use rusqlite::{Connection, OptionalExtension, Row};
use zeroize::Zeroizing;

use self::queue::{number, say_nothing_instead};
pub(crate) use self::receipts::ReceiptDue;
pub(super) use self::{
    queue::{named, queue},
    resend::resend_all,
};
use super::{Store, StoreError, contacts, events, heads, unshare::end_message};
use crate::{
    conversation::{OutboxEntry, SendError},
    event::{Event, MessageState},
    message::MessageRef,
};

/// How far a message of our own came. That the broker has it is not written twice: the outbox knows.
pub(super) const STATE: &str =
    "max(state, 10 * EXISTS (SELECT 1 FROM outbox WHERE message_id = messages.id AND sent_at_ms > 0))";

/// A message as the caller means it; the store gives it its place in the sequence, at the latest when it is handed to the
/// broker: a number that is never sent would keep the recipient waiting.
pub(crate) struct Draft {
    pub(crate) recipient: PrimaryKey,
    pub(crate) own: PrimaryKey,
    pub(crate) own_handle: Handle,
    pub(crate) install: Install,
    pub(crate) id: MessageId,
    pub(crate) nats_msg_id: [u8; 16],
    pub(crate) sent_at_ms: u64,
    pub(crate) content: Content,
    /// The message of the conversation that it answers.
    pub(crate) reply_to: Option<MessageRef>,
    /// Whether it goes to the broker at once, unless others to the same recipient wait.
    pub(crate) at_once: bool,
}

/// A row that waits to be sent.
pub(crate) struct OutboxRow {
    pub(crate) row: i64,
    pub(crate) recipient: [u8; 32],
    pub(crate) message_id: MessageId,
    pub(crate) nats_msg_id: [u8; 16],
    pub(crate) payload: Zeroizing<Vec<u8>>,
    pub(crate) awaits_receipt: bool,
    pub(crate) handed_over: bool,
}

/// The broker's acknowledgement of a row.
pub(crate) struct Acknowledged {
    pub(crate) row: i64,
    pub(crate) awaits_receipt: bool,
}

impl Store {
    /// Keeps a message in its conversation and queues it, in one transaction.
    pub(crate) async fn queue_message(&self, draft: Draft) -> Result<(), SendError> {
        self.transact(move |db| queue(db, draft)).await
    }

    /// Keeps and queues a message, unless that was done before under its name. `refusal` is why nothing new may be written.
    pub(crate) async fn queue_once(&self, draft: Draft, refusal: Option<SendError>) -> Result<(), SendError> {
        self.transact(move |db| match named(db, &draft.own, &draft.id)? {
            None => refusal.map_or_else(|| queue(db, draft), Err),
            Some((peer, kind)) if (&peer, kind) == (draft.recipient.as_bytes(), draft.content.kind()) => Ok(()),
            Some(_) => Err(SendError::NameTaken(draft.id)),
        })
        .await
    }

    /// Lists, oldest first, rows after `after` that wait for the broker. To a contact in trouble nothing goes at all.
    pub(crate) async fn waiting(&self, after: i64, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT row, recipient, message_id, nats_msg_id, payload, awaits_receipt, handed_over
                 FROM outbox WHERE sent = 0 AND row > ?1
                    AND EXISTS (SELECT 1 FROM contacts WHERE owner = outbox.recipient AND {IS_SENDABLE})
                 ORDER BY row LIMIT ?2",
                IS_SENDABLE = contacts::IS_SENDABLE
            ))?;
            let rows = statement.query_map((after, limit), read)?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    /// Notes that rows are on their way to the broker from now on. Returns those that were not cancelled before, each with
    /// its number.
    pub(crate) async fn hand_over(&self, own: PrimaryKey, rows: Vec<OutboxRow>) -> Result<Vec<OutboxRow>, StoreError> {
        self.transact(move |db| {
            let mut kept = Vec::with_capacity(rows.len());
            for mut row in rows {
                let numbered: Option<bool> = db
                    .prepare_cached("UPDATE outbox SET handed_over = 1 WHERE row = ?1 AND sent = 0 RETURNING numbered")?
                    .query_row([row.row], |row| row.get(0))
                    .optional()?;
                match numbered {
                    None => continue,
                    Some(true) => {}
                    Some(false) => row.payload = number(db, &own, &row)?,
                }
                kept.push(row);
            }
            Ok(kept)
        })
        .await
    }

    /// Notes what the broker has taken, and how far its streams have come. What awaits no receipt is done with.
    pub(crate) async fn set_sent(
        &self,
        acknowledged: Vec<Acknowledged>,
        positions: BTreeMap<String, u64>,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        self.transact_lazily(move |db| {
            for Acknowledged { row, awaits_receipt } in acknowledged {
                if awaits_receipt {
                    db.prepare_cached("UPDATE outbox SET sent = 1, sent_at_ms = ?2 WHERE row = ?1")?
                        .execute((row, now_ms))?;
                } else {
                    db.prepare_cached("DELETE FROM outbox WHERE row = ?1")?.execute([row])?;
                }
            }
            let mut statement =
                db.prepare_cached("INSERT OR REPLACE INTO stream_positions (stream, seq) VALUES (?1, ?2)")?;
            for position in positions {
                statement.execute(position)?;
            }
            Ok(())
        })
        .await
    }

    /// Returns how far each of the home's streams had come.
    pub(crate) async fn stream_positions(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached("SELECT stream, seq FROM stream_positions")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Notes that the broker refused a row because the recipient's inbox is full: it certainly has not got it.
    pub(crate) async fn set_inbox_full(&self, row: i64, own: PrimaryKey) -> Result<(), StoreError> {
        self.transact(move |db| {
            let refused: Option<([u8; 32], [u8; 16])> = db
                .query_row(
                    "UPDATE outbox SET handed_over = 0 WHERE row = ?1 AND sent = 0 AND sent_at_ms = 0
                     RETURNING recipient, message_id",
                    [row],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            if let Some((recipient, id)) = refused
                && raise_state(db, &own, &recipient, &MessageId(id), MessageState::InboxFull)?
            {
                let to = contacts::peer(db, &recipient)?;
                events::push(db, &Event::MessageState { to, id: MessageId(id), state: MessageState::InboxFull })?;
            }
            Ok(())
        })
        .await
    }

    /// Takes back a message that the broker certainly has not got. If it was one, returns the blobs that nobody will fetch
    /// by it.
    pub(crate) async fn cancel(
        &self,
        own: PrimaryKey,
        peer: PrimaryKey,
        id: MessageId,
    ) -> Result<Option<Vec<[u8; 32]>>, StoreError> {
        self.transact(move |db| {
            let cancelled = cancel(db, &own, &peer, &id)?;
            cancelled.then(|| end_message(db, peer.as_bytes(), &id.0)).transpose()
        })
        .await
    }

    /// Counts the messages and receipts that wait for the broker. Receipts that are owed and not written yet count as
    /// one.
    pub(crate) async fn unsent(&self) -> Result<usize, StoreError> {
        let query = "SELECT (SELECT count(*) FROM outbox WHERE sent = 0) + EXISTS (SELECT 1 FROM receipts_due)";
        self.read(|db| Ok(db.query_row(query, [], |row| row.get(0))?)).await
    }

    /// Lists the messages that are not known to have arrived, in the order in which they were queued.
    pub(crate) async fn undelivered(&self, own: PrimaryKey) -> Result<Vec<OutboxEntry>, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(
                "SELECT recipient, message_id, max(state, 10 * (outbox.sent_at_ms > 0)), stored_at_ms FROM outbox
                 JOIN messages ON author = ?1 AND id = message_id WHERE awaits_receipt ORDER BY outbox.row",
            )?;
            let rows = statement.query_map([own.as_bytes()], |row| {
                Ok((row.get::<_, [u8; 32]>(0)?, MessageId(row.get(1)?), row.get(2)?, row.get(3)?))
            })?;
            rows.map(|row| {
                let (recipient, id, state, queued_at_ms) = row?;
                let to = contacts::peer(db, &recipient)?;
                Ok(OutboxEntry { to, id, state: MessageState::from_stored(state), queued_at_ms })
            })
            .collect()
        })
        .await
    }

    /// Returns how far a message of our own came.
    pub(crate) async fn message_state(
        &self,
        own: PrimaryKey,
        id: MessageId,
    ) -> Result<Option<MessageState>, StoreError> {
        self.read(move |db| {
            let state = db
                .prepare_cached(&format!("SELECT {STATE} FROM messages WHERE author = ?1 AND id = ?2"))?
                .query_row((own.as_bytes(), id.0), |row| row.get(0));
            Ok(state.optional()?.map(MessageState::from_stored))
        })
        .await
    }
}

/// Takes back a message that the broker certainly has not got. Tells whether it was one. An edit or a reaction is none: it
/// is made good by another one.
pub(super) fn cancel(db: &Connection, own: &PrimaryKey, peer: &PrimaryKey, id: &MessageId) -> Result<bool, StoreError> {
    let waiting: Option<(i64, bool)> = db
        .query_row(
            "SELECT outbox.row, numbered FROM outbox JOIN messages ON author = ?3 AND id = message_id
             WHERE message_id = ?1 AND recipient = ?2 AND sent = 0 AND handed_over = 0 AND awaits_receipt
                AND place IS NOT NULL",
            (id.0, peer.as_bytes(), own.as_bytes()),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((row, numbered)) = waiting else { return Ok(false) };
    if numbered {
        say_nothing_instead(db, row, id)?;
    } else {
        db.execute("DELETE FROM outbox WHERE row = ?1", [row])?;
        // What it was to tell the next one tells.
        heads::forget_told(db, peer)?;
    }
    raise_state(db, own, peer.as_bytes(), id, MessageState::Withdrawn)?;
    Ok(true)
}

fn read(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    Ok(OutboxRow {
        row: row.get(0)?,
        recipient: row.get(1)?,
        message_id: MessageId(row.get(2)?),
        nats_msg_id: row.get(3)?,
        payload: Zeroizing::new(row.get(4)?),
        awaits_receipt: row.get(5)?,
        handed_over: row.get(6)?,
    })
}

/// Withdraws all that was to be sent to somebody, and owes them no receipt any more. What the broker may have can't be
/// withdrawn: whether it arrives, nobody will say.
pub(super) fn withdraw_all(db: &Connection, recipient: &[u8; 32]) -> Result<(), StoreError> {
    let mut unsent = db.prepare_cached("DELETE FROM outbox WHERE recipient = ?1 RETURNING message_id, handed_over")?;
    let unsent = unsent.query_map([recipient], |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, bool>(1)?)))?;
    for (id, handed_over) in unsent.collect::<Result<Vec<_>, _>>()? {
        let state = if handed_over { MessageState::Unconfirmed } else { MessageState::Withdrawn };
        if !handed_over {
            end_message(db, recipient, &id)?;
        }
        db.execute(
            "UPDATE messages SET state = ?3 WHERE peer = ?1 AND place IS NOT NULL AND id = ?2 AND author <> ?1",
            (recipient, id, state.to_stored()),
        )?;
    }
    db.execute("DELETE FROM receipts_due WHERE author = ?1", [recipient])?;
    Ok(())
}

/// Raises the state of a message of our own to `peer`. Tells whether it did.
pub(super) fn raise_state(
    db: &Connection,
    own: &PrimaryKey,
    peer: &[u8; 32],
    id: &MessageId,
    state: MessageState,
) -> Result<bool, StoreError> {
    let changed = db
        .prepare_cached("UPDATE messages SET state = ?3 WHERE author = ?1 AND id = ?2 AND peer = ?4 AND state < ?3")?
        .execute((own.as_bytes(), id.0, state.to_stored(), peer))?;
    Ok(changed > 0)
}
