//! Calls about messages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Peer, files::SharedFile};

/// Accepts a text for sending. It is kept until it is sent.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Send {
    /// The contact: their handle, nickname or key.
    pub(crate) to: String,
    /// The text, of at most 48 KiB.
    pub(crate) text: String,
    /// The message of the conversation that it answers.
    #[serde(default)]
    pub(crate) reply_to: Option<Which>,
    /// The message's name, of 32 hexadecimal digits, if the caller gives it: a call that is made again with the same name
    /// sends nothing twice.
    #[serde(default)]
    pub(crate) id: Option<String>,
    /// For how many seconds the answer waits for the broker to have it; not at all if nothing is said.
    #[serde(default)]
    pub(crate) wait_s: u64,
}

/// Names a message of a conversation: by its place, or by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Which {
    /// Where it stands in the conversation.
    Place(u64),
    /// Its name, of 32 hexadecimal digits.
    Id(String),
}

impl std::str::FromStr for Which {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::Id(text.to_owned()), Self::Place))
    }
}

/// What became of a message.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Sent {
    /// To whom.
    pub(crate) to: Peer,
    /// The message's name.
    pub(crate) id: String,
    /// How far it came until now.
    pub(crate) state: MessageState,
}

/// How far a message of ours came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MessageState {
    /// It is kept here, to be sent when the broker can be reached.
    Queued,
    /// The recipient's inbox is full: it is tried again.
    InboxFull,
    /// The broker has it.
    Sent,
    /// It was sent, and nobody said for days that it arrived.
    Unconfirmed,
    /// The recipient's device has it.
    Delivered,
    /// It was shown to the recipient.
    Read,
    /// It was not sent, and will not be.
    Withdrawn,
}

/// Reads a conversation.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadHistory {
    /// With whom: a handle, nickname or key; the own handle for notes to oneself.
    pub(crate) with: String,
    /// Only what stands before this place.
    #[serde(default)]
    pub(crate) before: Option<u64>,
    /// How many at most: 50 if nothing is said, never more than 1,000.
    #[serde(default)]
    pub(crate) limit: Option<usize>,
}

/// A part of a conversation.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct History {
    /// With whom.
    pub(crate) with: Peer,
    /// Oldest first.
    pub(crate) messages: Vec<Message>,
}

/// A message as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Message {
    /// Where it stands in its conversation, from 1.
    pub(crate) place: u64,
    /// The key of who wrote it.
    pub(crate) author: String,
    /// Its name.
    pub(crate) id: String,
    /// Whether we wrote it.
    pub(crate) is_own: bool,
    /// When its author says they sent it, in milliseconds since 1970.
    pub(crate) sent_at_ms: u64,
    /// When it came to be here, in milliseconds since 1970.
    pub(crate) stored_at_ms: u64,
    /// What it says.
    pub(crate) content: Content,
    /// The message that it answers.
    pub(crate) reply_to: Option<MessageRef>,
    /// What was put on it, oldest first.
    pub(crate) reactions: Vec<Reaction>,
    /// Whether it may be by somebody else who has their key.
    pub(crate) in_doubt: bool,
    /// How far it came, if it is our own.
    pub(crate) state: Option<MessageState>,
}

/// Names a message by who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct MessageRef {
    /// The key of who wrote it.
    pub(crate) author: String,
    /// Its name.
    pub(crate) id: String,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Content {
    /// A text.
    Text {
        /// The text, as it was edited last.
        text: String,
        /// Whether its author has changed it.
        edited: bool,
    },
    /// Files that its author holds ready.
    Files {
        /// What to fetch them by; none for our own.
        share_id: Option<i64>,
        /// The files.
        files: Vec<SharedFile>,
    },
    /// Its author has taken it back.
    Deleted,
    /// Something that this version does not show.
    Unsupported {
        /// The kind's number.
        kind: u64,
    },
}

/// What somebody put on a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Reaction {
    /// Their key.
    pub(crate) by: String,
    /// The emoji.
    pub(crate) emoji: String,
}

/// Lists all conversations.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListConversations {}

/// All conversations.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Conversations {
    /// The one in which something was last added first.
    pub(crate) conversations: Vec<Conversation>,
}

/// A conversation as a list shows it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Conversation {
    /// With whom.
    pub(crate) with: Peer,
    /// The last message that it shows.
    pub(crate) last: Option<Message>,
    /// When something was last added, in milliseconds since 1970; 0 if nothing was.
    pub(crate) last_at_ms: u64,
    /// How many messages of theirs were not read.
    pub(crate) unread: u64,
    /// The place up to which it was read.
    pub(crate) read_place: u64,
    /// What was begun to be written.
    pub(crate) draft: Option<String>,
}

/// Finds messages by their words.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    /// The words; the last may be the beginning of one.
    pub(crate) text: String,
    /// Only in the conversation with them.
    #[serde(default)]
    pub(crate) with: Option<String>,
    /// How many at most: 50 if nothing is said, never more than 1,000.
    #[serde(default)]
    pub(crate) limit: Option<usize>,
}

/// What was found.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Hits {
    /// The last that came or was written first.
    pub(crate) hits: Vec<Hit>,
}

/// A message that was found.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Hit {
    /// With whom the conversation is.
    pub(crate) with: Peer,
    /// The message.
    pub(crate) message: Message,
    /// The part of it that shows why it was found.
    pub(crate) snippet: String,
}

/// Puts an emoji on a message, in place of one's last one.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct React {
    /// With whom the conversation is.
    pub(crate) with: String,
    /// The message.
    pub(crate) message: Which,
    /// The emoji; none takes it back.
    pub(crate) emoji: Option<String>,
    /// For how many seconds the answer waits for the broker to have it; not at all if nothing is said.
    #[serde(default)]
    pub(crate) wait_s: u64,
}

/// Gives a text of one's own another wording.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    /// With whom the conversation is.
    pub(crate) with: String,
    /// The message.
    pub(crate) message: Which,
    /// The new text.
    pub(crate) text: String,
    /// For how many seconds the answer waits for the broker to have it; not at all if nothing is said.
    #[serde(default)]
    pub(crate) wait_s: u64,
}

/// Takes a message of one's own back.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    /// With whom the conversation is.
    pub(crate) with: String,
    /// The message.
    pub(crate) message: Which,
}

/// Says that a conversation was read.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MarkRead {
    /// With whom it is.
    pub(crate) with: String,
    /// Up to which place.
    pub(crate) up_to: u64,
}

/// Keeps what was begun to be written.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetDraft {
    /// With whom the conversation is.
    pub(crate) with: String,
    /// The text; none forgets it.
    pub(crate) text: Option<String>,
}
