//! What is to be sent, and what was sent and is not yet known to have arrived.

use kez_core::{
    identity::PrimaryKey,
    payload::{MessageId, Payload},
};
use rusqlite::{OptionalExtension, Transaction};
use zeroize::Zeroizing;

use super::{Store, StoreError, contacts};
use crate::event::MessageState;

/// A stored message on its way out: everything but its sequence number, which the transaction gives it.
pub(crate) struct Outgoing {
    pub(crate) recipient: PrimaryKey,
    pub(crate) own: PrimaryKey,
    pub(crate) payload: Payload,
    pub(crate) nats_msg_id: [u8; 16],
}

/// The oldest unsent row to each recipient who may be sent to.
const HEADS: &str = "SELECT * FROM outbox AS head
    WHERE sent = 0
    AND NOT EXISTS (SELECT 1 FROM outbox AS older WHERE older.sent = 0 AND older.recipient = head.recipient AND older.row < head.row)
    AND EXISTS (SELECT 1 FROM contacts WHERE owner = head.recipient AND trouble IS NULL AND reachable = 1)";

/// A row that is due.
pub(crate) struct OutboxRow {
    pub(crate) row: i64,
    pub(crate) recipient: PrimaryKey,
    pub(crate) message_id: MessageId,
    pub(crate) nats_msg_id: [u8; 16],
    pub(crate) payload: Zeroizing<Vec<u8>>,
    pub(crate) awaits_receipt: bool,
}

impl Store {
    /// Keeps a message in its conversation and queues it, in one transaction.
    pub(crate) async fn queue_message(&self, outgoing: Outgoing) -> Result<(), StoreError> {
        self.transact(move |tx| queue(tx, outgoing)).await
    }

    /// Returns the oldest row that is due. Messages to one recipient go out in their order: a row waits while an
    /// older one to the same recipient does. To a contact in trouble nothing goes at all.
    pub(crate) async fn next_to_send(&self, now_ms: u64) -> Result<Option<OutboxRow>, StoreError> {
        self.read(move |tx| {
            let mut statement = tx.prepare_cached(&format!(
                "SELECT row, recipient, message_id, nats_msg_id, payload, awaits_receipt
                 FROM ({HEADS}) WHERE next_try_ms <= ?1 ORDER BY row LIMIT 1"
            ))?;
            let found = statement
                .query_row([now_ms], |row| {
                    let recipient: [u8; 32] = row.get(1)?;
                    Ok((row.get(0)?, recipient, row.get(2)?, row.get(3)?, row.get::<_, Vec<u8>>(4)?, row.get(5)?))
                })
                .optional()?;
            let Some((row, recipient, message_id, nats_msg_id, payload, awaits_receipt)) = found else {
                return Ok(None);
            };
            Ok(Some(OutboxRow {
                row,
                recipient: PrimaryKey::from_bytes(&recipient).map_err(StoreError::damaged)?,
                message_id: MessageId(message_id),
                nats_msg_id,
                payload: Zeroizing::new(payload),
                awaits_receipt,
            }))
        })
        .await
    }

    /// Tells when the earliest row that waits for a later try is due.
    pub(crate) async fn next_try_ms(&self) -> Result<Option<u64>, StoreError> {
        let query = format!("SELECT min(next_try_ms) FROM ({HEADS})");
        self.read(move |tx| Ok(tx.query_row(&query, [], |row| row.get(0))?)).await
    }

