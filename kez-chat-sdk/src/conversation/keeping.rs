//! How long a conversation is kept.

use super::Conversation;
use crate::{message::Place, retention::Retention, store::StoreError};

/// # Keeping
impl Conversation<'_> {
    /// Erases what the conversation shows, on this device alone and for good. What has not arrived at the other one yet
    /// stays, and so do draft and settings.
    ///
    /// It may be dropped: what was not erased then is still there.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let stage = Stage::set().await;
    /// # let client = stage.client("alice").await;
    /// let notes = client.conversation(client.primary());
    /// notes.send_text("milk, bread").await?;
    /// notes.clear().await?;
    /// assert!(notes.history(None, 50).await?.is_empty());
    /// # client.shutdown().await;
    /// # stage.strike().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn clear(&self) -> Result<(), StoreError> {
        // What comes while this goes on is not meant.
        let last = self.history(None, 1).await?.pop();
        let last = last.map_or(Place::new(0), |message| message.place);
        while self.shared.store.erase_up_to(self.peer, last).await? {}
        Ok(())
    }

    /// Returns this conversation's own rule, if it has one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn retention(&self) -> Result<Option<Retention>, StoreError> {
        self.shared.store.conversation_retention(self.peer).await
    }

    /// Sets how long this conversation's messages are kept; `None` for [as all others](crate::Client::set_retention).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_retention(&self, retention: Option<Retention>) -> Result<(), StoreError> {
        self.shared.store.set_conversation_retention(self.peer, retention).await
    }
}
