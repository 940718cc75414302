//! When contacts are looked at again.

use kez_core::{handle::Handle, identity::PrimaryKey};
use rusqlite::{Connection, OptionalExtension};

use crate::{
    contacts::Notice,
    event::{Event, Peer},
    keys::checked,
    store::{Store, StoreError, events},
};

/// How long after a look the next one is due, and how much longer at most, so that not all fall due at once.
const EVERY_MS: u64 = 24 * 3_600_000;
const SPREAD_MS: u64 = 2 * 3_600_000;
/// How long after a look that came to nothing.
const AGAIN_MS: u64 = 3_600_000;
/// How soon after a look there may be another one, whatever asks for it.
const SOONEST_MS: u64 = 60_000;

/// Who is looked at next, and in how many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NextLook {
    pub(crate) owner: PrimaryKey,
    pub(crate) wait_ms: u64,
}

impl Store {
    /// Returns which contact is due for a look next. Of who has left there is no more to be seen.
    pub(crate) async fn next_look(&self, now_ms: u64) -> Result<Option<NextLook>, StoreError> {
        self.read(move |db| {
            // A time that a clock far ahead of ours has set is none.
            let next = db
                .prepare_cached(
                    "SELECT owner, CASE WHEN refresh_due_ms > ?1 + ?2 THEN 0
                        WHEN refresh_asked = 1 THEN min(refresh_due_ms, refreshed_at_ms + ?3)
                        ELSE refresh_due_ms END AS due
                     FROM contacts WHERE retired = 0 ORDER BY due LIMIT 1",
                )?
                .query_row((now_ms, EVERY_MS + SPREAD_MS, SOONEST_MS), |row| {
                    Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, u64>(1)?))
                })
                .optional()?;
            let Some((owner, due_ms)) = next else { return Ok(None) };
            let owner = checked(&owner).map_err(StoreError::damaged)?;
            Ok(Some(NextLook { owner, wait_ms: due_ms.saturating_sub(now_ms) }))
        })
        .await
    }

    /// Notes that a contact is looked at now. If that comes to nothing, there is another look in an hour.
    pub(crate) async fn begin_look(&self, owner: PrimaryKey, now_ms: u64) -> Result<(), StoreError> {
        self.transact(move |db| {
            db.execute(
                "UPDATE contacts SET refreshed_at_ms = ?2, refresh_asked = 0, refresh_due_ms = ?3 WHERE owner = ?1",
                (owner.as_bytes(), now_ms, now_ms.saturating_add(AGAIN_MS)),
            )?;
            Ok(())
        })
        .await
    }
}

/// Asks for a look at a contact, in the transaction that gives reason for it.
pub(crate) fn ask(db: &Connection, owner: &[u8; 32]) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE contacts SET refresh_asked = 1 WHERE owner = ?1")?.execute([owner])?;
    Ok(())
}

/// Notes that a look has shown how a contact's chain stands: the next one is a day away.
pub(super) fn done(db: &Connection, owner: &PrimaryKey, now_ms: u64) -> Result<(), StoreError> {
    let due_ms = now_ms.saturating_add(EVERY_MS + rand::random_range(0..SPREAD_MS));
    db.prepare_cached("UPDATE contacts SET refreshed_at_ms = ?2, refresh_due_ms = ?3 WHERE owner = ?1")?.execute((
        owner.as_bytes(),
        now_ms,
        due_ms,
    ))?;
    Ok(())
}

/// Notes under which handle a contact wrote. One that is not known to be theirs is told once, and gives reason for a look.
/// None at all says nothing.
pub(crate) fn note_from(db: &Connection, who: &Peer, says: Option<&Handle>) -> Result<(), StoreError> {
    let Some(says) = says.filter(|says| who.handle.as_ref() != Some(says)) else { return Ok(()) };
    let is_new = db
        .prepare_cached(
            "UPDATE contacts SET said_handle = ?2, refresh_asked = 1 WHERE owner = ?1 AND said_handle IS NOT ?2
                AND NOT EXISTS (SELECT 1 FROM pins WHERE handle = ?2 AND pins.owner = ?1 AND named = 1)",
        )?
        .execute((who.primary.as_bytes(), says.to_string()))?;
    if is_new == 0 {
        return Ok(());
    }
    events::push(db, &Event::Contact { who: who.clone(), notice: Notice::HandleDiffers { says: says.clone() } })
}

