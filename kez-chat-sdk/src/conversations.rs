//! All conversations, as a list shows them.

use serde::Serialize;

use crate::{
    event::Peer,
    message::{Message, Place},
    shared::Shared,
    store::StoreError,
};

/// What read receipts are kept under among the person's choices.
const READ_RECEIPTS: &str = "read_receipts";

/// A conversation as a list shows it. `Debug` shows no texts.
#[derive(Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConversationSummary {
    /// With whom: a contact, somebody who was one, or ourselves.
    pub with: Peer,
    /// The last message that it shows.
    pub last: Option<Message>,
    /// When something was last added, by the home's clock, in milliseconds since 1970; 0 if nothing was.
    pub last_at_ms: u64,
    /// How many messages of theirs were not [read](crate::Conversation::mark_read).
    pub unread: u64,
    /// Up to where it was read.
    pub read_place: Place,
    /// Until when it is to make no noise, in milliseconds since 1970, if so.
    pub muted_until_ms: Option<u64>,
    /// Whether the person has put it away.
    pub is_archived: bool,
    /// What was begun to be written.
    pub draft: Option<String>,
}

impl std::fmt::Debug for ConversationSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ConversationSummary(with {}, {} unread, last: {:?})", self.with, self.unread, self.last)
    }
}

/// A handle on all conversations.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stage = Stage::set().await;
/// # stage.register("bob").await;
/// # let client = stage.client("alice").await;
/// # let bob = client.contacts().add("@bob").await?.primary;
/// client.conversation(bob).send_text("hello").await?;
/// // Notes to oneself are a conversation too, which stays on this device.
/// client.conversation(client.primary()).send_text("milk, bread").await?;
/// for conversation in client.conversations().list().await? {
///     println!("{}: {} unread, {:?}", conversation.with, conversation.unread, conversation.last);
/// }
/// # assert_eq!(client.conversations().list().await?.len(), 2);
/// # client.shutdown().await;
/// # stage.strike().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Conversations<'a> {
    shared: &'a Shared,
}

impl<'a> Conversations<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared }
    }

    /// Lists the conversations, the one in which something was last added first; also those that were archived.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self) -> Result<Vec<ConversationSummary>, StoreError> {
        self.shared.store.conversations(self.shared.primary()).await
    }

    /// Tells whether people learn that we have read what they wrote. They do unless it was turned off.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sends_read_receipts(&self) -> Result<bool, StoreError> {
        Ok(self.shared.store.setting(READ_RECEIPTS).await?.is_none_or(|value| value != "off"))
    }

    /// Chooses whether people learn from now on that we have read what they wrote. That it was delivered they always
    /// learn.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_sends_read_receipts(&self, sends: bool) -> Result<(), StoreError> {
        self.shared.store.set_setting(READ_RECEIPTS, if sends { "on" } else { "off" }.to_owned()).await
    }
}
