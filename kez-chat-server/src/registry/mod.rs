//! The handle registry: who has which name, first come, first served, one handle a key.

mod departures;
mod key;
mod operator;
mod owners;

use std::path::PathBuf;

use kez_core::handle::{Handle, HandleError, Home, Policy};
use kez_core::identity::{KeyError, PrimaryKey};
use kez_service::database::{BackupError, Database, DbError, OpenError, Schema};
use kez_service::rusqlite::{self, Connection, OptionalExtension as _, Row, params};

pub(crate) use self::departures::{Departure, Retirement};
pub use self::key::StoredKey;
pub(crate) use self::operator::{Change, Counts};

const SCHEMA: Schema = Schema {
    // "kezC"
    application_id: 0x6b65_7a43,
    migrations: &[
        include_str!("../../migrations/1.sql"),
        include_str!("../../migrations/2.sql"),
        include_str!("../../migrations/3.sql"),
    ],
};

const EPOCH: &str = "epoch";
/// The epoch of the inbox stream that holds nothing but what came for people of this registry.
const OWN_EPOCH: &str = "own_epoch";
const DOMAIN: &str = "domain";
const COLUMNS: &str = "handle, primary_key, registered_at_ms, retired_at_ms, blocked_at_ms";

/// What can go wrong between the registry and its file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// A row holds a handle that this server would not have written.
    #[error("the registry holds a handle that is none; restore a backup")]
    BadHandle(#[from] HandleError),
    /// A row holds a key that this server would not have written.
    #[error("the registry holds a key that is none; restore a backup")]
    BadKey(#[from] KeyError),
    /// No server has ever run on this registry, so it has no home yet.
    #[error("no server has run on this registry yet; start it once")]
    NoHome,
}

/// One registration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The handle.
    pub handle: Handle,
    /// Whose it is.
    pub primary: StoredKey,
    /// When it was registered, in milliseconds since 1970.
    pub registered_at_ms: u64,
    /// Whether it counts.
    pub standing: Standing,
}

/// Whether a registration counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It does.
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
    /// The operator keeps the name.
    Reserved,
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

    /// Opens the registry of a server that may be running, for a command that works beside it.
    pub(crate) async fn open_beside(path: PathBuf) -> Result<Self, OpenError> {
        // Whatever the server took, a command has to be able to show.
        Ok(Self { database: Database::open_beside(path, SCHEMA).await?, policy: Policy::Development })
    }

    /// Writes a consistent copy to a new file, while a server goes on.
    pub(crate) async fn backup(&self, to: PathBuf) -> Result<(), BackupError> {
        self.database.backup(to).await
    }

    /// Checks that the database answers.
    pub(crate) async fn check(&self) -> Result<(), RegistryError> {
        Ok(self.database.look_up(|db| db.query_row("SELECT 1 FROM sqlite_schema", [], |_| Ok(()))).await?)
    }

    /// Makes the registry this home's if it is nobody's yet, and returns whose it is. Under another home's name nobody
    /// would find its handles any more.
    pub(crate) async fn settle(&self, home: &Home) -> Result<String, DbError> {
        let home = home.to_string();
        self.database
            .write(move |db| {
                let sql = "INSERT INTO facts (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
                db.execute(sql, [DOMAIN, &home])?;
                Ok(fact(db, DOMAIN)?.unwrap_or(home))
            })
            .await
    }

    /// Tells whose registry this is.
    pub(crate) async fn home(&self) -> Result<Home, RegistryError> {
        let home = self.database.look_up(|db| fact(db, DOMAIN)).await?.ok_or(RegistryError::NoHome)?;
        Ok(Home::parse(&home, self.policy)?)
    }

    pub(crate) async fn close(self) {
        self.database.close().await;
    }

    pub(crate) async fn by_handle(&self, handle: &Handle) -> Result<Option<Entry>, RegistryError> {
        let row = self.database.look_up(|db| find(db, "handle", &handle.to_string())).await?;
        Ok(row.map(|row| row.entry(handle.clone())))
    }

    pub(crate) async fn by_primary(&self, primary: &PrimaryKey) -> Result<Option<Entry>, RegistryError> {
        let row = self.database.look_up(|db| find(db, "primary_key", primary.as_bytes())).await?;
        row.map(|row| self.entry(&row)).transpose()
    }

    /// Says how a registration would end, writing nothing.
    pub(crate) async fn preview(&self, handle: &Handle, primary: &PrimaryKey) -> Result<Claim, RegistryError> {
        Ok(self.database.look_up(|db| judge(db, handle, primary.as_bytes())).await?)
    }

    /// Gives the handle to the key, durably, if both are free.
    pub(crate) async fn claim(
        &self,
        handle: &Handle,
        primary: &PrimaryKey,
        now_ms: u64,
    ) -> Result<Claim, RegistryError> {
        let (handle, primary) = (handle.clone(), *primary.as_bytes());
        let claim = self
            .database
            .write(move |db| {
                let claim = judge(db, &handle, &primary)?;
                if claim == Claim::New {
                    let sql = "INSERT INTO handles (handle, primary_key, registered_at_ms) VALUES (?1, ?2, ?3)";
                    db.execute(sql, params![handle.to_string(), primary, now_ms.cast_signed()])?;
                    // Somebody who was removed and comes back keeps the inbox that was just made ready.
                    db.execute("DELETE FROM departures WHERE primary_key = ?1", [primary])?;
                }
                Ok(claim)
            })
            .await?;
        Ok(claim)
    }

    /// Returns the inbox stream's epoch as it was last seen.
    pub(crate) async fn epoch(&self) -> Result<Option<String>, RegistryError> {
        Ok(self.database.look_up(|db| fact(db, EPOCH)).await?)
    }

    /// Keeps the inbox stream's epoch, and tells whether the stream is this registry's own: it held nothing when this
    /// registry first saw it. Another one may hold messages for people whom this registry never knew, so nothing in it
    /// is to be taken for nobody's.
    pub(crate) async fn keep_epoch(&self, epoch: &str, is_empty: bool) -> Result<bool, RegistryError> {
        let epoch = epoch.to_owned();
        let is_own = self
            .database
            .write(move |db| {
                let sql = "INSERT INTO facts (name, value) VALUES (?1, ?2)
                           ON CONFLICT (name) DO UPDATE SET value = excluded.value";
                db.execute(sql, [EPOCH, epoch.as_str()])?;
                if is_empty {
                    db.execute(sql, [OWN_EPOCH, epoch.as_str()])?;
                }
                Ok(fact(db, OWN_EPOCH)?.is_some_and(|own| own == epoch))
            })
            .await?;
        Ok(is_own)
    }

    fn entry(&self, row: &Found) -> Result<Entry, RegistryError> {
        Ok(row.entry(Handle::from_qualified(&row.handle, self.policy)?))
    }
}

