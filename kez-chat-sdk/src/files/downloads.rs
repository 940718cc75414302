//! Downloads: what others hold ready is brought here, whatever told us of it, however often it is interrupted.
//!
//! Each is a row in the store ([`store::downloads`](crate::store)). [`keeper`] keeps those going that are not over, while
//! the client is in the foreground; [`attempt`] is one try of one of them, [`placing`] gives its files their names.
//! [`awaited`] knows who waits for which.

mod attempt;
pub(crate) mod awaited;
pub(crate) mod keeper;
mod placing;

use std::{
    fmt,
    future::Future,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use kez_core::{identity::PrimaryKey, payload::FileShare};

use self::awaited::Held;
use super::{FilesError, Transfer, TransferError, TransferProgress};
use crate::{
    event::{DownloadId, DownloadOrigin, Peer, SharedFile},
    shared::Shared,
    store::{DownloadRow, NewDownload, StoreError},
};

/// What is done where a file's name is taken. Nothing is ever overwritten.
///
/// ```
/// use kez_chat_sdk::IfExists;
///
/// assert_eq!(IfExists::default(), IfExists::Refuse);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IfExists {
    /// The download fails.
    #[default]
    Refuse,
    /// The next free name is taken, as in `report (1).pdf`.
    Rename,
}

/// Where files go, and which ones. A folder alone will do.
///
/// ```
/// use kez_chat_sdk::{FetchOptions, IfExists};
///
/// let plain: FetchOptions = "downloads".into();
/// let first_one = FetchOptions::to("downloads").only([0]).if_exists(IfExists::Rename);
/// assert_ne!(plain, first_one);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOptions {
    to_dir: PathBuf,
    only: Option<Vec<usize>>,
    if_exists: IfExists,
}

impl FetchOptions {
    /// Takes all files into a folder, which is made if there is none.
    pub fn to(folder: impl Into<PathBuf>) -> Self {
        Self { to_dir: folder.into(), only: None, if_exists: IfExists::Refuse }
    }

    /// Takes only some of the files, by their places in the offer, from 0.
    #[must_use]
    pub fn only(mut self, files: impl IntoIterator<Item = usize>) -> Self {
        self.only = Some(files.into_iter().collect());
        self
    }

    /// Chooses what is done where a file's name is taken.
    #[must_use]
    pub fn if_exists(mut self, if_exists: IfExists) -> Self {
        self.if_exists = if_exists;
        self
    }
}

impl From<&str> for FetchOptions {
    fn from(folder: &str) -> Self {
        Self::to(folder)
    }
}

impl From<&Path> for FetchOptions {
    fn from(folder: &Path) -> Self {
        Self::to(folder)
    }
}

impl From<&PathBuf> for FetchOptions {
    fn from(folder: &PathBuf) -> Self {
        Self::to(folder)
    }
}

impl From<PathBuf> for FetchOptions {
    fn from(folder: PathBuf) -> Self {
        Self::to(folder)
    }
}

/// How a download stands.
///
/// ```
/// use kez_chat_sdk::DownloadState;
///
/// fn remark(state: &DownloadState) -> String {
///     match state {
///         DownloadState::Running => "it comes".to_owned(),
///         DownloadState::Waiting { .. } => "it comes when they are back online".to_owned(),
///         DownloadState::Done { paths } => format!("{} files are here", paths.len()),
///         DownloadState::Failed { message, .. } => message.clone(),
///         _ => "update the application".to_owned(),
///     }
/// }
/// assert_eq!(remark(&DownloadState::Running), "it comes");
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DownloadState {
    /// It is being worked on, or about to be.
    Running,
    /// It goes on by itself when its peer is back, or a later try succeeds.
    Waiting {
        /// The stable name of the error that it waits because of.
        code: String,
        /// What that was.
        message: String,
    },
    /// All files are here.
    Done {
        /// Where: one path for each file of the offer, that of the folder where it is a folder.
        paths: Vec<PathBuf>,
    },
    /// It does not go on by itself. Fetching again goes on from where it was.
    Failed {
        /// The error's stable name.
        code: String,
        /// What happened, and what to do.
        message: String,
    },
}

impl fmt::Debug for DownloadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Messages and paths name files.
        match self {
            Self::Running => f.write_str("Running"),
            Self::Waiting { code, .. } => write!(f, "Waiting({code})"),
            Self::Done { paths } => write!(f, "Done({} paths)", paths.len()),
            Self::Failed { code, .. } => write!(f, "Failed({code})"),
        }
    }
}

