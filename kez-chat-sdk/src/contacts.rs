//! The people we know: trust on first use (`docs/PROTOCOL.md` §§3, 4).

mod notice;

use kez_core::{
    handle::{Handle, HandleError},
    identity::PrimaryKey,
    sigchain::{ChainError, Head, Install},
};
use serde::Serialize;
use thiserror::Error;

pub use self::notice::Notice;
use crate::{
    net::{HomeClient, NetError, SigchainClient, WalkError},
    shared::Shared,
    store::{ContactRow, StoreError, Trouble},
};

/// Says why a person could not be added or found.
///
/// ```
/// use kez_chat_sdk::ContactError;
///
/// assert_eq!(ContactError::Yourself.code(), "Yourself");
/// assert_eq!(ContactError::Yourself.to_string(), "that is you; add somebody else");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ContactError {
    /// The input is no handle.
    #[error(transparent)]
    BadHandle(#[from] HandleError),
    /// Their home knows no such handle.
    #[error("there is no {0}; check the spelling")]
    NoSuchHandle(Handle),
    /// The handle is our own.
    #[error("that is you; add somebody else")]
    Yourself,
    /// Their sigchain server knows nothing of them yet.
    #[error("{0} has published nothing about themselves yet; try again when their registration is complete")]
    NoChain(Handle),
    /// Nobody of that name was added.
    #[error("{0} is not a contact; add them first")]
    NotAContact(String),
    /// The handle belongs to another key than before: somebody else may have taken their place.
    #[error(
        "{handle} now belongs to another key ({found}) than before ({pinned}); nothing more is sent to them: ask them on another way whether they changed it, and only then remove and add them again"
    )]
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
            Self::Yourself => "Yourself",
            Self::NoChain(_) => "NoChain",
            Self::NotAContact(_) => "NotAContact",
            Self::KeyChanged { .. } => "KeyChanged",
            Self::Chain { source, .. } => source.code().as_str(),
            Self::Net(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

/// Whether a handle is vouched for from both sides.
///
/// ```
/// use kez_chat_sdk::Agreement;
///
/// assert_eq!(serde_json::to_value(Agreement::OneSided)?, "one_sided");
/// # Ok::<(), serde_json::Error>(())
/// ```
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
    pub head: Head,
    /// The broker that they publish.
    pub broker_url: Option<String>,
    /// The installation that serves their files.
    pub install: Option<Install>,
    /// When they were added, in milliseconds since 1970.
    pub added_at_ms: u64,
    /// Why sending to them has stopped, if it has.
    pub trouble: Option<String>,
}

impl From<ContactRow> for Contact {
    fn from(row: ContactRow) -> Self {
        Self {
            primary: row.owner,
            handle: row.handle,
            agreement: if row.agreed { Agreement::Agreed } else { Agreement::OneSided },
            events_walked: row.chain_seq,
            head: row.chain_head,
            broker_url: row.broker_url,
            install: row.install,
            added_at_ms: row.added_at_ms,
            trouble: row.trouble,
        }
    }
}

