//! Edits, deletions and reactions: each is kept as a message about another one, whichever comes first
//! (`docs/PROTOCOL.md` §7). A deletion ends its message; of the rest the last of each person by (sent at, name) counts, and
//! is the only one that is kept, so that nobody can make a message slow to read.

use kez_core::{
    identity::PrimaryKey,
    payload::{Content, MessageId, MessageRef, Payload},
};
use rusqlite::{Connection, OptionalExtension};

use super::{Name, TEXT, about, erase};
use crate::{
    conversation::SendError,
    event::{Event, Peer},
    keys::checked,
    message,
    store::{
        Draft, Store, StoreError,
        announce::decode,
        contacts::is_in_doubt,
        outbox::{cancel, queue},
        unshare::end_message,
    },
};

/// Takes in an edit, deletion or reaction of somebody else's, which is stored here already. Returns what the application is
/// told, if that changes anything that it was shown.
pub(in crate::store) fn take_change(
    db: &Connection,
    from: &Peer,
    payload: &Payload,
) -> Result<Option<Event>, StoreError> {
    let Some(name) = about(&from.primary, &payload.content) else { return Ok(None) };
    let is_last = keep_last(db, &from.primary, name, payload)?;
    let target = target(db, from.primary.as_bytes(), name)?;
    if let Some(target) = &target
        && (target.is_erased || matches!(payload.content, Content::Delete { .. }))
    {
        erase(db, name)?;
    }
    // What was shown so far, and is shown in another way now.
    let Some(target) = target.filter(|target| target.is_shown && !target.is_erased && is_last) else {
        return Ok(None);
    };
    let (from, sent_at_ms) = (from.clone(), payload.sent_at_ms);
    Ok(match &payload.content {
        Content::Edit { id, text } if target.kind == TEXT => {
            let in_doubt = is_in_doubt(db, &from.primary)?;
            Some(Event::Edited { from, id: *id, sent_at_ms, text: text.clone(), in_doubt })
        }
        Content::Delete { id } => Some(Event::Deleted { from, id: *id }),
        Content::Reaction { target: MessageRef { author, id }, emoji } => {
            let to = message::MessageRef { author: checked(author).map_err(StoreError::damaged)?, id: *id };
            let emoji = Some(emoji.clone()).filter(|emoji| !emoji.is_empty());
            Some(Event::Reaction { from, to, sent_at_ms, emoji })
        }
        _ => None,
    })
}

/// A message that another one is about.
struct Target {
    kind: u64,
    is_erased: bool,
    is_shown: bool,
}

/// Looks for a message of the conversation with `peer`.
fn target(db: &Connection, peer: &[u8; 32], (author, id): Name) -> Result<Option<Target>, StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT kind, erased, place IS NOT NULL FROM messages WHERE author = ?1 AND id = ?2 AND peer = ?3",
        )?
        .query_row((author, id, peer), |row| {
            Ok(Target { kind: row.get(0)?, is_erased: row.get(1)?, is_shown: row.get(2)? })
        })
        .optional()?)
}