#[cfg(test)]
mod tests {
    use kez_core::identity::SecretKey;

    use super::*;

    fn person(number: u8) -> PrimaryKey {
        SecretKey::from_seed([number; 32]).primary()
    }

    async fn store(contacts: u8) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("kez.db"), &SecretKey::from_seed([0xff; 32])).await.unwrap();
        for number in 1..=contacts {
            let insert = "INSERT INTO contacts (owner, agreed, sigchain_base, added_at_ms, chain_seq, chain_head,
                retired, reachable) VALUES (?1, 1, '', 0, 1, zeroblob(32), 0, 1)";
            let owner = person(number);
            store.transact::<_, StoreError>(move |db| Ok(db.execute(insert, [owner.as_bytes()])?)).await.unwrap();
        }
        (dir, store)
    }

    async fn finish(store: &Store, owner: PrimaryKey, now_ms: u64) {
        store.transact(move |db| done(db, &owner, now_ms)).await.unwrap();
    }

    #[tokio::test]
    async fn each_contact_is_looked_at_once_a_day_and_sooner_only_when_something_asks() {
        let (_dir, store) = store(2).await;
        let begun_ms = 1_000_000_000;
        let mut seen = Vec::new();
        for _ in 0..2 {
            let next = store.next_look(begun_ms).await.unwrap().unwrap();
            assert_eq!(next.wait_ms, 0, "nobody has looked at them yet");
            store.begin_look(next.owner, begun_ms).await.unwrap();
            seen.push(next.owner);
        }
        assert_ne!(seen[0], seen[1]);
        // One look comes to nothing, the other one shows something.
        finish(&store, seen[0], begun_ms).await;
        assert_eq!(store.next_look(begun_ms).await.unwrap(), Some(NextLook { owner: seen[1], wait_ms: AGAIN_MS }));
        finish(&store, seen[1], begun_ms).await;
        let wait_ms = store.next_look(begun_ms).await.unwrap().unwrap().wait_ms;
        assert!((EVERY_MS..EVERY_MS + SPREAD_MS).contains(&wait_ms), "{wait_ms}");

        let who = seen[0];
        store.transact(move |db| ask(db, who.as_bytes())).await.unwrap();
        let asked = store.next_look(begun_ms + 10).await.unwrap();
        assert_eq!(asked, Some(NextLook { owner: seen[0], wait_ms: SOONEST_MS - 10 }));
        store.begin_look(seen[0], begun_ms + SOONEST_MS).await.unwrap();
        // What asks during a look is not forgotten when that ends.
        store.transact(move |db| ask(db, who.as_bytes())).await.unwrap();
        finish(&store, seen[0], begun_ms + SOONEST_MS).await;
        let again = store.next_look(begun_ms + SOONEST_MS).await.unwrap();
        assert_eq!(again, Some(NextLook { owner: seen[0], wait_ms: SOONEST_MS }));
    }

    #[tokio::test]
    async fn a_clock_that_went_back_does_not_put_looks_off_and_who_has_left_gets_none() {
        let (_dir, store) = store(1).await;
        finish(&store, person(1), 100 * EVERY_MS).await;
        assert_eq!(store.next_look(EVERY_MS).await.unwrap().unwrap().wait_ms, 0);
        let leave = "UPDATE contacts SET retired = 1";
        store.transact::<_, StoreError>(move |db| Ok(db.execute(leave, [])?)).await.unwrap();
        assert_eq!(store.next_look(EVERY_MS).await.unwrap(), None);
    }
}
