//! Putting messages into the outbox, and giving them their numbers.

use kez_core::{
    envelope::MAX_PADDED_BYTES,
    identity::PrimaryKey,
    payload::{Content, MessageId, Payload, PayloadError},
};
use rusqlite::{Connection, OptionalExtension};
use zeroize::Zeroizing;

use super::{Draft, OutboxRow};
use crate::{
    conversation::{SendError, check_sendable},
    event::MessageState,
    message::new_id,
    store::{
        StoreError,
        announce::decode,
        contacts, heads,
        timeline::{NOTE_STATE, about, check_target, is_shown, keep_last, last_change_ms, take_place},
    },
};

/// The number in a payload that has none yet, and what a real one may take more.
const STAND_IN: u64 = 1;
const NUMBER_BYTES: usize = 8;

/// Keeps and queues a message. A note to oneself is kept and goes nowhere.
pub(in crate::store) fn queue(db: &Connection, mut draft: Draft) -> Result<(), SendError> {
    let Draft { recipient, own, .. } = draft;
    check_target(db, &draft)?;
    let about = about(&own, &draft.content);
    if let Some(name) = about
        && let Some(last_ms) = last_change_ms(db, &own, name)?
    {
        draft.sent_at_ms = draft.sent_at_ms.max(last_ms.saturating_add(1));
    }
    let contact = match recipient == own {
        true => None,
        false => {
            let contact = contacts::find(db, &recipient)?.ok_or(SendError::NotAContact(recipient.into()))?;
            Some(check_sendable(contact, draft.own_handle.home())?)
        }
    };
    // The order of numbers is that of the rows.
    let at_once = contact.is_some() && draft.at_once && !has_unnumbered(db, &recipient)?;
    let heads = match contact {
        Some(_) => heads::to_tell(db, &own, &recipient, draft.sent_at_ms)?,
        None => heads::Heads::default(),
    };
    let payload = Payload {
        id: draft.id,
        install: draft.install,
        seq: if at_once { next_number(db, recipient.as_bytes())? } else { STAND_IN },
        sent_at_ms: draft.sent_at_ms,
        to: contact.as_ref().map_or(Some(draft.own_handle.clone()), |contact| contact.handle.clone()),
        from: Some(draft.own_handle),
        content: draft.content,
        own_head: heads.own,
        peer_head: heads.peer,
        reply_to: draft.reply_to.map(Into::into),
    };
    let bytes = payload.encode()?;
    if bytes.len() + NUMBER_BYTES > MAX_PADDED_BYTES {
        return Err(PayloadError::TooLarge { field: "message" }.into());
    }
    keep(db, &own, &recipient, &payload, &bytes)?;
    if let Some(name) = about {
        keep_last(db, &own, name, &payload)?;
    }
    match contact {
        Some(_) => Ok(insert(db, &recipient, draft.id.0, draft.nats_msg_id, &bytes, Kind::Message { at_once })?),
        None => Ok(()),
    }
}

/// Finds with whom the message of ours is, and of what kind, that has or had this name.
pub(in crate::store) fn named(
    db: &Connection,
    own: &PrimaryKey,
    id: &MessageId,
) -> Result<Option<([u8; 32], u64)>, StoreError> {
    Ok(db
        .prepare_cached("SELECT peer, kind FROM messages WHERE author = ?1 AND id = ?2")?
        .query_row((own.as_bytes(), id.0), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

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
pub(super) fn number(db: &Connection, own: &PrimaryKey, row: &OutboxRow) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let mut payload = decode(&row.payload)?;
    payload.seq = next_number(db, &row.recipient)?;
    let bytes = payload.encode().map_err(StoreError::damaged)?;
    db.execute("UPDATE outbox SET numbered = 1, payload = ?2 WHERE row = ?1", (row.row, &**bytes))?;
    db.execute(
        "UPDATE messages SET payload = ?3 WHERE author = ?1 AND id = ?2 AND erased = 0",
        (own.as_bytes(), row.message_id.0, &**bytes),
    )?;
    Ok(bytes)
}

/// Lets a message's number be taken by one that says nothing: it deletes what the recipient never had.
pub(super) fn say_nothing_instead(db: &Connection, row: i64, id: &MessageId) -> Result<(), StoreError> {
    let bytes: Vec<u8> = db.query_row("SELECT payload FROM outbox WHERE row = ?1", [row], |row| row.get(0))?;
    let mut payload = decode(&bytes)?;
    payload.id = new_id(payload.sent_at_ms);
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
    let place = is_shown(&payload.content).then(|| take_place(db, peer.as_bytes(), sent_at_ms, false)).transpose()?;
    let (about_author, about_id) = about(own, &payload.content).unzip();
    let state = if peer == own { NOTE_STATE } else { MessageState::Queued };
    db.prepare_cached(
        "INSERT INTO messages (author, id, peer, kind, payload, sent_at_ms, stored_at_ms, state, place, about_author,
            about_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute((
        own.as_bytes(),
        id,
        peer.as_bytes(),
        kind,
        bytes,
        sent_at_ms,
        state.to_stored(),
        place,
        about_author,
        about_id,
    ))?;
    Ok(())
}

/// What a row of the outbox is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// It stays until its receipt comes.
    Message {
        /// Whether it is numbered, and on its way from now on.
        at_once: bool,
    },
    /// It is done with when the broker has it.
    Receipt,
}

pub(super) fn insert(
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
