//! The people we know, and the key that each handle was first seen with.

use kez_core::{
    handle::{Handle, Home, Policy},
    identity::PrimaryKey,
    sigchain::{Chain, Event, Head, Install},
};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    Store, StoreError, chains::insert_events, heads, outbox::withdraw_all, sequence::give_out_held, strangers::release,
};
use crate::{event::Peer, keys::checked};

/// A contact as the database keeps it, with what their walked chain says.
#[derive(Clone, Debug)]
pub(crate) struct ContactRow {
    pub(crate) owner: PrimaryKey,
    pub(crate) handle: Option<Handle>,
    /// Whether home and chain agreed on the handle when it was looked up last.
    pub(crate) agreed: bool,
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
    /// Why sending to them has stopped, if it has.
    pub(crate) trouble: Option<String>,
    pub(crate) blocked: bool,
}

/// Why sending to a contact stops.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// Whether only the person's own word ends it; else a later sound walk does.
    pub(crate) lasting: bool,
    /// What to tell them.
    pub(crate) text: String,
    /// The event that raised it: with the one that was walked before, a fork's portable proof.
    pub(crate) evidence: Option<String>,
}

const COLUMNS: &str = "owner, handle, agreed, chain_handle, sigchain_base, added_at_ms, chain_seq, chain_head, retired, inbox_home, \
                       broker_url, install, trouble, \
                       EXISTS (SELECT 1 FROM blocked WHERE blocked.owner = contacts.owner) AS blocked";

impl ContactRow {
    /// Takes what a walked chain says of somebody who was looked up by `handle`, if by one; `None` for a chain without events.
    /// `home_agrees` tells whether the handle's home names their key now.
    pub(crate) fn of(
        chain: &Chain,
        handle: Option<Handle>,
        home_agrees: bool,
        sigchain_base: String,
        added_at_ms: u64,
    ) -> Option<Self> {
        let state = chain.state();
        Some(Self {
            owner: *chain.primary(),
            agreed: home_agrees && handle.is_some() && state.handle() == handle.as_ref(),
            chain_handle: state.handle().cloned(),
            handle,
            sigchain_base,
            added_at_ms,
            chain_seq: chain.tip().seq(),
            chain_head: chain.tip().head()?,
            retired: state.is_retired(),
            inbox_home: state.nats().map(|endpoint| endpoint.home.clone()),
            broker_url: state.nats().map(|endpoint| endpoint.url.clone()),
            install: state.iroh().map(|endpoint| endpoint.install),
            trouble: None,
            blocked: false,
        })
    }
}

impl Store {
    pub(crate) async fn contact(&self, owner: PrimaryKey) -> Result<Option<ContactRow>, StoreError> {
        self.read(move |tx| find(tx, &owner)).await
    }

