//! Forgetting a contact.

use kez_core::identity::PrimaryKey;

use crate::store::{Store, StoreError, heads, outbox::withdraw_all, sequence::give_out_held};

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
            withdraw_all(tx, owner)?;
            #[cfg(feature = "files")]
            crate::store::published::forget(tx, owner)?;
            let mut statement = tx.prepare_cached("DELETE FROM file_readers WHERE reader = ?1 RETURNING blob_hash")?;
            let blobs = statement.query_map([owner], |row| row.get(0))?.collect::<Result<Vec<_>, _>>()?;
            Ok(blobs)
        })
        .await
    }
}
