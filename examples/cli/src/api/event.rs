//! What the process that owns a home tells by itself.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Peer,
    files::{Progress, SharedFile},
    people::Presence,
    talk::{MessageRef, MessageState},
    wire::{CallId, Frame},
};
use crate::failure::{Failure, Kind};

/// Asks for events, for who comes and goes, and for the state of the connection, from now on, on this connection. Events
/// that nobody has handled yet come first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subscribe {
    /// Only events about this contact.
    #[serde(default)]
    pub(crate) with: Option<String>,
}

/// Says that one is done with events: they do not come again, once everybody to whom they were given has said so.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Handled {
    /// The numbers that came with them.
    pub(crate) events: Vec<i64>,
}

/// What comes by itself.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "method", content = "params", rename_all = "snake_case")]
pub(crate) enum Notification {
    /// Something happened.
    Event(PendingEvent),
    /// A call has come further.
    Progress(CallProgress),
    /// A contact comes or goes.
    Presence(Presence),
    /// The connection to the home has changed.
    Connection(Connection),
}

impl Notification {
    /// Writes it as a line of JSON-RPC.
    pub(crate) fn to_frame(&self) -> Result<Frame, Failure> {
        let Told { method, params } = super::mirrored(self)?;
        Ok(Frame::notification(&method, params))
    }
}

/// How a notification is written.
#[derive(Deserialize)]
struct Told {
    method: String,
    params: Value,
}

/// An event that comes until it is handled.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PendingEvent {
    /// Its number, for `handled`.
    pub(crate) event_id: i64,
    /// What happened.
    pub(crate) event: Event,
}

/// How far a call has come.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CallProgress {
    /// The call.
    #[schemars(with = "serde_json::Value")]
    pub(crate) call: CallId,
    /// How far.
    #[serde(flatten)]
    pub(crate) progress: Progress,
}

/// Whether there is a connection to the home's broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Connection {
    /// "connecting", "online", "offline", "suspended", "signed_in_elsewhere", "moved", "retired" or "closed".
    pub(crate) state: String,
    /// Why there is none, and what to do.
    pub(crate) why: Option<String>,
}

impl Connection {
    /// Returns why nothing comes here any more, if that is so.
    pub(crate) fn end(&self) -> Option<Failure> {
        let (code, what) = match &*self.state {
            "signed_in_elsewhere" => ("SignedInElsewhere", "another installation of yours has taken the account over"),
            "moved" => ("Moved", "the account has moved to another home"),
            "retired" => ("Retired", "the account has left for good"),
            _ => return None,
        };
        Some(Failure::new(
            Kind::Account,
            code,
            what,
            "run the command again; kez-chat history still shows what is here",
        ))
    }
}

impl From<kez_chat_sdk::ConnectionState> for Connection {
    fn from(state: kez_chat_sdk::ConnectionState) -> Self {
        use kez_chat_sdk::ConnectionState as State;
        let name = match &state {
            State::Connecting => "connecting",
            State::Online => "online",
            State::Offline { .. } => "offline",
            State::Suspended => "suspended",
            State::SignedInElsewhere => "signed_in_elsewhere",
            State::Moved => "moved",
            State::Retired => "retired",
            _ => "closed",
        };
        let why = if let State::Offline { cause, .. } = &state { Some(cause.to_string()) } else { None };
        Self { state: name.to_owned(), why }
    }
}

/// Where an event stands in the sequence of its sender's messages.
#[expect(clippy::enum_variant_names, reason = "it is the SDK's name, and the one on the wire")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// It follows the one before.
    InOrder,
    /// Messages before it have not arrived.
    AfterGap {
        /// How many.
        missing: u64,
    },
    /// It was missing, and others that follow it came meanwhile.
    Late,
}

