//! Events for the application: kept until it says that it handled them.

use rusqlite::Connection;

use super::{Store, StoreError};
use crate::event::{Event, EventId, PendingEvent};

impl Store {
    /// Returns the oldest events after `after` that were not handled yet.
    pub(crate) async fn events_after(&self, after: EventId, limit: usize) -> Result<Vec<PendingEvent>, StoreError> {
        let rows: Vec<(i64, String)> = self
            .read(move |db| {
                let mut statement =
                    db.prepare_cached("SELECT id, body FROM events WHERE id > ?1 ORDER BY id LIMIT ?2")?;
                let rows = statement.query_map((after.0, limit), |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(rows.collect::<Result<Vec<_>, _>>()?)
            })
            .await?;
        // What a later version wrote must not stop what comes after it.
        let read = |(id, body): (i64, String)| PendingEvent {
            id: EventId(id),
            event: serde_json::from_str(&body).unwrap_or(Event::Unreadable),
        };
        Ok(rows.into_iter().map(read).collect())
    }

    pub(crate) async fn forget_events(&self, ids: Vec<EventId>) -> Result<(), StoreError> {
        self.transact(move |db| {
            let mut statement = db.prepare_cached("DELETE FROM events WHERE id = ?1")?;
            ids.into_iter().try_for_each(|id| Ok(statement.execute([id.0]).map(drop)?))
        })
        .await
    }
}

/// Adds an event in the transaction that makes it true.
pub(super) fn push(tx: &Connection, event: &Event) -> Result<(), StoreError> {
    let body = serde_json::to_string(event).map_err(StoreError::damaged)?;
    tx.prepare_cached("INSERT INTO events (body) VALUES (?1)")?.execute([body])?;
    Ok(())
}