    /// Notes that the broker has taken a row. What awaits no receipt is done with.
    pub(crate) async fn set_sent(&self, row: &OutboxRow, own: PrimaryKey) -> Result<(), StoreError> {
        let (number, id, awaits_receipt) = (row.row, row.message_id.0, row.awaits_receipt);
        self.transact(move |tx| {
            if awaits_receipt {
                tx.execute("UPDATE outbox SET sent = 1 WHERE row = ?1", [number])?;
                raise_state(tx, &own, &MessageId(id), MessageState::Sent)?;
            } else {
                tx.execute("DELETE FROM outbox WHERE row = ?1", [number])?;
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn try_later(&self, row: i64, next_try_ms: u64) -> Result<(), StoreError> {
        self.transact(move |tx| {
            Ok(tx.execute("UPDATE outbox SET next_try_ms = ?2 WHERE row = ?1", (row, next_try_ms)).map(drop)?)
        })
        .await
    }

    pub(crate) async fn try_all_now(&self) -> Result<(), StoreError> {
        self.transact(|tx| Ok(tx.execute("UPDATE outbox SET next_try_ms = 0 WHERE sent = 0", []).map(drop)?)).await
    }

    /// Returns up to `limit` messages of one author that are owed a delivery receipt.
    pub(crate) async fn receipts_due(&self, limit: usize) -> Result<Option<(PrimaryKey, Vec<MessageId>)>, StoreError> {
        self.read(move |tx| {
            let author = tx.query_row("SELECT author FROM receipts_due LIMIT 1", [], |row| row.get::<_, [u8; 32]>(0));
            let Some(author) = author.optional()? else { return Ok(None) };
            let mut statement = tx.prepare_cached("SELECT id FROM receipts_due WHERE author = ?1 LIMIT ?2")?;
            let rows = statement.query_map((author, limit), |row| row.get(0).map(MessageId))?;
            let ids = rows.collect::<Result<Vec<_>, _>>()?;
            Ok(Some((PrimaryKey::from_bytes(&author).map_err(StoreError::damaged)?, ids)))
        })
        .await
    }

    /// Queues a receipt in place of what was due.
    pub(crate) async fn queue_receipt(
        &self,
        to: PrimaryKey,
        ids: Vec<MessageId>,
        payload: Payload,
        nats_msg_id: [u8; 16],
    ) -> Result<(), StoreError> {
        self.transact(move |tx| {
            let mut statement = tx.prepare_cached("DELETE FROM receipts_due WHERE author = ?1 AND id = ?2")?;
            for id in ids {
                statement.execute((to.as_bytes(), id.0))?;
            }
            let bytes = payload.encode().map_err(StoreError::damaged)?;
            insert(tx, &to, payload.id.0, nats_msg_id, &bytes, false)
        })
        .await
    }

    /// Returns how far a message of our own came.
    pub(crate) async fn message_state(
        &self,
        own: PrimaryKey,
        id: MessageId,
    ) -> Result<Option<MessageState>, StoreError> {
        self.read(move |tx| {
            let state = tx.query_row(
                "SELECT state FROM messages WHERE author = ?1 AND id = ?2",
                (own.as_bytes(), id.0),
                |row| row.get(0),
            );
            Ok(state.optional()?.map(MessageState::from_stored))
        })
        .await
    }
}

/// Keeps and queues a message; it gets the next number of our messages to this recipient.
pub(super) fn queue(tx: &Transaction<'_>, mut outgoing: Outgoing) -> Result<(), StoreError> {
    let recipient = outgoing.recipient.as_bytes();
    if contacts::find(tx, &outgoing.recipient)?.is_none() {
        return Err(StoreError::NotAContact(Box::new(outgoing.recipient)));
    }
    outgoing.payload.seq = tx.query_row(
        "INSERT INTO sequences (recipient, last) VALUES (?1, 1)
         ON CONFLICT (recipient) DO UPDATE SET last = last + 1 RETURNING last",
        [recipient],
        |row| row.get(0),
    )?;
    let bytes = outgoing.payload.encode().map_err(StoreError::damaged)?;
    let (id, kind, sent_at_ms) = (outgoing.payload.id.0, outgoing.payload.content.kind(), outgoing.payload.sent_at_ms);
    tx.execute(
        "INSERT INTO messages (author, id, peer, kind, payload, sent_at_ms, stored_at_ms, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 0)",
        (outgoing.own.as_bytes(), id, recipient, kind, &**bytes, sent_at_ms),
    )?;
    insert(tx, &outgoing.recipient, id, outgoing.nats_msg_id, &bytes, true)
}

fn insert(
    tx: &Transaction<'_>,
    recipient: &PrimaryKey,
    message_id: [u8; 16],
    nats_msg_id: [u8; 16],
    payload: &[u8],
    awaits_receipt: bool,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO outbox (recipient, message_id, nats_msg_id, payload, awaits_receipt) VALUES (?1, ?2, ?3, ?4, ?5)",
        (recipient.as_bytes(), message_id, nats_msg_id, payload, awaits_receipt),
    )?;
    Ok(())
}

/// Raises the state of a message of our own; states only rise. Tells whether it did.
pub(super) fn raise_state(
    tx: &Transaction<'_>,
    own: &PrimaryKey,
    id: &MessageId,
    state: MessageState,
) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE messages SET state = ?3 WHERE author = ?1 AND id = ?2 AND state < ?3",
        (own.as_bytes(), id.0, state.to_stored()),
    )?;
    Ok(changed > 0)
}

#[cfg(test)]
mod tests {
    use kez_core::identity::SecretKey;

    use super::*;

    async fn queued(trouble: Option<&'static str>) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("kez.db"), &SecretKey::from_seed([1; 32])).await.unwrap();
        let bob = SecretKey::from_seed([2; 32]).primary();
        store
            .transact(move |tx| {
                tx.execute(
                    "INSERT INTO contacts (owner, agreed, sigchain_base, added_at_ms, chain_seq, chain_head, retired,
                        reachable, trouble)
                     VALUES (?1, 1, '', 0, 1, zeroblob(32), 0, 1, ?2)",
                    (bob.as_bytes(), trouble),
                )?;
                insert(tx, &bob, [1; 16], [1; 16], b"first", true)?;
                insert(tx, &bob, [2; 16], [2; 16], b"second", true)
            })
            .await
            .unwrap();
        (dir, store)
    }

    #[tokio::test]
    async fn who_waits_behind_a_row_that_backs_off_is_not_due() {
        let (_dir, store) = queued(None).await;
        let first = store.next_to_send(10).await.unwrap().unwrap();
        assert_eq!(&first.payload[..], b"first");
        store.try_later(first.row, 500).await.unwrap();
        assert!(store.next_to_send(10).await.unwrap().is_none());
        assert_eq!(store.next_try_ms().await.unwrap(), Some(500), "nothing to do before");
        assert_eq!(store.next_to_send(500).await.unwrap().map(|row| row.row), Some(first.row));
        store.set_sent(&first, SecretKey::from_seed([1; 32]).primary()).await.unwrap();
        assert_eq!(&store.next_to_send(10).await.unwrap().unwrap().payload[..], b"second");
    }

    #[tokio::test]
    async fn nothing_goes_to_a_contact_in_trouble() {
        let (_dir, store) = queued(Some("another key")).await;
        assert!(store.next_to_send(u32::MAX.into()).await.unwrap().is_none());
        assert_eq!(store.next_try_ms().await.unwrap(), None);
    }
}
