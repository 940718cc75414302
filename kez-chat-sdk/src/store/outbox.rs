//! What is to be sent, and what was sent and is not yet known to have arrived (`docs/PROTOCOL.md` §8).

use std::collections::BTreeMap;

use kez_core::{
    envelope::MAX_PADDED_BYTES,
    handle::Handle,
    identity::PrimaryKey,
    payload::{Content, MessageId, Payload, PayloadError},
    sigchain::Install,
};
use rusqlite::{Connection, OptionalExtension, Row};
use zeroize::Zeroizing;

use super::{
    Store, StoreError,
    announce::{decode, received},
    contacts, events,
    inbox::RECEIPT_AGAIN_AFTER_MS,
};
use crate::{
    conversation::{OutboxEntry, SendError, check_sendable},
    event::{Event, MessageState},
    keys::checked,
};

const DAY_MS: u64 = 86_400_000;
/// How long a message waits for its receipt until the recipient's being there is reason to send it again.
const RECEIPT_EXPECTED_MS: u64 = 120_000;
/// How often a message is sent again for want of a receipt, a day apart, before it is given up.
const MAX_RESENDS: u32 = 3;

/// Rows that may be sent: to contacts who are sound and whose inbox is at our home.
const SENDABLE: &str =
    "EXISTS (SELECT 1 FROM contacts WHERE owner = outbox.recipient AND trouble IS NULL AND reachable = 1)";

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
    pub(crate) message_id: MessageId,
    pub(crate) awaits_receipt: bool,
}

impl Store {
    /// Keeps a message in its conversation and queues it, in one transaction.
    pub(crate) async fn queue_message(&self, draft: Draft) -> Result<(), SendError> {
        self.transact(move |db| queue(db, draft)).await
    }