/// A handle on the contacts of an account.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stage = Stage::set().await;
/// # let client = stage.client("alice").await;
/// # stage.register("bob").await;
/// use kez_chat_sdk::Agreement;
///
/// let bob = client.contacts().add("@bob").await?;
/// assert_eq!(bob.agreement, Agreement::Agreed, "his home and his own chain say the same");
/// assert_eq!(client.contacts().find("bob").await?.primary, bob.primary);
/// let nobody = client.contacts().add("@bobby").await.unwrap_err();
/// assert_eq!(nobody.code(), "NoSuchHandle");
/// client.contacts().remove("@bob").await?;
/// assert!(client.contacts().list().await?.is_empty());
/// # client.shutdown().await;
/// # stage.strike().await;
/// # Ok(())
/// # }
/// ```
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
        if handle == shared.handle {
            return Err(ContactError::Yourself);
        }
        // One at a time: two walks of one chain would both want to keep the same events.
        let _turn = shared.adding.lock().await;
        let pinned = shared.store.pinned(&handle).await?;
        let home = HomeClient::new(handle.home(), shared.http.clone());
        let (owner, base, home_agrees) = match (home.profile(&handle).await, pinned) {
            (Ok(profile), Some(pinned)) if pinned != profile.primary => {
                return Err(self.key_changed(handle, pinned, profile.primary).await?);
            }
            (Ok(profile), _) => {
                (profile.primary, SigchainClient::base_of(&profile.sigchain_url, &profile.primary)?, true)
            }
            // The handle is given up, but the key's chain may have more to say.
            (Err(error), Some(pinned)) if error.is_gone() || error.is_not_found() => {
                match shared.store.contact(pinned).await? {
                    Some(known) => (pinned, known.sigchain_base, false),
                    None => return Err(ContactError::NoSuchHandle(handle)),
                }
            }
            (Err(error), _) if error.is_not_found() || error.is_gone() => {
                return Err(ContactError::NoSuchHandle(handle));
            }
            (Err(error), _) => return Err(error.into()),
        };
        if owner == shared.primary() {
            return Err(ContactError::Yourself);
        }
        self.walk_and_keep(owner, handle, home_agrees, base).await
    }

    /// Stops sending to the key that the handle was pinned to.
    async fn key_changed(
        &self,
        handle: Handle,
        pinned: PrimaryKey,
        found: PrimaryKey,
    ) -> Result<ContactError, ContactError> {
        let error = ContactError::KeyChanged { handle, pinned: pinned.into(), found: found.into() };
        let trouble = Trouble { lasting: true, text: error.to_string(), evidence: None };
        self.shared.store.set_trouble(pinned, trouble, Vec::new()).await?;
        Ok(error)
    }

    /// Walks on along the chain of somebody we know.
    pub(crate) async fn refresh(&self, who: PrimaryKey) -> Result<Contact, ContactError> {
        let _turn = self.shared.adding.lock().await;
        let known = self.shared.store.contact(who).await?;
        match known.and_then(|known| Some((known.handle?, known.agreed, known.sigchain_base))) {
            Some((handle, agreed, base)) => self.walk_and_keep(who, handle, agreed, base).await,
            None => Err(ContactError::NotAContact(who.to_string())),
        }
    }

    async fn walk_and_keep(
        &self,
        owner: PrimaryKey,
        handle: Handle,
        home_agrees: bool,
        base: String,
    ) -> Result<Contact, ContactError> {
        let shared = self.shared;
        let mut chain = shared.store.chain(owner, shared.policy).await?;
        let (new_events, outcome) = SigchainClient::new(shared.http.clone(), &base).walk(&mut chain).await;
        if let Err(WalkError::Chain { source, evidence }) = outcome {
            // A fork ends by the person's word; the rest ends when the chain is found sound again.
            let lasting = matches!(source, ChainError::Fork { .. });
            let error = ContactError::Chain { who: handle.to_string(), source };
            let trouble = Trouble { lasting, text: error.to_string(), evidence };
            shared.store.set_trouble(owner, trouble, new_events).await?;
            return Err(error);
        }
        let is_known = shared.store.contact(owner).await?.is_some();
        let contact = ContactRow::of(&chain, handle.clone(), home_agrees, base, shared.now_ms());
        match (contact, outcome) {
            // Of somebody we know every sound event is kept, also of a walk that broke off: it can't be unsaid later.
            (Some(contact), outcome) if is_known || outcome.is_ok() => {
                shared.store.keep_contact(contact, shared.handle.home().clone(), new_events).await?;
                if !is_known {
                    shared.presences.tell_news();
                }
                if let Err(WalkError::Net(error)) = outcome {
                    return Err(error.into());
                }
            }
            (_, Err(WalkError::Net(error))) => return Err(error.into()),
            _ => return Err(ContactError::NoChain(handle)),
        }
        let row = shared.store.contact(owner).await?;
        row.map(Contact::from).ok_or_else(|| ContactError::NotAContact(owner.to_string()))
    }

    /// Lists all contacts by handle.
    ///
    /// # Errors
    /// [`ContactError::Store`].
    pub async fn list(&self) -> Result<Vec<Contact>, ContactError> {
        Ok(self.shared.store.contacts().await?.into_iter().map(Contact::from).collect())
    }

    /// Finds a contact by handle, offline.
    ///
    /// # Errors
    /// [`ContactError::NotAContact`] if they were not added.
    pub async fn find(&self, input: &str) -> Result<Contact, ContactError> {
        let handle = self.handle(input)?;
        let row = self.shared.store.contact_by_handle(&handle).await?;
        row.map(Contact::from).ok_or_else(|| ContactError::NotAContact(format!("@{handle}")))
    }

    /// Forgets a contact: their pinned key, their chain, and what was queued for them. The conversation stays.
    ///
    /// It is how the person says, after asking on another way, that a new key or history is to be trusted: what is
    /// [added](Self::add) next is pinned anew.
    ///
    /// # Errors
    /// [`ContactError::NotAContact`] if they were not added.
    pub async fn remove(&self, input: &str) -> Result<Contact, ContactError> {
        let contact = self.find(input).await?;
        let _turn = self.shared.adding.lock().await;
        #[cfg_attr(not(feature = "files"), expect(unused_variables, reason = "nobody serves them"))]
        let blobs = self.shared.store.forget_contact(contact.primary).await?;
        #[cfg(feature = "files")]
        self.shared.node.stop_serving(contact.primary, &blobs).await;
        Ok(contact)
    }

    fn handle(&self, input: &str) -> Result<Handle, ContactError> {
        Ok(Handle::parse(input, Some(self.shared.handle.home()), self.shared.policy)?)
    }
}
