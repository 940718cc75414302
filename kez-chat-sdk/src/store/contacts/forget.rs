//! Forgetting a contact.

use kez_core::identity::PrimaryKey;

use crate::{
    event::MessageState,
    store::{Store, StoreError, heads, sequence::give_out_held},
};

impl Store {
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
            let mut unsent =
                tx.prepare_cached("DELETE FROM outbox WHERE recipient = ?1 RETURNING message_id, handed_over")?;
            let unsent = unsent.query_map([owner], |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, bool>(1)?)))?;
            for (id, handed_over) in unsent.collect::<Result<Vec<_>, _>>()? {
                let state = if handed_over { MessageState::Unconfirmed } else { MessageState::Withdrawn };
                tx.execute(
                    "UPDATE messages SET state = ?3 WHERE peer = ?1 AND place IS NOT NULL AND id = ?2 AND author <> ?1",
                    (owner, id, state.to_stored()),
                )?;
            }
            tx.execute("DELETE FROM receipts_due WHERE author = ?1", [owner])?;
            let mut statement = tx.prepare_cached("DELETE FROM file_readers WHERE reader = ?1 RETURNING blob_hash")?;
            let blobs = statement.query_map([owner], |row| row.get(0))?.collect::<Result<Vec<_>, _>>()?;
            Ok(blobs)
        })
        .await
    }
}