/// Something that happened. Texts in it are others' words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Event {
    /// A contact wrote.
    Message {
        /// Who.
        from: Peer,
        /// The message's name.
        id: String,
        /// When they say they sent it, in milliseconds since 1970.
        sent_at_ms: u64,
        /// What.
        text: String,
        /// The message that it answers.
        reply_to: Option<MessageRef>,
        /// Whether messages before it are missing.
        order: Order,
        /// Whether it was written before this installation was made: no reason to ring.
        earlier: bool,
        /// Whether it may be by somebody else who has their key.
        in_doubt: bool,
    },
    /// A contact wrote to a handle that never was ours.
    Misaddressed {
        /// Who.
        from: Peer,
        /// The message's name.
        id: String,
        /// To whom they thought they wrote.
        to: Option<String>,
        /// When they say they sent it, in milliseconds since 1970.
        sent_at_ms: u64,
        /// What, if it is a text.
        text: Option<String>,
    },
    /// A contact holds files ready.
    FileShared {
        /// Who.
        from: Peer,
        /// What to fetch it by.
        share_id: i64,
        /// When they say they sent it, in milliseconds since 1970.
        sent_at_ms: u64,
        /// What.
        files: Vec<SharedFile>,
        /// Whether messages before it are missing.
        order: Order,
        /// Whether it was written before this installation was made.
        earlier: bool,
        /// Whether it may be by somebody else who has their key.
        in_doubt: bool,
    },
    /// Somebody who is no contact wrote.
    Request {
        /// Who, by key alone.
        from: Peer,
        /// Who they say they are.
        claimed_handle: Option<String>,
        /// When they say they sent it, in milliseconds since 1970.
        sent_at_ms: u64,
    },
    /// A message of ours came further.
    MessageState {
        /// To whom.
        to: Peer,
        /// The message's name.
        id: String,
        /// How far.
        state: MessageState,
    },
    /// A contact sent something that this version does not show.
    Unsupported {
        /// Who.
        from: Peer,
        /// The kind's number.
        message_kind: u64,
        /// When they say they sent it, in milliseconds since 1970.
        sent_at_ms: u64,
        /// Whether messages before it are missing.
        order: Order,
        /// Whether it was written before this installation was made.
        earlier: bool,
        /// Whether it may be by somebody else who has their key.
        in_doubt: bool,
    },
    /// A contact has given a message another wording.
    Edited {
        /// Who.
        from: Peer,
        /// The message's name.
        id: String,
        /// When they say they changed it, in milliseconds since 1970.
        sent_at_ms: u64,
        /// What it says now.
        text: String,
        /// Whether it may be by somebody else who has their key.
        in_doubt: bool,
    },
    /// A contact has taken a message back.
    Deleted {
        /// Who.
        from: Peer,
        /// The message's name.
        id: String,
    },
    /// A contact has put an emoji on a message.
    Reaction {
        /// Who.
        from: Peer,
        /// The message.
        to: MessageRef,
        /// When they say they did, in milliseconds since 1970.
        sent_at_ms: u64,
        /// What; nothing if they have taken it back.
        emoji: Option<String>,
    },
    /// What is known of a contact has changed.
    Contact {
        /// Who.
        who: Peer,
        /// What.
        notice: Notice,
    },
    /// Something about the own sigchain that the person should know.
    OwnChain {
        /// What.
        notice: OwnChainNotice,
    },
    /// A download is done that nobody waited for.
    Downloaded {
        /// Its number.
        id: i64,
        /// Who had the files.
        from: Peer,
        /// Where they are.
        paths: Vec<PathBuf>,
    },
    /// A download has failed for good that nobody waited for.
    DownloadFailed {
        /// Its number.
        id: i64,
        /// Who has the files.
        from: Peer,
        /// The error's stable name.
        code: String,
        /// What happened, and what to do.
        message: String,
    },
    /// Something that a later version kept here.
    Unreadable,
}

/// What has changed about a contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub(crate) enum Notice {
    /// Something is wrong, and sending to them has stopped.
    Stopped {
        /// "key_changed", "forked", "rolled_back", "chain_unsound" or "needs_upgrade".
        trouble: String,
        /// The key that their home gives now, if that is what is wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        found: Option<String>,
        /// The fault of their sigchain, if that is what is wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
    /// The trouble is over.
    SoundAgain,
    /// They go by another handle, or it is vouched for otherwise.
    HandleChanged {
        /// The handle before.
        from: Option<String>,
        /// The handle now.
        to: Option<String>,
        /// Who vouches for it: "agreed" or "one_sided".
        agreement: String,
    },
    /// They have left for good.
    Retired,
    /// They wrote under a handle that is not known to be theirs.
    HandleDiffers {
        /// The handle that the message names.
        says: String,
    },
    /// They name another event of their sigchain than its server shows.
    HeadDisagreement {
        /// The place on their sigchain, from 1.
        seq: u64,
        /// What they say stands there.
        said: String,
        /// What the server shows there, if anything.
        known: Option<String>,
    },
}

/// Something about the own sigchain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub(crate) enum OwnChainNotice {
    /// Two events stand in one place, both signed with our key.
    Forked {
        /// The place, from 1.
        seq: u64,
        /// Both events; anybody can check it.
        proof: String,
    },
    /// Another installation took a place first.
    Overtaken {
        /// The place, from 1.
        seq: u64,
    },
    /// What a lost device had published is not here.
    PublishedFilesLost {
        /// The number of the change that took its place.
        version: u64,
    },
    /// A contact sees another event of our sigchain than we do.
    HeadDisagreement {
        /// Who said so.
        said_by: Peer,
        /// The place, from 1.
        seq: u64,
        /// What they say stands there.
        said: String,
        /// What stands there as we know it, if anything.
        known: Option<String>,
    },
}

impl Event {
    /// Returns the key of whom it is about, if it is about somebody.
    pub(crate) fn about(&self) -> Option<&str> {
        let peer = match self {
            Self::Message { from, .. }
            | Self::Misaddressed { from, .. }
            | Self::FileShared { from, .. }
            | Self::Request { from, .. }
            | Self::Unsupported { from, .. }
            | Self::Edited { from, .. }
            | Self::Deleted { from, .. }
            | Self::Reaction { from, .. }
            | Self::Downloaded { from, .. }
            | Self::DownloadFailed { from, .. } => from,
            Self::MessageState { to, .. } => to,
            Self::Contact { who, .. } => who,
            Self::OwnChain { .. } | Self::Unreadable => return None,
        };
        Some(&peer.primary)
    }

