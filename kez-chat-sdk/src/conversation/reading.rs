//! What a conversation shows, and what the person notes about it.

use super::Conversation;
use crate::{
    conversations::{ConversationSummary, Conversations},
    message::{Message, MessageRef, Place},
    store::StoreError,
};

/// How many messages a page holds at most.
const MAX_PAGE: usize = 1_000;

/// # Reading
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stage = Stage::set().await;
/// # stage.register("bob").await;
/// # let client = stage.client("alice").await;
/// # let bob = client.contacts().add("@bob").await?.primary;
/// use kez_chat_sdk::{MessageContent, MessageRef};
///
/// let conversation = client.conversation(bob);
/// let id = conversation.send_text("Meet at nine").await?;
/// conversation.edit(id, "Meet at ten").await?;
/// conversation.react(MessageRef { author: client.primary(), id }, Some("👍")).await?;
///
/// // The last page, oldest message first; the page before it begins where this one does.
/// let page = conversation.history(None, 50).await?;
/// assert_eq!(page[0].content, MessageContent::Text { text: "Meet at ten".into(), edited: true });
/// assert_eq!(page[0].reactions[0].emoji, "👍");
/// assert!(conversation.history(Some(page[0].place), 50).await?.is_empty());
/// conversation.mark_read(page[0].place).await?;
/// conversation.set_draft(Some("Or at elev")).await?;
/// conversation.set_archived(true).await?;
/// assert!(conversation.summary().await?.is_archived);
/// # client.shutdown().await;
/// # stage.strike().await;
/// # Ok(())
/// # }
/// ```
impl Conversation<'_> {
    /// Returns up to `limit` messages before a place, or the last ones, in their order; at most 1,000.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn history(&self, before: Option<Place>, limit: usize) -> Result<Vec<Message>, StoreError> {
        let (store, own) = (&self.shared.store, self.shared.primary());
        store.history(own, self.peer, before.unwrap_or(Place::END), limit.min(MAX_PAGE)).await
    }

    /// Returns a message that the conversation shows; `None` if it shows none of that name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn message(&self, name: MessageRef) -> Result<Option<Message>, StoreError> {
        self.shared.store.shown_message(self.shared.primary(), self.peer, name).await
    }

    /// Returns the conversation as a list shows it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn summary(&self) -> Result<ConversationSummary, StoreError> {
        self.shared.store.conversation(self.shared.primary(), self.peer).await
    }

    /// Notes that the person has read up to a place. The other one learns of it, unless [read
    /// receipts](Conversations::set_sends_read_receipts) are turned off.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn mark_read(&self, up_to: Place) -> Result<(), StoreError> {
        let tells = Conversations::new(self.shared).sends_read_receipts().await?;
        self.shared.store.mark_read(self.peer, up_to, tells).await
    }

    /// Notes until when the conversation is to make no noise, in milliseconds since 1970; `u64::MAX` for ever, `None` if
    /// it may. Nothing else changes: applications ask [`summary`](Self::summary) before they ring.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn mute(&self, until_ms: Option<u64>) -> Result<(), StoreError> {
        self.shared.store.set_muted(self.peer, until_ms.unwrap_or(0)).await
    }

    /// Puts the conversation away, or back. A new message brings it back, unless it is muted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_archived(&self, archived: bool) -> Result<(), StoreError> {
        self.shared.store.set_archived(self.peer, archived).await
    }

    /// Keeps what was begun to be written. It is never sent by itself, and sending does not forget it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_draft(&self, text: Option<&str>) -> Result<(), StoreError> {
        self.shared.store.set_draft(self.peer, text.map(str::to_owned)).await
    }
}
