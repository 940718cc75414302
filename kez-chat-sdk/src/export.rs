//! All that conversations show, in a file that anybody can read: one JSON object a line (`docs/EXPORT.md`).

use std::{
    io::{self, BufWriter, Write as _},
    path::PathBuf,
};

use kez_core::{handle::Handle, identity::PrimaryKey};
use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::{
    contacts::{Agreement, Contact},
    conversations::ConversationSummary,
    event::Peer,
    message::{Message, Place},
    new_file::NewFile,
    shared::Shared,
    store::StoreError,
};

/// The format's version. It rises when what is there is written otherwise; more members and types of lines may come without.
const VERSION: u32 = 1;
/// How many messages are read at once.
const PAGE: usize = 256;

/// How far an export has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportProgress {
    /// How many conversations are written.
    pub conversations_done: u64,
    /// How many there are.
    pub conversations: u64,
    /// How many messages are written.
    pub messages_done: u64,
}

/// An export that was written.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stage = Stage::set().await;
/// # let client = stage.client("alice").await;
/// client.conversation(client.primary()).send_text("milk, bread").await?;
/// let export = client.export_to("alice.jsonl", |at| println!("{} messages", at.messages_done)).await?;
/// assert_eq!(export.messages, 1);
/// let written = std::fs::read_to_string("alice.jsonl")?;
/// let lines = written.lines().map(serde_json::from_str).collect::<Result<Vec<serde_json::Value>, _>>()?;
/// assert_eq!((lines[0]["type"].as_str(), lines[0]["version"].as_u64()), (Some("export"), Some(1)));
/// assert_eq!(lines[2]["content"]["text"], "milk, bread");
/// # client.shutdown().await;
/// # stage.strike().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Export {
    /// How many contacts it lists.
    pub contacts: u64,
    /// How many conversations it holds.
    pub conversations: u64,
    /// How many messages they show.
    pub messages: u64,
}

/// Says why there is no export.
///
/// ```
/// use std::io;
/// use kez_chat_sdk::ExportError;
///
/// let error = ExportError::Io { path: "alice.jsonl".into(), source: io::ErrorKind::AlreadyExists.into() };
/// assert_eq!(error.code(), "ExportUnusable");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The file can't be written.
    #[error("{} can't be written: {source}; name a new file in a folder that exists", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ExportError {
    /// Returns the error's stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "ExportUnusable",
            Self::Store(error) => error.code(),
        }
    }
}

/// Writes the export of an account.
pub(crate) async fn write(
    shared: &Shared,
    path: PathBuf,
    mut progress: impl FnMut(&ExportProgress),
) -> Result<Export, ExportError> {
    let io = |source| ExportError::Io { path: path.clone(), source };
    let mut lines = Lines(BufWriter::new(NewFile::at(&path).map_err(io)?));
    let own = shared.primary();
    let head =
        Line::Export { version: VERSION, primary: own, handle: &shared.handle, made_at_ms: shared.home_now_ms() };
    lines.add(&head).map_err(io)?;
    let mut export = Export::default();
    for contact in shared.store.contacts().await?.into_iter().map(|row| Contact::of(row, &own)) {
        lines.add(&Line::of_contact(&contact)).map_err(io)?;
        export.contacts += 1;
    }
    let conversations = shared.store.conversations(own).await?;
    let mut at = ExportProgress { conversations_done: 0, conversations: conversations.len() as u64, messages_done: 0 };
    for conversation in &conversations {
        lines.add(&Line::of_conversation(conversation)).map_err(io)?;
        export.conversations += 1;
        let with = conversation.with.primary;
        let mut after = Place::new(0);
        loop {
            let page = shared.store.messages_after(own, with, after, PAGE).await?;
            for message in &page {
                lines.add(&Line::Message { with, message }).map_err(io)?;
            }
            export.messages += page.len() as u64;
            at.messages_done = export.messages;
            progress(&at);
            match page.last() {
                Some(last) => after = last.place,
                None => break,
            }
        }
        at.conversations_done = export.conversations;
        progress(&at);
    }
    lines.add(&Line::End(&export)).map_err(io)?;
    let file = lines.0.into_inner().map_err(|error| io(error.into_error()))?;
    // A disk that is slow must hold up nothing else.
    match tokio::task::spawn_blocking(|| file.keep()).await {
        Ok(kept) => kept.map_err(io)?,
        Err(_) => return Err(StoreError::Closed.into()),
    }
    Ok(export)
}

/// The file, line by line.
struct Lines(BufWriter<NewFile>);

impl Lines {
    fn add(&mut self, line: &Line<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, line)?;
        self.0.write_all(b"\n")
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Export {
        version: u32,
        primary: PrimaryKey,
        #[serde(serialize_with = "text")]
        handle: &'a Handle,
        made_at_ms: u64,
    },
    Contact {
        #[serde(flatten)]
        who: Peer,
        agreement: Agreement,
    },
    Conversation {
        with: &'a Peer,
        last_at_ms: u64,
        unread: u64,
        read_place: Place,
        muted_until_ms: Option<u64>,
        is_archived: bool,
        draft: Option<&'a str>,
    },
    Message {
        with: PrimaryKey,
        #[serde(flatten)]
        message: &'a Message,
    },
    End(&'a Export),
}

impl<'a> Line<'a> {
    fn of_contact(contact: &Contact) -> Self {
        let who = Peer { primary: contact.primary, handle: contact.handle.clone() };
        Self::Contact { who, agreement: contact.agreement }
    }

    fn of_conversation(conversation: &'a ConversationSummary) -> Self {
        Self::Conversation {
            with: &conversation.with,
            last_at_ms: conversation.last_at_ms,
            unread: conversation.unread,
            read_place: conversation.read_place,
            muted_until_ms: conversation.muted_until_ms,
            is_archived: conversation.is_archived,
            draft: conversation.draft.as_deref(),
        }
    }
}

fn text<S: Serializer>(handle: &Handle, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(handle)
}
