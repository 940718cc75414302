//! Events for the application: kept until it says that it handled them.

use rusqlite::{OptionalExtension, Transaction};

use super::{Store, StoreError};
use crate::event::{Event, EventId, PendingEvent};

impl Store {
    /// Returns the oldest event after `after` that was not handled yet.
    pub(crate) async fn event_after(&self, after: EventId) -> Result<Option<PendingEvent>, StoreError> {
        let row: Option<(i64, String)> = self
            .read(move |tx| {
                let mut statement =
                    tx.prepare_cached("SELECT id, body FROM events WHERE id > ?1 ORDER BY id LIMIT 1")?;
                Ok(statement.query_row([after.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
            })
            .await?;
        // What a later version wrote must not stop what comes after it.
        Ok(row.map(|(id, body)| PendingEvent {
            id: EventId(id),
            event: serde_json::from_str(&body).unwrap_or(Event::Unreadable),
        }))
    }

    pub(crate) async fn forget_event(&self, id: EventId) -> Result<(), StoreError> {
        self.transact(move |tx| Ok(tx.execute("DELETE FROM events WHERE id = ?1", [id.0]).map(drop)?)).await
    }
}

/// Adds an event in the transaction that makes it true.
pub(super) fn push(tx: &Transaction<'_>, event: &Event) -> Result<(), StoreError> {
    let body = serde_json::to_string(event).map_err(StoreError::damaged)?;
    tx.prepare_cached("INSERT INTO events (body) VALUES (?1)")?.execute([body])?;
    Ok(())
}
