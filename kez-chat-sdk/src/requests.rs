//! Strangers who wrote: what is known about them, and what the person decides (`docs/PROTOCOL.md` §8).

use std::{fmt, time::Duration};

use kez_core::{handle::Handle, identity::PrimaryKey, payload::MessageId};
use thiserror::Error;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    contacts::{Contact, ContactError, Contacts},
    message::MessageContent,
    net::{HomeClient, NetError, SigchainClient},
    shared::Shared,
    store::StoreError,
};

/// How long it is until the next stranger is looked up: many of them are no reason to ask the home without a pause.
const PACE: Duration = Duration::from_secs(1);
/// How long the home is left alone after it did not answer, and at most after that happened many times.
const FIRST_REST: Duration = Duration::from_secs(5);
const LAST_REST: Duration = Duration::from_secs(3600);
/// How often at least it is looked for what has waited too long, and for strangers who may be asked about again.
const CLEAR_EVERY: Duration = Duration::from_secs(3600);

/// Says why a request could not be dealt with.
///
/// ```
/// use kez_chat_sdk::{RequestError, identity::SecretKey};
///
/// let nobody = SecretKey::from_seed([7; 32]).primary();
/// assert_eq!(RequestError::NoSuchRequest(nobody.into()).code(), "NoSuchRequest");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Nothing waits from this key.
    #[error("nothing waits from {0}; list the requests that there are")]
    NoSuchRequest(Box<PrimaryKey>),
    /// The sender goes by a handle that is not theirs.
    #[error(
        "{from} says that they are @{claimed}, and its home says that they are not; decline them, or ask them on another way who they are"
    )]
    NotTheirHandle {
        /// Who.
        from: Box<PrimaryKey>,
        /// Who they say they are.
        claimed: Handle,
    },
    /// They can't be kept as a contact.
    #[error(transparent)]
    Contact(#[from] ContactError),
    /// The home could not be asked.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The database can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RequestError {
    /// Returns the error's stable name.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::NoSuchRequest(_) => "NoSuchRequest",
            Self::NotTheirHandle { .. } => "NotTheirHandle",
            Self::Contact(error) => error.code(),
            Self::Net(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

/// What a home says of a stranger.
///
/// ```
/// use kez_chat_sdk::Resolution;
///
/// fn remark(resolution: &Resolution) -> String {
///     match resolution {
///         Resolution::Agreed { handle } => format!("this is @{handle}"),
///         Resolution::Differs { .. } => "this is not who they say they are".to_owned(),
///         Resolution::Unknown => "their home does not know them".to_owned(),
///         _ => "nobody has checked who this is".to_owned(),
///     }
/// }
/// assert_eq!(remark(&Resolution::Unresolved), "nobody has checked who this is");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// The home gives this handle for the key, and the key for the handle, and they claim no other.
    Agreed {
        /// The handle.
        handle: Handle,
    },
    /// The home says otherwise than they do: the handle that they claim is another's, or their key has another one.
    Differs {
        /// The handle that the home gives for the key, and the key for it.
        handle: Option<Handle>,
    },
    /// The home knows neither the key nor the handle.
    Unknown,
    /// No home was asked, or none has answered.
    #[default]
    Unresolved,
}

impl Resolution {
    /// Returns how it is kept in the database.
    pub(crate) fn to_stored(&self) -> (i64, Option<&Handle>) {
        match self {
            Self::Unresolved => (0, None),
            Self::Agreed { handle } => (1, Some(handle)),
            Self::Differs { handle } => (2, handle.as_ref()),
            Self::Unknown => (3, None),
        }
    }

    pub(crate) fn from_stored(answer: i64, handle: Option<Handle>) -> Self {
        match (answer, handle) {
            (1, Some(handle)) => Self::Agreed { handle },
            (2, handle) => Self::Differs { handle },
            (3, _) => Self::Unknown,
            _ => Self::Unresolved,
        }
    }
}

/// A stranger from whom messages wait.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Who, by key alone.
    pub from: PrimaryKey,
    /// Who they say they are, in the last of their messages.
    pub claimed_handle: Option<Handle>,
    /// What a home says of that.
    pub resolution: Resolution,
    /// When the first message that waits came to be here, by the home's clock, in milliseconds since 1970.
    pub first_at_ms: u64,
    /// When the last one did.
    pub last_at_ms: u64,
    /// How many wait; of those beyond 50 nothing is kept.
    pub messages: u64,
}

