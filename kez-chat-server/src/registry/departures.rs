//! People who have to go from the broker: the tombstone of who leaves, and what the broker still has to do.

use kez_core::handle::Handle;
use kez_core::identity::PrimaryKey;
use kez_service::rusqlite::{self, Connection, params};

use super::{Registry, RegistryError, Standing, StoredKey, find};

/// Somebody of whom the broker has something that has to go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Departure {
    pub(crate) person: PrimaryKey,
    /// Tells one departure of a person from a later one.
    pub(crate) since_ms: u64,
}

/// How leaving ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Retirement {
    /// The handle is a tombstone now.
    Done,
    /// It was one already.
    Already,
    /// Nobody has this handle.
    Unknown,
    /// Another key has, or had, the handle.
    OtherKey,
}

impl Registry {
    /// Makes the pair's registration a tombstone, durably, and notes that its inbox has to go.
    pub(crate) async fn retire(
        &self,
        handle: &Handle,
        primary: &PrimaryKey,
        now_ms: u64,
    ) -> Result<Retirement, RegistryError> {
        let (handle, primary) = (handle.to_string(), *primary.as_bytes());
        let retirement = self
            .database
            .write(move |db| {
                let Some(found) = find(db, "handle", &handle)? else { return Ok(Retirement::Unknown) };
                if *found.primary.as_bytes() != primary {
                    return Ok(Retirement::OtherKey);
                }
                if found.standing == Standing::Retired {
                    return Ok(Retirement::Already);
                }
                let sql = "UPDATE handles SET retired_at_ms = ?2 WHERE handle = ?1";
                db.execute(sql, params![handle, now_ms.cast_signed()])?;
                depart(db, &primary, now_ms)?;
                Ok(Retirement::Done)
            })
            .await?;
        Ok(retirement)
    }

