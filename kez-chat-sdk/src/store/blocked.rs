//! Who may not reach us: what they send is acknowledged and dropped, and nothing goes to them (`docs/PROTOCOL.md` §8).

use kez_core::{
    identity::PrimaryKey,
    payload::{Content, Payload},
};
use rusqlite::Connection;

use super::{
    Store, StoreError,
    contacts::peer,
    outbox::withdraw_all,
    sequence::{give_out_held, pass_over},
    strangers,
};
use crate::contacts::Blocked;

impl Store {
    /// Blocks somebody: what was to be sent to them is withdrawn, no receipt is owed to them, and what waits from a stranger
    /// goes. Returns which blobs they could fetch. `now_ms` is by the home's clock.
    pub(crate) async fn block(&self, who: PrimaryKey, now_ms: u64) -> Result<Vec<[u8; 32]>, StoreError> {
        self.transact(move |db| {
            // What waits for earlier messages came before: nobody will wait for those any more.
            give_out_held(db, who.as_bytes())?;
            db.execute("INSERT OR IGNORE INTO blocked (owner, since_ms) VALUES (?1, ?2)", (who.as_bytes(), now_ms))?;
            // What is withdrawn now was an offer, too, until now.
            let blobs = blobs(db, &who)?;
            withdraw_all(db, who.as_bytes())?;
            #[cfg(feature = "files")]
            super::downloads::end_for_peer(db, &who)?;
            strangers::forget(db, &who, now_ms)?;
            Ok(blobs)
        })
        .await
    }

    /// Ends a block. What was dropped meanwhile does not come back, and is not waited for. Returns which blobs they may
    /// fetch again.
    pub(crate) async fn unblock(&self, who: PrimaryKey) -> Result<Vec<[u8; 32]>, StoreError> {
        self.transact(move |db| {
            db.execute("DELETE FROM blocked WHERE owner = ?1", [who.as_bytes()])?;
            blobs(db, &who)
        })
        .await
    }

    /// Lists who is blocked, the last one first.
    pub(crate) async fn blocked(&self) -> Result<Vec<Blocked>, StoreError> {
        self.read(|db| {
            let mut statement =
                db.prepare_cached("SELECT owner, since_ms FROM blocked ORDER BY since_ms DESC, owner")?;
            let rows = statement.query_map([], |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get(1)?)))?;
            rows.map(|row| {
                let (owner, since_ms) = row?;
                Ok(Blocked { who: peer(db, &owner)?, since_ms })
            })
            .collect()
        })
        .await
    }
}

pub(super) fn is_blocked(db: &Connection, who: &PrimaryKey) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM blocked WHERE owner = ?1)")?
        .query_row([who.as_bytes()], |row| row.get(0))?)
}

/// Tells whether something that came in is to be dropped because its author is blocked. Of a message only when it was
/// written and its number are noted. `now_ms` is by the home's clock.
pub(super) fn drops(db: &Connection, from: &PrimaryKey, payload: &Payload, now_ms: u64) -> Result<bool, StoreError> {
    let drops = is_blocked(db, from)?;
    // Receipts are about messages of ours, and are not sent again.
    if drops && !matches!(payload.content, Content::Receipt { .. }) {
        refuse(db, from, payload, now_ms, false)?;
    }
    Ok(drops)
}

/// Tells whether a message that is not here was written before one that was dropped or declined: their client only sends it
/// again.
pub(super) fn is_refused(db: &Connection, from: &PrimaryKey, sent_at_ms: u64) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM refused WHERE owner = ?1 AND until_ms >= ?2)")?
        .query_row((from.as_bytes(), sent_at_ms), |row| row.get(0))?)
}

/// Refuses a message for good, and what its author wrote before that is not here. None that follows waits for it.
pub(super) fn refuse(
    db: &Connection,
    from: &PrimaryKey,
    payload: &Payload,
    now_ms: u64,
    was_kept: bool,
) -> Result<(), StoreError> {
    // Whoever dates messages ahead is not to be refused until then.
    db.prepare_cached(
        "INSERT INTO refused (owner, until_ms) VALUES (?1, ?2)
         ON CONFLICT (owner) DO UPDATE SET until_ms = max(until_ms, ?2)",
    )?
    .execute((from.as_bytes(), payload.sent_at_ms.min(now_ms)))?;
    pass_over(db, from.as_bytes(), payload, was_kept)
}

fn blobs(db: &Connection, reader: &PrimaryKey) -> Result<Vec<[u8; 32]>, StoreError> {
    let mut statement = db.prepare_cached("SELECT blob_hash FROM file_readers WHERE reader = ?1")?;
    let rows = statement.query_map([reader.as_bytes()], |row| row.get(0))?;
    Ok(rows.collect::<Result<Vec<_>, _>>()?)
}
