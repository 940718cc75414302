//! The people we know, and the key that each handle was first seen with.

mod forget;
mod keep;
mod refresh;
#[cfg(test)]
mod tests;
mod word;

use kez_core::{
    handle::{Handle, Home, Policy},
    identity::{PrimaryKey, Signature},
    sigchain::{Head, Install, ListedClaim},
};
use rusqlite::{Connection, OptionalExtension, Params, Row};
use serde::{Deserialize, Serialize};

pub(crate) use self::keep::{Finding, HomeSays, Kept, LookUp, Said, WalkEnd, Word};
pub(crate) use self::refresh::NextLook;
pub(super) use self::refresh::note_from;
use super::{Store, StoreError};
use crate::{contacts::Trouble, event::Peer, keys::checked};

/// What holds of contacts to whom anything is sent: they are sound, who they seem to be, and at our home.
pub(super) const IS_SENDABLE: &str =
    "trouble IS NULL AND found_key IS NULL AND reachable = 1 AND (agreed = 1 OR vouched = 1)";

/// Tells whether what comes from a contact now is to be shown with a flag: sending to them has stopped because of their key or
/// their chain, or they have left for good.
pub(super) fn is_in_doubt(db: &Connection, owner: &PrimaryKey) -> Result<bool, StoreError> {
    let in_doubt = db
        .prepare_cached(
            "SELECT trouble IS NOT NULL OR found_key IS NOT NULL OR retired FROM contacts WHERE owner = ?1",
        )?
        .query_row([owner.as_bytes()], |row| row.get(0));
    Ok(in_doubt.optional()?.unwrap_or(false))
}

/// A contact as the database keeps it, with what their walked chain says.
#[derive(Clone, Debug)]
pub(crate) struct ContactRow {
    pub(crate) owner: PrimaryKey,
    pub(crate) handle: Option<Handle>,
    /// Whether home and chain agreed on the handle when it was looked up last.
    pub(crate) agreed: bool,
    /// Whether the person has said that the key is theirs.
    pub(crate) vouched: bool,
    pub(crate) verified: bool,
    pub(crate) nickname: Option<String>,
    /// The handle that their chain names.
    pub(crate) chain_handle: Option<Handle>,
    pub(crate) sigchain_base: String,
    pub(crate) added_at_ms: u64,
    pub(crate) chain_seq: u64,
    pub(crate) chain_head: Head,
    pub(crate) retired: bool,
    pub(crate) inbox_home: Option<Home>,
    pub(crate) broker_url: Option<String>,
    pub(crate) install: Option<Install>,
    pub(crate) claims: Vec<ListedClaim>,
    /// What is wrong with their chain.
    pub(crate) chain_trouble: Option<Trouble>,
    /// The key that their home gives for their handle, if it is another.
    pub(crate) found_key: Option<PrimaryKey>,
    pub(crate) blocked: bool,
}

impl ContactRow {
    /// Returns why sending to them has stopped, if it has.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.found_key.map(|found| Trouble::KeyChanged { found }).or_else(|| self.chain_trouble.clone())
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer { primary: self.owner, handle: self.handle.clone() }
    }
}

const COLUMNS: &str = "owner, handle, agreed, vouched, verified, nickname, chain_handle, sigchain_base, added_at_ms, chain_seq, \
                       chain_head, retired, inbox_home, broker_url, install, claims, trouble, found_key, \
                       EXISTS (SELECT 1 FROM blocked WHERE blocked.owner = contacts.owner) AS blocked";

impl Store {
    pub(crate) async fn contact(&self, owner: PrimaryKey) -> Result<Option<ContactRow>, StoreError> {
        self.read(move |tx| find(tx, &owner)).await
    }

    pub(crate) async fn contact_by_handle(&self, handle: &Handle) -> Result<Option<ContactRow>, StoreError> {
        let handle = handle.to_string();
        self.read(move |tx| {
            // A handle that they had finds them too; not one that only a home said is theirs.
            let known = find_where(tx, "handle = ?1", [&handle])?;
            let owner = "owner = (SELECT owner FROM pins WHERE handle = ?1 AND named = 1)";
            known.map_or_else(|| find_where(tx, owner, [&handle]), |known| Ok(Some(known)))
        })
        .await
    }

    pub(crate) async fn contact_by_nickname(&self, nickname: &str) -> Result<Option<ContactRow>, StoreError> {
        let nickname = nickname.to_owned();
        self.read(move |tx| find_where(tx, "nickname = ?1", [nickname])).await
    }

    pub(crate) async fn contacts(&self) -> Result<Vec<ContactRow>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.prepare_cached(&format!("SELECT {COLUMNS} FROM contacts ORDER BY handle, owner"))?;
            let rows = statement.query_map([], read)?;
            rows.map(|row| row?).collect()
        })
        .await
    }

    /// Returns the key that a handle was first seen with.
    pub(crate) async fn pinned(&self, handle: &Handle) -> Result<Option<PrimaryKey>, StoreError> {
        let handle = handle.clone();
        self.read(move |tx| pinned(tx, &handle)).await
    }

    /// Returns what shows that a contact's key has signed two histories, as text.
    pub(crate) async fn evidence(&self, owner: PrimaryKey) -> Result<Option<String>, StoreError> {
        self.read(move |tx| {
            let mut statement = tx.prepare_cached("SELECT evidence FROM contacts WHERE owner = ?1")?;
            Ok(statement.query_row([owner.as_bytes()], |row| row.get(0)).optional()?.flatten())
        })
        .await
    }
}

