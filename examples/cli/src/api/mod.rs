//! What programs exchange with the process that owns a home: every call with its answer, and what it tells by itself.
//!
//! The types are the schema (`docs/api-schema.json`, made by [`schema()`]), and their comments its descriptions;
//! `docs/API.md` says how the lines go. Commands make the same calls, and show the same [`Line`]s with `--json`.

pub(crate) mod account;
pub(crate) mod event;
pub(crate) mod files;
mod line;
mod markdown;
pub(crate) mod people;
mod schema;
pub(crate) mod talk;
pub(crate) mod under_way;
pub(crate) mod wire;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use self::{
    account::{
        Account, Backup, Diagnosis, Doctor, Export, Hello, Move, MovePlan, Owner, PlanMove, Retire, SetVisibility,
        Whoami, WriteBackup, WriteExport,
    },
    event::{Handled, Subscribe},
    files::{
        Browse, CancelDownload, CheckFiles, CheckedFiles, Downloads, Fetch, FetchPublished, Fetched, ListDownloads,
        ListOffers, ListPublished, ListShares, Listing, Offers, Publish, PublishedList, ReadUsage, RetryDownload,
        Share, ShareFiles, Shares, Unpublish, Unshare, Usage,
    },
    people::{
        Accept, Add, Block, BlockedList, Contact, Contacts, Decline, FindContact, ListBlocked, ListContacts,
        ListPresence, ListRequests, Nickname, Presences, ReadRequest, Remove, RequestMessages, Requests, Trust,
        Unblock, Verify,
    },
    talk::{
        Conversations, Delete, Edit, History, Hits, ListConversations, MarkRead, React, ReadHistory, Search, Send,
        Sent, SetDraft,
    },
};
pub(crate) use self::{
    line::{
        BlockChanged, CheckedFile, CommandError, ContactLine, ConversationMessage, FetchedPath, Forgotten, Line,
        Object, Serving, TakenBack, Unpublished, Unshared,
    },
    markdown::markdown,
    schema::schema,
};
use crate::failure::{Failure, Kind};

/// The version of calls and answers. It rises when what is there changes its meaning; members may come without.
pub(crate) const VERSION: u32 = 1;

/// A call: its parameters, and what it is answered with.
pub(crate) trait Call: Serialize + std::marker::Send + 'static {
    type Answer: Serialize + DeserializeOwned + std::marker::Send;
    const METHOD: &'static str;
}

