//! The index of words that search looks into. It is written behind the messages, so that none of them waits for it.

use kez_core::{identity::PrimaryKey, payload::Content};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    Store, StoreError,
    announce::decode,
    timeline::{TEXT, shown_in, wording},
};
use crate::{message::Message, search::words};

/// How much is indexed in one transaction, in messages and in bytes.
const ROWS_AT_ONCE: usize = 256;
const BYTES_AT_ONCE: usize = 128 << 10;
/// How many pages of the index are rewritten in one transaction.
const PAGES_AT_ONCE: i32 = 64;

/// The other kind whose words are indexed, and the one that changes a text's.
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
    let has_edits = sources.iter().any(|source| source.kind == EDIT);
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
    db.prepare_cached("UPDATE indexing SET row = ?1, outdated = iif(?2, 1, outdated)")?.execute((last, has_edits))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::MessageContent,
        store::{
            Frame,
            timeline::tests::{delete, draft, edit, incoming, own, person, store, take, text},
        },
    };

    /// The texts that are found, the last one first.
    async fn found(store: &Store, expression: &str, conversation: Option<u8>) -> Vec<String> {
        while store.index_texts().await.unwrap() {}
        let conversation = conversation.map(person);
        let found = store.find(own(), expression.to_owned(), conversation, i64::MAX, 100).await.unwrap();
        let said = |message: Message| match message.content {
            MessageContent::Text { text, .. } => text,
            other => panic!("{other:?}"),
        };
        found.into_iter().map(|(_, _, message)| said(message)).collect()
    }

    #[tokio::test]
    async fn messages_are_found_by_what_they_say_now_in_all_or_one_conversation() {
        let (_dir, store) = store().await;
        take(&store, vec![incoming(2, [1; 16], 1, text("meet me at the harbour"))]).await;
        take(&store, vec![incoming(3, [2; 16], 2, text("which harbour?"))]).await;
        store.queue_message(draft(2, text("the old harbour"))).await.unwrap();
        let all = ["the old harbour", "which harbour?", "meet me at the harbour"];
        assert_eq!(found(&store, "\"harb\"* ", None).await, all);
        assert_eq!(found(&store, "\"harbour\" \"at\" ", None).await, all[2..]);
        assert_eq!(found(&store, "\"the harbour\" ", None).await, all[2..], "side by side");
        assert_eq!(found(&store, "\"harbour\" ", Some(3)).await, all[1..2]);
        assert!(found(&store, "\"harbour\" ", Some(9)).await.is_empty());
        let (last, _, _) = store.find(own(), "\"harbour\"".into(), None, i64::MAX, 1).await.unwrap().remove(0);
        let next = store.find(own(), "\"harbour\"".into(), None, last, 9).await.unwrap();
        assert_eq!(next.len(), 2, "the next page goes on after it");

        // A change that comes before what it changes counts too, and the last one does.
        take(&store, vec![incoming(2, [3; 16], 4, edit([1; 16], "meet me at the station"))]).await;
        take(&store, vec![incoming(2, [4; 16], 3, edit([1; 16], "meet me at the bridge"))]).await;
        take(&store, vec![incoming(3, [6; 16], 5, edit([5; 16], "at the lighthouse"))]).await;
        take(&store, vec![incoming(3, [5; 16], 4, text("at the beach"))]).await;
        assert_eq!(found(&store, "\"station\" ", None).await, ["meet me at the station"]);
        assert_eq!(found(&store, "\"lighthouse\" ", None).await, ["at the lighthouse"]);
        for gone in ["\"bridge\" ", "\"beach\" ", "\"meet\" \"harbour\" "] {
            assert!(found(&store, gone, None).await.is_empty(), "{gone}");
        }
        take(&store, vec![incoming(2, [7; 16], 6, delete([1; 16]))]).await;
        assert!(found(&store, "\"meet\" ", None).await.is_empty());
    }

    #[tokio::test]
    async fn only_what_a_conversation_shows_is_found() {
        let (_dir, store) = store().await;
        let stranger = incoming(9, [1; 16], 1, text("let me in"));
        let Frame::Message(mut lost) = incoming(2, [2; 16], 1, text("let me out")) else { unreachable!() };
        lost.misaddressed = true;
        take(&store, vec![stranger, Frame::Message(lost)]).await;
        assert!(found(&store, "\"let me\" ", None).await.is_empty());
        let row = "UPDATE messages SET place = 1 WHERE author = ?1";
        store.transact::<_, StoreError>(move |db| Ok(db.execute(row, [person(9).as_bytes()])?)).await.unwrap();
        assert_eq!(found(&store, "\"let me\" ", None).await, ["let me in"], "since it is shown");
    }

    /// The number of the last message is given again once that is gone.
    #[tokio::test]
    async fn a_message_in_the_row_of_one_that_is_gone_is_found() {
        let (_dir, store) = store().await;
        take(&store, vec![incoming(2, [1; 16], 1, text("one")), incoming(2, [2; 16], 1, text("two"))]).await;
        assert_eq!(found(&store, "\"two\" ", None).await, ["two"]);
        let remove = "DELETE FROM messages WHERE id = ?1";
        store.transact::<_, StoreError>(move |db| Ok(db.execute(remove, [[2; 16]])?)).await.unwrap();
        assert!(found(&store, "\"two\" ", None).await.is_empty());
        take(&store, vec![incoming(2, [3; 16], 1, text("three"))]).await;
        assert_eq!(found(&store, "\"three\" ", None).await, ["three"]);
        assert!(found(&store, "\"two\" ", None).await.is_empty());
    }

    #[tokio::test]
    async fn words_of_what_was_erased_leave_the_file() {
        let (_dir, store) = store().await;
        for number in 0..200 {
            let said = if number % 50 == 3 { "quixotic" } else { "something else" };
            take(&store, vec![incoming(2, [number; 16], 1, text(said))]).await;
            if number % 7 == 0 {
                while store.index_texts().await.unwrap() {}
            }
        }
        let in_file = async || -> u32 {
            let query = "SELECT count(*) FROM message_texts_data WHERE instr(block, CAST('quixotic' AS BLOB)) > 0";
            store.read(|db| Ok(db.query_row(query, [], |row| row.get(0))?)).await.unwrap()
        };
        assert_eq!(found(&store, "\"quixotic\" ", None).await.len(), 4);
        assert_eq!(store.forget_words().await.unwrap(), None, "nothing was erased");
        for number in [3, 53, 103, 153] {
            take(&store, vec![incoming(2, [250 - number / 50; 16], 2, delete([number; 16]))]).await;
        }
        assert!(found(&store, "\"quixotic\" ", None).await.is_empty());
        assert!(in_file().await > 0, "they are only hidden");
        while store.forget_words().await.unwrap() == Some(true) {}
        assert_eq!(in_file().await, 0);
        assert_eq!(found(&store, "\"else\" ", None).await.len(), 100, "and the others are there");
        assert_eq!(store.forget_words().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_message_that_can_not_be_read_keeps_no_other_from_being_found() {
        let (_dir, store) = store().await;
        take(&store, vec![incoming(2, [1; 16], 1, text("one")), incoming(2, [2; 16], 1, text("two"))]).await;
        let damage = "UPDATE messages SET payload = x'ff' WHERE id = ?1";
        store.transact::<_, StoreError>(move |db| Ok(db.execute(damage, [[1; 16]])?)).await.unwrap();
        assert_eq!(found(&store, "\"two\" ", None).await, ["two"]);
    }
}
