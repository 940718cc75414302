//! Erasing what was kept long enough, and what the person wants gone.

use kez_core::identity::PrimaryKey;
use rusqlite::{Connection, OptionalExtension};

use super::{
    Store, StoreError,
    settings::setting,
    timeline::{Name, erase},
};
use crate::{message::Place, retention::Retention};

/// What the rule for all conversations is kept under among the person's choices: days, as in `conversations.keep_days`.
const KEEP_DAYS: &str = "keep_days";
const DAY_MS: u64 = 86_400_000;
/// How many messages are erased in one transaction.
const AT_ONCE: usize = 128;

impl Store {
    /// Returns how long messages are kept where their conversation has no other rule.
    pub(crate) async fn retention(&self) -> Result<Retention, StoreError> {
        self.read(|db| Ok(Retention::from_days(keep_days(db)?))).await
    }

    pub(crate) async fn set_retention(&self, retention: Retention) -> Result<(), StoreError> {
        self.set_setting(KEEP_DAYS, retention.to_days().to_string()).await
    }

    /// Returns the conversation's own rule.
    pub(crate) async fn conversation_retention(&self, peer: PrimaryKey) -> Result<Option<Retention>, StoreError> {
        self.read(move |db| {
            let days = db
                .query_row("SELECT keep_days FROM conversations WHERE peer = ?1", [peer.as_bytes()], |row| row.get(0));
            Ok(days.optional()?.flatten().map(Retention::from_days))
        })
        .await
    }

    pub(crate) async fn set_conversation_retention(
        &self,
        peer: PrimaryKey,
        retention: Option<Retention>,
    ) -> Result<(), StoreError> {
        self.transact(move |db| {
            let kept = "INSERT INTO conversations (peer, keep_days) VALUES (?1, ?2)
                        ON CONFLICT (peer) DO UPDATE SET keep_days = ?2";
            Ok(db.execute(kept, (peer.as_bytes(), retention.map(Retention::to_days))).map(drop)?)
        })
        .await
    }

    /// Erases some of the messages that were kept as long as they are to be, by the home's clock. Tells whether there may
    /// be more.
    pub(crate) async fn erase_expired(&self, now_ms: u64) -> Result<bool, StoreError> {
        // Most of the time there is nothing to write.
        if self.read(move |db| expired(db, now_ms)).await?.is_empty() {
            return Ok(false);
        }
        self.transact(move |db| forget(db, expired(db, now_ms)?)).await
    }

    /// Erases some of the messages of a conversation up to a place. Tells whether there may be more.
    pub(crate) async fn erase_up_to(&self, peer: PrimaryKey, up_to: Place) -> Result<bool, StoreError> {
        self.transact(move |db| {
            let mut gone = Vec::new();
            oldest(db, peer.as_bytes(), |place, _| place <= up_to.0, &mut gone)?;
            forget(db, gone)
        })
        .await
    }
}

fn keep_days(db: &Connection) -> Result<u32, StoreError> {
    Ok(setting(db, KEEP_DAYS)?.and_then(|days| days.parse().ok()).unwrap_or(0))
}

/// Lists messages whose time is over.
fn expired(db: &Connection, now_ms: u64) -> Result<Vec<Name>, StoreError> {
    let mut gone = Vec::new();
    let mut statement =
        db.prepare_cached("SELECT peer, coalesce(keep_days, ?1) AS days FROM conversations WHERE days > 0")?;
    let mut rows = statement.query([keep_days(db)?])?;
    while gone.len() < AT_ONCE
        && let Some(row) = rows.next()?
    {
        let (peer, days): ([u8; 32], u64) = (row.get(0)?, row.get(1)?);
        let oldest_kept_ms = now_ms.saturating_sub(days * DAY_MS);
        oldest(db, &peer, |_, stored_at_ms| stored_at_ms < oldest_kept_ms, &mut gone)?;
    }
    Ok(gone)
}

/// Adds the oldest messages of a conversation for as long as `goes` says so of their place and time. What is still to
/// arrive, or has a change that is, stays.
fn oldest(
    db: &Connection,
    peer: &[u8; 32],
    goes: impl Fn(u64, u64) -> bool,
    gone: &mut Vec<Name>,
) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT author, id, place, stored_at_ms,
            (author <> peer AND EXISTS (SELECT 1 FROM outbox WHERE message_id = messages.id))
            OR EXISTS (SELECT 1 FROM messages AS change JOIN outbox ON outbox.message_id = change.id
                WHERE change.about_author = messages.author AND change.about_id = messages.id)
         FROM messages WHERE peer = ?1 AND place IS NOT NULL ORDER BY place",
    )?;
    let mut rows = statement.query([peer])?;
    while gone.len() < AT_ONCE
        && let Some(row) = rows.next()?
    {
        if !goes(row.get(2)?, row.get(3)?) {
            break;
        }
        if !row.get::<_, bool>(4)? {
            gone.push((row.get(0)?, row.get(1)?));
        }
    }
    Ok(())
}

/// Erases messages, and shows them no more. Tells whether there may be more of them.
fn forget(db: &Connection, names: Vec<Name>) -> Result<bool, StoreError> {
    let may_be_more = names.len() == AT_ONCE;
    for name in names {
        erase(db, name)?;
        db.prepare_cached("UPDATE messages SET place = NULL WHERE author = ?1 AND id = ?2")?.execute(name)?;
    }
    Ok(may_be_more)
}

#[cfg(test)]
mod tests {
    use kez_core::payload::MessageId;

