//! What happens, as the application hears of it.

use std::{fmt, path::PathBuf};

use kez_core::{
    handle::{Handle, Policy},
    identity::PrimaryKey,
    manifest::EntryId,
    payload::{FileEntry, MessageId},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{account::OwnChainNotice, contacts::Notice, keys, message::MessageRef};

/// Names an event until it is handled. Later events have higher numbers.
///
/// ```
/// use kez_chat_sdk::EventId;
///
/// assert_eq!(EventId::new(3).number(), 3);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId(pub(crate) i64);

impl EventId {
    /// Takes the number that was told to another process.
    #[must_use]
    pub fn new(number: i64) -> Self {
        Self(number)
    }

    /// Returns its number.
    #[must_use]
    pub fn number(self) -> i64 {
        self.0
    }
}

/// An event that was not handled yet. It is given out again after a restart until
/// [`Client::handled`](crate::Client::handled).
#[derive(Clone, Debug)]
pub struct PendingEvent {
    /// What to hand to [`Client::handled`](crate::Client::handled).
    pub id: EventId,
    /// What happened.
    pub event: Event,
}

/// Names somebody's offer of files, on this device only; it is what fetching takes.
///
/// ```
/// use kez_chat_sdk::ShareId;
///
/// assert_eq!(ShareId::new(3).to_string(), "3");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShareId(pub(crate) i64);

impl ShareId {
    /// Takes the number that was shown to a person.
    #[must_use]
    pub fn new(number: i64) -> Self {
        Self(number)
    }

    /// Returns its number.
    #[must_use]
    pub fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for ShareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names a download, on this device only.
///
/// ```
/// use kez_chat_sdk::DownloadId;
///
/// assert_eq!(DownloadId::new(3).to_string(), "3");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DownloadId(pub(crate) i64);

impl DownloadId {
    /// Takes the number that was shown to a person.
    #[must_use]
    pub fn new(number: i64) -> Self {
        Self(number)
    }

    /// Returns its number.
    #[must_use]
    pub fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for DownloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What told us of downloaded files.
///
/// ```
/// use kez_chat_sdk::{DownloadOrigin, ShareId};
///
/// // As bots and other processes read it.
/// assert_eq!(serde_json::to_value(DownloadOrigin::Offer(ShareId::new(3)))?["offer"], 3);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DownloadOrigin {
    /// Somebody's offer.
    Offer(ShareId),
    /// An entry of what somebody publishes.
    Published(EntryId),
}

/// Somebody else: their key, which is who they are, and the handle that they go by.
///
/// ```
/// use kez_chat_sdk::{Peer, identity::SecretKey};
///
/// let peer = Peer { primary: SecretKey::from_seed([7; 32]).primary(), handle: None };
/// assert_eq!(peer.to_string(), peer.primary.to_string(), "who has no handle goes by their key");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Their key.
    #[serde(deserialize_with = "keys::deserialize")]
    pub primary: PrimaryKey,
    /// Their handle, as checked when they were added.
    #[serde(with = "qualified")]
    pub handle: Option<Handle>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.handle {
            Some(handle) => write!(f, "@{handle}"),
            None => self.primary.fmt(f),
        }
    }
}

/// A file as it was offered. The name is the sender's word: make it safe before it is shown.
///
/// ```
/// use kez_chat_sdk::SharedFile;
///
/// let file = SharedFile { path: "secret plan.pdf".into(), media_type: String::new(), size_bytes: 12 };
/// assert_eq!(format!("{file:?}"), "SharedFile(redacted, 12 bytes)", "nothing to be read in a log");
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedFile {
    /// Its relative path.
    pub path: String,
    /// Its media type, or empty.
    pub media_type: String,
    /// Its length in bytes.
    pub size_bytes: u64,
}

impl SharedFile {
    pub(crate) fn of(entry: &FileEntry) -> Self {
        Self { path: entry.path.to_string(), media_type: entry.media_type.clone(), size_bytes: entry.plain_len }
    }
}

impl fmt::Debug for SharedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedFile(redacted, {} bytes)", self.size_bytes)
    }
}

/// How far a message of ours came (`docs/PROTOCOL.md` §8). It rises, but for a message that is
/// [sent again](crate::Conversation::resend).
///
/// ```
/// use kez_chat_sdk::MessageState;
///
/// assert!(MessageState::Queued < MessageState::Sent && MessageState::Sent < MessageState::Delivered);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MessageState {
    /// It is stored here, to be sent when the broker can be reached.
    Queued,
    /// The recipient's inbox holds all that it may of our messages: it is tried again, ever more seldom.
    InboxFull,
    /// The broker has it.
    Sent,
    /// It was sent four times in as many days, and nobody said that it arrived. It is kept, and can be
    /// [sent again](crate::Conversation::resend) by hand.
    Unconfirmed,
    /// The recipient's device has it.
    Delivered,
    /// It was shown to the recipient.
    Read,
    /// It was never sent: it was [cancelled](crate::Conversation::cancel), or the recipient was removed from the
    /// contacts before.
    Withdrawn,
}