/// What is being brought here, or was.
#[derive(Clone)]
#[non_exhaustive]
pub struct Download {
    /// Its name, on this device only.
    pub id: DownloadId,
    /// Who holds the files ready.
    pub from: Peer,
    /// What told us of them.
    pub origin: DownloadOrigin,
    /// Which they are.
    pub files: Vec<SharedFile>,
    /// How it stands.
    pub state: DownloadState,
    /// How far it has come.
    pub progress: TransferProgress,
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, from, state, .. } = self;
        write!(f, "Download({id} from {from}, {state:?})")
    }
}

/// What somebody wants to have here.
#[derive(Clone)]
pub(super) struct Wanted {
    /// Who holds it ready.
    pub(super) from: PrimaryKey,
    /// What told us of it.
    pub(super) origin: DownloadOrigin,
    /// The files, and where their holder was when they told of them.
    pub(super) share: FileShare,
    pub(super) options: FetchOptions,
}

/// Downloads files that somebody holds ready: `find` says which. An offer and an entry of what somebody publishes are
/// fetched by this alone.
///
/// Dropping the last transfer of a download forgets it.
pub(super) fn download<F>(shared: &Arc<Shared>, find: F) -> Transfer<Vec<PathBuf>>
where
    F: Future<Output = Result<Wanted, FilesError>> + Send + 'static,
{
    let shared = Arc::clone(shared);
    Transfer::begin(|meter| async move {
        let new = check(find.await?)?;
        // In a task of its own: between the row and whoever waits for it there is no place to be cancelled at.
        let begun = tokio::spawn(async move {
            let id = shared.store.want_download(new, shared.now_ms()).await?;
            Ok::<_, FilesError>(Held::begin(&shared, id))
        });
        let held = begun.await.map_err(|_| StoreError::Closed)??;
        held.outcome(meter).await
    })
}

/// Goes on with a download that waits or has failed, or joins one that is being worked on.
pub(super) fn retry(shared: &Arc<Shared>, id: DownloadId) -> Transfer<Vec<PathBuf>> {
    let again = Arc::clone(shared);
    download(shared, async move {
        let row = again.store.download(id).await?.ok_or(FilesError::NoSuchDownload(id))?;
        let options = FetchOptions {
            to_dir: row.to_dir,
            only: None,
            if_exists: if row.renames { IfExists::Rename } else { IfExists::Refuse },
        };
        Ok(Wanted { from: row.from.primary, origin: row.origin, share: row.share, options })
    })
}

/// Lists downloads, oldest first.
pub(super) async fn list(shared: &Shared) -> Result<Vec<Download>, FilesError> {
    let rows = shared.store.downloads().await?;
    Ok(rows.into_iter().map(|row| describe(shared, row)).collect())
}

/// Forgets a download, whether it is over or not.
pub(super) async fn cancel(shared: &Arc<Shared>, id: DownloadId) -> Result<(), FilesError> {
    let was_there = shared.store.forget_download(id).await?;
    shared.downloads.stop(id);
    if was_there { Ok(()) } else { Err(FilesError::NoSuchDownload(id)) }
}

fn describe(shared: &Shared, row: DownloadRow) -> Download {
    let files = row.share.entries.iter().map(SharedFile::of).collect();
    let (done_bytes, total_bytes) = (row.done_bytes, row.total_bytes);
    let kept = TransferProgress { done_bytes, total_bytes, ..TransferProgress::default() };
    let progress = match row.state {
        DownloadState::Running => shared.downloads.progress(row.id).unwrap_or(kept),
        _ => kept,
    };
    Download { id: row.id, from: row.from, origin: row.origin, files, state: row.state, progress }
}

/// Picks the files, and names the folder so that it is the same one for every later process.
fn check(wanted: Wanted) -> Result<NewDownload, FilesError> {
    let Wanted { from, origin, mut share, options } = wanted;
    let is_whole = options.only.is_none();
    if let Some(mut only) = options.only {
        only.sort_unstable();
        only.dedup();
        let pick = |&index: &usize| share.entries.get(index).cloned().ok_or(FilesError::NoSuchFile(index));
        share.entries = only.iter().map(pick).collect::<Result<_, _>>()?;
        if share.entries.is_empty() {
            return Err(FilesError::NoSuchFile(0));
        }
    }
    let unusable = |source| TransferError::Write { path: options.to_dir.clone(), source };
    let to_dir = std::path::absolute(&options.to_dir).map_err(unusable)?;
    let Some(to_dir) = to_dir.to_str().map(str::to_owned) else {
        return Err(unusable(io::Error::new(io::ErrorKind::InvalidInput, "the folder's name is no Unicode")).into());
    };
    Ok(NewDownload { from, origin, share, is_whole, to_dir, renames: options.if_exists == IfExists::Rename })
}
