//! The people we know: trust on first use (`docs/PROTOCOL.md` §§3, 4).

use kez_core::{
    handle::{Handle, HandleError},
    identity::PrimaryKey,
    sigchain::{ChainError, Head, Install},
};
use serde::Serialize;
use thiserror::Error;

use crate::{
    client::Shared,
    clock::now_ms,
    net::{HomeClient, NetError, SigchainClient, WalkError},
    store::{ContactRow, StoreError},
};

/// Says why a person could not be added or found.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ContactError {
    /// The input is no handle.
    #[error(transparent)]
    BadHandle(#[from] HandleError),
    /// Their home knows no such handle.
    #[error("there is no {0}; check the spelling")]
    NoSuchHandle(Handle),
    /// Nobody of that name was added.
    #[error("{0} is not a contact; add them first")]
    NotAContact(String),
    /// The handle belongs to another key than before: somebody else may have taken their place.
    #[error("{handle} now belongs to another key ({found}) than before ({pinned}); nothing more is sent to them: ask them on another way whether they changed it")]
    KeyChanged {
        /// The handle.
        handle: Handle,
        /// The key that was pinned when they were added.
        pinned: Box<PrimaryKey>,
        /// The key that their home gives now.
        found: Box<PrimaryKey>,
    },
    /// Their sigchain is not sound, or not the one that was seen before.
    #[error("the sigchain of {who} is not sound: {source}; nothing more is sent to them until this is cleared up")]
    Chain {
        /// The person.
        who: String,
        /// What is wrong.
        source: ChainError,
    },
    /// A server could not be asked.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The database can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ContactError {
    /// Returns the error's stable name.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::BadHandle(error) => error.code().as_str(),
            Self::NoSuchHandle(_) => "NoSuchHandle",
            Self::NotAContact(_) => "NotAContact",
            Self::KeyChanged { .. } => "KeyChanged",
            Self::Chain { source, .. } => source.code().as_str(),
            Self::Net(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

/// Whether a handle is vouched for from both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// The home names the key, and the key's chain names the handle.
    Agreed,
    /// Only the home says so.
    OneSided,
}

/// A person we know: their key, and what their walked chain says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Contact {
    /// Their key, which is who they are.
    pub primary: PrimaryKey,
    /// Their handle.
    pub handle: Option<Handle>,
    /// Who vouches for the handle.
    pub agreement: Agreement,
    /// How many events of their chain were walked.
    pub events_walked: u64,
    /// Where their chain ends.
    pub head: Option<Head>,
    /// The broker that they publish.
    pub broker_url: Option<String>,
    /// The installation that serves their files.
    pub install: Option<Install>,
    /// When they were added, in milliseconds since 1970.
    pub added_at_ms: u64,
    /// Why sending to them has stopped, if it has.
    pub trouble: Option<String>,
}

/// A handle on the contacts of an account.
#[derive(Clone, Copy, Debug)]
pub struct Contacts<'a> {
    shared: &'a Shared,
}

impl<'a> Contacts<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared }
    }

    /// Looks a handle up, walks their sigchain, and keeps them with their key pinned. Adding somebody again refreshes
    /// what is known of them. What they wrote before they were added is given out as events.
    ///
    /// # Errors
    /// [`ContactError`]. A changed key, a forked or a shortened chain stops sending to them and is never taken over
    /// silently.
    pub async fn add(&self, input: &str) -> Result<Contact, ContactError> {
        let shared = self.shared;
        let handle = self.handle(input)?;
        let home = if handle.home() == shared.handle.home() { shared.home.clone() } else { HomeClient::new(handle.home()) };
        let profile = home.profile(&handle).await.map_err(|error| {
            if error.is_not_found() { ContactError::NoSuchHandle(handle.clone()) } else { error.into() }
        })?;
        if let Some(known) = shared.store.contact_by_handle(&handle).await?
            && known.owner != profile.primary
        {
            let changed = ContactError::KeyChanged { handle, pinned: known.owner.into(), found: profile.primary.into() };
            shared.store.set_trouble(known.owner, changed.to_string()).await?;
            return Err(changed);
        }
        let base = SigchainClient::base_of(&profile.sigchain_url, &profile.primary)?;
        self.walk_and_keep(profile.primary, handle, base).await
    }

    async fn walk_and_keep(&self, owner: PrimaryKey, handle: Handle, base: String) -> Result<Contact, ContactError> {
        let shared = self.shared;
        let mut chain = shared.store.chain(owner, shared.policy).await?;
        let new_events = match SigchainClient::new(shared.http.clone(), &base).walk(&mut chain).await {
            Ok(events) => events,
            Err(WalkError::Net(error)) => return Err(error.into()),
            Err(WalkError::Chain(source)) => {
                let error = ContactError::Chain { who: handle.to_string(), source };
                shared.store.set_trouble(owner, error.to_string()).await?;
                return Err(error);
            }
        };
        let contact = ContactRow {
            owner,
            agreed: chain.state().handle() == Some(&handle),
            handle: Some(handle),
            sigchain_base: base,
            added_at_ms: now_ms(),
            trouble: None,
        };
        shared.store.keep_contact(contact, new_events).await?;
        shared.link.state_changed();
        shared.link.outbox_changed();
        self.contact(owner).await
    }

    /// Lists all contacts by handle.
    ///
    /// # Errors
    /// [`ContactError::Store`].
    pub async fn list(&self) -> Result<Vec<Contact>, ContactError> {
        let mut contacts = Vec::new();
        for row in self.shared.store.contacts().await? {
            contacts.push(self.describe(row).await?);
        }
        Ok(contacts)
    }

    /// Finds a contact by handle, offline.
    ///
    /// # Errors
    /// [`ContactError::NotAContact`] if they were not added.
    pub async fn find(&self, input: &str) -> Result<Contact, ContactError> {
        let handle = self.handle(input)?;
        let row = self.shared.store.contact_by_handle(&handle).await?;
        self.describe(row.ok_or_else(|| ContactError::NotAContact(format!("@{handle}")))?).await
    }

    async fn contact(&self, owner: PrimaryKey) -> Result<Contact, ContactError> {
        let row = self.shared.store.contact(owner).await?;
        self.describe(row.ok_or_else(|| ContactError::NotAContact(owner.to_string()))?).await
    }

    async fn describe(&self, row: ContactRow) -> Result<Contact, ContactError> {
        let chain = self.shared.store.chain(row.owner, self.shared.policy).await?;
        let state = chain.state();
        Ok(Contact {
            primary: row.owner,
            handle: row.handle,
            agreement: if row.agreed { Agreement::Agreed } else { Agreement::OneSided },
            events_walked: chain.tip().seq(),
            head: chain.tip().head(),
            broker_url: state.nats().map(|endpoint| endpoint.url.clone()),
            install: state.iroh().map(|endpoint| endpoint.install),
            added_at_ms: row.added_at_ms,
            trouble: row.trouble,
        })
    }

    fn handle(&self, input: &str) -> Result<Handle, ContactError> {
        Ok(Handle::parse(input, Some(self.shared.handle.home()), self.shared.policy)?)
    }
}
