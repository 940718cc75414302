//! What an operator does to the registry.

use kez_core::handle::Handle;
use kez_service::rusqlite::{self, Connection, Row, params};

use super::departures::depart;
use super::{COLUMNS, Entry, Found, Registry, RegistryError, Standing, find};

/// How much the registry holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    pub(crate) active: i64,
    pub(crate) blocked: i64,
    pub(crate) retired: i64,
    /// People of whom the broker has something that has to go.
    pub(crate) departures: i64,
}

/// How an operator's change ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// It is so now.
    Done,
    /// It was so already.
    Already,
    /// Nobody has this handle.
    Unknown,
    /// The person has retired, which nothing changes.
    Retired,
}

impl Registry {
    /// Returns up to `limit` registrations after the handle `after`, in the order of their handles; from the first one
    /// if there is none.
    pub(crate) async fn list(&self, after: Option<&Handle>, limit: u32) -> Result<Vec<Entry>, RegistryError> {
        let after = after.map(Handle::to_string).unwrap_or_default();
        let sql = format!("SELECT {COLUMNS} FROM handles WHERE handle > ?1 ORDER BY handle LIMIT ?2");
        let rows: Vec<Found> = self
            .database
            .read(move |db| db.prepare(&sql)?.query_map(params![after, limit], Found::from_row)?.collect())
            .await?;
        rows.iter().map(|row| self.entry(row)).collect()
    }

    /// Counts registrations by their standing, and departures.
    pub(crate) async fn counts(&self) -> Result<Counts, RegistryError> {
        let sql =
            "SELECT count(*), count(retired_at_ms), count(CASE WHEN retired_at_ms IS NULL THEN blocked_at_ms END),
                   (SELECT count(*) FROM departures) FROM handles";
        let counts = |row: &Row<'_>| {
            let (all, retired, blocked): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Counts { active: all - retired - blocked, blocked, retired, departures: row.get(3)? })
        };
        Ok(self.database.read(move |db| db.query_row(sql, [], counts)).await?)
    }

    /// Shuts a person out, or lets them in again. Who is shut out is refused at their next login, and it is noted that
    /// their connections have to go.
    pub(crate) async fn set_blocked(
        &self,
        handle: &Handle,
        blocked: bool,
        now_ms: u64,
    ) -> Result<Change, RegistryError> {
        let handle = handle.to_string();
        let change = self
            .database
            .write(move |db| {
                let Some(found) = find(db, "handle", &handle)? else { return Ok(Change::Unknown) };
                match (found.standing, blocked) {
                    (Standing::Retired, _) => return Ok(Change::Retired),
                    (Standing::Blocked, true) | (Standing::Active, false) => return Ok(Change::Already),
                    _ => {}
                }
                let at = blocked.then(|| now_ms.cast_signed());
                db.execute("UPDATE handles SET blocked_at_ms = ?2 WHERE handle = ?1", params![handle, at])?;
                let primary = found.primary.as_bytes();
                if blocked {
                    depart(db, primary, now_ms)?;
                } else {
                    db.execute("DELETE FROM departures WHERE primary_key = ?1", [primary])?;
                }
                Ok(Change::Done)
            })
            .await?;
        Ok(change)
    }

    /// Takes a registration away, so that the handle is free for anybody and the key for another handle, and notes that
    /// the inbox has to go. A tombstone stays.
    pub(crate) async fn remove(&self, handle: &Handle, now_ms: u64) -> Result<Change, RegistryError> {
        let handle = handle.to_string();
        let change = self
            .database
            .write(move |db| {
                let Some(found) = find(db, "handle", &handle)? else { return Ok(Change::Unknown) };
                if found.standing == Standing::Retired {
                    return Ok(Change::Retired);
                }
                db.execute("DELETE FROM handles WHERE handle = ?1", [&handle])?;
                depart(db, found.primary.as_bytes(), now_ms)?;
                Ok(Change::Done)
            })
            .await?;
        Ok(change)
    }

    /// Keeps a bare name from being registered. Who has it already keeps it.
    pub(crate) async fn reserve(&self, name: &str, now_ms: u64) -> Result<Change, RegistryError> {
        let name = name.to_owned();
        let sql = "INSERT INTO reserved_names (name, reserved_at_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        let new = self.database.write(move |db| db.execute(sql, params![name, now_ms.cast_signed()])).await?;
        Ok(if new == 1 { Change::Done } else { Change::Already })
    }

    /// Lets a name that [`reserve`](Self::reserve) kept be registered again.
    pub(crate) async fn release(&self, name: &str) -> Result<Change, RegistryError> {
        let name = name.to_owned();
        let gone =
            self.database.write(move |db| db.execute("DELETE FROM reserved_names WHERE name = ?1", [name])).await?;
        Ok(if gone == 1 { Change::Done } else { Change::Unknown })
    }

    /// Returns the names that the operator keeps, in order.
    pub(crate) async fn reserved(&self) -> Result<Vec<String>, RegistryError> {
        let sql = "SELECT name FROM reserved_names ORDER BY name";
        Ok(self.database.read(move |db| db.prepare(sql)?.query_map([], |row| row.get(0))?.collect()).await?)
    }
}

pub(super) fn is_reserved(db: &Connection, name: &str) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM reserved_names WHERE name = ?1")?.exists([name])
}

