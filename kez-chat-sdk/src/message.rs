//! Messages as a conversation shows them.

use std::fmt;

use kez_core::{
    identity::PrimaryKey,
    payload::{self, MessageId},
};
use serde::{Deserialize, Serialize};

use crate::{
    clock::Clock,
    event::{MessageState, ShareId, SharedFile},
    keys,
};

/// Makes a name for a message, to [send](crate::Conversation::send_text_as) it under. It needs no account: a process can make it
/// that leaves the sending to another one.
///
/// ```
/// use kez_chat_sdk::{new_message_id, payload::MessageId};
///
/// let id = new_message_id();
/// assert_eq!(id.to_string().parse::<MessageId>()?, id, "as 32 hex digits");
/// assert_ne!(new_message_id(), id);
/// # Ok::<(), kez_chat_sdk::payload::PayloadError>(())
/// ```
#[must_use]
pub fn new_message_id() -> MessageId {
    new_id(Clock::system().now_ms())
}

/// Makes a name for a message of ours: the time, then 10 random bytes. Rows of one time lie together then, in this database
/// and in the recipient's, so that a commit writes few pages.
pub(crate) fn new_id(sent_at_ms: u64) -> MessageId {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&sent_at_ms.to_be_bytes()[2..]);
    id[6..].copy_from_slice(&rand::random::<[u8; 10]>());
    MessageId(id)
}

/// Names a message within a conversation: whose it is, and the name that its author gave it.
///
/// ```
/// use kez_chat_sdk::{MessageRef, identity::SecretKey, payload::MessageId};
///
/// let theirs = MessageRef { author: SecretKey::from_seed([7; 32]).primary(), id: MessageId([1; 16]) };
/// let json = serde_json::to_string(&theirs)?;
/// assert_eq!(serde_json::from_str::<MessageRef>(&json)?, theirs);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MessageRef {
    /// Who wrote it.
    #[serde(deserialize_with = "keys::deserialize")]
    pub author: PrimaryKey,
    /// Its name.
    pub id: MessageId,
}

impl From<MessageRef> for payload::MessageRef {
    fn from(message: MessageRef) -> Self {
        Self { author: *message.author.as_bytes(), id: message.id }
    }
}

/// Where a message stands in its conversation: later ones have higher places.
///
/// ```
/// use kez_chat_sdk::Place;
///
/// assert!(Place::new(1) < Place::new(2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "u64")]
pub struct Place(pub(crate) u64);

impl Place {
    /// After all messages.
    pub const END: Self = Self(i64::MAX.unsigned_abs());

    /// Takes the number that was kept by an application.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(number).min(Self::END)
    }

    /// Returns its number, from 1.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

impl From<u64> for Place {
    fn from(number: u64) -> Self {
        Self::new(number)
    }
}

/// A message of a conversation as it is now, with what was said about it later.
///
/// Texts in it are others' words: make them safe before they are shown. `Debug` shows none.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Message {
    /// Where it stands in its conversation.
    pub place: Place,
    /// Who wrote it, and its name.
    #[serde(flatten)]
    pub name: MessageRef,
    /// Whether we wrote it.
    pub is_own: bool,
    /// When its author says they sent it, in milliseconds since 1970.
    pub sent_at_ms: u64,
    /// When it came to be here, by the home's clock, in milliseconds since 1970.
    pub stored_at_ms: u64,
    /// What it says.
    pub content: MessageContent,
    /// The message of this conversation that it answers.
    pub reply_to: Option<MessageRef>,
    /// What was put on it, oldest first; one for each person.
    pub reactions: Vec<Reaction>,
    /// Whether something was wrong with its sender when it came, or they had left for good: it may be by somebody else who
    /// has their key.
    pub in_doubt: bool,
    /// How far it came, if it is our own.
    pub state: Option<MessageState>,
}

/// What a message says.
///
/// ```
/// use kez_chat_sdk::MessageContent;
///
/// fn line(content: &MessageContent) -> String {
///     match content {
///         MessageContent::Text { text, edited: false } => text.clone(),
///         MessageContent::Text { text, edited: true } => format!("{text} (edited)"),
///         MessageContent::Files { files, .. } => format!("{} files", files.len()),
///         MessageContent::Deleted => "deleted".to_owned(),
///         _ => "something that this version does not show".to_owned(),
///     }
/// }
/// assert_eq!(line(&MessageContent::Text { text: "hello".into(), edited: true }), "hello (edited)");
/// ```
#[derive(Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum MessageContent {
    /// A text.
    Text {
        /// The text, as it was edited last.
        text: String,
        /// Whether its author has changed it.
        edited: bool,
    },
    /// Files that its author holds ready.
    Files {
        /// What to fetch them by; `None` for our own.
        share_id: Option<ShareId>,
        /// The files.
        files: Vec<SharedFile>,
    },
    /// Its author has taken it back. What it said is gone.
    Deleted,
    /// Something that this version does not show.
    Unsupported {
        /// The kind's number.
        kind: u64,
    },
}

impl fmt::Debug for MessageContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { text, edited } => write!(f, "Text({} bytes, redacted, edited: {edited})", text.len()),
            Self::Files { share_id, files } => write!(f, "Files({share_id:?}, {files:?})"),
            Self::Deleted => f.write_str("Deleted"),
            Self::Unsupported { kind } => write!(f, "Unsupported({kind})"),
        }
    }
}

/// What somebody put on a message.
///
/// ```
/// use kez_chat_sdk::{Reaction, identity::SecretKey};
///
/// let reaction = Reaction { by: SecretKey::from_seed([7; 32]).primary(), emoji: "👍".into() };
/// assert!(!format!("{reaction:?}").contains("👍"), "nothing to be read in a log");
/// ```
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Reaction {
    /// Who.
    pub by: PrimaryKey,
    /// An emoji, or another text of at most 32 bytes.
    pub emoji: String,
}

impl fmt::Debug for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reaction(redacted, by {})", self.by)
    }
}
