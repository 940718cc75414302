//! Adding people.

use kez_core::{contact_uri::ContactUri, handle::Handle, identity::PrimaryKey};

use super::{
    Contact, ContactError, Contacts,
    look::{Look, profile},
};
use crate::store::{HomeSays, LookUp, Word};

impl Contacts<'_> {
    /// Looks a handle up, walks their sigchain, and keeps them with their key pinned. Adding somebody again refreshes
    /// what is known of them. What they wrote before they were added is given out as events.
    ///
    /// If their chain does not name the handle, they are shown, but nothing is sent to them until
    /// [`accept_one_sided`](Self::accept_one_sided).
    ///
    /// # Errors
    /// [`ContactError`]. A changed key, a forked or a shortened chain stops sending to them and is never taken over
    /// silently.
    pub async fn add(&self, input: &str) -> Result<Contact, ContactError> {
        let handle = self.handle(input)?;
        self.add_by_handle(handle, None).await
    }

    /// Adds whoever has a handle now, if that is who is expected.
    ///
    /// # Errors
    /// As [`add`](Self::add); [`ContactError::NotTheirKey`] if it is somebody else.
    pub(crate) async fn add_by_handle(
        &self,
        handle: Handle,
        expected: Option<PrimaryKey>,
    ) -> Result<Contact, ContactError> {
        let shared = self.shared;
        if handle == shared.handle {
            return Err(ContactError::Yourself);
        }
        let pinned = shared.store.pinned(&handle).await?;
        let (owner, word, base, says) = match (profile(shared, &handle).await, pinned) {
            (Ok((found, _)), Some(pinned)) if pinned != found => {
                shared.store.note_other_key(pinned, handle.clone(), found).await?;
                return Err(ContactError::KeyChanged { handle, pinned: pinned.into(), found: found.into() });
            }
            (Ok((found, base)), _) => (found, Word::Handle, Some(base), HomeSays::Theirs),
            // The handle is given up, but the key's chain may have more to say.
            (Err(error), Some(pinned)) if error.is_gone() || error.is_not_found() => {
                (pinned, Word::None, None, HomeSays::Nobody)
            }
            (Err(error), _) if error.is_not_found() || error.is_gone() => {
                return Err(ContactError::NoSuchHandle(handle));
            }
            (Err(error), _) => return Err(error.into()),
        };
        if owner == shared.primary() {
            return Err(ContactError::Yourself);
        }
        if let Some(named) = expected.filter(|expected| *expected != owner) {
            return Err(ContactError::NotTheirKey { handle, named: named.into(), found: owner.into() });
        }
        Look { owner, word, base, looked_up: Some(LookUp { handle, says }), hint: None }.run(shared).await
    }

    /// Keeps whom a contact URI names: who was scanned, or sent on another way. It works while their home is down.
    ///
    /// The person who adds a URI has said whose key it is, so there is nothing more to accept.
    ///
    /// # Errors
    /// [`ContactError`]; `BadUri` or `BadKey` if it is none.
    pub async fn add_uri(&self, uri: &str) -> Result<Contact, ContactError> {
        let ContactUri { primary, handle, sigchain_base } = ContactUri::parse(uri, self.shared.policy)?;
        if primary == self.shared.primary() {
            return Err(ContactError::Yourself);
        }
        self.add_key(primary, sigchain_base, handle).await
    }

    /// Keeps whoever holds a key, by the person's word, with the chain that is at `base`; under the handle that it names,
    /// or else `hint`.
    ///
    /// # Errors
    /// As [`add_uri`](Self::add_uri).
    pub(crate) async fn add_key(
        &self,
        owner: PrimaryKey,
        base: String,
        hint: Option<Handle>,
    ) -> Result<Contact, ContactError> {
        Look { owner, word: Word::Key, base: Some(base), looked_up: None, hint }.run(self.shared).await
    }
}
