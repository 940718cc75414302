//! The receipts that are owed to others.

use kez_core::{
    identity::PrimaryKey,
    payload::{Content, MessageId, Payload, ReceiptStatus},
};
use rusqlite::OptionalExtension;

use super::queue::{Kind, insert};
use crate::{
    keys::checked,
    store::{Store, StoreError, blocked, heads},
};

/// What receipts that are owed are kept as.
const DELIVERED: u8 = 1;
const READ: u8 = 2;

/// Receipts that are owed to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReceiptDue {
    pub(crate) to: PrimaryKey,
    pub(crate) status: ReceiptStatus,
    pub(crate) ids: Vec<MessageId>,
}

impl Store {
    /// Returns up to `limit` messages of one author that are owed the same receipt.
    pub(crate) async fn receipts_due(&self, limit: usize) -> Result<Option<ReceiptDue>, StoreError> {
        self.read(move |db| {
            let due = db
                .prepare_cached("SELECT author, status FROM receipts_due LIMIT 1")?
                .query_row([], |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, u8>(1)?)))
                .optional()?;
            let Some((author, stored)) = due else { return Ok(None) };
            let mut statement =
                db.prepare_cached("SELECT id FROM receipts_due WHERE author = ?1 AND status = ?2 LIMIT ?3")?;
            let rows = statement.query_map((author, stored, limit), |row| row.get(0).map(MessageId))?;
            let ids = rows.collect::<Result<Vec<_>, _>>()?;
            let status = if stored == READ { ReceiptStatus::Read } else { ReceiptStatus::Delivered };
            Ok(Some(ReceiptDue { to: checked(&author).map_err(StoreError::damaged)?, status, ids }))
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
            // What was read meanwhile is owed another one.
            let status = match &payload.content {
                Content::Receipt { status: ReceiptStatus::Read, .. } => READ,
                _ => DELIVERED,
            };
            let mut statement =
                db.prepare_cached("DELETE FROM receipts_due WHERE author = ?1 AND id = ?2 AND status <= ?3")?;
            for id in ids {
                statement.execute((to.as_bytes(), id.0, status))?;
            }
            // They may have been blocked since it was owed.
            if blocked::is_blocked(db, &to)? {
                return Ok(());
            }
            let heads = heads::to_tell(db, &own, &to, payload.sent_at_ms)?;
            (payload.own_head, payload.peer_head) = (heads.own, heads.peer);
            let bytes = payload.encode().map_err(StoreError::damaged)?;
            insert(db, &to, payload.id.0, nats_msg_id, &bytes, Kind::Receipt)
        })
        .await
    }
}
