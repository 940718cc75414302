//! The people we know.

use kez_core::{
    handle::{Handle, Policy},
    identity::PrimaryKey,
    sigchain::Event,
};
use rusqlite::{OptionalExtension, Row, Transaction};

use super::{Store, StoreError, chains::insert_events, inbox::release_requests};

/// A contact as the database keeps it; what their chain says is walked anew.
#[derive(Clone, Debug)]
pub(crate) struct ContactRow {
    pub(crate) owner: PrimaryKey,
    pub(crate) handle: Option<Handle>,
    /// Whether home and chain agreed on the handle when it was looked up last.
    pub(crate) agreed: bool,
    pub(crate) sigchain_base: String,
    pub(crate) added_at_ms: u64,
    /// Why sending to them has stopped, if it has.
    pub(crate) trouble: Option<String>,
}

const COLUMNS: &str = "owner, handle, agreed, sigchain_base, added_at_ms, trouble";

impl Store {
    pub(crate) async fn contact(&self, owner: PrimaryKey) -> Result<Option<ContactRow>, StoreError> {
        self.transact(move |tx| find(tx, &owner)).await
    }

    pub(crate) async fn contact_by_handle(&self, handle: &Handle) -> Result<Option<ContactRow>, StoreError> {
        let handle = handle.to_string();
        self.transact(move |tx| {
            let found = tx.query_row(&format!("SELECT {COLUMNS} FROM contacts WHERE handle = ?1"), [handle], read).optional()?;
            found.transpose()
        })
        .await
    }

    pub(crate) async fn contacts(&self) -> Result<Vec<ContactRow>, StoreError> {
        self.transact(|tx| {
            let mut statement = tx.prepare_cached(&format!("SELECT {COLUMNS} FROM contacts ORDER BY handle, owner"))?;
            let rows = statement.query_map([], read)?;
            rows.map(|row| row?).collect()
        })
        .await
    }

    /// Keeps a contact together with the newly walked part of their chain, and gives out what they had sent as a
    /// stranger.
    pub(crate) async fn keep_contact(&self, contact: ContactRow, new_events: Vec<Event>) -> Result<(), StoreError> {
        self.transact(move |tx| {
            insert_events(tx, &new_events, true)?;
            let was_known = find(tx, &contact.owner)?.is_some();
            tx.execute(
                "INSERT INTO contacts (owner, handle, agreed, sigchain_base, added_at_ms, trouble)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (owner) DO UPDATE SET handle = ?2, agreed = ?3, sigchain_base = ?4, trouble = ?6",
                (
                    contact.owner.as_bytes(),
                    contact.handle.as_ref().map(Handle::to_string),
                    contact.agreed,
                    &contact.sigchain_base,
                    contact.added_at_ms,
                    &contact.trouble,
                ),
            )?;
            if was_known { Ok(()) } else { release_requests(tx, &contact.owner) }
        })
        .await
    }

    pub(crate) async fn set_trouble(&self, owner: PrimaryKey, trouble: String) -> Result<(), StoreError> {
        self.transact(move |tx| {
            let changed = tx.execute("UPDATE contacts SET trouble = ?2 WHERE owner = ?1", (owner.as_bytes(), trouble));
            Ok(changed.map(drop)?)
        })
        .await
    }
}

pub(super) fn find(tx: &Transaction<'_>, owner: &PrimaryKey) -> Result<Option<ContactRow>, StoreError> {
    let mut statement = tx.prepare_cached(&format!("SELECT {COLUMNS} FROM contacts WHERE owner = ?1"))?;
    statement.query_row([owner.as_bytes()], read).optional()?.transpose()
}

/// Reads a row; the inner result is whether it holds what was once written.
fn read(row: &Row<'_>) -> rusqlite::Result<Result<ContactRow, StoreError>> {
    let owner: [u8; 32] = row.get(0)?;
    let handle: Option<String> = row.get(1)?;
    let (agreed, sigchain_base, added_at_ms, trouble) = (row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?);
    Ok((|| {
        let owner = PrimaryKey::from_bytes(&owner).map_err(StoreError::damaged)?;
        let handle = handle.map(|text| Handle::from_qualified(&text, Policy::Development)).transpose();
        let handle = handle.map_err(StoreError::damaged)?;
        Ok(ContactRow { owner, handle, agreed, sigchain_base, added_at_ms, trouble })
    })())
}
