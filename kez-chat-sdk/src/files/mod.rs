//! Files: shared by reference, sealed, and fetched only when somebody asks (`docs/PROTOCOL.md` §9).

mod node;
pub(crate) mod slot;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use kez_core::{
    filecrypt::FileKey,
    handle::Policy,
    identity::PrimaryKey,
    payload::{Addresses, Content, FileEntry, FileShare, MessageId, PayloadError, SharePath},
};
use thiserror::Error;

use crate::{
    conversation::{Conversation, SendError},
    event::{Peer, ShareId, SharedFile},
    shared::Shared,
    store::{OfferRow, OwnFile, StoreError},
};

use node::{Node, NodeSettings};

pub use node::NodeError as TransferError;

/// Says why a file could not be shared or fetched.
///
/// ```
/// use kez_chat_sdk::{FilesError, ShareId};
///
/// assert_eq!(FilesError::NoSuchOffer(ShareId::new(3)).code(), "NoSuchOffer");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FilesError {
    /// There is no such offer.
    #[error("there is no offer {0}; list the offers that there are")]
    NoSuchOffer(ShareId),
    /// The sender can't be reached now.
    #[error("{peer} is away and can't be reached now; fetch it when they are back online")]
    Waiting {
        /// Who has the file.
        peer: Box<Peer>,
        /// What happened.
        source: TransferError,
    },
    /// The file's name can't be shared.
    #[error(transparent)]
    BadName(#[from] PayloadError),
    /// The announcement could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The transfer failed.
    #[error(transparent)]
    Transfer(TransferError),
    /// The database can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FilesError {
    /// Returns the error's stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSuchOffer(_) => "NoSuchOffer",
            Self::Waiting { .. } => "Waiting",
            Self::BadName(error) => error.code().as_str(),
            Self::Send(error) => error.code(),
            Self::Transfer(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

impl From<TransferError> for FilesError {
    fn from(error: TransferError) -> Self {
        Self::Transfer(error)
    }
}

/// How far a transfer has come.
///
/// ```
/// use kez_chat_sdk::TransferProgress;
///
/// let progress = TransferProgress { path: "report.pdf".into(), done_bytes: 30, total_bytes: 120 };
/// assert_eq!(100 * progress.done_bytes / progress.total_bytes, 25, "per cent");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferProgress {
    /// The file's name.
    pub path: String,
    /// Bytes of the file that are done.
    pub done_bytes: u64,
    /// Bytes of the file in all.
    pub total_bytes: u64,
}

/// A file of ours that was announced to its readers.
#[derive(Clone, Debug)]
pub struct Share {
    /// The announcements, one for each reader.
    pub messages: Vec<MessageId>,
    /// The file.
    pub file: SharedFile,
}

/// Files that somebody holds ready for us.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What to fetch them by.
    pub share_id: ShareId,
    /// Who.
    pub from: Peer,
    /// When they say they offered them, in milliseconds since 1970.
    pub sent_at_ms: u64,
    /// What.
    pub files: Vec<SharedFile>,
    /// Whether we have fetched them.
    pub fetched: bool,
}

impl From<OfferRow> for Offer {
    fn from(row: OfferRow) -> Self {
        let files = row.share.entries.iter().map(SharedFile::of).collect();
        Self { share_id: row.id, from: row.from, sent_at_ms: row.sent_at_ms, files, fetched: row.fetched }
    }
}

/// A handle on an account's files.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let stage = Stage::set().await;
/// # let alice = stage.client("alice").await;
/// # let bob = stage.client("bob").await;
/// # alice.contacts().add("@bob").await?;
/// # bob.contacts().add("@alice").await?;
/// use kez_chat_sdk::Event;
///
/// std::fs::write("report.txt", "all is well")?;
/// alice.files().share("report.txt".as_ref(), &[bob.primary()], |_| {}).await?;
///
/// // Nothing is downloaded until Bob asks for it.
/// let share_id = loop {
///     let pending = bob.next_event().await?;
///     if let Event::FileShared { share_id, .. } = pending.event {
///         break share_id;
///     }
/// };
/// let paths = bob.files().fetch(share_id, "bob".as_ref(), |_| {}).await?;
/// assert_eq!(std::fs::read_to_string(&paths[0])?, "all is well");
/// # alice.shutdown().await;
/// # bob.shutdown().await;
/// # stage.strike().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    shared: &'a Arc<Shared>,
}

