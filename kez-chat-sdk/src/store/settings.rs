//! What the person has chosen, by name.

use rusqlite::{Connection, OptionalExtension};

use super::{Store, StoreError};

impl Store {
    /// Returns a choice, if one was made.
    pub(crate) async fn setting(&self, name: &'static str) -> Result<Option<String>, StoreError> {
        self.read(move |db| setting(db, name)).await
    }

    /// Keeps a choice.
    pub(crate) async fn set_setting(&self, name: &'static str, value: String) -> Result<(), StoreError> {
        self.transact(move |db| {
            let mut statement = db.prepare_cached("INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)")?;
            Ok(statement.execute((name, value)).map(drop)?)
        })
        .await
    }
}

pub(super) fn setting(db: &Connection, name: &str) -> Result<Option<String>, StoreError> {
    let mut statement = db.prepare_cached("SELECT value FROM settings WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}
