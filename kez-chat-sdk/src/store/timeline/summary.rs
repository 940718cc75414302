//! The list of conversations, and what is noted about each.

use kez_core::identity::PrimaryKey;
use rusqlite::{Connection, OptionalExtension, Row};

use super::page::last;
use crate::{
    conversations::ConversationSummary,
    message::Place,
    store::{Store, StoreError, contacts},
};

/// Time without an end, as the database keeps it.
const FOR_EVER_MS: u64 = i64::MAX.unsigned_abs();

const COLUMNS: &str = "peer, last_at_ms, unread, read_place, muted_until_ms, archived, draft";

impl Store {
    /// Lists all conversations, the one in which something was last added first.
    pub(crate) async fn conversations(&self, own: PrimaryKey) -> Result<Vec<ConversationSummary>, StoreError> {
        self.read(move |db| {
            let mut statement =
                db.prepare_cached(&format!("SELECT {COLUMNS} FROM conversations ORDER BY last_at_ms DESC, peer"))?;
            let rows = statement.query_map([], read)?;
            rows.map(|row| summary(db, &own, row?)).collect()
        })
        .await
    }

    /// Returns one conversation as the list shows it.
    pub(crate) async fn conversation(
        &self,
        own: PrimaryKey,
        peer: PrimaryKey,
    ) -> Result<ConversationSummary, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM conversations WHERE peer = ?1"))?;
            let kept = statement.query_row([peer.as_bytes()], read).optional()?;
            summary(db, &own, kept.unwrap_or_else(|| Noted { peer: *peer.as_bytes(), ..Noted::default() }))
        })
        .await
    }

    /// Notes up to where a conversation was read; whoever wrote what was read now is owed a read receipt, if they are to
    /// learn of it.
    pub(crate) async fn mark_read(&self, peer: PrimaryKey, up_to: Place, tells: bool) -> Result<(), StoreError> {
        self.transact(move |db| {
            let peer = peer.as_bytes();
            let before: Option<u64> = db
                .query_row(
                    "SELECT read_place FROM conversations WHERE peer = ?1 AND read_place < min(last_place, ?2)",
                    (peer, up_to.0),
                    |row| row.get(0),
                )
                .optional()?;
            let Some(before) = before else { return Ok(()) };
            if tells {
                db.execute(
                    "INSERT INTO receipts_due (author, id, status)
                     SELECT author, id, 2 FROM messages
                     WHERE peer = ?1 AND place > ?2 AND place <= ?3 AND author = ?1 AND erased = 0
                        AND EXISTS (SELECT 1 FROM contacts WHERE owner = ?1)
                        AND NOT EXISTS (SELECT 1 FROM blocked WHERE owner = ?1)
                     ON CONFLICT DO UPDATE SET status = 2",
                    (peer, before, up_to.0),
                )?;
            }
            db.execute(
                "UPDATE conversations SET read_place = min(last_place, ?2), unread = (
                    SELECT count(*) FROM messages WHERE peer = ?1 AND place > ?2 AND author = ?1 AND erased = 0)
                 WHERE peer = ?1",
                (peer, up_to.0),
            )?;
            Ok(())
        })
        .await
    }

    /// Notes until when a conversation is to make no noise.
    pub(crate) async fn set_muted(&self, peer: PrimaryKey, until_ms: u64) -> Result<(), StoreError> {
        self.transact(move |db| {
            let until_ms = until_ms.min(FOR_EVER_MS);
            let noted = "INSERT INTO conversations (peer, muted_until_ms) VALUES (?1, ?2)
                         ON CONFLICT (peer) DO UPDATE SET muted_until_ms = ?2";
            Ok(db.execute(noted, (peer.as_bytes(), until_ms)).map(drop)?)
        })
        .await
    }

    /// Notes whether a conversation was put away.
    pub(crate) async fn set_archived(&self, peer: PrimaryKey, archived: bool) -> Result<(), StoreError> {
        self.transact(move |db| {
            let noted = "INSERT INTO conversations (peer, archived) VALUES (?1, ?2)
                         ON CONFLICT (peer) DO UPDATE SET archived = ?2";
            Ok(db.execute(noted, (peer.as_bytes(), archived)).map(drop)?)
        })
        .await
    }

    /// Keeps what was begun to be written.
    pub(crate) async fn set_draft(&self, peer: PrimaryKey, text: Option<String>) -> Result<(), StoreError> {
        self.transact(move |db| {
            let noted = "INSERT INTO conversations (peer, draft) VALUES (?1, ?2)
                         ON CONFLICT (peer) DO UPDATE SET draft = ?2";
            Ok(db.execute(noted, (peer.as_bytes(), text)).map(drop)?)
        })
        .await
    }
}

/// What is noted about a conversation.
#[derive(Default)]
struct Noted {
    peer: [u8; 32],
    last_at_ms: u64,
    unread: u64,
    read_place: u64,
    muted_until_ms: u64,
    archived: bool,
    draft: Option<String>,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Noted> {
    Ok(Noted {
        peer: row.get(0)?,
        last_at_ms: row.get(1)?,
        unread: row.get(2)?,
        read_place: row.get(3)?,
        muted_until_ms: row.get(4)?,
        archived: row.get(5)?,
        draft: row.get(6)?,
    })
}

fn summary(db: &Connection, own: &PrimaryKey, noted: Noted) -> Result<ConversationSummary, StoreError> {
    let with = contacts::peer(db, &noted.peer)?;
    Ok(ConversationSummary {
        last: last(db, own, &with.primary)?,
        with,
        last_at_ms: noted.last_at_ms,
        unread: noted.unread,
        read_place: Place(noted.read_place),
        muted_until_ms: match noted.muted_until_ms {
            0 => None,
            FOR_EVER_MS => Some(u64::MAX),
            until_ms => Some(until_ms),
        },
        is_archived: noted.archived,
        draft: noted.draft,
    })
}