impl MessageState {
    const STORED: [(Self, i64); 7] = [
        (Self::Queued, 0),
        (Self::InboxFull, 5),
        (Self::Sent, 10),
        (Self::Unconfirmed, 15),
        (Self::Delivered, 20),
        (Self::Read, 30),
        (Self::Withdrawn, 40),
    ];

    /// Returns the number that stands for it in the database; they rise as the states do.
    pub(crate) fn to_stored(self) -> i64 {
        Self::STORED.iter().find(|(state, _)| *state == self).map_or(0, |(_, number)| *number)
    }

    pub(crate) fn from_stored(number: i64) -> Self {
        Self::STORED.iter().find(|(_, stored)| *stored == number).map_or(Self::Queued, |(state, _)| *state)
    }
}

/// Where an event stands in the sequence of its sender's messages to us.
///
/// ```
/// use kez_chat_sdk::Order;
///
/// fn remark(order: Order) -> Option<String> {
///     match order {
///         Order::AfterGap { missing } => Some(format!("{missing} earlier messages have not arrived")),
///         Order::Late => Some("this one is late".to_owned()),
///         _ => None,
///     }
/// }
/// assert_eq!(remark(Order::AfterGap { missing: 2 }).unwrap(), "2 earlier messages have not arrived");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Order {
    /// It follows the one before.
    #[default]
    InOrder,
    /// Messages before it have not arrived. It has waited for them.
    AfterGap {
        /// How many.
        missing: u64,
    },
    /// It was missing, and others that follow it were given out meanwhile.
    Late,
}

