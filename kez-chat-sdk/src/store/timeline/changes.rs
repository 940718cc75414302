//! Edits, deletions and reactions: each is kept as a message about another one, whichever comes first
//! (`docs/PROTOCOL.md` §7). A deletion ends its message; of the rest the last by (sent at, name) counts.

use kez_core::{
    identity::PrimaryKey,
    payload::{Content, MessageId, MessageRef, Payload},
};
use rusqlite::{Connection, OptionalExtension};

use super::{Name, TEXT, erase};
use crate::{
    conversation::SendError,
    event::{Event, Peer},
    keys::checked,
    message,
    store::{
        Draft, Store, StoreError,
        announce::decode,
        outbox::{cancel, queue},
    },
};

/// Takes in an edit, deletion or reaction of somebody else's, which is stored here already. Returns what the application is
/// told, if that changes anything that it was shown.
pub(in crate::store) fn take_change(
    db: &Connection,
    from: &Peer,
    payload: &Payload,
) -> Result<Option<Event>, StoreError> {
    let peer = from.primary.as_bytes();
    let from = from.clone();
    let sent_at_ms = payload.sent_at_ms;
    match &payload.content {
        Content::Edit { id, text } => {
            let name = (*peer, id.0);
            match target(db, peer, name)? {
                Some(Target { is_erased: true, .. }) => erase(db, name)?,
                Some(Target { kind: TEXT, is_shown: true, .. }) if is_last(db, peer, name, payload)? => {
                    return Ok(Some(Event::Edited { from, id: *id, sent_at_ms, text: text.clone() }));
                }
                _ => {}
            }
        }
        Content::Delete { id } => {
            let name = (*peer, id.0);
            if let Some(target) = target(db, peer, name)? {
                erase(db, name)?;
                if target.is_shown && !target.is_erased {
                    return Ok(Some(Event::Deleted { from, id: *id }));
                }
            }
        }
        Content::Reaction { target: MessageRef { author, id }, emoji } => {
            let name = (*author, id.0);
            if let Some(Target { is_shown: true, is_erased: false, .. }) = target(db, peer, name)?
                && is_last(db, peer, name, payload)?
            {
                let to = message::MessageRef { author: checked(author).map_err(StoreError::damaged)?, id: *id };
                let emoji = Some(emoji.clone()).filter(|emoji| !emoji.is_empty());
                return Ok(Some(Event::Reaction { from, to, sent_at_ms, emoji }));
            }
        }
        _ => {}
    }
    Ok(None)
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

/// What was said about a message by somebody: their stored payloads.
fn said_about(
    db: &Connection,
    peer: &[u8; 32],
    (author, id): Name,
    by: Option<&[u8; 32]>,
) -> Result<Vec<(PrimaryKey, Payload)>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT author, payload FROM messages
         WHERE about_author = ?1 AND about_id = ?2 AND peer = ?3 AND erased = 0 AND misaddressed = 0",
    )?;
    let mut rows = statement.query((author, id, peer))?;
    let mut said = Vec::new();
    while let Some(row) = rows.next()? {
        let by_whom: [u8; 32] = row.get(0)?;
        if by.is_none_or(|by| *by == by_whom) {
            let payload = decode(&row.get::<_, Vec<u8>>(1)?)?;
            said.push((checked(&by_whom).map_err(StoreError::damaged)?, payload));
        }
    }
    Ok(said)
}

/// Tells whether no other change of the same kind by the peer comes after this one.
fn is_last(db: &Connection, peer: &[u8; 32], name: Name, change: &Payload) -> Result<bool, StoreError> {
    let others = said_about(db, peer, name, Some(peer))?;
    let same_kind = others.iter().filter(|(_, other)| other.content.kind() == change.content.kind());
    Ok(same_kind.map(|(_, other)| order(other)).all(|other| other <= order(change)))
}

/// What decides between two changes.
fn order(change: &Payload) -> (u64, [u8; 16]) {
    (change.sent_at_ms, change.id.0)
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
pub(in crate::store) fn wording(db: &Connection, peer: &[u8; 32], name: Name) -> Result<Wording, StoreError> {
    let mut said = said_about(db, peer, name, None)?;
    said.sort_by_key(|(_, payload)| order(payload));
    let mut wording = Wording::default();
    for (by, payload) in said {
        match payload.content {
            Content::Edit { text, .. } => wording.text = Some(text),
            Content::Delete { .. } => wording.is_deleted = true,
            Content::Reaction { emoji, .. } => {
                wording.reactions.retain(|earlier| earlier.by != by);
                if !emoji.is_empty() {
                    wording.reactions.push(message::Reaction { by, emoji });
                }
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
    peer: &PrimaryKey,
    name: Name,
) -> Result<Option<u64>, StoreError> {
    let said = said_about(db, peer.as_bytes(), name, Some(own.as_bytes()))?;
    Ok(said.iter().map(|(_, payload)| payload.sent_at_ms).max())
}

impl Store {
    /// Takes back a message of ours: it is cancelled if it was not sent yet, else the recipient is told. What it said is
    /// gone from here.
    pub(crate) async fn delete_own(&self, draft: Draft, id: MessageId) -> Result<(), SendError> {
        self.transact(move |db| {
            check_target(db, &draft)?;
            let name = (*draft.own.as_bytes(), id.0);
            if !cancel(db, &draft.own, &draft.recipient, &id)? {
                queue(db, draft)?;
            }
            Ok(erase(db, name)?)
        })
        .await
    }
}
