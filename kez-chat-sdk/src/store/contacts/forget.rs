//! Forgetting a contact.

use kez_core::identity::PrimaryKey;

use crate::store::{Store, StoreError, heads, outbox::withdraw_all, sequence::give_out_held, unshare::end_reader};

impl Store {
    /// Forgets a contact, their pinned handles and their chain, what was queued for them, that they may fetch files, and
    /// what was still to come of theirs. The conversation stays. Returns which blobs they could fetch.
    pub(crate) async fn forget_contact(&self, owner: PrimaryKey) -> Result<Vec<[u8; 32]>, StoreError> {
        self.transact(move |tx| {
            heads::forget(tx, &owner)?;
            #[cfg(feature = "files")]
            crate::store::downloads::end_for_peer(tx, &owner)?;
            let owner = owner.as_bytes();
            give_out_held(tx, owner)?;
            tx.execute("DELETE FROM pins WHERE owner = ?1", [owner])?;
            tx.execute("DELETE FROM contacts WHERE owner = ?1", [owner])?;
            tx.execute("DELETE FROM chain_events WHERE owner = ?1", [owner])?;
            let blobs = end_reader(tx, owner)?;
            withdraw_all(tx, owner)?;
            #[cfg(feature = "files")]
            crate::store::published::forget(tx, owner)?;
            Ok(blobs)
        })
        .await
    }
}
