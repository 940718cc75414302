//! Accepting somebody who wrote.

use kez_core::{handle::Handle, identity::PrimaryKey};

use super::{Contact, ContactError, Contacts, look::Look};
use crate::{
    net::{HomeClient, SigchainClient},
    store::Word,
};

impl Contacts<'_> {
    /// Keeps a stranger under a handle whose home gives this very key.
    ///
    /// # Errors
    /// As [`add`](Self::add); [`ContactError::NoSuchHandle`] if the handle is not theirs.
    pub(crate) async fn accept_as(&self, key: PrimaryKey, handle: Handle) -> Result<Contact, ContactError> {
        let home = HomeClient::new(handle.home(), self.shared.http.clone());
        match home.key_of(&handle).await? {
            Some(found) if found == key => self.add(&handle.to_string()).await,
            _ => Err(ContactError::NoSuchHandle(handle)),
        }
    }

    /// Keeps a stranger by key alone, with the chain that our own home's sigchain server has of them.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub(crate) async fn accept_key(&self, key: PrimaryKey) -> Result<Contact, ContactError> {
        let base = SigchainClient::base_of(&self.shared.sigchain_url, &self.shared.primary())?;
        let look = Look { owner: key, word: Word::Key, base: Some(base), looked_up: None, hint: None };
        look.run(self.shared).await
    }
}
