//! The index of words that search looks into. It is written behind the messages, so that none of them waits for it.

use kez_core::{identity::PrimaryKey, payload::Content};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    Store, StoreError,
    announce::decode,
    timeline::{shown_in, wording},
};
use crate::{message::Message, search::words};

/// How much is indexed in one transaction, in messages and in bytes.
const ROWS_AT_ONCE: usize = 256;
const BYTES_AT_ONCE: usize = 128 << 10;
/// How many pages of the index are rewritten in one transaction.
const PAGES_AT_ONCE: i32 = 64;

/// The kinds whose words are indexed, and the one that changes them.
const TEXT: u64 = 1;
const FILES: u64 = 2;
const EDIT: u64 = 4;

impl Store {
    /// Indexes some of the messages that came since the last time. Tells whether there are more.
    pub(crate) async fn index_texts(&self) -> Result<bool, StoreError> {
        if !self.read(is_behind).await? {
            return Ok(false);
        }
        self.transact(|db| {
            index_next(db)?;
            is_behind(db)
        })
        .await
    }

    /// Returns messages that match an expression of FTS5, the last one first, each with its row and with whom its
    /// conversation is.
    pub(crate) async fn find(
        &self,
        own: PrimaryKey,
        mut expression: String,
        conversation: Option<PrimaryKey>,
        before: i64,
        limit: usize,
    ) -> Result<Vec<(i64, PrimaryKey, Message)>, StoreError> {
        if let Some(peer) = conversation {
            expression.push_str(&format!("\"{}\"", word_of(peer.as_bytes())));
        }
        self.read(move |db| {
            let mut statement = db.prepare_cached(
                "SELECT rowid FROM message_texts WHERE message_texts MATCH ?1 AND rowid < ?2 ORDER BY rowid DESC",
            )?;
            let mut rows = statement.query((expression, before))?;
            let mut found = Vec::new();
            while found.len() < limit
                && let Some(row) = rows.next()?
            {
                let row = row.get(0)?;
                if let Some((peer, message)) = shown_in(db, &own, row)? {
                    found.push((row, peer, message));
                }
            }
            Ok(found)
        })
        .await
    }

    /// Takes some of the words of erased messages out of the file: an entry that is deleted only hides them. Tells whether
    /// there are more; `None` if there were none.
    pub(crate) async fn forget_words(&self) -> Result<Option<bool>, StoreError> {
        if self.read(outdated).await? == 0 {
            return Ok(None);
        }
        self.transact(move |db| {
            // The first time all of the index is marked to be written anew (2), which goes on until nothing is left of it.
            let begins = outdated(db)? == 1;
            let pages = if begins { -PAGES_AT_ONCE } else { PAGES_AT_ONCE };
            let before = db.total_changes();
            db.execute("INSERT INTO message_texts (message_texts, rank) VALUES ('merge', ?1)", [pages])?;
            let is_done = !begins && db.total_changes() - before < 2;
            db.execute("UPDATE indexing SET outdated = ?1", [if is_done { 0 } else { 2 }])?;
            Ok(Some(!is_done))
        })
        .await
    }
}

fn outdated(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.prepare_cached("SELECT outdated FROM indexing")?.query_row([], |row| row.get(0))?)
}

fn is_behind(db: &Connection) -> Result<bool, StoreError> {
    let query = "SELECT row < (SELECT coalesce(max(row), 0) FROM messages) FROM indexing";
    Ok(db.prepare_cached(query)?.query_row([], |row| row.get(0))?)
}

/// A message that may have words.
struct Source {
    row: i64,
    author: [u8; 32],
    id: [u8; 16],
    peer: [u8; 32],
    kind: u64,
    payload: Vec<u8>,
    about: Option<([u8; 32], [u8; 16])>,
}

const COLUMNS: &str = "row, author, id, peer, kind, payload, about_author, about_id";

fn read(row: &Row<'_>) -> rusqlite::Result<Source> {
    Ok(Source {
        row: row.get(0)?,
        author: row.get(1)?,
        id: row.get(2)?,
        peer: row.get(3)?,
        kind: row.get(4)?,
        payload: row.get(5)?,
        about: row.get::<_, Option<_>>(6)?.zip(row.get(7)?),
    })
}

fn index_next(db: &Connection) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM messages WHERE row > (SELECT row FROM indexing) ORDER BY row LIMIT ?1"
    ))?;
    let mut rows = statement.query([ROWS_AT_ONCE])?;
    let (mut sources, mut bytes) = (Vec::new(), 0);
    while bytes < BYTES_AT_ONCE
        && let Some(row) = rows.next()?
    {
        let source = read(row)?;
        bytes += source.payload.len();
        sources.push(source);
    }
    let Some(last) = sources.last().map(|source| source.row) else { return Ok(()) };
    for source in sources {
        let changed = match source.kind {
            TEXT | FILES => Some(source),
            // Of a later message it will be found.
            EDIT => edited(db, &source)?.filter(|text| text.row < source.row),
            _ => None,
        };
        match changed.map_or(Ok(()), |source| index(db, &source)) {
            // One that can't be read must not keep all others from being found.
            Err(StoreError::Damaged(reason)) => tracing::error!(reason, "a message can't be found by its words"),
            indexed => indexed?,
        }
    }
    db.prepare_cached("UPDATE indexing SET row = ?1")?.execute([last])?;
    Ok(())
}

/// Returns the text that an edit is about.
fn edited(db: &Connection, edit: &Source) -> Result<Option<Source>, StoreError> {
    let Some((author, id)) = edit.about else { return Ok(None) };
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM messages WHERE author = ?1 AND id = ?2 AND peer = ?3 AND kind = {TEXT}"
    ))?;
    Ok(statement.query_row((author, id, edit.peer), read).optional()?)
}

/// Has a message be found by the words that it says now.
fn index(db: &Connection, source: &Source) -> Result<(), StoreError> {
    // It was erased.
    if source.payload.is_empty() {
        return Ok(());
    }
    let said = match decode(&source.payload)?.content {
        Content::Text(text) => wording(db, &source.peer, (source.author, source.id))?.text.unwrap_or(text),
        Content::FileShare(share) => {
            share.entries.iter().map(|entry| entry.path.to_string()).collect::<Vec<_>>().join(", ")
        }
        _ => return Ok(()),
    };
    let mut line = word_of(&source.peer);
    for word in words(&said) {
        line.push(' ');
        line.push_str(&word.folded);
    }
    db.prepare_cached("INSERT OR REPLACE INTO message_texts (rowid, words) VALUES (?1, ?2)")?
        .execute((source.row, line))?;
    Ok(())
}

/// Returns a word that all messages of a conversation have, and that nobody can write.
fn word_of(peer: &[u8; 32]) -> String {
    format!("\u{e000}{}", data_encoding::HEXLOWER.encode(peer))
}
