//! The people we know: trust on first use (`docs/PROTOCOL.md` §§3, 4).

mod add;
mod blocking;
mod error;
#[cfg(feature = "files")]
mod glance;
mod look;
mod notice;
mod refresh;
mod word;

use kez_core::{
    contact_uri::ContactUri,
    handle::Handle,
    identity::PrimaryKey,
    safety::SafetyNumber,
    sigchain::{ForkProof, Head, Install, ListedClaim},
};
use serde::{Deserialize, Serialize};

#[cfg(feature = "files")]
pub(crate) use self::glance::{Glance, relays_of};
use self::look::Look;
pub(crate) use self::refresh::keep_fresh;
pub use self::{
    blocking::Blocked,
    error::ContactError,
    notice::{Notice, Trouble},
};
use crate::{
    shared::Shared,
    store::{ContactRow, StoreError},
};

/// Whether a handle is vouched for from both sides.
///
/// ```
/// use kez_chat_sdk::Agreement;
///
/// assert_eq!(serde_json::to_value(Agreement::OneSided)?, "one_sided");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// The home names the key, and the key's chain names the handle.
    Agreed,
    /// Only one of them says so, or there is no handle.
    OneSided,
}

impl Agreement {
    pub(crate) fn of(agreed: bool) -> Self {
        if agreed { Self::Agreed } else { Self::OneSided }
    }
}

/// A person we know: their key, what their walked chain says, and what the person has said of them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Contact {
    /// Their key, which is who they are.
    pub primary: PrimaryKey,
    /// Their handle.
    pub handle: Option<Handle>,
    /// Who vouches for the handle.
    pub agreement: Agreement,
    /// The handle that their chain names. If it is another one, their home alone says that the first is theirs.
    pub chain_handle: Option<Handle>,
    /// Whether the person has said that the key is theirs: by adding it, or by accepting a one-sided handle. Without that,
    /// nothing is sent to somebody whose handle is [one-sided](Agreement::OneSided).
    pub accepted: bool,
    /// What the person calls them.
    pub nickname: Option<String>,
    /// Whether the person has compared safety numbers with them. It holds for this key and history.
    pub verified: bool,
    /// What both compare to know that nobody stands between them.
    pub safety_number: SafetyNumber,
    /// Which other identities they claim. Nobody has checked these.
    pub claims: Vec<ListedClaim>,
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
    /// Whether they have left for good.
    pub retired: bool,
    /// Why sending to them has stopped, if it has.
    pub trouble: Option<Trouble>,
    /// Whether they are [blocked](Contacts::block).
    pub blocked: bool,
    sigchain_base: String,
}

impl Contact {
    pub(crate) fn of(row: ContactRow, own: &PrimaryKey) -> Self {
        Self {
            trouble: row.trouble(),
            blocked: row.blocked,
            primary: row.owner,
            handle: row.handle,
            agreement: Agreement::of(row.agreed),
            chain_handle: row.chain_handle,
            accepted: row.vouched,
            nickname: row.nickname,
            verified: row.verified,
            safety_number: SafetyNumber::of(own, &row.owner),
            claims: row.claims,
            events_walked: row.chain_seq,
            head: row.chain_head,
            broker_url: row.broker_url,
            install: row.install,
            added_at_ms: row.added_at_ms,
            retired: row.retired,
            sigchain_base: row.sigchain_base,
        }
    }