/// Something that happened. Texts in it are others' words: make them safe before they are shown. `Debug` shows no texts.
///
/// ```
/// use kez_chat_sdk::{Event, MessageState, Peer, identity::SecretKey, payload::MessageId};
///
/// let to = Peer { primary: SecretKey::from_seed([7; 32]).primary(), handle: None };
/// let event = Event::MessageState { to, id: MessageId([1; 16]), state: MessageState::Delivered };
/// // As bots and other processes read it.
/// assert_eq!(serde_json::to_value(&event)?["kind"], "message_state");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A contact wrote.
    Message {
        /// Who.
        from: Peer,
        /// The message's name.
        id: MessageId,
        /// When they say they sent it, in milliseconds since 1970.
        sent_at_ms: u64,
        /// What.
        text: String,
        /// The message of the conversation that it answers.
        #[serde(default)]
        reply_to: Option<MessageRef>,
        /// Whether messages before it are missing.
        #[serde(default)]
        order: Order,
        /// Whether it was written before this installation was made: it is history, and no reason to ring.
        #[serde(default)]
        earlier: bool,
        /// Whether something was wrong with its sender when it came, or they had left for good: see
        /// [`Contact::trouble`](crate::Contact) and `docs/PROTOCOL.md` §4. It may be by somebody else who has their key.
        #[serde(default)]
        in_doubt: bool,
    },
    /// A contact wrote to a handle that is none of ours, now or ever. It is no part of the conversation with them.
    Misaddressed {
        /// Who.
        from: Peer,
        /// The message's name.
        id: MessageId,
        /// To whom they thought they wrote.
        #[serde(with = "qualified")]
        to: Option<Handle>,
        /// When they say they sent it, in milliseconds since 1970.
        sent_at_ms: u64,
        /// What, if it is a text.
        text: Option<String>,
    },
    /// A contact holds files ready. Nothing is downloaded until it is asked for.
    FileShared {
        /// Who.
        from: Peer,
        /// What to fetch it by.
        share_id: ShareId,
        /// When they say they sent it, in milliseconds since 1970.
        sent_at_ms: u64,
        /// What.
        files: Vec<SharedFile>,
        /// Whether messages before it are missing.
        #[serde(default)]
        order: Order,
        /// Whether it was written before this installation was made.
        #[serde(default)]
        earlier: bool,
        /// Whether something was wrong with its sender when it came, as of a message.
        #[serde(default)]
        in_doubt: bool,
    },
    /// Somebody who is no contact wrote. Their message waits here until they are added.
    Request {
        /// Who, by key alone.
        from: Peer,
        /// Who they say they are. The [request](crate::Request) tells whether it is true, once that is known.
        #[serde(with = "qualified")]
        claimed_handle: Option<Handle>,
        /// When they say they sent it, in milliseconds since 1970.
        sent_at_ms: u64,
    },
    /// A message of our own came further.
    MessageState {
        /// To whom.
        to: Peer,
        /// The message's name.
        id: MessageId,
        /// How far.
        state: MessageState,
    },
    /// A contact sent something that this version does not show.
    Unsupported {
        /// Who.
        from: Peer,
        /// The kind's number.
        #[serde(rename = "message_kind")]
        kind: u64,
        /// When they say they sent it, in milliseconds since 1970.
        sent_at_ms: u64,
        /// Whether messages before it are missing.
        #[serde(default)]
        order: Order,
        /// Whether it was written before this installation was made.
        #[serde(default)]
        earlier: bool,
        /// Whether something was wrong with its sender when it came, as of a message.
        #[serde(default)]
        in_doubt: bool,
    },
    /// A contact has given a message another wording.
    Edited {
        /// Who.
        from: Peer,
        /// The message's name.
        id: MessageId,
        /// When they say they changed it, in milliseconds since 1970.
        sent_at_ms: u64,
        /// What it says now.
        text: String,
        /// Whether something was wrong with its sender when it came, as of a message.
        #[serde(default)]
        in_doubt: bool,
    },
    /// A contact has taken a message back. What it said is gone from here.
    Deleted {
        /// Who.
        from: Peer,
        /// The message's name.
        id: MessageId,
    },
    /// A contact has put an emoji on a message of the conversation.
    Reaction {
        /// Who.
        from: Peer,
        /// The message.
        to: MessageRef,
        /// When they say they did, in milliseconds since 1970.
        sent_at_ms: u64,
        /// What; `None` if they have taken it back.
        emoji: Option<String>,
    },
    /// What is known of a contact has changed.
    Contact {
        /// Who.
        who: Peer,
        /// What.
        notice: Notice,
    },
    /// Something about our own sigchain that the person should know.
    OwnChain {
        /// What.
        notice: OwnChainNotice,
    },
    /// A download is done that nobody waited for.
    Downloaded {
        /// Its name.
        id: DownloadId,
        /// What told us of the files.
        origin: DownloadOrigin,
        /// Who had them.
        from: Peer,
        /// Where they are: one path for each file of the offer, that of the folder where it is a folder.
        paths: Vec<PathBuf>,
    },
    /// A download has failed for good that nobody waited for.
    DownloadFailed {
        /// Its name.
        id: DownloadId,
        /// What told us of the files.
        origin: DownloadOrigin,
        /// Who has them.
        from: Peer,
        /// The error's stable name.
        code: String,
        /// What happened, and what to do.
        message: String,
    },
    /// Something that a later version of the application kept here.
    Unreadable,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { from, id, text, order, earlier, .. } => {
                write!(f, "Message({id} from {from}, {} bytes, {order:?}, earlier: {earlier})", text.len())
            }
            Self::Misaddressed { from, id, .. } => write!(f, "Misaddressed({id} from {from})"),
            Self::FileShared { from, share_id, files, order, earlier, .. } => {
                write!(f, "FileShared({share_id} from {from}, {files:?}, {order:?}, earlier: {earlier})")
            }
            Self::Request { from, .. } => write!(f, "Request(from {from})"),
            Self::MessageState { to, id, state } => write!(f, "MessageState({id} to {to}, {state:?})"),
            Self::Unsupported { from, kind, order, .. } => {
                write!(f, "Unsupported(kind {kind} from {from}, {order:?})")
            }
            Self::Edited { from, id, text, .. } => write!(f, "Edited({id} from {from}, {} bytes)", text.len()),
            Self::Deleted { from, id } => write!(f, "Deleted({id} from {from})"),
            Self::Reaction { from, to, .. } => write!(f, "Reaction(redacted, from {from} to {})", to.id),
            Self::Contact { who, notice } => write!(f, "Contact({who}, {notice:?})"),
            Self::OwnChain { notice } => write!(f, "OwnChain({notice:?})"),
            Self::Downloaded { id, from, paths, .. } => {
                write!(f, "Downloaded({id} from {from}, {} paths)", paths.len())
            }
            Self::DownloadFailed { id, from, code, .. } => write!(f, "DownloadFailed({id} from {from}, {code})"),
            Self::Unreadable => f.write_str("Unreadable"),
        }
    }
}

/// Handles in JSON: `name@home`, or null.
pub(crate) mod qualified {
    use super::{Deserialize, Deserializer, Handle, Policy, Serialize, Serializer};

    #[allow(clippy::ref_option, reason = "the shape that serde asks for")]
    pub(crate) fn serialize<S: Serializer>(handle: &Option<Handle>, serializer: S) -> Result<S::Ok, S::Error> {
        handle.as_ref().map(Handle::to_string).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Handle>, D::Error> {
        // What is stored passed the rules that held when it came in.
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| Handle::from_qualified(&text, Policy::Development))
            .transpose()
            .map_err(serde::de::Error::custom)
    }

    /// Where there must be one.
    pub(crate) mod one {
        use super::{Deserializer, Handle, Serializer};

        pub(crate) fn serialize<S: Serializer>(handle: &Handle, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(handle)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Handle, D::Error> {
            super::deserialize(deserializer)?.ok_or_else(|| serde::de::Error::custom("no handle"))
        }
    }
}