    pub(crate) async fn contact_by_handle(&self, handle: &Handle) -> Result<Option<ContactRow>, StoreError> {
        let handle = handle.to_string();
        self.read(move |tx| {
            // A handle that they were ever looked up by finds them too.
            let mut statement = tx.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM contacts
                 WHERE handle = ?1 OR owner = (SELECT owner FROM pins WHERE handle = ?1)"
            ))?;
            statement.query_row([handle], read).optional()?.transpose()
        })
        .await
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
        let handle = handle.to_string();
        self.read(move |tx| {
            let pinned =
                tx.query_row("SELECT owner FROM pins WHERE handle = ?1", [handle], |row| row.get::<_, [u8; 32]>(0));
            pinned.optional()?.map(|bytes| checked(&bytes).map_err(StoreError::damaged)).transpose()
        })
        .await
    }

    /// Keeps a contact together with the newly walked part of their chain, pins the handle, and gives out what they had
    /// sent as a stranger. Trouble that only the person can end stays.
    pub(crate) async fn keep_contact(
        &self,
        contact: ContactRow,
        own_home: Home,
        new_events: Vec<Event>,
    ) -> Result<(), StoreError> {
        self.transact(move |tx| {
            insert_events(tx, &new_events, true)?;
            let known = find(tx, &contact.owner)?;
            let owner = contact.owner.as_bytes();
            let looked_up = contact.handle.as_ref().map(Handle::to_string);
            tx.execute("INSERT OR IGNORE INTO pins (handle, owner) VALUES (?1, ?2)", (&looked_up, owner))?;
            // A home alone can neither rename somebody we know, nor say where their chain is.
            let (handle, agreed, base) = match &known {
                Some(known) if !contact.agreed && known.handle != contact.handle => {
                    let agreed = known.agreed && contact.chain_handle == known.handle;
                    (known.handle.as_ref().map(Handle::to_string), agreed, &known.sigchain_base)
                }
                _ => (looked_up, contact.agreed, &contact.sigchain_base),
            };
            let reachable = !contact.retired && contact.inbox_home.as_ref() == Some(&own_home);
            let mut statement = tx.prepare_cached(
                "INSERT INTO contacts (owner, handle, agreed, sigchain_base, added_at_ms, chain_seq, chain_head, retired,
                    inbox_home, broker_url, install, reachable, chain_handle)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
                 ON CONFLICT (owner) DO UPDATE SET handle = ?2, agreed = ?3, sigchain_base = ?4, chain_seq = ?6,
                    chain_head = ?7, retired = ?8, inbox_home = ?9, broker_url = ?10, install = ?11, reachable = ?12,
                    chain_handle = ?13",
            )?;
            statement.execute((
                owner,
                handle,
                agreed,
                base,
                contact.added_at_ms,
                contact.chain_seq,
                contact.chain_head.as_bytes(),
                contact.retired,
                contact.inbox_home.as_ref().map(Home::to_string),
                &contact.broker_url,
                contact.install.map(Install::to_bytes),
                reachable,
                contact.chain_handle.as_ref().map(Handle::to_string),
            ))?;
            tx.execute(
                "UPDATE contacts SET trouble = NULL, evidence = NULL
                 WHERE owner = ?1 AND NOT trouble_lasts",
                [owner],
            )?;
            if known.is_some() {
                return Ok(());
            }
            release(tx, &Peer { primary: contact.owner, handle: contact.handle })
        })
        .await
    }

    /// Forgets a contact, their pinned handles and their chain, what was queued for them, and that they may fetch files.
    /// The conversation stays. Returns which blobs they could fetch.
    pub(crate) async fn forget_contact(&self, owner: PrimaryKey) -> Result<Vec<[u8; 32]>, StoreError> {
        self.transact(move |tx| {
            heads::forget(tx, &owner)?;
            let owner = owner.as_bytes();
            give_out_held(tx, owner)?;
            tx.execute("DELETE FROM pins WHERE owner = ?1", [owner])?;
            tx.execute("DELETE FROM contacts WHERE owner = ?1", [owner])?;
            tx.execute("DELETE FROM chain_events WHERE owner = ?1", [owner])?;
            withdraw_all(tx, owner)?;
            let mut statement = tx.prepare_cached("DELETE FROM file_readers WHERE reader = ?1 RETURNING blob_hash")?;
            let blobs = statement.query_map([owner], |row| row.get(0))?.collect::<Result<Vec<_>, _>>()?;
            Ok(blobs)
        })
        .await
    }

    /// Stops sending to a contact, keeps the sound part of what was walked, and what raised the alarm.
    pub(crate) async fn set_trouble(
        &self,
        owner: PrimaryKey,
        trouble: Trouble,
        sound_events: Vec<Event>,
    ) -> Result<(), StoreError> {
        self.transact(move |tx| {
            if find(tx, &owner)?.is_none() {
                return Ok(());
            }
            insert_events(tx, &sound_events, true)?;
            tx.execute(
                "UPDATE contacts SET trouble_lasts = ?2, trouble = ?3, evidence = ?4
                 WHERE owner = ?1 AND NOT trouble_lasts",
                (owner.as_bytes(), trouble.lasting, trouble.text, trouble.evidence),
            )?;
            Ok(())
        })
        .await
    }
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
    let mut statement = tx.prepare_cached(&format!("SELECT {COLUMNS} FROM contacts WHERE owner = ?1"))?;
    statement.query_row([owner.as_bytes()], read).optional()?.transpose()
}

/// Reads a row; the inner result is whether it holds what was once written. The rules for what may enter held then.
fn read(row: &Row<'_>) -> rusqlite::Result<Result<ContactRow, StoreError>> {
    let owner: [u8; 32] = row.get("owner")?;
    let handle: Option<String> = row.get("handle")?;
    let chain_handle: Option<String> = row.get("chain_handle")?;
    let inbox_home: Option<String> = row.get("inbox_home")?;
    let contact = |owner, handle, chain_handle, inbox_home| {
        Ok(ContactRow {
            owner,
            handle,
            chain_handle,
            inbox_home,
            agreed: row.get("agreed")?,
            sigchain_base: row.get("sigchain_base")?,
            added_at_ms: row.get("added_at_ms")?,
            chain_seq: row.get("chain_seq")?,
            chain_head: Head::from_bytes(row.get("chain_head")?),
            retired: row.get("retired")?,
            broker_url: row.get("broker_url")?,
            install: row.get::<_, Option<[u8; 8]>>("install")?.map(Install::from_bytes),
            trouble: row.get("trouble")?,
            blocked: row.get("blocked")?,
        })
    };
    let parse = |text: Option<String>| text.map(|text| Handle::from_qualified(&text, Policy::Development)).transpose();
    let inbox_home = inbox_home.map(|text| Home::parse(&text, Policy::Development)).transpose();
    match (checked(&owner), parse(handle), parse(chain_handle), inbox_home) {
        (Ok(owner), Ok(handle), Ok(named), Ok(inbox_home)) => contact(owner, handle, named, inbox_home).map(Ok),
        (Err(error), ..) => Ok(Err(StoreError::damaged(error))),
        (_, Err(error), ..) | (_, _, Err(error), _) | (_, _, _, Err(error)) => Ok(Err(StoreError::damaged(error))),
    }
}
