//! How much is left to be sent.

use super::{Store, StoreError};

impl Store {
    /// Counts the messages and receipts that wait for the broker. Receipts that are owed and not written yet count as
    /// one.
    pub(crate) async fn unsent(&self) -> Result<usize, StoreError> {
        let query = "SELECT (SELECT count(*) FROM outbox WHERE sent = 0) + EXISTS (SELECT 1 FROM receipts_due)";
        self.read(|db| Ok(db.query_row(query, [], |row| row.get(0))?)).await
    }
}
