//! The handle registry: who has which name, first come, first served, one handle a key.

use std::path::PathBuf;

use kez_core::handle::{Handle, HandleError, Policy};
use kez_core::identity::{KeyError, PrimaryKey};
use kez_service::database::{Database, DbError, OpenError, Schema};
use kez_service::rusqlite::{self, Connection, OptionalExtension as _, Row, params};

const SCHEMA: Schema = Schema {
    // "kezC"
    application_id: 0x6b65_7a43,
    migrations: &["
        CREATE TABLE handles (
            handle           TEXT PRIMARY KEY NOT NULL, -- qualified: name@home
            primary_key      BLOB NOT NULL UNIQUE CHECK (length(primary_key) = 32),
            registered_at_ms INTEGER NOT NULL,
            retired_at_ms    INTEGER, -- a tombstone: the handle is never given again
            blocked_at_ms    INTEGER
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE facts (
            name  TEXT PRIMARY KEY NOT NULL,
            value TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
    "],
};

const EPOCH: &str = "epoch";
const COLUMNS: &str = "handle, primary_key, retired_at_ms, blocked_at_ms";

/// What can go wrong between the registry and its file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RegistryError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// A row holds a handle that this server would not have written.
    #[error("the registry holds a handle that is none; restore a backup")]
    BadHandle(#[from] HandleError),
    /// A row holds a key that this server would not have written.
    #[error("the registry holds a key that is none; restore a backup")]
    BadKey(#[from] KeyError),
}

/// One registration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Entry {
    pub(crate) handle: Handle,
    pub(crate) primary: PrimaryKey,
    pub(crate) standing: Standing,
}

/// Whether a registration counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    Active,
    /// The operator shut this person out.
    Blocked,
    /// The person left for good.
    Retired,
}

/// How a registration ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Claim {
    /// The handle was free and the key had none.
    New,
    /// This very pair was there already.
    Same(Standing),
    /// Another key has, or had, the handle.
    HandleTaken,
    /// The key has, or had, another handle.
    KeyTaken,
}

/// The registry in its file. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    database: Database,
    policy: Policy,
}

impl Registry {
    pub(crate) async fn open(path: PathBuf, policy: Policy) -> Result<Self, OpenError> {
        Ok(Self { database: Database::open(path, SCHEMA).await?, policy })
    }

    pub(crate) async fn close(self) {
        self.database.close().await;
    }

    pub(crate) async fn by_handle(&self, handle: &Handle) -> Result<Option<Entry>, RegistryError> {
        let handle = handle.to_string();
        let row = self.database.read(move |db| find(db, "handle", &handle)).await?;
        row.map(|row| self.entry(&row)).transpose()
    }

    pub(crate) async fn by_primary(&self, primary: &PrimaryKey) -> Result<Option<Entry>, RegistryError> {
        let primary = *primary.as_bytes();
        let row = self.database.read(move |db| find(db, "primary_key", &primary)).await?;
        row.map(|row| self.entry(&row)).transpose()
    }

    /// Says how a registration would end, writing nothing.
    pub(crate) async fn preview(&self, handle: &Handle, primary: &PrimaryKey) -> Result<Claim, RegistryError> {
        let (handle, primary) = (handle.to_string(), *primary.as_bytes());
        Ok(self.database.read(move |db| judge(db, &handle, &primary)).await?)
    }

    /// Gives the handle to the key, durably, if both are free.
    pub(crate) async fn claim(
        &self,
        handle: &Handle,
        primary: &PrimaryKey,
        now_ms: u64,
    ) -> Result<Claim, RegistryError> {
        let (handle, primary) = (handle.to_string(), *primary.as_bytes());
        let claim = self
            .database
            .write(move |db| {
                let claim = judge(db, &handle, &primary)?;
                if claim == Claim::New {
                    let sql = "INSERT INTO handles (handle, primary_key, registered_at_ms) VALUES (?1, ?2, ?3)";
                    db.execute(sql, params![handle, primary, now_ms.cast_signed()])?;
                }
                Ok(claim)
            })
            .await?;
        Ok(claim)
    }

    /// Returns the inbox stream's epoch as it was last seen.
    pub(crate) async fn epoch(&self) -> Result<Option<String>, RegistryError> {
        let sql = "SELECT value FROM facts WHERE name = ?1";
        Ok(self.database.read(move |db| db.query_row(sql, [EPOCH], |row| row.get(0)).optional()).await?)
    }

    pub(crate) async fn keep_epoch(&self, epoch: &str) -> Result<(), RegistryError> {
        let epoch = epoch.to_owned();
        let sql = "INSERT INTO facts (name, value) VALUES (?1, ?2)
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.database.write(move |db| db.execute(sql, [EPOCH, epoch.as_str()])).await?;
        Ok(())
    }

    fn entry(&self, row: &Found) -> Result<Entry, RegistryError> {
        Ok(Entry {
            handle: Handle::from_qualified(&row.handle, self.policy)?,
            primary: PrimaryKey::from_bytes(&row.primary)?,
            standing: row.standing,
        })
    }
}

