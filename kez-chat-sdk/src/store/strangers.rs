//! What people who are no contacts left here: held apart, within limits, until they are accepted (`docs/PROTOCOL.md` §8).

#[cfg(test)]
mod tests;

use kez_core::{
    handle::{Handle, Home, Policy},
    identity::PrimaryKey,
};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    Store, StoreError,
    announce::{Received, decode},
    blocked, heads,
    sequence::{arrive, begin_where_others_ended},
    timeline::{is_shown, shown, wording},
};
use crate::{
    event::Peer,
    keys::checked,
    message::MessageContent,
    requests::{Request, RequestMessage, Resolution},
};

/// How many messages a stranger may leave here; more are dropped.
const MAX_FROM_STRANGER: u32 = 50;
/// How many messages all strangers may leave; then whoever left the most loses their oldest, and among equals whoever came
/// last: a flood of new keys pushes out its own.
const MAX_FROM_STRANGERS: u32 = 1_000;
/// How long a stranger's message waits to be asked for.
const STRANGERS_WAIT_MS: u64 = 30 * 24 * 3_600_000;
/// How often at most a home is asked about a stranger without the person's word.
const RESOLVE_EVERY_MS: u64 = 3_600_000;

/// Messages of people who are no contacts; they have no receipt yet.
const STRANGERS: &str = "FROM messages WHERE receipt_at_ms IS NULL AND author = peer
    AND NOT EXISTS (SELECT 1 FROM contacts WHERE owner = author)";

/// Strangers, each with what waits from them.
const REQUESTS: &str = "SELECT owner, claimed, answer, handle, count(*) AS kept, min(stored_at_ms) AS first_at_ms,
        max(stored_at_ms) AS last_at_ms
    FROM strangers JOIN messages ON author = owner AND peer = owner AND receipt_at_ms IS NULL
    WHERE NOT EXISTS (SELECT 1 FROM contacts WHERE contacts.owner = strangers.owner)";

impl Store {
    /// Lists the strangers from whom something waits, the one who wrote last first.
    pub(crate) async fn requests(&self) -> Result<Vec<Request>, StoreError> {
        self.read(|db| {
            let mut statement =
                db.prepare_cached(&format!("{REQUESTS} GROUP BY owner ORDER BY last_at_ms DESC, owner"))?;
            let rows = statement.query_map([], read)?;
            rows.map(|row| row?).collect()
        })
        .await
    }