    /// Returns what others add them by, as text or as a QR code.
    #[must_use]
    pub fn contact_uri(&self) -> ContactUri {
        ContactUri { primary: self.primary, handle: self.handle.clone(), sigchain_base: self.sigchain_base.clone() }
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
/// # let bobs = stage.client("bob").await;
/// use kez_chat_sdk::Agreement;
///
/// let contacts = client.contacts();
/// let bob = contacts.add("@bob").await?;
/// assert_eq!(bob.agreement, Agreement::Agreed, "his home and his own chain say the same");
/// contacts.set_nickname(bob.primary, Some("my brother")).await?;
/// assert_eq!(contacts.find("my brother").await?.primary, bob.primary);
///
/// // Both compare these, and then know that nobody stands between them.
/// assert_eq!(bob.safety_number, bobs.contacts().add("@alice").await?.safety_number);
/// assert!(contacts.set_verified(bob.primary, true).await?.verified);
///
/// let nobody = contacts.add("@bobby").await.unwrap_err();
/// assert_eq!(nobody.code(), "NoSuchHandle");
/// contacts.remove(bob.primary).await?;
/// assert!(contacts.list().await?.is_empty());
///
/// // A QR code shows this text. It works while his home is down.
/// let uri = bobs.account().contact_uri().to_string();
/// assert_eq!(contacts.add_uri(&uri).await?.primary, bob.primary);
/// # bobs.shutdown().await;
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

    /// Lists all contacts by handle.
    ///
    /// # Errors
    /// [`ContactError::Store`].
    pub async fn list(&self) -> Result<Vec<Contact>, ContactError> {
        let own = self.shared.primary();
        Ok(self.shared.store.contacts().await?.into_iter().map(|row| Contact::of(row, &own)).collect())
    }

    /// Finds a contact, offline: by key, by a handle that they have or had, or by nickname, in this order.
    ///
    /// # Errors
    /// [`ContactError::NotAContact`] if they were not added.
    pub async fn find(&self, input: &str) -> Result<Contact, ContactError> {
        let store = &self.shared.store;
        let mut row = match input.parse() {
            Ok(key) => store.contact(key).await?,
            Err(_) => match self.handle(input) {
                Ok(handle) => store.contact_by_handle(&handle).await?,
                Err(_) => None,
            },
        };
        if row.is_none() {
            row = store.contact_by_nickname(input).await?;
        }
        let row = row.ok_or_else(|| ContactError::NotAContact(input.to_owned()))?;
        Ok(Contact::of(row, &self.shared.primary()))
    }

    /// Looks at a contact now: walks their chain on, and asks their home for their handle. It happens by itself once a
    /// day, and when something gives reason for it.
    ///
    /// While their home is down their chain is walked all the same.
    ///
    /// # Errors
    /// [`ContactError`]; `KeyChanged` or the fault of the chain if sending has to stop.
    pub async fn refresh(&self, peer: PrimaryKey) -> Result<Contact, ContactError> {
        Look::again(peer).run(self.shared).await
    }

    /// Forgets a contact: their pinned key, their chain, and what was queued for them. The conversation stays.
    ///
    /// # Errors
    /// [`ContactError::NotAContact`] if they were not added.
    pub async fn remove(&self, peer: PrimaryKey) -> Result<Contact, ContactError> {
        let contact = self.known(peer).await?;
        let blobs = self.shared.store.forget_contact(peer).await?;
        self.shared.forget_reader(peer, blobs).await?;
        Ok(contact)
    }

    /// Gives a contact a name of the person's own, or takes it away. It finds them, and nobody else sees it.
    ///
    /// # Errors
    /// [`ContactError::BadNickname`] or [`ContactError::NicknameTaken`].
    pub async fn set_nickname(&self, peer: PrimaryKey, nickname: Option<&str>) -> Result<Contact, ContactError> {
        if let Some(name) = nickname {
            let is_plain = name.trim() == name && !name.chars().any(char::is_control);
            if !is_plain || !(1..=64).contains(&name.chars().count()) {
                return Err(ContactError::BadNickname);
            }
            if !self.shared.store.set_nickname(peer, Some(name.to_owned())).await? {
                return Err(ContactError::NicknameTaken(name.to_owned()));
            }
        } else {
            self.shared.store.set_nickname(peer, None).await?;
        }
        self.known(peer).await
    }

    /// Returns the proof that a contact's key has signed two histories, if it has. Anybody can check its text.
    ///
    /// # Errors
    /// [`ContactError::Store`].
    pub async fn evidence(&self, peer: PrimaryKey) -> Result<Option<ForkProof>, ContactError> {
        let text = self.shared.store.evidence(peer).await?;
        Ok(text.map(|text| text.parse()).transpose().map_err(StoreError::damaged)?)
    }

    async fn known(&self, peer: PrimaryKey) -> Result<Contact, ContactError> {
        let row = self.shared.store.contact(peer).await?.ok_or_else(|| ContactError::NotAContact(peer.to_string()))?;
        Ok(Contact::of(row, &self.shared.primary()))
    }

    fn handle(&self, input: &str) -> Result<Handle, ContactError> {
        Ok(Handle::parse(input, Some(self.shared.handle.home()), self.shared.policy)?)
    }
}
