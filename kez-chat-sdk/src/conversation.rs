//! Speaking with one contact.

use kez_core::{
    handle::Home,
    identity::PrimaryKey,
    payload::{Content, MessageId, PayloadError},
};
use thiserror::Error;

use crate::{
    event::{MessageState, Peer},
    shared::Shared,
    store::{ContactRow, Draft, StoreError},
};

/// Says why a message was not accepted for sending.
///
/// ```
/// use kez_chat_sdk::{SendError, payload::MessageId};
///
/// fn is_worth_another_try(error: &SendError) -> bool {
///     matches!(error, SendError::Store(_) | SendError::NoInbox { .. })
/// }
/// assert!(!is_worth_another_try(&SendError::TooLate(MessageId([7; 16]))));
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The recipient is not a contact.
    #[error("{0} is not a contact; add them first")]
    NotAContact(Box<PrimaryKey>),
    /// Sending to the contact has stopped until the person decides.
    #[error("sending to {to} has stopped: {trouble}")]
    Stopped {
        /// The contact.
        to: String,
        /// Why.
        trouble: String,
    },
    /// The contact has left for good.
    #[error("{to} has retired; nothing can be sent to them any more")]
    Retired {
        /// The contact.
        to: String,
    },
    /// The contact's messages go to another home's broker.
    #[error("{to} lives at another home ({home}); this version sends within one home only")]
    ForeignHome {
        /// The contact.
        to: String,
        /// Their home.
        home: String,
    },
    /// The contact's chain names no broker.
    #[error("{to} has published no inbox yet; try again later")]
    NoInbox {
        /// The contact.
        to: String,
    },
    /// The broker may have the message already.
    #[error("message {0} can't be taken back: it is on its way, or was sent")]
    TooLate(MessageId),
    /// The message does not wait for a receipt.
    #[error("message {0} needs no sending again: it is queued, has arrived, or is none of yours to them")]
    NothingToResend(MessageId),
    /// A later installation has our account.
    #[error("this account was signed in elsewhere; write from there")]
    SignedInElsewhere,
    /// We have left for good.
    #[error("you have left this account for good; write from another one")]
    YouRetired,
    /// The message can't be written.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The database can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SendError {
    /// Returns the error's stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAContact(_) => "NotAContact",
            Self::Stopped { .. } => "Stopped",
            Self::Retired { .. } => "Retired",
            Self::ForeignHome { .. } => "ForeignHome",
            Self::NoInbox { .. } => "NoInbox",
            Self::TooLate(_) => "TooLate",
            Self::NothingToResend(_) => "NothingToResend",
            Self::SignedInElsewhere => "SignedInElsewhere",
            Self::YouRetired => "YouRetired",
            Self::Payload(error) => error.code().as_str(),
            Self::Store(error) => error.code(),
        }
    }
}

/// A message of ours that is not known to have arrived.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OutboxEntry {
    /// To whom.
    pub to: Peer,
    /// The message's name.
    pub id: MessageId,
    /// How far it came.
    pub state: MessageState,
    /// When it was accepted for sending, in milliseconds since 1970.
    pub queued_at_ms: u64,
}

/// A handle on the conversation with one contact.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stage = Stage::set().await;
/// # stage.register("bob").await;
/// # let client = stage.client("alice").await;
/// # let bob = client.contacts().add("@bob").await?.primary;
/// use kez_chat_sdk::MessageState;
///
/// // Nothing goes out while the client is suspended, so it can still be taken back.
/// client.suspend().await;
/// let conversation = client.conversation(bob);
/// let id = conversation.send_text("I quit!").await?;
/// assert_eq!(client.outbox().await?[0].state, MessageState::Queued);
/// conversation.cancel(id).await?;
/// assert!(client.outbox().await?.is_empty());
/// assert_eq!(conversation.cancel(id).await.unwrap_err().code(), "TooLate");
/// assert_eq!(conversation.resend(id).await.unwrap_err().code(), "NothingToResend");
/// # client.shutdown().await;
/// # stage.strike().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Conversation<'a> {
    shared: &'a Shared,
    peer: PrimaryKey,
}

impl<'a> Conversation<'a> {
    pub(crate) fn new(shared: &'a Shared, peer: PrimaryKey) -> Self {
        Self { shared, peer }
    }

    /// Accepts a text for sending. When this returns it is on disk, and will be sent now or when the network is back.
    ///
    /// A call that is dropped before it returns may have been accepted all the same.
    ///
    /// # Errors
    /// [`SendError`]; `TooLarge` for a text above 48 KiB: send it as a file.
    pub async fn send_text(&self, text: &str) -> Result<MessageId, SendError> {
        self.send(Content::Text(text.to_owned())).await
    }

    async fn send(&self, content: Content) -> Result<MessageId, SendError> {
        self.check_own_standing()?;
        let draft = self.draft(content);
        let id = draft.id;
        self.shared.store.queue_message(draft).await?;
        Ok(id)
    }

    /// Checks that this installation may still write.
    fn check_own_standing(&self) -> Result<(), SendError> {
        self.shared.own.now().refusal().map_or(Ok(()), Err)
    }

    /// Writes down a message that is ready to be queued.
    pub(crate) fn draft(&self, content: Content) -> Draft {
        let shared = self.shared;
        Draft {
            recipient: self.peer,
            own: shared.primary(),
            own_handle: shared.handle.clone(),
            install: shared.install,
            id: MessageId(rand::random()),
            nats_msg_id: rand::random(),
            sent_at_ms: shared.home_now_ms(),
            content,
            at_once: shared.link.is_online(),
        }
    }

    /// Takes back a message that was not sent yet.
    ///
    /// # Errors
    /// [`SendError::TooLate`] if the broker may have it already: what was sent can't be unsent.
    pub async fn cancel(&self, id: MessageId) -> Result<(), SendError> {
        match self.shared.store.cancel(self.shared.primary(), self.peer, id).await? {
            true => Ok(()),
            false => Err(SendError::TooLate(id)),
        }
    }

    /// Sends a message again that was sent and not confirmed. However often it arrives, it is shown once.
    ///
    /// # Errors
    /// [`SendError::NothingToResend`] if it is queued, or has arrived.
    pub async fn resend(&self, id: MessageId) -> Result<(), SendError> {
        match self.shared.store.resend(self.shared.primary(), self.peer, id).await? {
            true => Ok(()),
            false => Err(SendError::NothingToResend(id)),
        }
    }

    /// Checks that what is sent to the contact can reach them and nobody else.
    #[cfg(feature = "files")]
    pub(crate) async fn check_sendable(&self) -> Result<(), SendError> {
        self.check_own_standing()?;
        let contact = self.shared.store.contact(self.peer).await?.ok_or(SendError::NotAContact(self.peer.into()))?;
        check_sendable(contact, self.shared.handle.home()).map(drop)
    }
}

/// Checks that what is sent to a contact can reach them and nobody else.
pub(crate) fn check_sendable(contact: ContactRow, own_home: &Home) -> Result<ContactRow, SendError> {
    let to = || contact.handle.as_ref().map_or_else(|| contact.owner.to_string(), |handle| format!("@{handle}"));
    if let Some(trouble) = contact.trouble.clone() {
        return Err(SendError::Stopped { to: to(), trouble });
    }
    if contact.retired {
        return Err(SendError::Retired { to: to() });
    }
    match &contact.inbox_home {
        None => Err(SendError::NoInbox { to: to() }),
        Some(home) if home != own_home => Err(SendError::ForeignHome { to: to(), home: home.to_string() }),
        Some(_) => Ok(contact),
    }
}
