//! Speaking with one contact.

use kez_core::{
    envelope::MAX_PADDED_BYTES,
    identity::PrimaryKey,
    payload::{Content, MessageId, Payload, PayloadError},
};
use thiserror::Error;

use crate::{
    shared::Shared,
    store::{ContactRow, Outgoing, StoreError},
};

/// Says why a message was not accepted for sending.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The recipient is not a contact.
    #[error("{0} is not a contact; add them first")]
    NotAContact(PrimaryKey),
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
            Self::SignedInElsewhere => "SignedInElsewhere",
            Self::YouRetired => "YouRetired",
            Self::Payload(error) => error.code().as_str(),
            Self::Store(error) => error.code(),
        }
    }
}

/// A handle on the conversation with one contact.
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
        let outgoing = self.compose(content).await?;
        let id = outgoing.payload.id;
        self.shared.store.queue_message(outgoing).await?;
        Ok(id)
    }

    /// Writes a message that is ready to be queued.
    pub(crate) async fn compose(&self, content: Content) -> Result<Outgoing, SendError> {
        if let Some(refusal) = self.shared.own.now().refusal() {
            return Err(refusal);
        }
        let contact = self.reachable_contact().await?;
        let payload = Payload {
            id: MessageId(rand::random()),
            install: self.shared.install,
            // A stand-in that shows whether the payload can be written; the store counts.
            seq: 1,
            sent_at_ms: self.shared.home_now_ms(),
            from: Some(self.shared.handle.clone()),
            to: contact.handle,
            content,
            own_head: None,
            peer_head: None,
            reply_to: None,
        };
        // The sequence number that the store gives may take a few bytes more than the stand-in.
        if payload.encode()?.len() + 8 > MAX_PADDED_BYTES {
            return Err(PayloadError::TooLarge { field: "message" }.into());
        }
        Ok(Outgoing { recipient: self.peer, own: self.shared.primary(), payload, nats_msg_id: rand::random() })
    }

    /// Finds the contact, and checks that what is sent to them can reach them and nobody else.
    pub(crate) async fn reachable_contact(&self) -> Result<ContactRow, SendError> {
        let contact = self.shared.store.contact(self.peer).await?.ok_or(SendError::NotAContact(self.peer))?;
        let to = contact.handle.as_ref().map_or_else(|| self.peer.to_string(), |handle| format!("@{handle}"));
        if let Some(trouble) = contact.trouble {
            return Err(SendError::Stopped { to, trouble });
        }
        if contact.retired {
            return Err(SendError::Retired { to });
        }
        match &contact.inbox_home {
            None => Err(SendError::NoInbox { to }),
            Some(home) if home != self.shared.handle.home() => {
                Err(SendError::ForeignHome { to, home: home.to_string() })
            }
            Some(_) => Ok(contact),
        }
    }
}