    /// Lists, oldest first, rows after `after` that wait for the broker. To a contact in trouble nothing goes at all.
    pub(crate) async fn waiting(&self, after: i64, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT row, recipient, message_id, nats_msg_id, payload, awaits_receipt, handed_over
                 FROM outbox WHERE sent = 0 AND row > ?1 AND {SENDABLE} ORDER BY row LIMIT ?2"
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
        own: PrimaryKey,
        acknowledged: Vec<Acknowledged>,
        positions: BTreeMap<String, u64>,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        self.transact_lazily(move |db| {
            for Acknowledged { row, message_id, awaits_receipt } in acknowledged {
                if awaits_receipt {
                    db.prepare_cached("UPDATE outbox SET sent = 1, sent_at_ms = ?2 WHERE row = ?1")?
                        .execute((row, now_ms))?;
                    raise_state(db, &own, &message_id, MessageState::Sent)?;
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
                if raise_state(db, &own, &id, MessageState::Unconfirmed)? {
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

    /// Notes that the broker refused a row because the recipient's inbox is full: it certainly has not got it.
    pub(crate) async fn set_inbox_full(&self, row: i64, own: PrimaryKey) -> Result<(), StoreError> {
        self.transact(move |db| {
            let refused: Option<([u8; 32], [u8; 16])> = db
                .query_row(
                    "UPDATE outbox SET handed_over = 0 WHERE row = ?1 AND sent = 0 RETURNING recipient, message_id",
                    [row],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            if let Some((recipient, id)) = refused
                && raise_state(db, &own, &MessageId(id), MessageState::InboxFull)?
            {
                let to = contacts::peer(db, &recipient)?;
                events::push(db, &Event::MessageState { to, id: MessageId(id), state: MessageState::InboxFull })?;
            }
            Ok(())
        })
        .await
    }

    /// Takes back a message that the broker certainly has not got. Tells whether it was one.
    pub(crate) async fn cancel(&self, own: PrimaryKey, peer: PrimaryKey, id: MessageId) -> Result<bool, StoreError> {
        self.transact(move |db| {
            let waiting: Option<(i64, bool)> = db
                .query_row(
                    "SELECT row, numbered FROM outbox
                     WHERE message_id = ?1 AND recipient = ?2 AND sent = 0 AND handed_over = 0 AND awaits_receipt",
                    (id.0, peer.as_bytes()),
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            let Some((row, numbered)) = waiting else { return Ok(false) };
            if numbered {
                say_nothing_instead(db, &own, row, &id)?;
            } else {
                db.execute("DELETE FROM outbox WHERE row = ?1", [row])?;
            }
            raise_state(db, &own, &id, MessageState::Withdrawn)?;
            Ok(true)
        })
        .await
    }

    /// Queues a message again that was sent and not confirmed. Tells whether it was one.
    pub(crate) async fn resend(&self, own: PrimaryKey, peer: PrimaryKey, id: MessageId) -> Result<bool, StoreError> {
        self.transact(move |db| {
            let queued = db.execute(
                "UPDATE outbox SET sent = 0, resends = 0 WHERE message_id = ?1 AND recipient = ?2 AND sent > 0",
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

    /// Lists the messages that are not known to have arrived, in the order in which they were queued.
    pub(crate) async fn undelivered(&self, own: PrimaryKey) -> Result<Vec<OutboxEntry>, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(
                "SELECT recipient, message_id, state, stored_at_ms FROM outbox
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

    /// Returns up to `limit` messages of one author that are owed a delivery receipt.
    pub(crate) async fn receipts_due(&self, limit: usize) -> Result<Option<(PrimaryKey, Vec<MessageId>)>, StoreError> {
        self.read(move |db| {
            let author = db
                .prepare_cached("SELECT author FROM receipts_due LIMIT 1")?
                .query_row([], |row| row.get::<_, [u8; 32]>(0))
                .optional()?;
            let Some(author) = author else { return Ok(None) };
            let mut statement = db.prepare_cached("SELECT id FROM receipts_due WHERE author = ?1 LIMIT ?2")?;
            let rows = statement.query_map((author, limit), |row| row.get(0).map(MessageId))?;
            let ids = rows.collect::<Result<Vec<_>, _>>()?;
            Ok(Some((checked(&author).map_err(StoreError::damaged)?, ids)))
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
        self.transact_lazily(move |db| {
            let mut statement = db.prepare_cached("DELETE FROM receipts_due WHERE author = ?1 AND id = ?2")?;
            for id in ids {
                statement.execute((to.as_bytes(), id.0))?;
            }
            let bytes = payload.encode().map_err(StoreError::damaged)?;
            insert(db, &to, payload.id.0, nats_msg_id, &bytes, Kind::Receipt)
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
                .prepare_cached("SELECT state FROM messages WHERE author = ?1 AND id = ?2")?
                .query_row((own.as_bytes(), id.0), |row| row.get(0));
            Ok(state.optional()?.map(MessageState::from_stored))
        })
        .await
    }
}

/// Queues every message without a receipt again. The broker has lost receipts of ours too: whatever comes again is
/// confirmed again at once.
pub(super) fn resend_all(db: &Connection) -> Result<bool, StoreError> {
    db.execute(
        "UPDATE messages SET receipt_at_ms = 0
         WHERE receipt_at_ms > (SELECT max(receipt_at_ms) FROM messages) - ?1",
        [RECEIPT_AGAIN_AFTER_MS],
    )?;
    Ok(db.execute("UPDATE outbox SET sent = 0 WHERE sent = 1", [])? > 0)
}

/// Keeps and queues a message.
pub(super) fn queue(db: &Connection, draft: Draft) -> Result<(), SendError> {
    let Draft { recipient, own, .. } = draft;
    let contact = contacts::find(db, &recipient)?;
    let contact = check_sendable(contact.ok_or(SendError::NotAContact(recipient.into()))?, draft.own_handle.home())?;
    // The order of numbers is that of the rows.
    let at_once = draft.at_once && !has_unnumbered(db, &recipient)?;
    let payload = Payload {
        id: draft.id,
        install: draft.install,
        seq: if at_once { next_number(db, recipient.as_bytes())? } else { STAND_IN },
        sent_at_ms: draft.sent_at_ms,
        from: Some(draft.own_handle),
        to: contact.handle,
        content: draft.content,
        own_head: None,
        peer_head: None,
        reply_to: None,
    };
    let bytes = payload.encode()?;
    if bytes.len() + NUMBER_BYTES > MAX_PADDED_BYTES {
        return Err(PayloadError::TooLarge { field: "message" }.into());
    }
    keep(db, &own, &recipient, &payload, &bytes)?;
    Ok(insert(db, &recipient, draft.id.0, draft.nats_msg_id, &bytes, Kind::Message { at_once })?)
}

/// The number in a payload that has none yet, and what a real one may take more.
const STAND_IN: u64 = 1;
const NUMBER_BYTES: usize = 8;

fn has_unnumbered(db: &Connection, recipient: &PrimaryKey) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM outbox WHERE recipient = ?1 AND numbered = 0)")?
        .query_row([recipient.as_bytes()], |row| row.get(0))?)
}

fn next_number(db: &Connection, recipient: &[u8; 32]) -> Result<u64, StoreError> {
    Ok(db
        .prepare_cached(
            "INSERT INTO sequences (recipient, last) VALUES (?1, 1)
             ON CONFLICT (recipient) DO UPDATE SET last = last + 1 RETURNING last",
        )?
        .query_row([recipient], |row| row.get(0))?)
}

/// Gives a message its place in our sequence to its recipient.
fn number(db: &Connection, own: &PrimaryKey, row: &OutboxRow) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let mut payload = decode(&row.payload)?;
    payload.seq = next_number(db, &row.recipient)?;
    let bytes = payload.encode().map_err(StoreError::damaged)?;
    db.execute("UPDATE outbox SET numbered = 1, payload = ?2 WHERE row = ?1", (row.row, &**bytes))?;
    db.execute(
        "UPDATE messages SET payload = ?3 WHERE author = ?1 AND id = ?2",
        (own.as_bytes(), row.message_id.0, &**bytes),
    )?;
    Ok(bytes)
}

/// Lets a message's number be taken by one that says nothing: it deletes what the recipient never had.
fn say_nothing_instead(db: &Connection, own: &PrimaryKey, row: i64, id: &MessageId) -> Result<(), StoreError> {
    let mut payload = received(db, own.as_bytes(), id)?.payload;
    payload.id = MessageId(rand::random());
    payload.content = Content::Delete { id: *id };
    let bytes = payload.encode().map_err(StoreError::damaged)?;
    db.execute(
        "UPDATE outbox SET message_id = ?2, nats_msg_id = ?3, payload = ?4, awaits_receipt = 0 WHERE row = ?1",
        (row, payload.id.0, rand::random::<[u8; 16]>(), &**bytes),
    )?;
    Ok(())
}

/// Keeps a message of our own in its conversation.
fn keep(
    db: &Connection,
    own: &PrimaryKey,
    peer: &PrimaryKey,
    payload: &Payload,
    bytes: &[u8],
) -> Result<(), StoreError> {
    let (id, kind, sent_at_ms) = (payload.id.0, payload.content.kind(), payload.sent_at_ms);
    db.prepare_cached(
        "INSERT INTO messages (author, id, peer, kind, payload, sent_at_ms, stored_at_ms, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 0)",
    )?
    .execute((own.as_bytes(), id, peer.as_bytes(), kind, bytes, sent_at_ms))?;
    Ok(())
}

/// What a row of the outbox is.
#[derive(Clone, Copy)]
enum Kind {
    /// It stays until its receipt comes.
    Message {
        /// Whether it is numbered, and on its way from now on.
        at_once: bool,
    },
    /// It is done with when the broker has it.
    Receipt,
}

fn insert(
    db: &Connection,
    recipient: &PrimaryKey,
    message_id: [u8; 16],
    nats_msg_id: [u8; 16],
    payload: &[u8],
    kind: Kind,
) -> Result<(), StoreError> {
    let (awaits_receipt, on_its_way) = match kind {
        Kind::Message { at_once } => (true, at_once),
        Kind::Receipt => (false, true),
    };
    db.prepare_cached(
        "INSERT INTO outbox (recipient, message_id, nats_msg_id, payload, awaits_receipt, handed_over, numbered)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
    )?
    .execute((recipient.as_bytes(), message_id, nats_msg_id, payload, awaits_receipt, on_its_way))?;
    Ok(())
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

/// Raises the state of a message of our own. Tells whether it did.
pub(super) fn raise_state(
    db: &Connection,
    own: &PrimaryKey,
    id: &MessageId,
    state: MessageState,
) -> Result<bool, StoreError> {
    let changed = db
        .prepare_cached("UPDATE messages SET state = ?3 WHERE author = ?1 AND id = ?2 AND state < ?3")?
        .execute((own.as_bytes(), id.0, state.to_stored()))?;
    Ok(changed > 0)
}

#[cfg(test)]
mod tests {
    use kez_core::{handle::Policy, identity::SecretKey};

    use super::*;
    use crate::{
        event::PendingEvent,
        store::{Frame, Incoming},
    };

    const HOUR_MS: u64 = 3_600_000;

    fn own() -> PrimaryKey {
        SecretKey::from_seed([1; 32]).primary()
    }

    fn bob() -> PrimaryKey {
        SecretKey::from_seed([2; 32]).primary()
    }

    fn draft(text: &str, at_once: bool) -> Draft {
        Draft {
            recipient: bob(),
            own: own(),
            own_handle: Handle::from_qualified("alice@kez.lat", Policy::Production).unwrap(),
            install: Install::from_bytes([1; 8]),
            id: MessageId(rand::random()),
            nats_msg_id: rand::random(),
            sent_at_ms: 1,
            content: Content::Text(text.into()),
            at_once,
        }
    }

    /// A store with one contact.
    async fn store(trouble: Option<&'static str>) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("kez.db"), &SecretKey::from_seed([1; 32])).await.unwrap();
        store
            .transact::<_, StoreError>(move |db| {
                db.execute(
                    "INSERT INTO contacts (owner, agreed, sigchain_base, added_at_ms, chain_seq, chain_head, retired,
                        reachable, trouble, inbox_home)
                     VALUES (?1, 1, '', 0, 1, zeroblob(32), 0, 1, ?2, 'kez.lat')",
                    (bob().as_bytes(), trouble),
                )?;
                Ok(())
            })
            .await
            .unwrap();
        (dir, store)
    }

    async fn queue(store: &Store, text: &str, at_once: bool) -> MessageId {
        let draft = draft(text, at_once);
        let id = draft.id;
        store.queue_message(draft).await.unwrap();
        id
    }

    /// Has the broker take whatever waits.
    async fn send_all(store: &Store, now_ms: u64) -> usize {
        let rows = store.waiting(0, 100).await.unwrap();
        let count = rows.len();
        let taken = rows.into_iter().map(|row| Acknowledged {
            row: row.row,
            message_id: row.message_id,
            awaits_receipt: row.awaits_receipt,
        });
        store.set_sent(own(), taken.collect(), BTreeMap::new(), now_ms).await.unwrap();
        count
    }

    async fn state(store: &Store, id: MessageId) -> MessageState {
        store.message_state(own(), id).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn rows_wait_in_their_order_and_nothing_goes_to_a_contact_in_trouble() {
        let (_dir, store) = store(None).await;
        let first = queue(&store, "first", true).await;
        let second = queue(&store, "second", true).await;
        let rows = store.waiting(0, 100).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.message_id).collect::<Vec<_>>(), [first, second]);
        assert_eq!(store.waiting(rows[0].row, 100).await.unwrap().len(), 1);
        let trouble = "UPDATE contacts SET trouble = 'another key'";
        store.transact::<_, StoreError>(|db| Ok(db.execute(trouble, [])?)).await.unwrap();
        assert!(store.waiting(0, 100).await.unwrap().is_empty());
        assert!(matches!(store.queue_message(draft("third", true)).await, Err(SendError::Stopped { .. })));
        assert_eq!(store.undelivered(own()).await.unwrap().len(), 2, "it is kept and visible");
    }

    #[tokio::test]
    async fn what_nobody_confirms_is_sent_four_times_in_as_many_days_and_then_given_up() {
        let (_dir, store) = store(None).await;
        let id = queue(&store, "are you there?", true).await;
        let mut now_ms = 1_000_000;
        assert_eq!(store.next_overdue_ms().await.unwrap(), None);
        for _ in 0..4 {
            assert_eq!(send_all(&store, now_ms).await, 1);
            assert_eq!(store.next_overdue_ms().await.unwrap(), Some(now_ms + 24 * HOUR_MS));
            store.resend_overdue(own(), now_ms + 23 * HOUR_MS).await.unwrap();
            assert!(store.waiting(0, 1).await.unwrap().is_empty(), "before a day is over");
            now_ms += 24 * HOUR_MS;
            store.resend_overdue(own(), now_ms).await.unwrap();
        }
        assert!(store.waiting(0, 1).await.unwrap().is_empty());
        assert_eq!(state(&store, id).await, MessageState::Unconfirmed);
        let events = store.events_after(crate::event::EventId::default(), 9).await.unwrap();
        let [PendingEvent { event: Event::MessageState { state: MessageState::Unconfirmed, .. }, .. }] = &events[..]
        else {
            panic!("{events:?}")
        };

        assert!(store.resend(own(), bob(), id).await.unwrap(), "by hand it goes again");
        assert_eq!(state(&store, id).await, MessageState::Queued);
        assert_eq!(send_all(&store, now_ms).await, 1);
        assert_eq!(state(&store, id).await, MessageState::Sent);
        let nothing = MessageId([9; 16]);
        assert!(!store.resend(own(), bob(), nothing).await.unwrap());
    }

    #[tokio::test]
    async fn a_recipient_who_is_there_is_reason_to_send_once_more() {
        let (_dir, store) = store(None).await;
        queue(&store, "did you get this?", true).await;
        send_all(&store, 1_000_000).await;
        store.resend_to(bob(), 1_000_000 + 119_999).await.unwrap();
        assert_eq!(send_all(&store, 1_000_000).await, 0, "its receipt may still be on its way");
        store.resend_to(bob(), 1_000_000 + 120_000).await.unwrap();
        assert_eq!(send_all(&store, 1_120_000).await, 1);
        store.resend_to(bob(), 9_000_000).await.unwrap();
        assert_eq!(send_all(&store, 9_000_000).await, 0, "once is enough");
        assert!(store.resend_all().await.unwrap(), "but for a broker that lost it");
        assert_eq!(send_all(&store, 9_000_000).await, 1);
    }

    /// Its sender sends the message again at once, and would otherwise not learn for a day that it arrived.
    #[tokio::test]
    async fn a_receipt_that_the_broker_lost_is_made_good_when_its_message_comes_again() {
        let (_dir, store) = store(None).await;
        let draft = draft("can you hear me?", true);
        let payload = Payload {
            id: draft.id,
            install: draft.install,
            seq: 1,
            sent_at_ms: 1,
            from: None,
            to: None,
            content: draft.content,
            own_head: None,
            peer_head: None,
            reply_to: None,
        };
        let arrives = async |now_ms: u64| {
            let (bytes, wire) = (payload.encode().unwrap(), bytes::Bytes::new());
            let message = Incoming { author: bob(), payload: payload.clone(), bytes, wire, misaddressed: false };
            store.receive(own(), vec![Frame::Message(message.into())], now_ms).await.unwrap();
            let due = store.receipts_due(9).await.unwrap();
            if let Some((to, ids)) = &due {
                let receipt = Payload { id: MessageId(rand::random()), ..payload.clone() };
                store.queue_receipt(*to, ids.clone(), receipt, rand::random()).await.unwrap();
            }
            due.is_some()
        };
        assert!(arrives(1_000_000).await);
        assert!(!arrives(1_059_999).await, "a receipt is on its way");
        store.resend_all().await.unwrap();
        assert!(arrives(1_059_999).await, "the broker has lost it");
        assert!(!arrives(1_060_001).await);
        assert!(arrives(1_119_999).await);
    }

    #[tokio::test]
    async fn only_what_the_broker_has_not_got_can_be_taken_back() {
        let (_dir, store) = store(None).await;
        let online = queue(&store, "on its way", true).await;
        let offline = queue(&store, "written in a tunnel", false).await;
        let late = queue(&store, "handed over meanwhile", false).await;
        assert!(!store.cancel(own(), bob(), online).await.unwrap());
        assert!(store.cancel(own(), bob(), offline).await.unwrap());
        assert!(!store.cancel(own(), bob(), offline).await.unwrap());
        assert_eq!(state(&store, offline).await, MessageState::Withdrawn);
        let mut rows = store.waiting(0, 9).await.unwrap();
        assert_eq!(rows.len(), 2);
        let (last, row) = (rows[1].row, rows.remove(1));
        let gone = OutboxRow { row: 999, ..rows.remove(0) };
        let kept = store.hand_over(own(), vec![gone, row]).await.unwrap();
        assert_eq!(kept.iter().map(|row| row.row).collect::<Vec<_>>(), [last], "a row that is gone does not go");
        assert!(!store.cancel(own(), bob(), late).await.unwrap());

        // The broker's own word that it has not got it makes it ours again.
        store.set_inbox_full(last, own()).await.unwrap();
        assert_eq!(state(&store, late).await, MessageState::InboxFull);
        assert!(store.cancel(own(), bob(), late).await.unwrap());
        assert_eq!(state(&store, late).await, MessageState::Withdrawn);
    }

    /// The numbers of what would be sent, with the texts.
    async fn numbers(store: &Store) -> Vec<(u64, Option<String>)> {
        let rows = store.waiting(0, 100).await.unwrap();
        let rows = store.hand_over(own(), rows).await.unwrap();
        let say = |content| match content {
            Content::Text(text) => Some(text),
            _ => None,
        };
        rows.iter()
            .map(|row| {
                let payload = decode(&row.payload).unwrap();
                (payload.seq, say(payload.content))
            })
            .collect()
    }

    #[tokio::test]
    async fn numbers_follow_the_rows_and_none_is_missing_whatever_is_taken_back() {
        let (_dir, store) = store(None).await;
        queue(&store, "a", false).await;
        let cancelled = queue(&store, "b", false).await;
        queue(&store, "c", true).await;
        assert!(store.cancel(own(), bob(), cancelled).await.unwrap());
        let sent = |number, text: &str| (number, Some(text.to_owned()));
        assert_eq!(numbers(&store).await, [sent(1, "a"), sent(2, "c")], "what comes later waits for its turn");
        let full = queue(&store, "d", true).await;
        queue(&store, "e", true).await;
        let row = store.waiting(0, 9).await.unwrap()[2].row;
        store.set_inbox_full(row, own()).await.unwrap();
        assert!(store.cancel(own(), bob(), full).await.unwrap());
        let expected = [sent(1, "a"), sent(2, "c"), (3, None), sent(4, "e")];
        assert_eq!(numbers(&store).await, expected, "its number is filled with nothing");
    }
}