#[cfg(test)]
mod tests {
    use super::super::Claim;
    use super::super::Departure;
    use super::super::tests::{fresh, handle, key};
    use super::*;

    #[tokio::test]
    async fn blocking_is_seen_and_undone() {
        let (_dir, registry) = fresh().await;
        let name = handle("out@kez.lat");
        assert_eq!(registry.set_blocked(&name, true, 6).await.unwrap(), Change::Unknown);
        registry.claim(&name, &key(1), 5).await.unwrap();
        for (blocked, change, standing) in [
            (false, Change::Already, Standing::Active),
            (true, Change::Done, Standing::Blocked),
            (true, Change::Already, Standing::Blocked),
            (false, Change::Done, Standing::Active),
        ] {
            assert_eq!(registry.set_blocked(&name, blocked, 6).await.unwrap(), change);
            assert_eq!(registry.by_primary(&key(1)).await.unwrap().unwrap().standing, standing);
            let kicks = registry.departures(10).await.unwrap().len();
            assert_eq!(kicks, usize::from(standing == Standing::Blocked), "who is back is not disconnected");
        }
        registry.set_blocked(&name, true, 6).await.unwrap();
        registry.retire(&name, &key(1), 7).await.unwrap();
        assert_eq!(registry.set_blocked(&name, false, 8).await.unwrap(), Change::Retired);
    }

    #[tokio::test]
    async fn registrations_are_counted_by_standing() {
        let (_dir, registry) = fresh().await;
        assert_eq!(registry.counts().await.unwrap(), Counts::default());
        for (seed, name) in (1..).zip(["ann@kez.lat", "bob@kez.lat", "cid@kez.lat", "dot@kez.lat"]) {
            registry.claim(&handle(name), &key(seed), 5).await.unwrap();
        }
        registry.set_blocked(&handle("bob@kez.lat"), true, 6).await.unwrap();
        registry.set_blocked(&handle("cid@kez.lat"), true, 6).await.unwrap();
        registry.retire(&handle("cid@kez.lat"), &key(3), 6).await.unwrap();
        let counts = Counts { active: 2, blocked: 1, retired: 1, departures: 2 };
        assert_eq!(registry.counts().await.unwrap(), counts);
    }

    #[tokio::test]
    async fn a_removed_handle_is_free_and_a_tombstone_is_not() {
        let (_dir, registry) = fresh().await;
        let (name, left) = (handle("squatted@kez.lat"), handle("left@kez.lat"));
        assert_eq!(registry.remove(&name, 6).await.unwrap(), Change::Unknown);
        registry.claim(&name, &key(1), 5).await.unwrap();
        assert_eq!(registry.remove(&name, 6).await.unwrap(), Change::Done);
        let departures = registry.departures(10).await.unwrap();
        assert_eq!(departures, [Departure { person: key(1), since_ms: 6 }]);
        assert_eq!(registry.claim(&name, &key(2), 7).await.unwrap(), Claim::New);
        assert_eq!(registry.claim(&handle("other@kez.lat"), &key(1), 7).await.unwrap(), Claim::New);
        assert!(registry.departures(10).await.unwrap().is_empty(), "who is back keeps the inbox");

        registry.claim(&left, &key(3), 5).await.unwrap();
        registry.retire(&left, &key(3), 6).await.unwrap();
        assert_eq!(registry.remove(&left, 7).await.unwrap(), Change::Retired);
    }

    #[tokio::test]
    async fn a_reserved_name_is_nobodys_until_it_is_released() {
        let (_dir, registry) = fresh().await;
        let (name, had) = (handle("brand@kez.lat"), handle("had@kez.lat"));
        registry.claim(&had, &key(2), 5).await.unwrap();
        for reserved in ["had", "brand"] {
            assert_eq!(registry.reserve(reserved, 6).await.unwrap(), Change::Done);
        }
        assert_eq!(registry.reserve("brand", 6).await.unwrap(), Change::Already);
        assert_eq!(registry.reserved().await.unwrap(), ["brand", "had"]);
        assert_eq!(registry.claim(&name, &key(1), 7).await.unwrap(), Claim::Reserved);
        assert_eq!(registry.claim(&had, &key(2), 7).await.unwrap(), Claim::Same(Standing::Active));
        assert_eq!(registry.release("brand").await.unwrap(), Change::Done);
        assert_eq!(registry.release("brand").await.unwrap(), Change::Unknown);
        assert_eq!(registry.claim(&name, &key(1), 7).await.unwrap(), Claim::New);
    }

    #[tokio::test]
    async fn the_list_goes_on_after_a_handle() {
        let (_dir, registry) = fresh().await;
        let names: Vec<_> = ["ann@kez.lat", "bob@kez.lat", "cid@kez.lat"].map(handle).into();
        for (seed, name) in (1..).zip(&names) {
            registry.claim(name, &key(seed), 5).await.unwrap();
        }
        let of = |entries: Vec<Entry>| entries.into_iter().map(|entry| entry.handle).collect::<Vec<_>>();
        assert_eq!(of(registry.list(None, 2).await.unwrap()), names[..2]);
        assert_eq!(of(registry.list(Some(&names[1]), 2).await.unwrap()), names[2..]);
        assert!(registry.list(Some(&names[2]), 2).await.unwrap().is_empty());
    }
}