macro_rules! calls {
    ($($method:literal $params:ident => $answer:ty,)*) => {
        /// A call.
        #[derive(Debug, Deserialize, Serialize, JsonSchema)]
        #[serde(tag = "method", content = "params")]
        pub(crate) enum Request {
            $(#[serde(rename = $method)] $params($params),)*
        }

        $(impl Call for $params {
            type Answer = $answer;
            const METHOD: &'static str = $method;
        })*

        /// Which answer belongs to which call.
        #[derive(JsonSchema)]
        #[schemars(tag = "method", content = "result")]
        #[expect(dead_code, reason = "it is there for the schema")]
        pub(crate) enum Answer {
            $(#[schemars(rename = $method)] $params($answer),)*
        }

        /// The methods, in the order of the documentation.
        pub(crate) const METHODS: &[&str] = &[$($method),*];
    };
}

calls! {
    "hello" Hello => Owner,
    "whoami" Whoami => Account,
    "backup" WriteBackup => Backup,
    "export" WriteExport => Export,
    "plan_move" PlanMove => MovePlan,
    "move" Move => Account,
    "retire" Retire => Account,
    "doctor" Doctor => Diagnosis,
    "set_visibility" SetVisibility => Done,

    "add" Add => Contact,
    "contacts" ListContacts => Contacts,
    "contact" FindContact => Contact,
    "remove" Remove => Contact,
    "verify" Verify => Contact,
    "trust" Trust => Contact,
    "nickname" Nickname => Contact,
    "block" Block => Peer,
    "unblock" Unblock => Peer,
    "blocked" ListBlocked => BlockedList,
    "requests" ListRequests => Requests,
    "request" ReadRequest => RequestMessages,
    "accept" Accept => Contact,
    "decline" Decline => Peer,
    "presence" ListPresence => Presences,

    "send" Send => Sent,
    "history" ReadHistory => History,
    "conversations" ListConversations => Conversations,
    "search" Search => Hits,
    "react" React => Sent,
    "edit" Edit => Sent,
    "delete" Delete => Done,
    "mark_read" MarkRead => Done,
    "set_draft" SetDraft => Done,

    "subscribe" Subscribe => Done,
    "handled" Handled => Done,

    "share" ShareFiles => Share,
    "shares" ListShares => Shares,
    "unshare" Unshare => Done,
    "offers" ListOffers => Offers,
    "fetch" Fetch => Fetched,
    "downloads" ListDownloads => Downloads,
    "retry_download" RetryDownload => Fetched,
    "cancel_download" CancelDownload => Done,
    "publish" Publish => PublishedList,
    "published" ListPublished => PublishedList,
    "unpublish" Unpublish => Done,
    "browse" Browse => Listing,
    "fetch_published" FetchPublished => Fetched,
    "usage" ReadUsage => Usage,
    "check_files" CheckFiles => CheckedFiles,
}

impl Request {
    /// Reads a call.
    pub(crate) fn parse(method: &str, params: Option<Value>) -> Result<Self, Failure> {
        if !METHODS.contains(&method) {
            let what = format!("there is no method {method:?}");
            return Err(Failure::new(Kind::Usage, "NoSuchMethod", what, "docs/API.md lists them"));
        }
        let bad = |why: &dyn std::fmt::Display| {
            let what = format!("the parameters of {method} can't be read: {why}");
            Failure::new(Kind::Usage, "BadParams", what, "docs/API.md lists them")
        };
        let params = params.unwrap_or_else(|| json!({}));
        if !params.is_object() {
            // Serde would take a list for them, in the order of the members here.
            return Err(bad(&"they have to be an object"));
        }
        serde_json::from_value(json!({ "method": method, "params": params })).map_err(|error| bad(&error))
    }
}

/// It is done, and there is nothing to tell.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Done {}

/// Somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Peer {
    /// Their key, which is who they are.
    pub(crate) primary: String,
    /// Their handle with its home, if they have one.
    pub(crate) handle: Option<String>,
}

impl From<kez_chat_sdk::Peer> for Peer {
    fn from(peer: kez_chat_sdk::Peer) -> Self {
        Self { primary: peer.primary.to_string(), handle: peer.handle.map(|handle| handle.to_string()) }
    }
}

impl From<&kez_chat_sdk::Contact> for Peer {
    fn from(contact: &kez_chat_sdk::Contact) -> Self {
        Self { primary: contact.primary.to_string(), handle: contact.handle.as_ref().map(ToString::to_string) }
    }
}

/// Takes what the SDK writes as JSON into a type of ours with the same members.
pub(crate) fn mirrored<T: DeserializeOwned>(of: &impl Serialize) -> Result<T, Failure> {
    serde_json::to_value(of).and_then(serde_json::from_value).map_err(|error| {
        let what = format!("something of the SDK's can't be shown: {error}");
        Failure::new(Kind::Other, "Unshown", what, "look for an update of kez-chat")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_read_or_refused_by_name() {
        assert!(matches!(Request::parse("whoami", None), Ok(Request::Whoami(_))));
        let send = Request::parse("send", Some(json!({ "to": "@bob", "text": "hi" })));
        assert!(matches!(send, Ok(Request::Send(Send { wait_s: 0, .. }))), "{send:?}");
        assert_eq!(Request::parse("sendd", None).unwrap_err().code, "NoSuchMethod");
        for params in [
            json!({}),
            json!(["@bob", "hi"]),
            json!({ "to": "@bob", "text": "hi", "txet": 1 }),
            json!({ "to": 1, "text": "" }),
        ] {
            assert_eq!(Request::parse("send", Some(params)).unwrap_err().code, "BadParams");
        }
    }
}