impl<'a> Files<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Seals a file into the local store and announces it to `readers`. It is served, to them only, while a client of
    /// this account is open.
    ///
    /// # Errors
    /// [`FilesError`]; nobody is told of a file that could not be sealed.
    pub async fn share(
        &self,
        path: &Path,
        readers: &[PrimaryKey],
        mut progress: impl FnMut(TransferProgress) + Send,
    ) -> Result<Share, FilesError> {
        let shared = self.shared;
        let readers: BTreeSet<PrimaryKey> = readers.iter().copied().collect();
        for &reader in &readers {
            Conversation::new(shared, reader).check_sendable().await?;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let share_path = SharePath::parse(&name)?;
        let total_bytes = tokio::fs::metadata(path).await.map_or(0, |metadata| metadata.len());
        let node = node(shared).await?;
        let key = FileKey::generate(&mut rand::rng());
        let report = |done_bytes| progress(TransferProgress { path: name.clone(), done_bytes, total_bytes });
        let imported = node.import(path, &key, report).await?;
        let entry = FileEntry {
            path: share_path,
            media_type: String::new(),
            blob_hash: imported.blob_hash,
            key,
            plain_hash: imported.plain_hash,
            plain_len: imported.plain_len,
        };
        let file = SharedFile::of(&entry);
        match self.announce(&node, entry, &readers).await {
            Ok(messages) => Ok(Share { messages, file }),
            Err(error) => {
                // Nobody was told: nothing stays behind.
                readers.iter().for_each(|&reader| node.revoke(reader, imported.blob_hash));
                if let Err(left) = node.release(imported.blob_hash).await {
                    tracing::warn!(error = %left, "a sealed file stays in the store");
                }
                Err(error)
            }
        }
    }

    /// Keeps a sealed file and announces it to all of its readers, or to none.
    async fn announce(
        &self,
        node: &Node,
        entry: FileEntry,
        readers: &BTreeSet<PrimaryKey>,
    ) -> Result<Vec<MessageId>, FilesError> {
        let file = OwnFile {
            blob_hash: entry.blob_hash,
            key: entry.key.clone(),
            plain_hash: entry.plain_hash,
            plain_len: entry.plain_len,
        };
        let share = FileShare { entries: vec![entry], addresses: node.addresses() };
        let mut announcements = Vec::with_capacity(readers.len());
        for &reader in readers {
            let content = Content::FileShare(share.clone());
            announcements.push(Conversation::new(self.shared, reader).draft(content));
        }
        let messages = announcements.iter().map(|announcement| announcement.id).collect();
        // Readers may ask as soon as the announcement is out.
        for &reader in readers {
            node.allow(reader, file.blob_hash);
        }
        self.shared.store.keep_own_file(file, announcements).await?;
        Ok(messages)
    }

    /// Lists what others hold ready for us, oldest first.
    ///
    /// # Errors
    /// [`FilesError::Store`].
    pub async fn offers(&self) -> Result<Vec<Offer>, FilesError> {
        Ok(self.shared.store.offers().await?.into_iter().map(Offer::from).collect())
    }

    /// Fetches offered files from their sender into a folder, verifies and opens them. A transfer that broke off goes
    /// on where it was; nothing is overwritten.
    ///
    /// # Errors
    /// [`FilesError`]; `Waiting` while the sender is away.
    pub async fn fetch(
        &self,
        share_id: ShareId,
        to_dir: &Path,
        mut progress: impl FnMut(TransferProgress) + Send,
    ) -> Result<Vec<PathBuf>, FilesError> {
        let shared = self.shared;
        let offer = shared.store.offer(share_id).await?.ok_or(FilesError::NoSuchOffer(share_id))?;
        let node = node(shared).await?;
        // Where their endpoint is now comes before where it was when they offered.
        let fresh = shared.presences.addresses(&offer.from.primary);
        let addresses = Addresses::new(fresh.iter().chain(offer.share.addresses.iter()));
        let mut paths = Vec::with_capacity(offer.share.entries.len());
        for entry in &offer.share.entries {
            let report = |done_bytes| {
                progress(TransferProgress { path: entry.path.to_string(), done_bytes, total_bytes: entry.plain_len });
            };
            let fetched = node.fetch(offer.from.primary, &addresses, entry, to_dir, report).await;
            paths.push(fetched.map_err(|error| match error {
                source @ TransferError::Unreachable { .. } => {
                    FilesError::Waiting { peer: offer.from.clone().into(), source }
                }
                other => other.into(),
            })?);
        }
        shared.store.set_fetched(share_id).await?;
        Ok(paths)
    }
}

/// Returns the running node, starting it where it is not.
async fn node(shared: &Arc<Shared>) -> Result<Arc<Node>, FilesError> {
    // In a task of its own: a start that is begun is finished, whoever stops waiting for it.
    let shared = Arc::clone(shared);
    match tokio::spawn(async move { start(&shared).await }).await {
        Ok(node) => node,
        Err(_) => Err(StoreError::Closed.into()),
    }
}

async fn start(shared: &Shared) -> Result<Arc<Node>, FilesError> {
    let mut running = shared.node.0.lock().await;
    if let Some(node) = &*running {
        return Ok(Arc::clone(node));
    }
    if shared.stop.is_cancelled() {
        return Err(StoreError::Closed.into());
    }
    // Without the home there are no relays, but addresses on the same network still work.
    let relays = tokio::select! {
        info = shared.home.info() => info.map(|info| info.relays).unwrap_or_default(),
        () = shared.stop.cancelled() => return Err(StoreError::Closed.into()),
    };
    let loopback_allowed = shared.policy == Policy::Development;
    let settings = NodeSettings { relays, loopback_allowed, ..NodeSettings::default() };
    let node = Arc::new(Node::start(&shared.blobs_dir(), &shared.key, settings).await?);
    for (reader, blob_hash) in shared.store.file_readers().await? {
        node.allow(reader, blob_hash);
    }
    *running = Some(Arc::clone(&node));
    shared.presences.tell_news();
    Ok(node)
}

/// Serves what was shared earlier, if anything was.
pub(crate) fn serve_in_background(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let shares = shared.store.shares_anything().await.unwrap_or(false);
        if shares && let Err(error) = start(&shared).await {
            tracing::warn!(%error, "shared files are not served");
        }
        // It may have been left while the node started.
        if shared.stop.is_cancelled() || !shared.link.wish().is_connection() {
            shared.node.shutdown().await;
        }
    });
}