    use super::*;
    use crate::{
        event::MessageState,
        store::timeline::tests::{delete, draft, edit, incoming, lines, own, person, store, text},
    };

    const NOW_MS: u64 = 100 * DAY_MS;

    /// Has somebody's text come in so many days ago.
    async fn came(store: &Store, from: u8, id: u8, days_ago: u64, said: &str) {
        let frames = vec![incoming(from, [id; 16], 1, text(said))];
        store.receive(own(), frames, NOW_MS - days_ago * DAY_MS).await.unwrap();
    }

    async fn enforce(store: &Store) {
        while store.erase_expired(NOW_MS).await.unwrap() {}
    }

    async fn unread(store: &Store, peer: u8) -> u64 {
        store.conversation(own(), person(peer)).await.unwrap().unread
    }

    #[tokio::test]
    async fn what_was_kept_long_enough_goes_and_nothing_else() {
        let (_dir, store) = store().await;
        for (id, days_ago) in [(1, 40), (2, 31), (3, 29), (4, 0)] {
            came(&store, 2, id, days_ago, &id.to_string()).await;
            came(&store, 3, id + 10, days_ago, &id.to_string()).await;
        }
        enforce(&store).await;
        assert_eq!(lines(&store, 2).await.len(), 4, "for ever, if nobody says otherwise");
        store.set_retention(Retention::Days(30)).await.unwrap();
        store.set_conversation_retention(person(3), Some(Retention::Forever)).await.unwrap();
        enforce(&store).await;
        assert_eq!(lines(&store, 2).await, ["3", "4"]);
        assert_eq!(unread(&store, 2).await, 2, "what is gone needs no reading");
        assert_eq!((lines(&store, 3).await.len(), unread(&store, 3).await), (4, 4));
        // What comes again is known.
        came(&store, 2, 1, 0, "1").await;
        assert_eq!(lines(&store, 2).await, ["3", "4"]);
        let said = "SELECT sum(length(payload)) FROM messages WHERE id IN (x'01010101010101010101010101010101')";
        let said = store.read(move |db| Ok(db.query_row(said, [], |row| row.get::<_, u32>(0))?)).await;
        assert_eq!(said.unwrap(), 0);

        store.set_conversation_retention(person(3), Some(Retention::Days(1))).await.unwrap();
        store.set_retention(Retention::Forever).await.unwrap();
        enforce(&store).await;
        assert_eq!(lines(&store, 3).await, ["4"]);
        assert_eq!(lines(&store, 2).await, ["3", "4"]);
    }

    #[tokio::test]
    async fn changes_and_tombstones_go_with_their_message() {
        let (_dir, store) = store().await;
        came(&store, 2, 1, 9, "first").await;
        came(&store, 2, 2, 9, "second").await;
        let changes = vec![incoming(2, [3; 16], 2, edit([1; 16], "edited")), incoming(2, [4; 16], 2, delete([2; 16]))];
        store.receive(own(), changes, NOW_MS).await.unwrap();
        assert_eq!(lines(&store, 2).await, ["edited*", "-"]);
        store.set_retention(Retention::Days(8)).await.unwrap();
        enforce(&store).await;
        assert!(lines(&store, 2).await.is_empty());
        let left = "SELECT count(*) FROM messages WHERE payload <> x'' AND (kind <> 5 OR place IS NOT NULL)";
        assert_eq!(store.read(move |db| Ok(db.query_row(left, [], |row| row.get::<_, u32>(0))?)).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_has_not_arrived_stays_until_it_has() {
        let (_dir, store) = store().await;
        let arrived = async |id: MessageId| {
            let done = "DELETE FROM outbox WHERE message_id = ?1";
            store.transact::<_, StoreError>(move |db| Ok(db.execute(done, [id.0])?)).await.unwrap();
        };
        came(&store, 2, 1, 50, "theirs").await;
        let (waiting, changed) = (draft(2, text("waiting")), draft(2, text("changed")));
        let (waits, id) = (waiting.id, changed.id);
        store.queue_message(waiting).await.unwrap();
        store.queue_message(changed).await.unwrap();
        arrived(id).await;
        let change = draft(2, edit(id.0, "differently"));
        let change_id = change.id;
        store.queue_message(change).await.unwrap();
        came(&store, 2, 2, 50, "theirs too").await;

        store.set_retention(Retention::Days(1)).await.unwrap();
        enforce(&store).await;
        assert_eq!(lines(&store, 2).await, ["waiting", "differently*"]);
        assert_eq!(store.message_state(own(), waits).await.unwrap(), Some(MessageState::Queued));
        store.erase_up_to(person(2), Place::END).await.unwrap();
        assert_eq!(lines(&store, 2).await.len(), 2, "nor are they cleared away");
        arrived(waits).await;
        arrived(change_id).await;
        enforce(&store).await;
        assert!(lines(&store, 2).await.is_empty());
    }

    #[tokio::test]
    async fn many_go_piece_by_piece_and_what_comes_later_stays() {
        let (_dir, store) = store().await;
        for id in 0..200 {
            came(&store, 2, id, 0, "old").await;
        }
        let last = store.history(own(), person(2), Place::END, 1).await.unwrap()[0].place;
        assert!(store.erase_up_to(person(2), last).await.unwrap());
        came(&store, 2, 222, 0, "new").await;
        assert!(!store.erase_up_to(person(2), last).await.unwrap());
        assert_eq!(lines(&store, 2).await, ["new"]);
        assert_eq!(unread(&store, 2).await, 1);
    }
}
