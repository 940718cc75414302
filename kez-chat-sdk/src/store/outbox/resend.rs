//! Sending again what nobody has confirmed.

use kez_core::{identity::PrimaryKey, payload::MessageId};
use rusqlite::Connection;

use super::raise_state;
use crate::{
    event::{Event, MessageState},
    store::{Store, StoreError, contacts, events, inbox::RECEIPT_AGAIN_AFTER_MS},
};

const DAY_MS: u64 = 86_400_000;
/// How long a message waits for its receipt until the recipient's being there is reason to send it again.
const RECEIPT_EXPECTED_MS: u64 = 120_000;
/// How often a message is sent again for want of a receipt, a day apart, before it is given up.
const MAX_RESENDS: u32 = 3;

impl Store {
    /// Queues every message without a receipt again, because the broker has lost what it had. Tells whether there was any.
    pub(crate) async fn resend_all(&self) -> Result<bool, StoreError> {
        self.transact(resend_all).await
    }

    /// Queues again what went to somebody who is there now, and who should have confirmed it long ago; once for each
    /// message.
    pub(crate) async fn resend_to(&self, recipient: PrimaryKey, now_ms: u64) -> Result<(), StoreError> {
        self.transact(move |db| {
            db.execute(
                "UPDATE outbox SET sent = 0, nudged = 1
                 WHERE recipient = ?1 AND sent = 1 AND nudged = 0 AND sent_at_ms <= ?2",
                (recipient.as_bytes(), now_ms.saturating_sub(RECEIPT_EXPECTED_MS)),
            )?;
            Ok(())
        })
        .await
    }

    /// Queues again what has had no receipt for a day, and gives up what was sent four times.
    pub(crate) async fn resend_overdue(&self, own: PrimaryKey, now_ms: u64) -> Result<(), StoreError> {
        self.transact(move |db| {
            let overdue = now_ms.saturating_sub(DAY_MS);
            let given_up = db
                .prepare_cached(
                    "UPDATE outbox SET sent = 2 WHERE sent = 1 AND sent_at_ms <= ?1 AND resends >= ?2
                     RETURNING recipient, message_id",
                )?
                .query_map((overdue, MAX_RESENDS), |row| Ok((row.get(0)?, MessageId(row.get(1)?))))?
                .collect::<Result<Vec<([u8; 32], MessageId)>, _>>()?;
            for (recipient, id) in given_up {
                if raise_state(db, &own, &recipient, &id, MessageState::Unconfirmed)? {
                    let to = contacts::peer(db, &recipient)?;
                    events::push(db, &Event::MessageState { to, id, state: MessageState::Unconfirmed })?;
                }
            }
            db.execute(
                "UPDATE outbox SET sent = 0, resends = resends + 1 WHERE sent = 1 AND sent_at_ms <= ?1",
                [overdue],
            )?;
            Ok(())
        })
        .await
    }

    /// Tells when, by the home's clock, the next message will have had no receipt for a day.
    pub(crate) async fn next_overdue_ms(&self) -> Result<Option<u64>, StoreError> {
        let query = "SELECT min(sent_at_ms) FROM outbox WHERE sent = 1";
        let oldest: Option<u64> = self.read(|db| Ok(db.query_row(query, [], |row| row.get(0))?)).await?;
        Ok(oldest.map(|sent_at_ms| sent_at_ms.saturating_add(DAY_MS)))
    }

    /// Queues a message again that was sent and not confirmed. Tells whether it was one.
    pub(crate) async fn resend(&self, own: PrimaryKey, peer: PrimaryKey, id: MessageId) -> Result<bool, StoreError> {
        self.transact(move |db| {
            let queued = db.execute(
                "UPDATE outbox SET sent = 0, resends = 0, sent_at_ms = sent_at_ms * (sent = 1)
                 WHERE message_id = ?1 AND recipient = ?2 AND sent > 0",
                (id.0, peer.as_bytes()),
            )? > 0;
            db.execute(
                "UPDATE messages SET state = ?3 WHERE author = ?1 AND id = ?2 AND state = ?4",
                (own.as_bytes(), id.0, MessageState::Queued.to_stored(), MessageState::Unconfirmed.to_stored()),
            )?;
            Ok(queued)
        })
        .await
    }
}

/// Queues every message without a receipt again. The broker has lost receipts of ours too: whatever comes again is
/// confirmed again at once.
pub(in crate::store) fn resend_all(db: &Connection) -> Result<bool, StoreError> {
    db.execute(
        "UPDATE messages SET receipt_at_ms = 0
         WHERE receipt_at_ms > (SELECT max(receipt_at_ms) FROM messages) - ?1",
        [RECEIPT_AGAIN_AFTER_MS],
    )?;
    Ok(db.execute("UPDATE outbox SET sent = 0 WHERE sent = 1", [])? > 0)
}
