//! Blocking: whoever is blocked does not reach us, and learns nothing of it.

use kez_core::identity::PrimaryKey;

use super::{ContactError, Contacts};
use crate::event::Peer;

/// Somebody who is blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Blocked {
    /// Who.
    pub who: Peer,
    /// Since when, by the home's clock, in milliseconds since 1970.
    pub since_ms: u64,
}

impl Contacts<'_> {
    /// Blocks a key, whether it is a contact's or a stranger's: what they send is dropped, what was to be sent to them is
    /// withdrawn, and files are not served to them any more. To them it looks as if we were offline: what they send stays
    /// `Sent`.
    ///
    /// A contact stays a contact, and the conversation stays. What waited from a stranger goes.
    ///
    /// # Errors
    /// [`ContactError::Yourself`] or [`ContactError::Store`].
    pub async fn block(&self, peer: PrimaryKey) -> Result<(), ContactError> {
        let shared = self.shared;
        if peer == shared.primary() {
            return Err(ContactError::Yourself);
        }
        let blobs = shared.store.block(peer, shared.home_now_ms()).await?;
        shared.block_reader(peer, blobs).await;
        Ok(())
    }

    /// Ends a block. What they sent meanwhile is gone for good; what they write from now on arrives, and files that were
    /// shared with them before are served to them again. Does nothing for somebody who is not blocked.
    ///
    /// # Errors
    /// [`ContactError::Store`].
    pub async fn unblock(&self, peer: PrimaryKey) -> Result<(), ContactError> {
        let blobs = self.shared.store.unblock(peer).await?;
        self.shared.unblock_reader(peer, blobs).await;
        Ok(())
    }

    /// Lists who is blocked, the last one first.
    ///
    /// # Errors
    /// [`ContactError::Store`].
    pub async fn blocked(&self) -> Result<Vec<Blocked>, ContactError> {
        Ok(self.shared.store.blocked().await?)
    }
}
