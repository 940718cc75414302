//! What was seen of what others publish.

use std::collections::HashSet;

use kez_core::{
    identity::PrimaryKey,
    manifest::Published,
    payload::{Address, Addresses},
};
use rusqlite::OptionalExtension;

use super::{Store, StoreError};

/// How many thumbnails of others' are kept, and of how many people manifests.
const THUMBNAILS_KEPT: u32 = 500;
const BROWSED_KEPT: u32 = 50;

/// What was last seen of somebody's manifests.
#[derive(Clone, Debug)]
pub(crate) struct BrowsedRow {
    pub(crate) published: Published,
    /// Where they are reached, beside what they say themselves.
    pub(crate) addresses: Addresses,
}

impl Store {
    /// Returns what was last seen of somebody's manifests.
    pub(crate) async fn browsed(&self, owner: PrimaryKey) -> Result<Option<BrowsedRow>, StoreError> {
        self.read(move |db| {
            let row = db
                .query_row("SELECT hash, version, addresses FROM browsed WHERE owner = ?1", [owner.as_bytes()], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))
                })
                .optional()?;
            Ok(row.map(|(manifest, version, addresses)| BrowsedRow {
                published: Published { owner, manifest, version },
                addresses: Addresses::new(addresses.lines().map(to_address)),
            }))
        })
        .await
    }

    /// Keeps what was seen of somebody's manifests. Returns the blobs of manifests that are kept no more.
    pub(crate) async fn keep_browsed(&self, row: BrowsedRow) -> Result<Vec<[u8; 32]>, StoreError> {
        self.transact(move |db| {
            let mut over = Vec::new();
            let (owner, manifest) = (row.published.owner, row.published.manifest);
            let before =
                db.query_row("DELETE FROM browsed WHERE owner = ?1 RETURNING hash", [owner.as_bytes()], |row| {
                    row.get::<_, [u8; 32]>(0)
                });
            over.extend(before.optional()?.filter(|hash| *hash != manifest));
            db.execute(
                "INSERT INTO browsed (owner, hash, version, addresses) VALUES (?1, ?2, ?3, ?4)",
                (owner.as_bytes(), manifest, row.published.version, to_lines(&row.addresses)),
            )?;
            let mut statement = db.prepare_cached(
                "DELETE FROM browsed WHERE row NOT IN (SELECT row FROM browsed ORDER BY row DESC LIMIT ?1)
                 RETURNING hash",
            )?;
            let oldest = statement.query_map([BROWSED_KEPT], |row| row.get::<_, [u8; 32]>(0))?;
            over.extend(oldest.collect::<Result<Vec<_>, _>>()?);
            Ok(over)
        })
        .await
    }

    /// Lists the manifests of others that are kept.
    pub(crate) async fn browsed_manifests(&self) -> Result<HashSet<[u8; 32]>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare("SELECT hash FROM browsed")?;
            let hashes = statement.query_map([], |row| row.get(0))?;
            Ok(hashes.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Returns a thumbnail that was fetched before, as it was drawn here.
    pub(crate) async fn seen_thumbnail(&self, blob_hash: [u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(move |db| {
            let mut statement = db.prepare_cached("SELECT picture FROM thumbnails WHERE blob_hash = ?1")?;
            Ok(statement.query_row([blob_hash], |row| row.get(0)).optional()?)
        })
        .await
    }

    /// Keeps a thumbnail; those that came longest ago go.
    pub(crate) async fn keep_thumbnail(&self, blob_hash: [u8; 32], picture: Vec<u8>) -> Result<(), StoreError> {
        self.transact_lazily(move |db| {
            db.execute("INSERT OR REPLACE INTO thumbnails (blob_hash, picture) VALUES (?1, ?2)", (blob_hash, picture))?;
            db.execute(
                "DELETE FROM thumbnails WHERE row NOT IN (SELECT row FROM thumbnails ORDER BY row DESC LIMIT ?1)",
                [THUMBNAILS_KEPT],
            )?;
            Ok(())
        })
        .await
    }
}

fn to_lines(addresses: &Addresses) -> String {
    let text = |address| match address {
        Address::Ip(socket) => socket.to_string(),
        Address::Relay(url) => url,
    };
    addresses.iter().map(text).collect::<Vec<_>>().join("\n")
}

fn to_address(line: &str) -> Address {
    line.parse().map_or_else(|_| Address::Relay(line.to_owned()), Address::Ip)
}

#[cfg(test)]
mod tests {
    use kez_core::identity::SecretKey;

    use super::*;

    fn person(number: u8) -> PrimaryKey {
        SecretKey::from_seed([number; 32]).primary()
    }

    #[tokio::test]
    async fn of_what_others_publish_the_last_that_was_seen_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("kez.db"), &SecretKey::from_seed([1; 32])).await.unwrap();
        let addresses = Addresses::new([
            Address::Relay("https://relay.example/".into()),
            Address::Ip("192.0.2.1:7".parse().unwrap()),
        ]);
        let seen = |number: u8, manifest: u8| BrowsedRow {
            published: Published { owner: person(number), manifest: [manifest; 32], version: 1 },
            addresses: addresses.clone(),
        };
        assert!(store.keep_browsed(seen(1, 1)).await.unwrap().is_empty());
        assert!(store.keep_browsed(seen(1, 1)).await.unwrap().is_empty(), "it is the same");
        assert_eq!(store.keep_browsed(seen(1, 2)).await.unwrap(), [[1; 32]]);
        let found = store.browsed(person(1)).await.unwrap().unwrap();
        assert_eq!((found.published.manifest, found.addresses), ([2; 32], addresses.clone()));
        assert!(store.browsed(person(2)).await.unwrap().is_none());
        let mut gone = Vec::new();
        for number in 3..=(2 + BROWSED_KEPT as u8) {
            gone.extend(store.keep_browsed(seen(number, number)).await.unwrap());
        }
        assert_eq!(gone, [[2; 32]], "whoever was looked at longest ago");
        assert_eq!(store.browsed_manifests().await.unwrap().len(), BROWSED_KEPT as usize);

        store.keep_thumbnail([1; 32], vec![1]).await.unwrap();
        let others = "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
            INSERT INTO thumbnails (blob_hash, picture) SELECT randomblob(32), x'02' FROM n";
        store.transact::<_, StoreError>(move |db| Ok(db.execute(others, [THUMBNAILS_KEPT])?)).await.unwrap();
        assert_eq!(store.seen_thumbnail([1; 32]).await.unwrap(), Some(vec![1]));
        store.keep_thumbnail([2; 32], vec![2]).await.unwrap();
        assert_eq!(store.seen_thumbnail([1; 32]).await.unwrap(), None, "it came longest ago");
        assert_eq!(store.seen_thumbnail([2; 32]).await.unwrap(), Some(vec![2]));
    }
}
