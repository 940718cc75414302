//! Telling the application of messages: as they come in from contacts, and later for those that strangers left.

use kez_core::{
    handle::Policy,
    identity::PrimaryKey,
    payload::{Channel, Content, MessageId, Payload},
};
use rusqlite::{Connection, OptionalExtension};

use super::{
    StoreError, events, heads,
    sequence::{arrive, begin_where_others_ended},
    timeline::{answered, erase, is_shown, show, take_change, wording},
};
use crate::event::{Event, Order, Peer, ShareId, SharedFile};

/// How many messages a stranger may leave here; more are dropped.
const MAX_FROM_STRANGER: u32 = 50;
/// How many messages all strangers may leave; then whoever left the most loses their oldest.
const MAX_FROM_STRANGERS: u32 = 1_000;
/// How long a stranger's message waits to be asked for.
const STRANGERS_WAIT_MS: u64 = 30 * 24 * 3_600_000;

/// A message that is stored here.
pub(super) struct Received {
    pub(super) payload: Payload,
    /// Whether it is to a handle that never was ours.
    pub(super) misaddressed: bool,
    /// When it came to be here, by the home's clock.
    pub(super) stored_at_ms: u64,
}

/// Reads a stored message; `None` if it was erased since.
pub(super) fn received(db: &Connection, author: &[u8; 32], id: &MessageId) -> Result<Option<Received>, StoreError> {
    let row = db
        .prepare_cached(
            "SELECT payload, misaddressed, stored_at_ms FROM messages WHERE author = ?1 AND id = ?2 AND erased = 0",
        )?
        .query_row((author, id.0), |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((bytes, misaddressed, stored_at_ms)) = row else { return Ok(None) };
    Ok(Some(Received { payload: decode(&bytes)?, misaddressed, stored_at_ms }))
}

/// Reads a payload that was stored; the rules for what may come in held then.
pub(super) fn decode(bytes: &[u8]) -> Result<Payload, StoreError> {
    Payload::decode(bytes, Channel::Inbox, Policy::Development).map_err(StoreError::damaged)
}

/// Tells the application of a message by somebody it knows, and shows it in its conversation.
pub(super) fn announce(db: &Connection, from: &Peer, message: &Received, order: Order) -> Result<(), StoreError> {
    let from = from.clone();
    let payload = &message.payload;
    let (id, sent_at_ms) = (payload.id, payload.sent_at_ms);
    if message.misaddressed {
        let text = match &payload.content {
            Content::Text(text) => Some(text.clone()),
            _ => None,
        };
        return events::push(db, &Event::Misaddressed { from, id, to: payload.to.clone(), sent_at_ms, text });
    }
    if !is_shown(&payload.content) {
        return take_change(db, &from, payload)?.map_or(Ok(()), |event| events::push(db, &event));
    }
    let name = (*from.primary.as_bytes(), id.0);
    let wording = wording(db, from.primary.as_bytes(), name)?;
    if wording.is_deleted {
        return erase(db, name);
    }
    let born_at_ms: u64 =
        db.prepare_cached("SELECT coalesce(max(born_at_ms), 0) FROM account")?.query_row([], |row| row.get(0))?;
    let earlier = sent_at_ms < born_at_ms;
    show(db, &from.primary, &id, message.stored_at_ms)?;
    let event = match &payload.content {
        Content::Text(text) => {
            let reply_to = payload.reply_to.map_or(Ok(None), |to| answered(db, &from.primary, to))?;
            let text = wording.text.unwrap_or_else(|| text.clone());
            Event::Message { from, id, sent_at_ms, text, reply_to, order, earlier }
        }
        Content::FileShare(share) => {
            let share_id = db.query_row(
                "INSERT INTO offers (author, message_id) VALUES (?1, ?2) RETURNING id",
                (from.primary.as_bytes(), id.0),
                |row| row.get(0).map(ShareId),
            )?;
            let files = share.entries.iter().map(SharedFile::of).collect();
            Event::FileShared { from, share_id, sent_at_ms, files, order, earlier }
        }
        content => Event::Unsupported { from, kind: content.kind(), sent_at_ms, order, earlier },
    };
    events::push(db, &event)
}

/// Gives out, in their order, what somebody sent before they were a contact.
pub(super) fn release(db: &Connection, from: &Peer) -> Result<(), StoreError> {
    let author = from.primary.as_bytes();
    let mut statement = db.prepare_cached(
        "SELECT payload, misaddressed, stored_at_ms FROM messages
         WHERE author = ?1 AND peer = ?1 AND receipt_at_ms IS NULL",
    )?;
    let rows = statement.query_map([author], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get(2)?)))?;
    let mut waiting = Vec::new();
    for row in rows {
        let (bytes, misaddressed, stored_at_ms) = row?;
        waiting.push(Received { payload: decode(&bytes)?, misaddressed, stored_at_ms });
    }
    waiting.sort_by_key(|message| (message.payload.install.to_bytes(), message.payload.seq));
    for message in waiting {
        let id = message.payload.id.0;
        db.execute("INSERT OR IGNORE INTO receipts_due (author, id) VALUES (?1, ?2)", (author, id))?;
        db.execute("UPDATE messages SET receipt_at_ms = stored_at_ms WHERE author = ?1 AND id = ?2", (author, id))?;
        arrive(db, from, &message)?;
        heads::hear(db, &from.primary, &message.payload)?;
    }
    begin_where_others_ended(db)
}

