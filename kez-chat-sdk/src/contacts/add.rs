//! Adding people.

use kez_core::contact_uri::ContactUri;

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
        let shared = self.shared;
        let handle = self.handle(input)?;
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
        let look = Look { owner: primary, word: Word::Key, base: Some(sigchain_base), looked_up: None, hint: handle };
        look.run(self.shared).await
    }
}