struct Found {
    handle: String,
    primary: [u8; 32],
    standing: Standing,
}

impl Found {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let standing = match (row.get::<_, Option<i64>>(2)?, row.get::<_, Option<i64>>(3)?) {
            (Some(_), _) => Standing::Retired,
            (None, Some(_)) => Standing::Blocked,
            (None, None) => Standing::Active,
        };
        Ok(Self { handle: row.get(0)?, primary: row.get(1)?, standing })
    }
}

fn find(db: &Connection, column: &str, value: &dyn rusqlite::ToSql) -> rusqlite::Result<Option<Found>> {
    let sql = format!("SELECT {COLUMNS} FROM handles WHERE {column} = ?1");
    db.prepare_cached(&sql)?.query_row([value], Found::from_row).optional()
}

fn judge(db: &Connection, handle: &str, primary: &[u8; 32]) -> rusqlite::Result<Claim> {
    if let Some(found) = find(db, "handle", &handle)? {
        let same = found.primary == *primary;
        return Ok(if same { Claim::Same(found.standing) } else { Claim::HandleTaken });
    }
    Ok(if find(db, "primary_key", primary)?.is_some() { Claim::KeyTaken } else { Claim::New })
}

#[cfg(test)]
mod tests {
    use kez_core::identity::SecretKey;

    use super::*;

    fn handle(text: &str) -> Handle {
        Handle::from_qualified(text, Policy::Production).unwrap()
    }

    fn key(seed: u8) -> PrimaryKey {
        SecretKey::from_seed([seed; 32]).primary()
    }

    async fn fresh() -> (tempfile::TempDir, Registry) {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path().join("handles.db"), Policy::Production).await.unwrap();
        (dir, registry)
    }

    #[tokio::test]
    async fn first_come_first_served_and_one_handle_a_key() {
        let (dir, registry) = fresh().await;
        let (alice, alicia) = (handle("alice@kez.lat"), handle("alicia@kez.lat"));
        assert_eq!(registry.preview(&alice, &key(1)).await.unwrap(), Claim::New);
        assert_eq!(registry.by_handle(&alice).await.unwrap(), None, "a preview writes nothing");
        for (name, owner, expected) in [
            (&alice, 1, Claim::New),
            (&alice, 1, Claim::Same(Standing::Active)),
            (&alice, 2, Claim::HandleTaken),
            (&alicia, 1, Claim::KeyTaken),
            (&alicia, 2, Claim::New),
        ] {
            assert_eq!(registry.claim(name, &key(owner), 5).await.unwrap(), expected, "{name} {owner}");
        }
        registry.close().await;

        let registry = Registry::open(dir.path().join("handles.db"), Policy::Production).await.unwrap();
        let entry = Entry { handle: alice.clone(), primary: key(1), standing: Standing::Active };
        assert_eq!(registry.by_handle(&alice).await.unwrap().as_ref(), Some(&entry));
        assert_eq!(registry.by_primary(&key(1)).await.unwrap(), Some(entry));
        assert_eq!(registry.by_primary(&key(3)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn of_many_at_once_one_wins() {
        let (_dir, registry) = fresh().await;
        let name = handle("alice@kez.lat");
        let owners: Vec<_> = (0..32).map(key).collect();
        let race = owners.iter().map(|owner| registry.claim(&name, owner, 5));
        let claims = futures::future::join_all(race).await;
        let won = claims.iter().filter(|claim| matches!(claim, Ok(Claim::New))).count();
        let lost = claims.iter().filter(|claim| matches!(claim, Ok(Claim::HandleTaken))).count();
        assert_eq!((won, lost), (1, 31));
    }

    #[tokio::test]
    async fn tombstones_and_blocks_are_seen() {
        let (_dir, registry) = fresh().await;
        let (left, out) = (handle("left@kez.lat"), handle("out@kez.lat"));
        registry.claim(&left, &key(1), 5).await.unwrap();
        registry.claim(&out, &key(2), 5).await.unwrap();
        let sql = "UPDATE handles SET retired_at_ms = 6 WHERE handle = 'left@kez.lat'";
        registry.database.write(move |db| db.execute(sql, [])).await.unwrap();
        let sql = "UPDATE handles SET blocked_at_ms = 6";
        registry.database.write(move |db| db.execute(sql, [])).await.unwrap();
        assert_eq!(registry.by_handle(&left).await.unwrap().unwrap().standing, Standing::Retired);
        assert_eq!(registry.by_handle(&out).await.unwrap().unwrap().standing, Standing::Blocked);
        assert_eq!(registry.claim(&left, &key(3), 5).await.unwrap(), Claim::HandleTaken, "never given again");
    }

    #[tokio::test]
    async fn the_last_epoch_is_kept() {
        let (_dir, registry) = fresh().await;
        assert_eq!(registry.epoch().await.unwrap(), None);
        registry.keep_epoch("one").await.unwrap();
        registry.keep_epoch("two").await.unwrap();
        assert_eq!(registry.epoch().await.unwrap().as_deref(), Some("two"));
    }
}