/// Messages of people who are no contacts; they have no receipt yet.
const STRANGERS: &str = "FROM messages WHERE receipt_at_ms IS NULL AND author = peer
    AND NOT EXISTS (SELECT 1 FROM contacts WHERE owner = author)";

/// Keeps strangers from filling the disk, and from keeping other strangers out.
pub(super) fn make_room_for_stranger(db: &Connection, author: &PrimaryKey, now_ms: u64) -> Result<Room, StoreError> {
    let expired = now_ms.saturating_sub(STRANGERS_WAIT_MS);
    db.execute(
        &format!("DELETE FROM messages WHERE row IN (SELECT row {STRANGERS} AND stored_at_ms < ?1)"),
        [expired],
    )?;
    let count = format!("SELECT coalesce(sum(author = ?1), 0), count(*) {STRANGERS}");
    let (theirs, all): (u32, u32) = db.query_row(&count, [author.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if theirs >= MAX_FROM_STRANGER {
        return Ok(Room::None);
    }
    if all >= MAX_FROM_STRANGERS {
        let most = format!("SELECT author {STRANGERS} GROUP BY author ORDER BY count(*) DESC LIMIT 1");
        let oldest = format!("SELECT min(row) {STRANGERS} AND author = ({most})");
        db.execute(&format!("DELETE FROM messages WHERE row = ({oldest})"), [])?;
    }
    Ok(if theirs == 0 { Room::First } else { Room::Further })
}

/// Whether a stranger's message is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It is not.
    None,
    /// It is, as the first that waits from them: the application hears of it.
    First,
    /// It is, beside others of theirs.
    Further,
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kez_core::{identity::SecretKey, payload::MessageId, sigchain::Install};

    use super::*;
    use crate::store::{Frame, Incoming, Store, Stored};

    /// Has a message of an author's come in, and tells what became of it.
    async fn receive(store: &Store, author: u64, now_ms: u64) -> Stored {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&author.to_le_bytes());
        let payload = Payload {
            id: MessageId(rand::random()),
            install: Install::from_bytes([0; 8]),
            seq: 1,
            sent_at_ms: now_ms,
            from: None,
            to: None,
            content: Content::Text("let me in".into()),
            own_head: None,
            peer_head: None,
            reply_to: None,
        };
        let bytes = payload.encode().unwrap();
        let author = SecretKey::from_seed(seed).primary();
        let message = Incoming { author, payload, bytes, wire: Bytes::new(), misaddressed: false };
        let own = SecretKey::from_seed([0xff; 32]).primary();
        store.receive(own, vec![Frame::Message(message.into())], now_ms).await.unwrap()[0]
    }

    async fn count(store: &Store, table: &'static str) -> u32 {
        store
            .read(move |tx| Ok(tx.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn strangers_fill_neither_the_disk_nor_each_others_place() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("kez.db"), &SecretKey::from_seed([0xff; 32])).await.unwrap();
        for number in 0..60 {
            let kept = receive(&store, 1, 1).await;
            assert_eq!(kept, if number < 50 { Stored::Kept } else { Stored::Dropped }, "{number}");
        }
        assert_eq!(count(&store, "events").await, 1, "one stranger is one request");
        for author in 2..=20 {
            for _ in 0..50 {
                receive(&store, author, 1).await;
            }
        }
        assert_eq!(count(&store, "messages").await, MAX_FROM_STRANGERS);
        assert_eq!(receive(&store, 1, 1).await, Stored::Dropped, "who has enough takes no one's place");
        assert_eq!(receive(&store, 99, 1).await, Stored::Kept, "a new one still gets in");
        assert_eq!(count(&store, "messages").await, MAX_FROM_STRANGERS);
        receive(&store, 100, STRANGERS_WAIT_MS + 2).await;
        assert_eq!(count(&store, "messages").await, 1, "what nobody asked for goes in the end");
    }
}
