//! Whose inboxes are whose, many at once.

use std::collections::HashSet;

use kez_service::rusqlite::{self, Connection};

use super::{Registry, RegistryError};

/// Keys that are looked up in one go, so that others get their turn between.
const AT_A_TIME: usize = 10_000;

impl Registry {
    /// Returns those of `keys` under which somebody is registered and has not left. Who is blocked keeps the inbox.
    pub(crate) async fn owners(
        &self,
        keys: impl IntoIterator<Item = [u8; 32]>,
    ) -> Result<HashSet<[u8; 32]>, RegistryError> {
        let mut keys = keys.into_iter();
        let mut owners = HashSet::new();
        loop {
            let some: Vec<_> = keys.by_ref().take(AT_A_TIME).collect();
            if some.is_empty() {
                return Ok(owners);
            }
            owners.extend(self.database.read(move |db| owners_of(db, some)).await?);
        }
    }
}

fn owners_of(db: &Connection, keys: Vec<[u8; 32]>) -> rusqlite::Result<Vec<[u8; 32]>> {
    let mut is_owner = db.prepare_cached("SELECT 1 FROM handles WHERE primary_key = ?1 AND retired_at_ms IS NULL")?;
    let mut owners = Vec::new();
    for key in keys {
        if is_owner.exists([&key])? {
            owners.push(key);
        }
    }
    Ok(owners)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fresh, handle, key};

    #[tokio::test]
    async fn an_inbox_is_its_owners_until_they_leave() {
        let (_dir, registry) = fresh().await;
        for (seed, name) in (1..).zip(["here@kez.lat", "blocked@kez.lat", "left@kez.lat", "removed@kez.lat"]) {
            registry.claim(&handle(name), &key(seed), 5).await.unwrap();
        }
        registry.set_blocked(&handle("blocked@kez.lat"), true, 6).await.unwrap();
        registry.retire(&handle("left@kez.lat"), &key(3), 6).await.unwrap();
        registry.remove(&handle("removed@kez.lat"), 6).await.unwrap();
        let strangers = (0..25_000_u32).map(|n| {
            let mut bytes = [0xee; 32];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            bytes
        });
        let asked = (1..6).map(|seed| *key(seed).as_bytes()).chain(strangers);
        let owners = registry.owners(asked).await.unwrap();
        assert_eq!(owners, [1, 2].map(|seed| *key(seed).as_bytes()).into());
        assert!(registry.owners([]).await.unwrap().is_empty());
    }
}
