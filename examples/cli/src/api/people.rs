//! Calls about contacts, strangers, and who is there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Peer, talk::Content};

/// Looks somebody up, walks their sigchain, and keeps them.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Add {
    /// A handle, bare for the own home, or a contact URI.
    pub(crate) who: String,
}

/// Lists all contacts.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListContacts {}

/// All contacts.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Contacts {
    /// By handle.
    pub(crate) contacts: Vec<Contact>,
}

/// Finds a contact.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FindContact {
    /// Their handle, nickname or key.
    pub(crate) who: String,
    /// Looks at their sigchain and their home first, now.
    #[serde(default)]
    pub(crate) refresh: bool,
}

/// Somebody that we know.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Contact {
    /// Their key, which is who they are.
    pub(crate) primary: String,
    /// Their handle with its home.
    pub(crate) handle: Option<String>,
    /// Who vouches for the handle: "agreed" or "one_sided".
    pub(crate) agreement: String,
    /// What the person calls them.
    pub(crate) nickname: Option<String>,
    /// Whether the person has compared safety numbers with them.
    pub(crate) verified: bool,
    /// What both compare to know that nobody stands between them.
    pub(crate) safety_number: String,
    /// Which other identities they claim. Nobody has checked these.
    pub(crate) claims: Vec<String>,
    /// How many events of their sigchain were walked.
    pub(crate) events_walked: u64,
    /// Where their sigchain ends.
    pub(crate) head: String,
    /// The broker that they publish.
    pub(crate) broker_url: Option<String>,
    /// What others add them by.
    pub(crate) contact_uri: String,
    /// When they were added, in milliseconds since 1970.
    pub(crate) added_at_ms: u64,
    /// Whether they have left for good.
    pub(crate) retired: bool,
    /// Whether they are blocked.
    pub(crate) blocked: bool,
    /// Why nothing is sent to them, and what to do, if so.
    pub(crate) trouble: Option<String>,
    /// Whether they are there.
    pub(crate) availability: Availability,
    /// When they last showed that they were, in milliseconds since 1970.
    pub(crate) last_seen_ms: Option<u64>,
}

/// Forgets a contact. The conversation stays.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Remove {
    /// Their handle, nickname or key.
    pub(crate) who: String,
}

/// Says, or takes back, that safety numbers were compared.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verify {
    /// Their handle, nickname or key.
    pub(crate) who: String,
    /// Whether they are the same.
    pub(crate) verified: bool,
}

/// Says that a contact in trouble is to be believed, after asking them on another way: one of the three.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trust {
    /// Their handle, nickname or key.
    pub(crate) who: String,
    /// This key is theirs now.
    #[serde(default)]
    pub(crate) new_key: Option<String>,
    /// Their sigchain ends here.
    #[serde(default)]
    pub(crate) head: Option<String>,
    /// The handle is theirs, though their home and their sigchain do not both say so.
    #[serde(default)]
    pub(crate) one_sided: bool,
}

/// Gives a contact a name of one's own, or takes it away.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nickname {
    /// Their handle, nickname or key.
    pub(crate) who: String,
    /// The name; none takes it away.
    pub(crate) nickname: Option<String>,
}

/// Blocks somebody: they reach us no more, and learn nothing of it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Block {
    /// A contact, or the key or handle of somebody who wrote.
    pub(crate) who: String,
}

/// Ends a block.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unblock {
    /// Their handle, nickname or key.
    pub(crate) who: String,
}

/// Lists who is blocked.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListBlocked {}

/// Who is blocked.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct BlockedList {
    /// The last one first.
    pub(crate) blocked: Vec<Blocked>,
}

/// Somebody who is blocked.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Blocked {
    /// Who.
    pub(crate) who: Peer,
    /// Since when, in milliseconds since 1970.
    pub(crate) since_ms: u64,
}

/// Lists the strangers who wrote.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListRequests {}

/// Strangers who wrote.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Requests {
    /// The one who wrote last first.
    pub(crate) requests: Vec<StrangerRequest>,
}

/// A stranger from whom messages wait.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct StrangerRequest {
    /// Their key.
    pub(crate) primary: String,
    /// Who they say they are.
    pub(crate) claimed_handle: Option<String>,
    /// What their home says of that: "agreed", "differs", "unknown" or "unresolved".
    pub(crate) resolution: String,
    /// The handle that the home gives for their key, if it does.
    pub(crate) resolved_handle: Option<String>,
    /// When the last message came, in milliseconds since 1970.
    pub(crate) last_at_ms: u64,
    /// How many messages wait.
    pub(crate) messages: u64,
}

/// Reads what a stranger wrote, without accepting them.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadRequest {
    /// Their key, or the handle that they claim.
    pub(crate) who: String,
}

/// What a stranger wrote.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RequestMessages {
    /// Oldest first.
    pub(crate) messages: Vec<RequestMessage>,
}

/// A message of a stranger.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RequestMessage {
    /// Their key.
    pub(crate) from: String,
    /// The message's name.
    pub(crate) id: String,
    /// When they say they sent it, in milliseconds since 1970.
    pub(crate) sent_at_ms: u64,
    /// What it says.
    pub(crate) content: Content,
}

/// Makes a stranger a contact; what they wrote comes as messages.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Accept {
    /// Their key, or the handle that they claim.
    pub(crate) who: String,
}

/// Forgets what a stranger wrote.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decline {
    /// Their key, or the handle that they claim.
    pub(crate) who: String,
}

/// Tells who is there.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListPresence {}

/// Who is there.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Presences {
    /// All contacts, by handle.
    pub(crate) presences: Vec<Presence>,
}

/// Whether a contact is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Presence {
    /// Who.
    pub(crate) who: Peer,
    /// Whether they are there.
    pub(crate) availability: Availability,
    /// When they last showed that they were, in milliseconds since 1970.
    pub(crate) last_seen_ms: Option<u64>,
}

/// Whether somebody is there, as far as they let us know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Availability {
    /// They are not, or they don't say.
    Offline,
    /// They are.
    Online,
    /// They are, but not at the keyboard.
    Away,
}

impl From<kez_chat_sdk::Availability> for Availability {
    fn from(availability: kez_chat_sdk::Availability) -> Self {
        match availability {
            kez_chat_sdk::Availability::Online => Self::Online,
            kez_chat_sdk::Availability::Away => Self::Away,
            _ => Self::Offline,
        }
    }
}
