//! The delivery receipts that are owed to others.

use kez_core::{
    identity::PrimaryKey,
    payload::{MessageId, Payload},
};
use rusqlite::OptionalExtension;

use super::queue::{Kind, insert};
use crate::{
    keys::checked,
    store::{Store, StoreError, heads},
};

impl Store {
    /// Returns up to `limit` messages of one author that are owed a delivery receipt.
    pub(crate) async fn receipts_due(&self, limit: usize) -> Result<Option<(PrimaryKey, Vec<MessageId>)>, StoreError> {
        self.read(move |db| {
            let author = db
                .prepare_cached("SELECT author FROM receipts_due LIMIT 1")?
                .query_row([], |row| row.get::<_, [u8; 32]>(0))
                .optional()?;
            let Some(author) = author else { return Ok(None) };
            let mut statement = db.prepare_cached("SELECT id FROM receipts_due WHERE author = ?1 LIMIT ?2")?;
            let rows = statement.query_map((author, limit), |row| row.get(0).map(MessageId))?;
            let ids = rows.collect::<Result<Vec<_>, _>>()?;
            Ok(Some((checked(&author).map_err(StoreError::damaged)?, ids)))
        })
        .await
    }

    /// Queues a receipt in place of what was due. Like a message, it names the heads that are to be told.
    pub(crate) async fn queue_receipt(
        &self,
        own: PrimaryKey,
        to: PrimaryKey,
        ids: Vec<MessageId>,
        mut payload: Payload,
        nats_msg_id: [u8; 16],
    ) -> Result<(), StoreError> {
        self.transact_lazily(move |db| {
            let mut statement = db.prepare_cached("DELETE FROM receipts_due WHERE author = ?1 AND id = ?2")?;
            for id in ids {
                statement.execute((to.as_bytes(), id.0))?;
            }
            let heads = heads::to_tell(db, &own, &to, payload.sent_at_ms)?;
            (payload.own_head, payload.peer_head) = (heads.own, heads.peer);
            let bytes = payload.encode().map_err(StoreError::damaged)?;
            insert(db, &to, payload.id.0, nats_msg_id, &bytes, Kind::Receipt)
        })
        .await
    }
}
