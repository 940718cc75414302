//! Whose presence counts, and who is to learn of ours.

use kez_core::identity::PrimaryKey;
use rusqlite::OptionalExtension;

use super::{Store, StoreError, contacts::IS_SENDABLE};
use crate::keys::checked;

/// Whoever is blocked neither learns of us nor is heard.
const NOT_BLOCKED: &str = "NOT EXISTS (SELECT 1 FROM blocked WHERE blocked.owner = contacts.owner)";

impl Store {
    /// Lists who may learn that we are there: contacts to whom something can be sent.
    pub(crate) async fn presence_recipients(&self) -> Result<Vec<PrimaryKey>, StoreError> {
        self.read(|db| {
            let mut statement =
                db.prepare_cached(&format!("SELECT owner FROM contacts WHERE {IS_SENDABLE} AND {NOT_BLOCKED}"))?;
            let rows = statement.query_map([], |row| row.get::<_, [u8; 32]>(0))?;
            rows.map(|row| checked(&row?).map_err(StoreError::damaged)).collect()
        })
        .await
    }

    /// Tells whether somebody's presence counts, which is a contact's who is not blocked, and then whether they may be answered.
    pub(crate) async fn presence_counts(&self, from: PrimaryKey) -> Result<Option<bool>, StoreError> {
        self.read(move |db| {
            let mut statement =
                db.prepare_cached(&format!("SELECT {IS_SENDABLE} FROM contacts WHERE owner = ?1 AND {NOT_BLOCKED}"))?;
            Ok(statement.query_row([from.as_bytes()], |row| row.get(0)).optional()?)
        })
        .await
    }
}
