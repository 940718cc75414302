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
) -> Result<Room, StoreError> {
    let expired = now_ms.saturating_sub(STRANGERS_WAIT_MS);
    tx.execute(
        &format!("DELETE FROM messages WHERE row IN (SELECT row {STRANGERS} AND stored_at_ms < ?1)"),
        [expired],
    )?;
    let count = format!("SELECT coalesce(sum(author = ?1), 0), count(*) {STRANGERS}");
    let (theirs, all): (u32, u32) = tx.query_row(&count, [author.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if theirs >= MAX_FROM_STRANGER {
        return Ok(Room::None);
    }
    if all >= MAX_FROM_STRANGERS {
        let most = format!("SELECT author {STRANGERS} GROUP BY author ORDER BY count(*) DESC LIMIT 1");
        let oldest = format!("SELECT min(row) {STRANGERS} AND author = ({most})");
        tx.execute(&format!("DELETE FROM messages WHERE row = ({oldest})"), [])?;
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
    use kez_core::{identity::SecretKey, payload::MessageId, sigchain::Install};

    use super::*;
    use crate::store::{Incoming, Store, Stored};

    fn incoming(author: u64, now_ms: u64) -> Incoming {
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
        let own = SecretKey::from_seed([0xff; 32]).primary();
        Incoming { own, author: SecretKey::from_seed(seed).primary(), payload, bytes, now_ms }
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
            let kept = store.receive(incoming(1, 1)).await.unwrap();
            assert_eq!(kept, if number < 50 { Stored::Kept } else { Stored::Dropped }, "{number}");
        }
        assert_eq!(count(&store, "events").await, 1, "one stranger is one request");
        for author in 2..=20 {
            for _ in 0..50 {
                store.receive(incoming(author, 1)).await.unwrap();
            }
        }
        assert_eq!(count(&store, "messages").await, MAX_FROM_STRANGERS);
        assert_eq!(
            store.receive(incoming(1, 1)).await.unwrap(),
            Stored::Dropped,
            "who has enough takes no one's place"
        );
        assert_eq!(store.receive(incoming(99, 1)).await.unwrap(), Stored::Kept, "a new one still gets in");
        assert_eq!(count(&store, "messages").await, MAX_FROM_STRANGERS);
        store.receive(incoming(100, STRANGERS_WAIT_MS + 2)).await.unwrap();
        assert_eq!(count(&store, "messages").await, 1, "what nobody asked for goes in the end");
    }
}
