//! Payloads: what a message says, before it is sealed (`docs/PROTOCOL.md` §7).

mod content;
mod decode;
mod encode;
mod error;
mod file_entry;
mod folder;

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    handle::Handle,
    sigchain::{Head, Install},
};

pub use content::{Address, Addresses, Content, FileShare, Presence, PresenceState, ReceiptStatus, UnsupportedReason};
pub use error::PayloadError;
pub use file_entry::{FileEntry, SharePath};
pub use folder::{FOLDER_MEDIA_TYPE, FolderList, MAX_FOLDER_FILES};

/// The longest text of a message, in bytes of UTF-8.
pub const MAX_TEXT_BYTES: usize = 48 * 1024;
/// The most files in one `file_share`.
pub const MAX_SHARED_FILES: usize = 64;
/// The most message ids in one receipt.
pub const MAX_RECEIPT_IDS: usize = 256;

const VERSION: u8 = 1;

/// A message's name: 16 random bytes, chosen by its sender; 32 hex digits in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub [u8; 16]);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

impl FromStr for MessageId {
    type Err = PayloadError;

    fn from_str(text: &str) -> Result<Self, PayloadError> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(PayloadError::BadField { field: "id" })
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Names a message of either party of a conversation: ids are only unique for each author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageRef {
    /// The author's key, as bytes: it names a row, it is not used as a key.
    pub author: [u8; 32],
    /// The message's name.
    pub id: MessageId,
}

/// Which of the broker's two channels a payload came by; each kind is valid on one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The durable inbox: kinds below 64.
    Inbox,
    /// Presence: kinds from 64.
    Presence,
}

/// Where somebody's chain ended when they, or another, saw it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenHead {
    /// The last event's place.
    pub seq: u64,
    /// The last event's name.
    pub head: Head,
}

/// One message's plaintext.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    /// Its name.
    pub id: MessageId,
    /// The sender's installation.
    pub install: Install,
    /// Counts the sender's stored messages to this recipient, from 1; receipts and presence carry 0.
    pub seq: u64,
    /// When the sender says that they sent it, in milliseconds since 1970.
    pub sent_at_ms: u64,
    /// The sender's handle, if they have one.
    pub from: Option<Handle>,
    /// The recipient's handle, as far as the sender knows one.
    pub to: Option<Handle>,
    /// What it says.
    pub content: Content,
    /// The head of the sender's own chain, when it changed or once a day.
    pub own_head: Option<SeenHead>,
    /// The head of the recipient's chain as the sender saw it.
    pub peer_head: Option<SeenHead>,
    /// The message that this one answers.
    pub reply_to: Option<MessageRef>,
}

impl Payload {
    /// Says whether a message that opened well names somebody else as its recipient (§7; checked last).
    ///
    /// `is_own` tells whether a handle is, or once was, one of the reader's own chain.
    ///
    /// # Errors
    /// [`PayloadError::Misaddressed`]: the message is shown, but not in a conversation.
    pub fn check_addressee(&self, is_own: impl FnOnce(&Handle) -> bool) -> Result<(), PayloadError> {
        match &self.to {
            Some(to) if !is_own(to) => Err(PayloadError::Misaddressed { to: to.to_string() }),
            _ => Ok(()),
        }
    }
}
