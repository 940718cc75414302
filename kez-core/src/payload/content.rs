//! The kinds of messages.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use super::{FileEntry, MessageId, MessageRef};

/// The most addresses that a message lists.
pub(super) const MAX_ADDRESSES: usize = 16;
/// The longest address, in bytes.
pub(super) const MAX_ADDRESS_BYTES: usize = 1024;
/// The longest time that a presence holds, in seconds.
pub(super) const MAX_PRESENCE_TTL_S: u64 = 600;
/// The longest reaction, in bytes of UTF-8.
pub(super) const MAX_REACTION_BYTES: usize = 32;

/// What a message says, by kind. `Debug` tells the kind and how much it says, not what.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Content {
    /// Kind 1: a text, not empty.
    Text(String),
    /// Kind 2: files that the sender holds ready.
    FileShare(FileShare),
    /// Kind 3: the reader has these messages, or has read them.
    Receipt {
        /// How far they came.
        status: ReceiptStatus,
        /// The messages, 1 to 256.
        ids: Vec<MessageId>,
    },
    /// Kind 4: a message of the sender's own has a new text.
    Edit {
        /// The message.
        id: MessageId,
        /// Its new text, not empty.
        text: String,
    },
    /// Kind 5: a message of the sender's own is taken back.
    Delete {
        /// The message.
        id: MessageId,
    },
    /// Kind 6: an emoji on a message of this conversation; an empty one takes it back.
    Reaction {
        /// The message.
        target: MessageRef,
        /// The emoji, at most 32 bytes.
        emoji: String,
    },
    /// Kind 64: the sender is, or is no longer, there.
    Presence(Presence),
    /// The message is well formed, but says something that this version does not know.
    Unsupported(UnsupportedReason),
}

impl Content {
    /// Returns the kind's number.
    #[must_use]
    pub fn kind(&self) -> u64 {
        match self {
            Self::Text(_) => 1,
            Self::FileShare(_) => 2,
            Self::Receipt { .. } => 3,
            Self::Edit { .. } => 4,
            Self::Delete { .. } => 5,
            Self::Reaction { .. } => 6,
            Self::Presence(_) => 64,
            Self::Unsupported(UnsupportedReason::Kind(kind) | UnsupportedReason::Extension { kind, .. }) => *kind,
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes, redacted)", text.len()),
            Self::FileShare(share) => write!(f, "FileShare({} files, redacted)", share.entries.len()),
            Self::Receipt { status, ids } => write!(f, "Receipt({status:?}, {} messages)", ids.len()),
            Self::Edit { id, text } => write!(f, "Edit({id}, {} bytes, redacted)", text.len()),
            Self::Delete { id } => write!(f, "Delete({id})"),
            Self::Reaction { target, .. } => write!(f, "Reaction({}, redacted)", target.id),
            Self::Presence(presence) => write!(f, "Presence({:?}, redacted)", presence.state),
            Self::Unsupported(reason) => write!(f, "Unsupported({reason:?})"),
        }
    }
}

/// What this version does not know about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsupportedReason {
    /// Its kind.
    Kind(u64),
    /// An extension that must be understood to read it.
    Extension {
        /// The message's kind.
        kind: u64,
        /// The extension's number, odd.
        ext: u64,
    },
}

/// Files that the sender holds ready for this reader. The envelope around it is the keys' wrap.
#[derive(Clone, Debug, PartialEq)]
pub struct FileShare {
    /// The files, 1 to 64.
    pub entries: Vec<FileEntry>,
    /// Where the sender's endpoint was when they wrote this.
    pub addresses: Addresses,
}

/// How far a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReceiptStatus {
    /// It is stored on the reader's device.
    Delivered,
    /// It was shown to the reader.
    Read,
}

/// Whether somebody is there, and how their files are reached now.
#[derive(Clone, Debug, PartialEq)]
pub struct Presence {
    /// Whether they are there.
    pub state: PresenceState,
    /// For how long this holds, in seconds, at most 600.
    pub ttl_s: u64,
    /// Whether this answers another presence, and so is never answered.
    pub is_answer: bool,
    /// Where their endpoint is.
    pub addresses: Addresses,
}

/// Whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceState {
    /// They left.
    Off,
    /// They are there.
    Online,
    /// They are there, but not at the keyboard.
    Away,
}

