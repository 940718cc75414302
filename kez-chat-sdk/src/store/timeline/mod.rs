//! What conversations show: messages in the order in which they were given out, as they are now.

mod changes;
mod page;
mod summary;
#[cfg(test)]
pub(super) mod tests;

use kez_core::{
    identity::PrimaryKey,
    payload::{Content, MessageId},
};
use rusqlite::{Connection, OptionalExtension};

pub(super) use self::{
    changes::{check_target, keep_last, last_change_ms, take_change, wording},
    page::{NOTE_STATE, answered, shown, shown_in},
};
use super::StoreError;

/// The number of a text's kind.
pub(super) const TEXT: u64 = 1;

/// Names a message in the database: its author, and the name that they gave it.
pub(super) type Name = ([u8; 32], [u8; 16]);

/// Returns the message that an edit, a deletion or a reaction of `author`'s is about.
pub(super) fn about(author: &PrimaryKey, content: &Content) -> Option<Name> {
    match content {
        Content::Edit { id, .. } | Content::Delete { id } => Some((*author.as_bytes(), id.0)),
        Content::Reaction { target, .. } => Some((target.author, target.id.0)),
        _ => None,
    }
}

/// Tells whether a conversation shows messages of this kind by themselves.
pub(super) fn is_shown(content: &Content) -> bool {
    matches!(content, Content::Text(_) | Content::FileShare(_) | Content::Unsupported(_))
}

/// Takes the next place of a conversation, for a message that came to be here at `at_ms` by the home's clock.
pub(super) fn take_place(db: &Connection, peer: &[u8; 32], at_ms: u64, is_unread: bool) -> Result<u64, StoreError> {
    Ok(db
        .prepare_cached(
            "INSERT INTO conversations (peer, last_place, last_at_ms, unread) VALUES (?1, 1, ?2, ?3)
             ON CONFLICT (peer) DO UPDATE SET last_place = last_place + 1, last_at_ms = max(last_at_ms, ?2),
                unread = unread + ?3, archived = archived AND muted_until_ms > ?2
             RETURNING last_place",
        )?
        .query_row((peer, at_ms, is_unread), |row| row.get(0))?)
}

/// Shows a message of somebody else's that is given out now.
pub(super) fn show(
    db: &Connection,
    author: &PrimaryKey,
    id: &MessageId,
    at_ms: u64,
    in_doubt: bool,
) -> Result<(), StoreError> {
    let place = take_place(db, author.as_bytes(), at_ms, true)?;
    db.prepare_cached("UPDATE messages SET place = ?3, in_doubt = ?4 WHERE author = ?1 AND id = ?2")?.execute((
        author.as_bytes(),
        id.0,
        place,
        in_doubt,
    ))?;
    Ok(())
}

/// Erases what a message said, and what was said about it. Its name stays taken, so that it can't come again. What had not
/// been read needs no reading any more.
pub(super) fn erase(db: &Connection, (author, id): Name) -> Result<(), StoreError> {
    let shown: Option<([u8; 32], Option<u64>)> = db
        .prepare_cached(
            "UPDATE messages SET payload = x'', erased = 1 WHERE author = ?1 AND id = ?2 AND erased = 0
             RETURNING peer, place",
        )?
        .query_row((author, id), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    db.prepare_cached("UPDATE messages SET payload = x'', erased = 1 WHERE about_author = ?1 AND about_id = ?2")?
        .execute((author, id))?;
    #[cfg(feature = "files")]
    crate::store::downloads::end_for_offer(db, (author, id))?;
    db.prepare_cached("DELETE FROM offers WHERE author = ?1 AND message_id = ?2")?.execute((author, id))?;
    if let Some((peer, Some(place))) = shown
        && peer == author
    {
        db.prepare_cached("UPDATE conversations SET unread = max(unread, 1) - 1 WHERE peer = ?1 AND read_place < ?2")?
            .execute((peer, place))?;
    }
    Ok(())
}
