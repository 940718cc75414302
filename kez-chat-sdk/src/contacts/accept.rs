//! Accepting somebody who wrote.

use kez_core::{handle::Handle, identity::PrimaryKey};

use super::{Contact, ContactError, Contacts, look::Look};
use crate::{net::SigchainClient, store::Word};

impl Contacts<'_> {
    /// Keeps a stranger under a handle whose home gives this very key.
    ///
    /// # Errors
    /// As [`add`](Self::add); [`ContactError::NotTheirKey`] if it gives another one by now.
    pub(crate) async fn accept_as(&self, key: PrimaryKey, handle: Handle) -> Result<Contact, ContactError> {
        self.add_by_handle(handle, Some(key)).await
    }

    /// Keeps a stranger by key alone, with the chain that our own home's sigchain server has of them.
    ///
    /// # Errors
    /// As [`add_uri`](Self::add_uri).
    pub(crate) async fn accept_key(&self, key: PrimaryKey) -> Result<Contact, ContactError> {
        let base = SigchainClient::base_of(&self.shared.sigchain_url, &self.shared.primary())?;
        let look = Look { owner: key, word: Word::Key, base: Some(base), looked_up: None, hint: None };
        look.run(self.shared).await
    }
}
