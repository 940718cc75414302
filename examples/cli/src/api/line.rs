//! What commands show: a line of JSON with a `kind` for programs, some lines of text for people.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Peer,
    account::{Account, Backup, Export, Finding, MovePlan, Owner, SetVisibility},
    event::{Connection, Event},
    files::{Download, HeldFile, ListedEntry, Offer, PublishedEntry, Share, Usage},
    people::{Blocked, Contact, Presence, RequestMessage, StrangerRequest},
    talk::{Conversation, Hit, Message, Sent},
};
use crate::failure::Failure;

/// A line that a command shows.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Line {
    /// What a command was asked for.
    Object(Object),
    /// What happened.
    Event(Event),
}

/// What a command was asked for.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Object {
    /// An account that was made, or got back.
    Registered(Account),
    /// The own account.
    Account(Account),
    /// The account at its new home.
    Moved(Account),
    /// The account, which has ended.
    Retired(Account),
    /// The process that owns the home, once it can be relied on.
    Running(Owner),
    /// How contacts see us from now on.
    Visibility(SetVisibility),
    /// What a move will bring.
    MovePlan(MovePlan),
    /// A backup that was written.
    Backup(Backup),
    /// An export that was written.
    Export(Export),
    /// What was found of a part.
    Finding(Finding),
    /// A contact.
    Contact(ContactLine),
    /// Somebody who was a contact.
    Removed(Contact),
    /// A contact whose safety number is looked at.
    SafetyNumber(Contact),
    /// Somebody who was blocked just now, or no more.
    BlockChanged(BlockChanged),
    /// Somebody who is blocked.
    Blocked(Blocked),
    /// A stranger who wrote.
    StrangerRequest(StrangerRequest),
    /// What a stranger wrote.
    RequestMessage(RequestMessage),
    /// A stranger whose messages were forgotten.
    Declined(Peer),
    /// Whether a contact is there.
    Presence(Presence),
    /// The connection to the home.
    Connection(Connection),
    /// A message that was accepted for sending.
    Sent(Sent),
    /// A message that was taken back.
    TakenBack(TakenBack),
    /// A message of a conversation.
    ConversationMessage(ConversationMessage),
    /// A conversation.
    Conversation(Conversation),
    /// A message that was found.
    Hit(Hit),
    /// Files that are held ready, just now.
    Serving(Serving),
    /// Files that are held ready.
    Share(Share),
    /// A share that was ended.
    Unshared(Unshared),
    /// What somebody holds ready.
    Offer(Offer),
    /// A file or folder that was fetched.
    Fetched(FetchedPath),
    /// A download.
    Download(Download),
    /// A download that was forgotten.
    Forgotten(Forgotten),
    /// A file that we publish.
    Published(PublishedEntry),
    /// A file that we published.
    Unpublished(Unpublished),
    /// A file that somebody publishes.
    Listed(ListedEntry),
    /// What files take.
    Usage(Usage),
    /// A file that we hold ready and that is not as it was.
    CheckedFile(CheckedFile),
    /// Why a command failed.
    Error(CommandError),
}

/// A contact.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ContactLine {
    #[serde(flatten)]
    pub(crate) contact: Contact,
    /// Whether people get one line or everything; programs always get everything.
    #[serde(skip)]
    pub(crate) is_in_list: bool,
}

/// Somebody who was blocked just now, or no more.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct BlockChanged {
    /// Who.
    pub(crate) who: Peer,
    /// Whether they are blocked now.
    pub(crate) blocked: bool,
}

/// A message that was taken back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TakenBack {
    /// In the conversation with whom, as it was typed.
    pub(crate) with: String,
}

/// A message of a conversation.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ConversationMessage {
    /// With whom the conversation is.
    pub(crate) with: Peer,
    /// The message.
    #[serde(flatten)]
    pub(crate) message: Message,
}

/// Files that are held ready, just now.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Serving {
    /// The share.
    #[serde(flatten)]
    pub(crate) share: Share,
    /// The process that holds them ready: this one, or another that owns the home.
    pub(crate) pid: u32,
    /// Whether it is this one, which goes on until Ctrl-C.
    pub(crate) is_here: bool,
}

/// A share that was ended.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Unshared {
    /// Its number.
    pub(crate) share: i64,
}

/// A file or folder that was fetched.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FetchedPath {
    /// Where it is.
    pub(crate) path: PathBuf,
}

/// A download that was forgotten.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Forgotten {
    /// Its number.
    pub(crate) download: i64,
}

/// A file that we published.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Unpublished {
    /// The entry's name, as it was typed.
    pub(crate) id: String,
}

/// A file that we hold ready and that is not as it was.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CheckedFile {
    /// The file, and for what it is held ready.
    #[serde(flatten)]
    pub(crate) held: HeldFile,
    /// What became of it: "damaged", "repaired" or "lost".
    pub(crate) outcome: String,
}

/// Why a command failed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CommandError {
    /// The error's stable name.
    pub(crate) code: String,
    /// What happened.
    pub(crate) message: String,
    /// What to do.
    pub(crate) advice: String,
    /// What the process ends with.
    pub(crate) exit_code: u8,
}

impl From<Object> for Line {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl From<Event> for Line {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

impl From<&Failure> for Line {
    fn from(failure: &Failure) -> Self {
        let Failure { kind, code, what, advice } = failure;
        let (code, message, advice) = (code.clone(), what.clone(), advice.clone());
        Object::Error(CommandError { code, message, advice, exit_code: kind.exit_code() }).into()
    }
}