struct Found {
    handle: String,
    primary: StoredKey,
    registered_at_ms: u64,
    standing: Standing,
}

impl Found {
    fn entry(&self, handle: Handle) -> Entry {
        let Self { primary, registered_at_ms, standing, .. } = *self;
        Entry { handle, primary, registered_at_ms, standing }
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let standing = match (row.get::<_, Option<i64>>(3)?, row.get::<_, Option<i64>>(4)?) {
            (Some(_), _) => Standing::Retired,
            (None, Some(_)) => Standing::Blocked,
            (None, None) => Standing::Active,
        };
        let registered_at_ms = row.get::<_, i64>(2)?.cast_unsigned();
        let primary = StoredKey::from_bytes(row.get(1)?);
        Ok(Self { handle: row.get(0)?, primary, registered_at_ms, standing })
    }
}

fn find(db: &Connection, column: &str, value: &dyn rusqlite::ToSql) -> rusqlite::Result<Option<Found>> {
    let sql = format!("SELECT {COLUMNS} FROM handles WHERE {column} = ?1");
    db.prepare_cached(&sql)?.query_row([value], Found::from_row).optional()
}

fn fact(db: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    db.query_row("SELECT value FROM facts WHERE name = ?1", [name], |row| row.get(0)).optional()
}

fn judge(db: &Connection, handle: &Handle, primary: &[u8; 32]) -> rusqlite::Result<Claim> {
    if let Some(found) = find(db, "handle", &handle.to_string())? {
        let same = found.primary.as_bytes() == primary;
        return Ok(if same { Claim::Same(found.standing) } else { Claim::HandleTaken });
    }
    if operator::is_reserved(db, handle.name())? {
        return Ok(Claim::Reserved);
    }
    Ok(if find(db, "primary_key", primary)?.is_some() { Claim::KeyTaken } else { Claim::New })
}

#[cfg(test)]
mod tests {
    use kez_core::identity::SecretKey;

    use super::*;

    pub(super) fn handle(text: &str) -> Handle {
        Handle::from_qualified(text, Policy::Production).unwrap()
    }

    pub(super) fn key(seed: u8) -> PrimaryKey {
        SecretKey::from_seed([seed; 32]).primary()
    }

    pub(super) async fn fresh() -> (tempfile::TempDir, Registry) {
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
        let primary = key(1).into();
        let entry = Entry { handle: alice.clone(), primary, registered_at_ms: 5, standing: Standing::Active };
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
    async fn a_registry_has_one_home() {
        let (dir, registry) = fresh().await;
        let home = |text| Home::parse(text, Policy::Production).unwrap();
        assert!(matches!(registry.home().await, Err(RegistryError::NoHome)));
        for asked in ["kez.lat", "kez.example"] {
            assert_eq!(registry.settle(&home(asked)).await.unwrap(), "kez.lat");
        }
        let beside = Registry::open_beside(dir.path().join("handles.db")).await.unwrap();
        assert_eq!(beside.home().await.unwrap(), home("kez.lat"));
    }

    #[tokio::test]
    async fn the_last_epoch_is_kept_and_a_stream_is_own_that_was_seen_empty() {
        let (_dir, registry) = fresh().await;
        assert_eq!(registry.epoch().await.unwrap(), None);
        for (epoch, is_empty, is_own) in
            [("one", false, false), ("one", true, true), ("one", false, true), ("two", false, false)]
        {
            assert_eq!(registry.keep_epoch(epoch, is_empty).await.unwrap(), is_own, "{epoch}");
            assert_eq!(registry.epoch().await.unwrap().as_deref(), Some(epoch));
        }
    }
}
