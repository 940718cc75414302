//! What only the person can decide about a contact.

use kez_core::{
    identity::PrimaryKey,
    sigchain::{Chain, Head},
};

use super::{
    Contact, ContactError, Contacts, Trouble,
    look::{Look, Walked, profile},
};
use crate::{
    net::{SigchainClient, WalkError},
    store::{HomeSays, Kept, LookUp, Word},
};

impl Contacts<'_> {
    /// Says that somebody whose handle is one-sided is who they seem to be: from now on they can be written to.
    ///
    /// # Errors
    /// [`ContactError::NotAContact`].
    pub async fn accept_one_sided(&self, peer: PrimaryKey) -> Result<Contact, ContactError> {
        self.shared.store.vouch_for(peer).await?;
        self.known(peer).await
    }

    /// Says whether safety numbers were compared with a contact. The mark is for this key and this history: a changed key, a
    /// fork and a retirement take it away.
    ///
    /// # Errors
    /// [`ContactError::InTrouble`] or [`ContactError::Retired`] if the mark would not hold.
    pub async fn set_verified(&self, peer: PrimaryKey, verified: bool) -> Result<Contact, ContactError> {
        let contact = self.known(peer).await?;
        let who = || contact.handle.as_ref().map_or_else(|| peer.to_string(), |handle| format!("@{handle}"));
        match &contact.trouble {
            Some(trouble @ (Trouble::KeyChanged { .. } | Trouble::Forked)) if verified => {
                return Err(ContactError::InTrouble { who: who(), trouble: trouble.clone().into() });
            }
            _ if verified && contact.retired => return Err(ContactError::Retired(who())),
            _ => {}
        }
        self.shared.store.set_verified(peer, verified).await?;
        self.known(peer).await
    }

    /// Says which key a handle has, after its home gave another one than before: the person has asked on another way.
    ///
    /// If it is the new key, whoever has it becomes the contact of that handle. The contact before keeps their
    /// conversation, loses the handle, and gets nothing any more, nor does the new one get what waited for them. If it is
    /// the key that was known all along, and the home gives that again, sending goes on.
    ///
    /// # Errors
    /// [`ContactError::NotTheirKey`] if the home does not give that key now, and whatever [`add`](Self::add) says of a new
    /// contact; nothing is changed then.
    pub async fn accept_new_key(&self, handle: &str, key: &PrimaryKey) -> Result<Contact, ContactError> {
        let shared = self.shared;
        let handle = self.handle(handle)?;
        let pinned = shared.store.pinned(&handle).await?;
        let instead_of = pinned.ok_or_else(|| ContactError::NotAContact(format!("@{handle}")))?;
        let (found, base) = match profile(shared, &handle).await {
            Err(error) if error.is_not_found() || error.is_gone() => return Err(ContactError::NoSuchHandle(handle)),
            answer => answer?,
        };
        if found != *key {
            return Err(ContactError::NotTheirKey { handle, named: (*key).into(), found: found.into() });
        }
        if found == shared.primary() {
            return Err(ContactError::Yourself);
        }
        if found == instead_of {
            shared.store.settle_key(found, handle).await?;
            return self.known(found).await;
        }
        let looked_up = Some(LookUp { handle, says: HomeSays::Theirs });
        let word = Word::NewKey { instead_of };
        Look { owner: found, word, base: Some(base), looked_up, hint: None }.run(shared).await
    }

    /// Says which history of a forked chain counts, after comparing the safety number: the one with the event that the
    /// contact names as their [head](crate::Account::head). It is walked anew from its start, and sending goes on.
    ///
    /// # Errors
    /// [`ContactError::OtherHistory`] if their server shows a history without that event, [`ContactError::NotForked`];
    /// nothing is changed then.
    pub async fn accept_history(&self, peer: PrimaryKey, head: &Head) -> Result<Contact, ContactError> {
        let shared = self.shared;
        loop {
            let Some(known) = shared.store.contact(peer).await? else {
                return Err(ContactError::NotAContact(peer.to_string()));
            };
            let who = known.peer().to_string();
            if known.chain_trouble != Some(Trouble::Forked) {
                return Err(ContactError::NotForked(who));
            }
            let mut chain = Chain::new(peer, shared.policy);
            let base = known.sigchain_base.clone();
            let (new_events, outcome) = SigchainClient::new(shared.http.clone(), &base).walk(&mut chain, None).await;
            match outcome {
                Err(WalkError::Net(error)) => return Err(error.into()),
                Err(WalkError::Chain { source, .. }) => return Err(ContactError::Chain { who, source }),
                Ok(()) if !new_events.iter().any(|event| event.head() == *head) => {
                    return Err(ContactError::OtherHistory { who, head: *head });
                }
                Ok(()) => {}
            }
            let look = Look { word: Word::History, ..Look::again(peer) };
            let walked = Walked { new_events, outcome: Ok(()), base, looked_up: None };
            if let Kept::Done(row) = look.keep(shared, Some(&known), &chain, &walked).await? {
                return look.conclude(shared, Some(*row), walked, &chain);
            }
        }
    }
}