    /// Returns what waits from one stranger.
    pub(crate) async fn request(&self, from: PrimaryKey) -> Result<Option<Request>, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(&format!("{REQUESTS} AND owner = ?1 GROUP BY owner"))?;
            statement.query_row([from.as_bytes()], read).optional()?.transpose()
        })
        .await
    }

    /// Returns what a stranger wrote, as far as a conversation would show it, in their order.
    pub(crate) async fn request_messages(&self, from: PrimaryKey) -> Result<Vec<RequestMessage>, StoreError> {
        self.read(move |db| {
            let mut messages = Vec::new();
            for message in waiting(db, from.as_bytes())? {
                if is_shown(&message.payload.content) {
                    messages.push(as_shown(db, &from, message)?);
                }
            }
            Ok(messages)
        })
        .await
    }

    /// Returns a stranger of whom our own home was not asked lately: one who says that they live there.
    pub(crate) async fn stranger_to_resolve(&self, own_home: Home, now_ms: u64) -> Result<Option<Request>, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(&format!(
                "{REQUESTS} AND answer = 0 AND substr(claimed, instr(claimed, '@') + 1) = ?1
                    AND abs(asked_at_ms - ?2) >= ?3
                 GROUP BY owner ORDER BY first_at_ms LIMIT 1"
            ))?;
            statement.query_row((own_home.to_string(), now_ms, RESOLVE_EVERY_MS), read).optional()?.transpose()
        })
        .await
    }

    /// Keeps what a home said of a stranger, unless they meanwhile say that they are somebody else.
    pub(crate) async fn set_resolution(
        &self,
        asked_for: &Request,
        resolution: &Resolution,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let (from, claimed) = (asked_for.from, asked_for.claimed_handle.as_ref().map(Handle::to_string));
        let (answer, handle) = resolution.to_stored();
        let handle = handle.map(Handle::to_string);
        self.transact(move |db| {
            db.execute(
                "UPDATE strangers SET asked_at_ms = ?3,
                    answer = CASE WHEN claimed IS ?2 THEN ?4 ELSE 0 END,
                    handle = CASE WHEN claimed IS ?2 THEN ?5 END
                 WHERE owner = ?1",
                (from.as_bytes(), claimed, now_ms, answer, handle),
            )?;
            Ok(())
        })
        .await
    }

    /// Lets go of what a stranger wrote, for good: what their client sends again is no new request. Tells whether there was
    /// anything. `now_ms` is by the home's clock.
    pub(crate) async fn decline(&self, from: PrimaryKey, now_ms: u64) -> Result<bool, StoreError> {
        self.transact(move |db| forget(db, &from, now_ms)).await
    }

    /// Lets go of what has waited for too long.
    pub(crate) async fn forget_old_requests(&self, now_ms: u64) -> Result<(), StoreError> {
        self.transact(move |db| forget_old(db, now_ms)).await
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Result<Request, StoreError>> {
    let owner: [u8; 32] = row.get("owner")?;
    let (claimed, handle): (Option<String>, Option<String>) = (row.get("claimed")?, row.get("handle")?);
    let (answer, messages) = (row.get("answer")?, row.get("kept")?);
    let (first_at_ms, last_at_ms) = (row.get("first_at_ms")?, row.get("last_at_ms")?);
    // The rules for what may enter held when it was written.
    let parse = |text: Option<String>| text.map(|text| Handle::from_qualified(&text, Policy::Development)).transpose();
    let request = || {
        Ok(Request {
            from: checked(&owner).map_err(StoreError::damaged)?,
            claimed_handle: parse(claimed).map_err(StoreError::damaged)?,
            resolution: Resolution::from_stored(answer, parse(handle).map_err(StoreError::damaged)?),
            first_at_ms,
            last_at_ms,
            messages,
        })
    };
    Ok(request())
}

/// Reads what waits from somebody, in the order of their numbers.
fn waiting(db: &Connection, author: &[u8; 32]) -> Result<Vec<Received>, StoreError> {
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
    Ok(waiting)
}

fn as_shown(db: &Connection, from: &PrimaryKey, message: Received) -> Result<RequestMessage, StoreError> {
    let Received { payload, misaddressed, stored_at_ms } = message;
    let wording = wording(db, from.as_bytes(), (*from.as_bytes(), payload.id.0))?;
    let content = match wording.is_deleted {
        true => MessageContent::Deleted,
        false => shown(payload.content, wording.text, None),
    };
    Ok(RequestMessage {
        id: payload.id,
        sent_at_ms: payload.sent_at_ms,
        stored_at_ms,
        content,
        is_misaddressed: misaddressed,
    })
}

/// Gives out, in their order, what somebody sent before they were a contact.
pub(super) fn release(db: &Connection, from: &Peer) -> Result<(), StoreError> {
    let author = from.primary.as_bytes();
    for message in waiting(db, author)? {
        let id = message.payload.id.0;
        db.execute("INSERT OR IGNORE INTO receipts_due (author, id) VALUES (?1, ?2)", (author, id))?;
        db.execute("UPDATE messages SET receipt_at_ms = stored_at_ms WHERE author = ?1 AND id = ?2", (author, id))?;
        arrive(db, from, &message)?;
        heads::hear(db, &from.primary, &message.payload)?;
    }
    db.execute("DELETE FROM strangers WHERE owner = ?1", [author])?;
    begin_where_others_ended(db)
}

/// Forgets what waits from a stranger: their client will send it again, and then it is refused. Tells whether there was
/// anything. `now_ms` is by the home's clock.
pub(super) fn forget(db: &Connection, author: &PrimaryKey, now_ms: u64) -> Result<bool, StoreError> {
    for message in waiting(db, author.as_bytes())? {
        blocked::refuse(db, author, &message.payload, now_ms, true)?;
    }
    let author = author.as_bytes();
    let gone =
        db.execute(&format!("DELETE FROM messages WHERE row IN (SELECT row {STRANGERS} AND author = ?1)"), [author])?;
    db.execute("DELETE FROM strangers WHERE owner = ?1", [author])?;
    Ok(gone > 0)
}

fn forget_old(db: &Connection, now_ms: u64) -> Result<(), StoreError> {
    let gone = db.execute(
        &format!("DELETE FROM messages WHERE row IN (SELECT row {STRANGERS} AND stored_at_ms < ?1)"),
        [now_ms.saturating_sub(STRANGERS_WAIT_MS)],
    )?;
    if gone > 0 { forget_who_left_nothing(db) } else { Ok(()) }
}

fn forget_who_left_nothing(db: &Connection) -> Result<(), StoreError> {
    db.execute(
        "DELETE FROM strangers WHERE NOT EXISTS (
            SELECT 1 FROM messages WHERE author = owner AND peer = owner AND receipt_at_ms IS NULL)",
        [],
    )?;
    Ok(())
}

/// Keeps strangers from filling the disk, and from keeping other strangers out.
pub(super) fn make_room(db: &Connection, author: &PrimaryKey, now_ms: u64) -> Result<Room, StoreError> {
    forget_old(db, now_ms)?;
    let count = format!("SELECT coalesce(sum(author = ?1), 0), count(*) {STRANGERS}");
    let (theirs, all): (u32, u32) = db.query_row(&count, [author.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if theirs >= MAX_FROM_STRANGER {
        return Ok(Room::None);
    }
    if all >= MAX_FROM_STRANGERS {
        let most = format!("SELECT author {STRANGERS} GROUP BY author ORDER BY count(*) DESC, min(row) DESC LIMIT 1");
        let oldest = format!("SELECT min(row) {STRANGERS} AND author = ({most})");
        db.execute(&format!("DELETE FROM messages WHERE row = ({oldest})"), [])?;
        forget_who_left_nothing(db)?;
    }
    Ok(if theirs == 0 { Room::First } else { Room::Further })
}

/// Notes who a stranger says they are. What was found out about another handle of theirs counts no more.
pub(super) fn note_claim(db: &Connection, author: &PrimaryKey, claimed: Option<&Handle>) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO strangers (owner, claimed) VALUES (?1, ?2)
         ON CONFLICT (owner) DO UPDATE SET claimed = ?2,
            answer = CASE WHEN claimed IS ?2 THEN answer ELSE 0 END, handle = CASE WHEN claimed IS ?2 THEN handle END",
    )?
    .execute((author.as_bytes(), claimed.map(Handle::to_string)))?;
    Ok(())
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