/// Up to 16 addresses of the sender's endpoint, as they wrote them.
///
/// Forms that this version does not know are kept and skipped, so that a message reads back to the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(pub(super) Vec<String>);

/// One way to reach an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A socket address, in its one spelling: dotted IPv4, or RFC 5952 IPv6 in brackets without a zone.
    Ip(SocketAddr),
    /// A relay, by its `https://` URL.
    Relay(String),
}

impl Addresses {
    /// Writes addresses in order; what does not fit (16 addresses of 1,024 bytes, no port 0, no IPv4 in IPv6) is
    /// left out.
    #[must_use]
    pub fn new(addresses: impl IntoIterator<Item = Address>) -> Self {
        let text = |address: Address| match address {
            Address::Ip(socket) => socket.to_string(),
            Address::Relay(url) => url,
        };
        Self(addresses.into_iter().map(text).filter(|text| parse(text).is_some()).take(MAX_ADDRESSES).collect())
    }

    /// Lists the addresses of a known form.
    pub fn iter(&self) -> impl Iterator<Item = Address> + '_ {
        self.0.iter().filter_map(|text| parse(text))
    }
}

fn parse(text: &str) -> Option<Address> {
    if text.len() > MAX_ADDRESS_BYTES {
        return None;
    }
    if let Some(rest) = text.strip_prefix("https://") {
        let sound = !rest.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        return sound.then(|| Address::Relay(text.to_owned()));
    }
    // What prints as it was read has the one spelling: no leading zeros, RFC 5952's compression. A zone means
    // something on its own host only.
    let socket: SocketAddr = text.parse().ok().filter(|socket: &SocketAddr| socket.to_string() == text)?;
    if text.contains('%') {
        return None;
    }
    let mapped = matches!(socket.ip(), IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
    (socket.port() != 0 && !mapped).then_some(Address::Ip(socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{filecrypt::FileKey, payload::SharePath};

    #[test]
    fn addresses_have_one_spelling() {
        for good in ["192.0.2.1:4433", "[2001:db8::1]:1", "https://relay.example/", "https://r"] {
            assert!(parse(good).is_some(), "{good}");
        }
        let long = format!("https://{}", "a".repeat(1017));
        for other in [
            "",
            "192.0.2.1",
            "192.0.2.1:0",
            "192.0.2.1:04433",
            "192.0.02.1:1",
            "[2001:DB8::1]:1",
            "[2001:db8:0::1]:1",
            "[fe80::1%1]:1",
            "[::ffff:192.0.2.1]:1",
            "relay.example:1",
            "http://relay.example/",
            "https://",
            "https://a b",
            &long,
        ] {
            assert!(parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn what_a_message_says_is_not_printed() {
        let id = MessageId([0; 16]);
        let text = "meet at eight".to_owned();
        let addresses = Addresses::new([Address::Relay("https://eight.example".to_owned())]);
        let target = MessageRef { author: [0; 32], id };
        let entry = FileEntry {
            path: SharePath::parse("eight.txt").unwrap(),
            media_type: "eight/eight".to_owned(),
            blob_hash: [0; 32],
            key: FileKey::from_bytes([8; 32]),
            plain_hash: [0; 32],
            plain_len: 8,
        };
        let presence =
            Presence { state: PresenceState::Online, ttl_s: 1, is_answer: false, addresses: addresses.clone() };
        for (content, expected) in [
            (Content::Text(text.clone()), "Text(13 bytes, redacted)"),
            (Content::Edit { id, text: text.clone() }, "Edit(00000000000000000000000000000000, 13 bytes, redacted)"),
            (Content::Reaction { target, emoji: text }, "Reaction(00000000000000000000000000000000, redacted)"),
            (Content::FileShare(FileShare { entries: vec![entry], addresses }), "FileShare(1 files, redacted)"),
            (Content::Presence(presence), "Presence(Online, redacted)"),
        ] {
            assert_eq!(format!("{content:?}"), expected);
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let many = (1..=20).map(|port| Address::Ip(SocketAddr::from(([192, 0, 2, 1], port))));
        assert_eq!(Addresses::new(many).iter().count(), 16);
        assert_eq!(Addresses::new([Address::Ip(SocketAddr::from(([192, 0, 2, 1], 0)))]), Addresses::default());
    }
}