    /// Tells whether it is something that somebody else wrote or did, rather than news of what was sent from here or of
    /// sigchains.
    pub(crate) fn is_from_others(&self) -> bool {
        !matches!(self, Self::MessageState { .. } | Self::Contact { .. } | Self::OwnChain { .. })
    }
}

#[cfg(test)]
mod tests {
    use kez_chat_sdk::{
        self as sdk, Agreement, DownloadId, DownloadOrigin, ShareId, Trouble,
        handle::{Handle, Policy},
        identity::SecretKey,
        payload::MessageId,
        sigchain::Head,
    };

    use super::*;
    use crate::api::mirrored;

    /// Each of the SDK's events is an event of ours with all its members; a new one has to be added here.
    #[test]
    fn every_event_of_the_sdk_is_in_the_schema() {
        let from = sdk::Peer { primary: SecretKey::from_seed([7; 32]).primary(), handle: None };
        let handle = Handle::from_qualified("bob@kez.lat", Policy::Production).unwrap();
        let id = MessageId([1; 16]);
        let head: Head = "ab".repeat(32).parse().unwrap();
        let files = vec![sdk::SharedFile { path: "a".into(), media_type: String::new(), size_bytes: 1 }];
        let name = sdk::MessageRef { author: from.primary, id };
        let contact = |notice| sdk::Event::Contact { who: from.clone(), notice };
        let own = |notice| sdk::Event::OwnChain { notice };
        let origin = DownloadOrigin::Offer(ShareId::new(3));
        let events = [
            sdk::Event::Message {
                from: from.clone(),
                id,
                sent_at_ms: 1,
                text: "hi".into(),
                reply_to: Some(name),
                order: sdk::Order::AfterGap { missing: 2 },
                earlier: true,
                in_doubt: true,
            },
            sdk::Event::Misaddressed { from: from.clone(), id, to: Some(handle.clone()), sent_at_ms: 1, text: None },
            sdk::Event::FileShared {
                from: from.clone(),
                share_id: ShareId::new(3),
                sent_at_ms: 1,
                files,
                order: sdk::Order::Late,
                earlier: false,
                in_doubt: false,
            },
            sdk::Event::Request { from: from.clone(), claimed_handle: Some(handle.clone()), sent_at_ms: 1 },
            sdk::Event::MessageState { to: from.clone(), id, state: sdk::MessageState::Unconfirmed },
            sdk::Event::Unsupported {
                from: from.clone(),
                kind: 77,
                sent_at_ms: 1,
                order: sdk::Order::InOrder,
                earlier: false,
                in_doubt: false,
            },
            sdk::Event::Edited { from: from.clone(), id, sent_at_ms: 1, text: "ho".into(), in_doubt: false },
            sdk::Event::Deleted { from: from.clone(), id },
            sdk::Event::Reaction { from: from.clone(), to: name, sent_at_ms: 1, emoji: None },
            contact(sdk::Notice::Stopped { trouble: Trouble::KeyChanged { found: from.primary } }),
            contact(sdk::Notice::Stopped { trouble: Trouble::ChainUnsound { code: "BadSignature".into() } }),
            contact(sdk::Notice::SoundAgain),
            contact(sdk::Notice::HandleChanged {
                from: None,
                to: Some(handle.clone()),
                agreement: Agreement::OneSided,
            }),
            contact(sdk::Notice::Retired),
            contact(sdk::Notice::HandleDiffers { says: handle }),
            contact(sdk::Notice::HeadDisagreement { seq: 3, said: head, known: None }),
            own(sdk::OwnChainNotice::Forked { seq: 3, proof: "proof".into() }),
            own(sdk::OwnChainNotice::Overtaken { seq: 3 }),
            own(sdk::OwnChainNotice::PublishedFilesLost { version: 3 }),
            own(sdk::OwnChainNotice::HeadDisagreement {
                said_by: Box::new(from.clone()),
                seq: 3,
                said: head,
                known: None,
            }),
            sdk::Event::Downloaded { id: DownloadId::new(3), origin, from: from.clone(), paths: vec!["a".into()] },
            sdk::Event::DownloadFailed {
                id: DownloadId::new(3),
                origin,
                from,
                code: "Gone".into(),
                message: "it is gone".into(),
            },
            sdk::Event::Unreadable,
        ];
        for event in events {
            let ours: Event = mirrored(&event).unwrap_or_else(|failure| panic!("{event:?}: {failure}"));
            let (mut theirs, ours) = (serde_json::to_value(&event).unwrap(), serde_json::to_value(ours).unwrap());
            // What told of a download is the only thing that we leave out.
            theirs.as_object_mut().unwrap().remove("origin");
            assert_eq!(ours, theirs, "{event:?}");
        }
    }
}