    /// Returns up to `limit` departures, those that began first before the others.
    pub(crate) async fn departures(&self, limit: u32) -> Result<Vec<Departure>, RegistryError> {
        let sql = "SELECT primary_key, since_ms FROM departures ORDER BY since_ms, primary_key LIMIT ?1";
        let rows: Vec<([u8; 32], i64)> = self
            .database
            .read(move |db| db.prepare_cached(sql)?.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .await?;
        rows.iter()
            .map(|(key, since_ms)| {
                Ok(Departure { person: PrimaryKey::from_bytes(key)?, since_ms: since_ms.cast_unsigned() })
            })
            .collect()
    }

    /// Notes that a departure is over: the broker has nothing of the person any more that has to go. One that began
    /// meanwhile stays.
    pub(crate) async fn departed(&self, departure: &Departure) -> Result<(), RegistryError> {
        let Departure { person, since_ms } = *departure;
        let sql = "DELETE FROM departures WHERE primary_key = ?1 AND since_ms = ?2";
        self.database.write(move |db| db.execute(sql, params![person.as_bytes(), since_ms.cast_signed()])).await?;
        Ok(())
    }

    /// Notes that everything of these people has to go, unless they are registered; returns how many are not.
    pub(crate) async fn depart_unless_registered(
        &self,
        people: Vec<StoredKey>,
        now_ms: u64,
    ) -> Result<usize, RegistryError> {
        let departed = self
            .database
            .write(move |db| {
                let mut departed = 0;
                for person in &people {
                    let found = find(db, "primary_key", person.as_bytes())?;
                    if found.is_none_or(|found| found.standing == Standing::Retired) {
                        depart(db, person.as_bytes(), now_ms)?;
                        departed += 1;
                    }
                }
                Ok(departed)
            })
            .await?;
        Ok(departed)
    }

    /// Returns up to `limit` keys after `after` that are registered and have not retired, in their order: everybody who
    /// has an inbox.
    pub(crate) async fn inbox_owners(
        &self,
        after: Option<StoredKey>,
        limit: u32,
    ) -> Result<Vec<StoredKey>, RegistryError> {
        let sql = "SELECT primary_key FROM handles
                   WHERE (?1 IS NULL OR primary_key > ?1) AND retired_at_ms IS NULL ORDER BY primary_key LIMIT ?2";
        let after = after.map(|key| *key.as_bytes());
        let key = |row: &rusqlite::Row<'_>| Ok(StoredKey::from_bytes(row.get(0)?));
        Ok(self
            .database
            .read(move |db| db.prepare_cached(sql)?.query_map(params![after, limit], key)?.collect())
            .await?)
    }
}

/// Begins a departure; one that is under way begins anew.
pub(super) fn depart(db: &Connection, primary: &[u8; 32], now_ms: u64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO departures (primary_key, since_ms) VALUES (?1, ?2)
               ON CONFLICT (primary_key) DO UPDATE SET since_ms = max(since_ms + 1, excluded.since_ms)";
    db.execute(sql, params![primary, now_ms.cast_signed()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Claim;
    use super::super::tests::{fresh, handle, key};
    use super::*;

    #[tokio::test]
    async fn who_retires_leaves_a_tombstone_and_work_for_the_broker() {
        let (_dir, registry) = fresh().await;
        let (left, stays) = (handle("left@kez.lat"), handle("stays@kez.lat"));
        registry.claim(&left, &key(1), 5).await.unwrap();
        registry.claim(&stays, &key(2), 5).await.unwrap();
        for (name, owner, expected) in [
            (&left, 2, Retirement::OtherKey),
            (&handle("nobody@kez.lat"), 1, Retirement::Unknown),
            (&left, 1, Retirement::Done),
            (&left, 1, Retirement::Already),
        ] {
            assert_eq!(registry.retire(name, &key(owner), 6).await.unwrap(), expected);
        }
        assert_eq!(registry.by_handle(&left).await.unwrap().unwrap().standing, Standing::Retired);
        assert_eq!(registry.by_handle(&stays).await.unwrap().unwrap().standing, Standing::Active);
        assert_eq!(registry.claim(&left, &key(3), 7).await.unwrap(), Claim::HandleTaken, "never given again");
        assert_eq!(registry.claim(&left, &key(1), 7).await.unwrap(), Claim::Same(Standing::Retired));
        assert_eq!(registry.claim(&handle("anew@kez.lat"), &key(1), 7).await.unwrap(), Claim::KeyTaken);

        let departures = registry.departures(10).await.unwrap();
        assert_eq!(departures, [Departure { person: key(1), since_ms: 6 }]);
        registry.departed(&departures[0]).await.unwrap();
        assert!(registry.departures(10).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_departure_that_began_anew_is_not_over_with_the_first() {
        let (_dir, registry) = fresh().await;
        let name = handle("left@kez.lat");
        registry.claim(&name, &key(1), 5).await.unwrap();
        registry.set_blocked(&name, true, 6).await.unwrap();
        let blocked = registry.departures(10).await.unwrap();
        registry.retire(&name, &key(1), 6).await.unwrap();
        registry.departed(&blocked[0]).await.unwrap();
        assert_eq!(registry.departures(10).await.unwrap(), [Departure { person: key(1), since_ms: 7 }]);
    }

    #[tokio::test]
    async fn only_who_is_not_registered_departs_unasked() {
        let (_dir, registry) = fresh().await;
        for (seed, name) in (1..).zip(["stays@kez.lat", "out@kez.lat", "left@kez.lat"]) {
            registry.claim(&handle(name), &key(seed), 5).await.unwrap();
        }
        registry.set_blocked(&handle("out@kez.lat"), true, 6).await.unwrap();
        registry.retire(&handle("left@kez.lat"), &key(3), 6).await.unwrap();
        for departure in registry.departures(10).await.unwrap() {
            registry.departed(&departure).await.unwrap();
        }
        let everybody = (1..=4).map(|seed| key(seed).into()).collect();
        assert_eq!(registry.depart_unless_registered(everybody, 7).await.unwrap(), 2);
        let gone: Vec<_> = registry.departures(10).await.unwrap().iter().map(|departure| departure.person).collect();
        assert!(gone.len() == 2 && gone.contains(&key(3)) && gone.contains(&key(4)), "{gone:?}");

        let mut owners = registry.inbox_owners(None, 10).await.unwrap();
        assert_eq!(registry.inbox_owners(Some(owners[0]), 10).await.unwrap(), owners[1..]);
        assert_eq!(registry.inbox_owners(None, 1).await.unwrap(), owners[..1]);
        owners.sort_by_key(StoredKey::to_hex);
        let mut expected = [key(1), key(2)].map(StoredKey::from);
        expected.sort_by_key(StoredKey::to_hex);
        assert_eq!(owners, expected, "who is blocked keeps the inbox, who retired does not");
    }
}
