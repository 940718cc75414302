//! A message as the screen holds it.

use kez_chat_sdk::{MessageRef, MessageState, Place, ShareId, SharedFile};

/// A message as it is now. What others wrote in it is made safe where it becomes [rows](super::rows), and nowhere else.
#[derive(Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    pub(crate) name: MessageRef,
    pub(crate) is_own: bool,
    /// When its author says they sent it.
    pub(crate) sent_at_ms: u64,
    /// When it came to be here, by the home's clock.
    pub(crate) stored_at_ms: u64,
    pub(crate) content: Content,
    pub(crate) reply_to: Option<MessageRef>,
    /// What was put on it; whether by us, and what.
    pub(crate) reactions: Vec<(bool, String)>,
    pub(crate) in_doubt: bool,
    /// How far it came, if it is our own and goes anywhere.
    pub(crate) state: Option<MessageState>,
}

/// What a message says.
#[derive(Clone, PartialEq)]
pub(crate) enum Content {
    Text { text: String, edited: bool },
    Files { share_id: Option<ShareId>, files: Vec<SharedFile> },
    Deleted,
    Unsupported,
}

impl Entry {
    /// Returns about how many bytes of memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let content = match &self.content {
            Content::Text { text, .. } => text.len(),
            Content::Files { files, .. } => {
                files.iter().map(|file| file.path.len() + file.media_type.len() + size_of::<SharedFile>()).sum()
            }
            Content::Deleted | Content::Unsupported => 0,
        };
        let reactions: usize = self.reactions.iter().map(|(_, emoji)| emoji.len() + size_of::<String>()).sum();
        size_of::<Self>() + content + reactions
    }

    /// Returns its text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text { text, .. } => Some(text),
            _ => None,
        }
    }
}