/// Notes whom we reach from our home.
pub(super) fn set_own_home(db: &Connection, home: &Home) -> Result<(), StoreError> {
    db.execute("UPDATE contacts SET reachable = NOT retired AND inbox_home IS ?1", [home.to_string()])?;
    Ok(())
}

/// Returns the handle of a contact, if they have one; `None` if they are no contact.
pub(super) fn handle_of(db: &Connection, owner: &PrimaryKey) -> Result<Option<Option<Handle>>, StoreError> {
    let handle = db
        .prepare_cached("SELECT handle FROM contacts WHERE owner = ?1")?
        .query_row([owner.as_bytes()], |row| row.get::<_, Option<String>>(0))
        .optional()?;
    let parse = |text: String| Handle::from_qualified(&text, Policy::Development).map_err(StoreError::damaged);
    handle.map(|text| text.map(parse).transpose()).transpose()
}

/// Returns somebody as events name them.
pub(super) fn peer(db: &Connection, owner: &[u8; 32]) -> Result<Peer, StoreError> {
    let primary = checked(owner).map_err(StoreError::damaged)?;
    let handle = handle_of(db, &primary)?.flatten();
    Ok(Peer { primary, handle })
}

pub(super) fn find(tx: &Connection, owner: &PrimaryKey) -> Result<Option<ContactRow>, StoreError> {
    find_where(tx, "owner = ?1", [owner.as_bytes()])
}

fn find_where(tx: &Connection, which: &str, of: impl Params) -> Result<Option<ContactRow>, StoreError> {
    let mut statement = tx.prepare_cached(&format!("SELECT {COLUMNS} FROM contacts WHERE {which}"))?;
    statement.query_row(of, read).optional()?.transpose()
}

fn pinned(tx: &Connection, handle: &Handle) -> Result<Option<PrimaryKey>, StoreError> {
    let mut statement = tx.prepare_cached("SELECT owner FROM pins WHERE handle = ?1")?;
    let pinned = statement.query_row([handle.to_string()], |row| row.get::<_, [u8; 32]>(0)).optional()?;
    pinned.map(|bytes| checked(&bytes).map_err(StoreError::damaged)).transpose()
}

/// Reads a row; the inner result is whether it holds what was once written. The rules for what may enter held then.
fn read(row: &Row<'_>) -> rusqlite::Result<Result<ContactRow, StoreError>> {
    let (owner, found_key): ([u8; 32], Option<[u8; 32]>) = (row.get("owner")?, row.get("found_key")?);
    let (handle, chain_handle): (Option<String>, Option<String>) = (row.get("handle")?, row.get("chain_handle")?);
    let inbox_home: Option<String> = row.get("inbox_home")?;
    let (claims, trouble): (String, Option<String>) = (row.get("claims")?, row.get("trouble")?);
    let (agreed, vouched, verified) = (row.get("agreed")?, row.get("vouched")?, row.get("verified")?);
    let (chain_seq, chain_head, retired) = (row.get("chain_seq")?, row.get("chain_head")?, row.get("retired")?);
    let (nickname, sigchain_base) = (row.get("nickname")?, row.get("sigchain_base")?);
    let (added_at_ms, broker_url) = (row.get("added_at_ms")?, row.get("broker_url")?);
    let install = row.get::<_, Option<[u8; 8]>>("install")?.map(Install::from_bytes);
    let parse = |text: Option<String>| text.map(|text| Handle::from_qualified(&text, Policy::Development)).transpose();
    let parts = || {
        Ok(ContactRow {
            owner: checked(&owner).map_err(StoreError::damaged)?,
            handle: parse(handle).map_err(StoreError::damaged)?,
            chain_handle: parse(chain_handle).map_err(StoreError::damaged)?,
            inbox_home: inbox_home
                .map(|text| Home::parse(&text, Policy::Development))
                .transpose()
                .map_err(StoreError::damaged)?,
            claims: read_claims(&claims)?,
            chain_trouble: trouble.map(|text| serde_json::from_str(&text)).transpose().map_err(StoreError::damaged)?,
            blocked: row.get("blocked")?,
            found_key: found_key.map(|key| checked(&key)).transpose().map_err(StoreError::damaged)?,
            chain_head: Head::from_bytes(chain_head),
            agreed,
            vouched,
            verified,
            nickname,
            sigchain_base,
            added_at_ms,
            chain_seq,
            retired,
            broker_url,
            install,
        })
    };
    Ok(parts())
}

/// A listed claim as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredClaim {
    claim: String,
    at: Option<String>,
    sig: Option<String>,
}

fn read_claims(text: &str) -> Result<Vec<ListedClaim>, StoreError> {
    let stored: Vec<StoredClaim> = serde_json::from_str(text).map_err(StoreError::damaged)?;
    let listed = stored.into_iter().map(|StoredClaim { claim, at, sig }| {
        let sig = sig.map(|sig| Signature::from_base64(&sig)).transpose().map_err(StoreError::damaged)?;
        Ok(ListedClaim { claim: claim.parse().map_err(StoreError::damaged)?, at, sig })
    });
    listed.collect()
}

fn write_claims(claims: &[ListedClaim]) -> Result<String, StoreError> {
    let stored = claims.iter().map(|listed| StoredClaim {
        claim: listed.claim.to_string(),
        at: listed.at.clone(),
        sig: listed.sig.map(Signature::to_base64),
    });
    serde_json::to_string(&stored.collect::<Vec<_>>()).map_err(StoreError::damaged)
}
