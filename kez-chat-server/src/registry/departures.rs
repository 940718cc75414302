//! People who leave: the tombstone, and what the broker still has to do about it.

use kez_core::handle::Handle;
use kez_core::identity::PrimaryKey;
use kez_service::rusqlite::{self, Connection, params};

use super::{Registry, RegistryError, Standing, find};

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

    /// Returns up to `limit` people whose inbox and connections have to go, those who left first before the others.
    pub(crate) async fn departures(&self, limit: u32) -> Result<Vec<PrimaryKey>, RegistryError> {
        let sql = "SELECT primary_key FROM departures ORDER BY since_ms, primary_key LIMIT ?1";
        let rows: Vec<[u8; 32]> = self
            .database
            .read(move |db| db.prepare_cached(sql)?.query_map([limit], |row| row.get(0))?.collect())
            .await?;
        Ok(rows.iter().map(PrimaryKey::from_bytes).collect::<Result<_, _>>()?)
    }

    /// Notes that the broker has nothing of this person any more.
    pub(crate) async fn departed(&self, primary: &PrimaryKey) -> Result<(), RegistryError> {
        let primary = *primary.as_bytes();
        self.database.write(move |db| db.execute("DELETE FROM departures WHERE primary_key = ?1", [primary])).await?;
        Ok(())
    }
}

pub(super) fn depart(db: &Connection, primary: &[u8; 32], now_ms: u64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO departures (primary_key, since_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
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

        assert_eq!(registry.departures(10).await.unwrap(), [key(1)]);
        registry.departed(&key(1)).await.unwrap();
        assert!(registry.departures(10).await.unwrap().is_empty());
    }
}
