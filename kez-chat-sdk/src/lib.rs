//! The kez-chat client: accounts, contacts, end-to-end encrypted messages, and files on demand.
//!
//! An application makes an account once ([`NewAccount`]), or gets it back from its words ([`recover_account`]), then opens a
//! [`Client`] on the same home directory. Whatever
//! the client promises is on disk before the call returns: a message that was accepted for sending is sent, now or when
//! the network is back, and an event is given out until the application says that it handled it.
//!
//! ```
//! use std::sync::Arc;
//! use kez_chat_sdk::{Client, Event, Passphrase, PassphraseFile};
//!
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let stage = Stage::set().await;
//! # stage.register("alice").await;
//! # stage.echo("bob").await;
//! let key_store = PassphraseFile::new("alice/seed.age", Passphrase::new("correct horse".into()));
//! let client = Client::open("alice", Arc::new(key_store)).await?;
//! let bob = client.contacts().add("@bob").await?;
//! client.conversation(bob.primary).send_text("hello").await?;
//! loop {
//!     let pending = client.next_event().await?;
//!     if let Event::Message { from, text, .. } = &pending.event {
//!         println!("{from}: {text}");
//! #       assert_eq!(text, "hello");
//! #       break;
//!     }
//!     client.handled(pending.id).await?;
//! }
//! # client.shutdown().await;
//! # stage.strike().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Offline, and in the background
//!
//! [`Client::connection`] tells whether there is a connection and, if not, [why](OfflineCause). The client tries again by
//! itself, ever more rarely; [`Client::reconnect_now`] is for when the system says that the network is back.
//!
//! A phone lets an application in the background hold no connection. It [suspends](Client::suspend) the client on leaving
//! the foreground and [resumes](Client::resume) it on coming back. For the moments in between that the system grants, it
//! [visits](Client::sync_once) its home.

mod account;
mod backoff;
mod backup;
mod client;
mod clock;
mod config;
mod connection;
mod contacts;
mod conversation;
mod conversations;
mod denial;
mod diagnosis;
mod event;
mod export;
#[cfg(feature = "files")]
mod files;
mod gossip;
mod home_dir;
mod inbox;
mod key_store;
mod keys;
mod link;
mod message;
mod net;
mod new_file;
mod offline;
mod outbox;
mod peers;
mod presence;
mod requests;
mod retention;
mod search;
mod serving;
mod session;
mod shared;
mod sightings;
mod store;
mod sync;
mod upkeep;

pub use account::{
    Account, AccountError, BackedUpAccount, BegunAccount, MovePlan, NewAccount, OldHandle, OwnChainNotice, Registered,
    RegistrationStep, Unconfirmed, recover_account, recover_account_from, resolve_handle,
};
pub use backup::{Backup, BackupError};
pub use client::{Client, ClientError};
pub use clock::Clock;
pub use config::ClientBuilder;
pub use contacts::{Agreement, Blocked, Contact, ContactError, Contacts, Notice, Trouble};
pub use conversation::{Conversation, OutboxEntry, SendError};
pub use conversations::{ConversationSummary, Conversations};
pub use diagnosis::{Diagnosis, Fault, Finding, Part, Seen};
pub use event::{
    DownloadId, DownloadOrigin, Event, EventId, MessageState, Order, Peer, PendingEvent, ShareId, SharedFile,
};
pub use export::{Export, ExportError, ExportProgress};
#[cfg(feature = "files")]
pub use files::{
    BadFile, Download, DownloadState, FetchOptions, FileUsage, Files, FilesError, HeldFor, IfExists, LeftOut,
    LeftOutKind, ListedEntry, Listing, Offer, OwnShare, OwnShareId, PublishedEntry, PublishedFiles, Relays, Repaired,
    Share, Thumbnail, Transfer, TransferError, TransferPath, TransferProgress,
};
pub use home_dir::HomeDirError;
#[cfg(feature = "keyring")]
pub use key_store::OsKeyring;
pub use key_store::{KeyStore, KeyStoreError, Passphrase, PassphraseFile};
pub use kez_core::{
    broker, claim, contact_uri, envelope, filecrypt, handle, identity, manifest, mnemonic, payload, safety, sigchain,
};
pub use link::{Connection, ConnectionState};
pub use message::{Message, MessageContent, MessageRef, Place, Reaction, new_message_id};
pub use net::{HomeUrl, HomeUrlError, NetError, Roots, RootsError};
pub use offline::{OfflineCause, Refusal};
pub use presence::{Availability, Presence, PresenceWatch, Visibility};
pub use requests::{Request, RequestError, RequestMessage, Requests, Resolution};
pub use retention::Retention;
pub use search::{Hit, Query, SearchError, Snippet};
pub use store::StoreError;
pub use sync::{SyncOutcome, SyncReport};