/// Of somebody's changes of one kind to a message, keeps the last: of the others the name stays taken, and nothing else.
/// Tells whether this change is the one.
pub(in crate::store) fn keep_last(
    db: &Connection,
    by: &PrimaryKey,
    (author, id): Name,
    change: &Payload,
) -> Result<bool, StoreError> {
    let kind = change.content.kind();
    let mut statement = db.prepare_cached(
        "SELECT row, id FROM messages
         WHERE about_author = ?1 AND about_id = ?2 AND author = ?3 AND kind = ?4 AND misaddressed = 0
         ORDER BY sent_at_ms DESC, id DESC",
    )?;
    let rows = statement.query_map((author, id, by.as_bytes(), kind), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let changes = rows.collect::<Result<Vec<(i64, [u8; 16])>, _>>()?;
    for (row, _) in changes.iter().skip(1) {
        db.prepare_cached(
            "UPDATE messages SET payload = x'', erased = 1, about_author = NULL, about_id = NULL WHERE row = ?1",
        )?
        .execute([row])?;
    }
    Ok(changes.first().is_some_and(|(_, last)| *last == change.id.0))
}

/// How a message is to be shown, by what was said about it.
#[derive(Default)]
pub(in crate::store) struct Wording {
    /// Its last text, if its author has changed it.
    pub(in crate::store) text: Option<String>,
    /// Whether its author has taken it back.
    pub(in crate::store) is_deleted: bool,
    /// What was put on it, oldest first.
    pub(in crate::store) reactions: Vec<message::Reaction>,
}

/// Finds out how a message of the conversation with `peer` is to be shown.
pub(in crate::store) fn wording(db: &Connection, peer: &[u8; 32], (author, id): Name) -> Result<Wording, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT author, payload FROM messages
         WHERE about_author = ?1 AND about_id = ?2 AND peer = ?3 AND erased = 0 AND misaddressed = 0
         ORDER BY sent_at_ms, id",
    )?;
    let mut rows = statement.query((author, id, peer))?;
    let mut wording = Wording::default();
    while let Some(row) = rows.next()? {
        match decode(&row.get::<_, Vec<u8>>(1)?)?.content {
            Content::Edit { text, .. } => wording.text = Some(text),
            Content::Delete { .. } => wording.is_deleted = true,
            Content::Reaction { emoji, .. } if !emoji.is_empty() => {
                let by = checked(&row.get(0)?).map_err(StoreError::damaged)?;
                wording.reactions.push(message::Reaction { by, emoji });
            }
            _ => {}
        }
    }
    Ok(wording)
}

/// Checks that what a message of ours is about is there for it.
pub(in crate::store) fn check_target(db: &Connection, draft: &Draft) -> Result<(), SendError> {
    let peer = draft.recipient.as_bytes();
    let check = |name: Name, what, fits: fn(&Target) -> bool| match target(db, peer, name)? {
        Some(target) if target.is_shown && !target.is_erased && fits(&target) => Ok(()),
        _ => Err(SendError::NoSuchMessage { id: MessageId(name.1), what }),
    };
    let own = *draft.own.as_bytes();
    match &draft.content {
        Content::Edit { id, .. } => check((own, id.0), "is a text of yours", |target| target.kind == TEXT)?,
        Content::Delete { id } => check((own, id.0), "is yours", |_| true)?,
        Content::Reaction { target, .. } => check((target.author, target.id.0), "can be reacted to", |_| true)?,
        _ => {}
    }
    match draft.reply_to {
        Some(to) => check((*to.author.as_bytes(), to.id.0), "can be answered", |_| true),
        None => Ok(()),
    }
}

/// Returns when the last change of ours to a message says it was made: the next one has to come after it, whatever the
/// clock says now.
pub(in crate::store) fn last_change_ms(
    db: &Connection,
    own: &PrimaryKey,
    (author, id): Name,
) -> Result<Option<u64>, StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT max(sent_at_ms) FROM messages WHERE about_author = ?1 AND about_id = ?2 AND author = ?3",
        )?
        .query_row((author, id, own.as_bytes()), |row| row.get(0))?)
}

impl Store {
    /// Takes back a message of ours: it is cancelled if it was not sent yet, else the recipient is told. What it said is
    /// gone from here, and what it offered is offered no more. Returns the blobs that they may not fetch any more.
    pub(crate) async fn delete_own(&self, draft: Draft, id: MessageId) -> Result<Vec<[u8; 32]>, SendError> {
        self.transact(move |db| {
            check_target(db, &draft)?;
            let name = (*draft.own.as_bytes(), id.0);
            let blobs = end_message(db, draft.recipient.as_bytes(), &id.0)?;
            if !cancel(db, &draft.own, &draft.recipient, &id)? {
                queue(db, draft)?;
            }
            erase(db, name)?;
            Ok(blobs)
        })
        .await
    }
}
