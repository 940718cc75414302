//! Glancing at somebody's chain for what they publish.

use kez_core::{handle::Handle, identity::PrimaryKey, sigchain::Chain};

use super::{ContactError, Contacts, look::profile};
use crate::{
    event::Peer,
    net::{HomeClient, SigchainClient, WalkError},
    shared::Shared,
};

/// Somebody's chain as its server has it now.
#[derive(Debug)]
pub(crate) struct Glance {
    /// Who. A handle is theirs by their home's word and their own.
    pub(crate) who: Peer,
    /// The handle that led to them.
    pub(crate) handle: Option<Handle>,
    pub(crate) chain: Chain,
}

impl Contacts<'_> {
    /// Looks at a contact's chain now. While its server is out of reach, it is the chain as it was last seen.
    ///
    /// # Errors
    /// As [`refresh`](Contacts::refresh).
    pub(crate) async fn glance_at(&self, peer: PrimaryKey) -> Result<Glance, ContactError> {
        match self.refresh(peer).await {
            Ok(_) => {}
            Err(ContactError::Net(error)) => tracing::debug!(%error, "a contact's chain is taken as it was last seen"),
            Err(error) => return Err(error),
        }
        let contact = self.known(peer).await?;
        let chain = self.shared.store.contact_chain(peer, self.shared.policy).await?;
        Ok(Glance { who: Peer { primary: peer, handle: contact.handle.clone() }, handle: contact.handle, chain })
    }

    /// Looks at the chain of whoever has a handle, contact or not. Of who is none nothing is kept.
    ///
    /// # Errors
    /// [`ContactError`].
    pub(crate) async fn glance_at_handle(&self, input: &str) -> Result<Glance, ContactError> {
        let handle = self.handle(input)?;
        let shared = self.shared;
        if handle == shared.handle {
            return Err(ContactError::Yourself);
        }
        if let Some(contact) = shared.store.contact_by_handle(&handle).await? {
            return self.glance_at(contact.owner).await;
        }
        let (primary, base) = match profile(shared, &handle).await {
            Ok(found) => found,
            Err(error) if error.is_not_found() || error.is_gone() => return Err(ContactError::NoSuchHandle(handle)),
            Err(error) => return Err(error.into()),
        };
        if shared.store.contact(primary).await?.is_some() {
            return self.glance_at(primary).await;
        }
        let mut chain = Chain::new(primary, shared.policy);
        match SigchainClient::new(shared.http.clone(), &base).walk(&mut chain, None).await.1 {
            Ok(()) if chain.tip().head().is_none() => return Err(ContactError::NoChain(format!("@{handle}"))),
            Ok(()) => {}
            Err(WalkError::Net(error)) => return Err(error.into()),
            Err(WalkError::Chain { source, .. }) => {
                return Err(ContactError::Chain { who: format!("@{handle}"), source });
            }
        }
        let agreed = chain.state().handle() == Some(&handle);
        Ok(Glance { who: Peer { primary, handle: agreed.then(|| handle.clone()) }, handle: Some(handle), chain })
    }
}

/// Returns the relays of somebody's home, where their endpoint is when it is anywhere; none while the home is away.
pub(crate) async fn relays_of(shared: &Shared, handle: &Handle) -> Vec<String> {
    match HomeClient::new(handle.home(), shared.http.clone()).info().await {
        Ok(info) => info.relays,
        Err(error) => {
            tracing::debug!(%error, "a home could not be asked for its relays");
            Vec::new()
        }
    }
}