/// A message that waits from a stranger, to be looked at.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct RequestMessage {
    /// Its name.
    pub id: MessageId,
    /// When they say they sent it, in milliseconds since 1970.
    pub sent_at_ms: u64,
    /// When it came to be here, by the home's clock, in milliseconds since 1970.
    pub stored_at_ms: u64,
    /// What it says. Files are named only: they can't be fetched before the stranger is accepted.
    pub content: MessageContent,
    /// Whether it is to a handle that never was ours.
    pub is_misaddressed: bool,
}

impl fmt::Debug for RequestMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestMessage({}, {:?})", self.id, self.content)
    }
}

/// A handle on the requests of strangers. What they write waits apart: 50 messages of each and 1,000 of all together, for 30
/// days. They get no receipts until they are accepted.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stage = Stage::set().await;
/// # let client = stage.client("alice").await;
/// # let carol = stage.client("carol").await;
/// # let alice = carol.contacts().add("@alice").await?.primary;
/// # carol.conversation(alice).send_text("do you know me?").await?;
/// # client.next_event().await?;
/// use kez_chat_sdk::Resolution;
///
/// let request = client.requests().list().await?.remove(0);
/// let resolution = client.requests().resolve(request.from).await?;
/// assert_eq!(resolution, Resolution::Agreed { handle: carol.handle().clone() });
/// for message in client.requests().messages(request.from).await? {
///     println!("{:?}", message.content);
/// }
/// let carol = client.requests().accept(request.from).await?;
/// client.conversation(carol.primary).send_text("of course").await?;
/// assert!(client.requests().list().await?.is_empty());
/// # client.shutdown().await;
/// # stage.strike().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Requests<'a> {
    shared: &'a Shared,
}

impl<'a> Requests<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared }
    }

    /// Lists the strangers from whom something waits, the one who wrote last first.
    ///
    /// # Errors
    /// [`RequestError::Store`].
    pub async fn list(&self) -> Result<Vec<Request>, RequestError> {
        Ok(self.shared.store.requests().await?)
    }

    /// Returns what a stranger wrote, in their order. It stays unread, and they learn nothing of it.
    ///
    /// # Errors
    /// [`RequestError::NoSuchRequest`].
    pub async fn messages(&self, from: PrimaryKey) -> Result<Vec<RequestMessage>, RequestError> {
        self.request(from).await?;
        Ok(self.shared.store.request_messages(from).await?)
    }

    /// Asks now what a home says of a stranger: the home of the handle that they claim, or else our own. One who claims to
    /// live at our own home is looked up without being asked for; of another nothing is fetched before.
    ///
    /// # Errors
    /// [`RequestError::NoSuchRequest`], [`RequestError::Net`] if the home does not answer.
    pub async fn resolve(&self, from: PrimaryKey) -> Result<Resolution, RequestError> {
        let request = self.request(from).await?;
        look_up(self.shared, &request).await
    }

    /// Makes a contact of a stranger: their sigchain is walked, and what they wrote is given out as events, in their order.
    /// From now on they get receipts.
    ///
    /// They are kept under the handle that their home gives for their key, now. If it gives none, or does not answer, they are
    /// kept by key, with the chain that our own home's sigchain server has; a handle that only this chain names is
    /// [one-sided](crate::Agreement::OneSided).
    ///
    /// # Errors
    /// [`RequestError::NotTheirHandle`] if they claim another's; else [`RequestError`]. Nothing is changed then.
    pub async fn accept(&self, from: PrimaryKey) -> Result<Contact, RequestError> {
        let request = self.request(from).await?;
        let resolution = match look_up(self.shared, &request).await {
            Err(RequestError::Net(error)) => {
                tracing::info!(%error, "a stranger is accepted by key alone: their home does not answer");
                Resolution::Unresolved
            }
            resolution => resolution?,
        };
        let contacts = Contacts::new(self.shared);
        match (resolution, request.claimed_handle) {
            (Resolution::Agreed { handle } | Resolution::Differs { handle: Some(handle) }, _) => {
                Ok(contacts.add_by_handle(handle, Some(from)).await?)
            }
            (Resolution::Differs { handle: None }, Some(claimed)) => {
                Err(RequestError::NotTheirHandle { from: from.into(), claimed })
            }
            _ => {
                let base = SigchainClient::base_of(&self.shared.sigchain_url, &self.shared.primary())?;
                Ok(contacts.add_key(from, base, None).await?)
            }
        }
    }

    /// Lets go of what a stranger wrote. They learn nothing of it; what they write from now on is a new request.
    ///
    /// # Errors
    /// [`RequestError::NoSuchRequest`].
    pub async fn decline(&self, from: PrimaryKey) -> Result<(), RequestError> {
        match self.shared.store.decline(from, self.shared.home_now_ms()).await? {
            true => Ok(()),
            false => Err(RequestError::NoSuchRequest(from.into())),
        }
    }

    /// Declines, and [blocks](Contacts::block) them.
    ///
    /// # Errors
    /// As [`decline`](Self::decline).
    pub async fn block(&self, from: PrimaryKey) -> Result<(), RequestError> {
        self.request(from).await?;
        Ok(Contacts::new(self.shared).block(from).await?)
    }

    async fn request(&self, from: PrimaryKey) -> Result<Request, RequestError> {
        self.shared.store.request(from).await?.ok_or_else(|| RequestError::NoSuchRequest(from.into()))
    }
}

