//! What the person says about a contact.

use kez_core::{handle::Handle, identity::PrimaryKey};
use rusqlite::Connection;

use super::{find, pinned};
use crate::{
    contacts::Notice,
    event::Event,
    store::{Store, StoreError, events},
};

impl Store {
    /// Keeps that a contact is who they seem to be. Tells whether they are one.
    pub(crate) async fn vouch_for(&self, owner: PrimaryKey) -> Result<bool, StoreError> {
        self.transact(move |db| set(db, "vouched = 1", &owner)).await
    }

    /// Keeps whether safety numbers were compared. Tells whether they are a contact.
    pub(crate) async fn set_verified(&self, owner: PrimaryKey, verified: bool) -> Result<bool, StoreError> {
        let change = if verified { "verified = 1" } else { "verified = 0" };
        self.transact(move |db| set(db, change, &owner)).await
    }

    /// Gives a contact a name, or none. Tells whether nobody else has it.
    pub(crate) async fn set_nickname(&self, owner: PrimaryKey, nickname: Option<String>) -> Result<bool, StoreError> {
        self.transact(move |db| {
            let taken: bool = db.query_row(
                "SELECT EXISTS (SELECT 1 FROM contacts WHERE nickname = ?1 AND owner <> ?2)",
                (&nickname, owner.as_bytes()),
                |row| row.get(0),
            )?;
            if !taken {
                db.execute("UPDATE contacts SET nickname = ?1 WHERE owner = ?2", (&nickname, owner.as_bytes()))?;
            }
            Ok(!taken)
        })
        .await
    }

    /// Keeps that a handle's pinned key is the right one after all.
    pub(crate) async fn settle_key(&self, owner: PrimaryKey, handle: Handle) -> Result<(), StoreError> {
        self.transact(move |db| {
            let known = find(db, &owner)?.filter(|known| known.handle.as_ref() == Some(&handle));
            let Some(known) = known.filter(|known| known.found_key.is_some()) else { return Ok(()) };
            if pinned(db, &handle)? != Some(owner) {
                return Ok(());
            }
            db.execute("UPDATE contacts SET found_key = NULL WHERE owner = ?1", [owner.as_bytes()])?;
            if known.chain_trouble.is_some() {
                return Ok(());
            }
            events::push(db, &Event::Contact { who: known.peer(), notice: Notice::SoundAgain })
        })
        .await
    }
}

fn set(db: &Connection, change: &str, owner: &PrimaryKey) -> Result<bool, StoreError> {
    Ok(db.execute(&format!("UPDATE contacts SET {change} WHERE owner = ?1"), [owner.as_bytes()])? > 0)
}
