//! Speaking with one contact, and what was said.

mod error;
mod keeping;
mod reading;

use kez_core::{
    identity::PrimaryKey,
    payload::{Content, MessageId},
};

pub use error::SendError;
pub(crate) use error::check_sendable;

use crate::{
    event::{MessageState, Peer},
    message::{MessageRef, new_id},
    shared::Shared,
    store::Draft,
};

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

/// A handle on the conversation with one contact, or with [ourselves](crate::Client::primary): notes to oneself are kept
/// on this device and sent nowhere.
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
        self.send(Content::Text(text.to_owned()), None).await
    }

    /// Accepts a text that answers a message of this conversation.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text); [`SendError::NoSuchMessage`] if the conversation does not show that message.
    pub async fn reply(&self, to: MessageRef, text: &str) -> Result<MessageId, SendError> {
        self.send(Content::Text(text.to_owned()), Some(to)).await
    }

    /// Accepts a text for sending under a [name](crate::new_message_id) of the caller's, and does so once: if a text of ours to
    /// this contact has that name, it was accepted before, and nothing is sent, also if it was edited, cancelled or deleted
    /// since. So a call whose answer was lost can be repeated.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let stage = Stage::set().await;
    /// # let client = stage.client("alice").await;
    /// use kez_chat_sdk::new_message_id;
    ///
    /// let (notes, id) = (client.conversation(client.primary()), new_message_id());
    /// notes.send_text_as(id, "milk, bread").await?;
    /// // Whoever asked was not told, and asks again.
    /// notes.send_text_as(id, "milk, bread").await?;
    /// assert_eq!(notes.history(None, 50).await?.len(), 1);
    /// # client.shutdown().await;
    /// # stage.strike().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text); [`SendError::NameTaken`] if something else of ours has the name.
    pub async fn send_text_as(&self, id: MessageId, text: &str) -> Result<(), SendError> {
        self.send_once(id, text, None).await
    }

    /// Accepts a text that answers a message of this conversation, under a name, [once](Self::send_text_as).
    ///
    /// # Errors
    /// As [`reply`](Self::reply) and [`send_text_as`](Self::send_text_as).
    pub async fn reply_as(&self, id: MessageId, to: MessageRef, text: &str) -> Result<(), SendError> {
        self.send_once(id, text, Some(to)).await
    }

    /// Gives a text of ours another wording, here and at the recipient's. Returns the name of the change, by which it can
    /// be [waited for](crate::Client::wait_until).
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text); [`SendError::NoSuchMessage`] if it is no text of ours that the conversation
    /// shows.
    pub async fn edit(&self, id: MessageId, text: &str) -> Result<MessageId, SendError> {
        self.send(Content::Edit { id, text: text.to_owned() }, None).await
    }

    /// Puts an emoji on a message, in place of the one that we put there before; `None` takes it back.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text); `TooLarge` for more than 32 bytes, [`SendError::NoSuchMessage`] if the
    /// conversation does not show that message.
    pub async fn react(&self, to: MessageRef, emoji: Option<&str>) -> Result<MessageId, SendError> {
        self.send(Content::Reaction { target: to.into(), emoji: emoji.unwrap_or_default().to_owned() }, None).await
    }

    /// Takes a message of ours back: what it said is erased here, and the recipient's device is asked to erase it too. One
    /// that was not sent yet is [cancelled](Self::cancel). Files that it offered are not served to them any more.
    ///
    /// # Errors
    /// [`SendError::NoSuchMessage`] if it is no message of ours that the conversation shows.
    pub async fn delete(&self, id: MessageId) -> Result<(), SendError> {
        self.check_own_standing()?;
        let blobs = self.shared.store.delete_own(self.draft(Content::Delete { id }), id).await?;
        self.shared.stop_serving(self.peer, blobs).await;
        Ok(())
    }

    async fn send(&self, content: Content, reply_to: Option<MessageRef>) -> Result<MessageId, SendError> {
        self.check_own_standing()?;
        let draft = Draft { reply_to, ..self.draft(content) };
        let id = draft.id;
        self.shared.store.queue_message(draft).await?;
        Ok(id)
    }

    async fn send_once(&self, id: MessageId, text: &str, reply_to: Option<MessageRef>) -> Result<(), SendError> {
        let draft = Draft { id, reply_to, ..self.draft(Content::Text(text.to_owned())) };
        // What was accepted stays so, whatever has become of the account since.
        self.shared.store.queue_once(draft, self.shared.own.now().refusal()).await
    }

    /// Checks that this installation may still write.
    fn check_own_standing(&self) -> Result<(), SendError> {
        self.shared.own.now().refusal().map_or(Ok(()), Err)
    }

    /// Writes down a message that is ready to be queued.
    pub(crate) fn draft(&self, content: Content) -> Draft {
        let shared = self.shared;
        let sent_at_ms = shared.home_now_ms();
        Draft {
            recipient: self.peer,
            own: shared.primary(),
            own_handle: shared.handle.clone(),
            install: shared.install,
            id: new_id(sent_at_ms),
            nats_msg_id: rand::random(),
            sent_at_ms,
            content,
            reply_to: None,
            at_once: shared.link.is_online(),
        }
    }

    /// Takes back a message that was not sent yet. An edit or a reaction is made good by another one.
    ///
    /// # Errors
    /// [`SendError::TooLate`] if the broker may have it already: what was sent can't be unsent.
    pub async fn cancel(&self, id: MessageId) -> Result<(), SendError> {
        let cancelled = self.shared.store.cancel(self.shared.primary(), self.peer, id).await?;
        self.shared.stop_serving(self.peer, cancelled.ok_or(SendError::TooLate(id))?).await;
        Ok(())
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