/// Looks up strangers who say that they live at our own home, one after another, and lets go of what has waited too long,
/// for as long as a session lasts.
pub(crate) async fn watch(shared: &Shared) {
    let mut changes = shared.store.changes();
    let (mut clear_at, mut rest) = (Instant::now(), FIRST_REST);
    loop {
        if clear_at <= Instant::now() {
            clear_at = Instant::now() + CLEAR_EVERY;
            if let Err(error) = shared.store.forget_old_requests(shared.home_now_ms()).await {
                tracing::warn!(%error, "what waits from strangers could not be looked through");
            }
        }
        changes.mark_unchanged();
        match look_up_next(shared).await {
            Ok(true) => rest = FIRST_REST,
            Ok(false) => {
                tokio::select! {
                    _ = changes.changed() => {}
                    () = sleep_until(clear_at) => {}
                }
            }
            Err(error) => {
                tracing::info!(%error, "a stranger could not be looked up");
                sleep(rest).await;
                rest = (rest * 2).min(LAST_REST);
            }
        }
        sleep(PACE).await;
    }
}

/// Tells whether there was anybody to look up.
async fn look_up_next(shared: &Shared) -> Result<bool, RequestError> {
    match shared.store.stranger_to_resolve(shared.handle.home().clone(), shared.now_ms()).await? {
        Some(request) => look_up(shared, &request).await.map(|_| true),
        None => Ok(false),
    }
}

/// Asks a home about a stranger, both ways, and keeps what it says.
async fn look_up(shared: &Shared, request: &Request) -> Result<Resolution, RequestError> {
    let claimed = request.claimed_handle.as_ref();
    let home = claimed.map_or_else(|| shared.handle.home(), Handle::home);
    let resolution = ask(&HomeClient::new(home, shared.http.clone()), &request.from, claimed).await?;
    shared.store.set_resolution(request, &resolution, shared.now_ms()).await?;
    Ok(resolution)
}

async fn ask(home: &HomeClient, from: &PrimaryKey, claimed: Option<&Handle>) -> Result<Resolution, NetError> {
    let named = home.handle_of(from).await?;
    let Some(asked) = named.as_ref().or(claimed) else { return Ok(Resolution::Unknown) };
    let key = home.key_of(asked).await?;
    Ok(match (named, key) {
        (None, None) => Resolution::Unknown,
        (Some(handle), Some(key)) if key == *from => match claimed {
            Some(claimed) if *claimed != handle => Resolution::Differs { handle: Some(handle) },
            _ => Resolution::Agreed { handle },
        },
        // Somebody else has the handle, or the home contradicts itself.
        _ => Resolution::Differs { handle: None },
    })
}
