//! Opening: a blob becomes the file that it stands for, beside the place where that belongs, or is read. What is at its
//! beginning is opened while the rest comes.

use std::{
    fs::File,
    io::{self, Write},
    iter,
    path::Path,
    pin::pin,
};

use bytes::Bytes;
use futures::StreamExt;
use iroh_blobs::{
    Hash, HashAndFormat,
    api::blobs::{BlobStatus, EncodedItem},
    protocol::{ChunkRanges, ChunkRangesExt},
};
use kez_core::{
    filecrypt::{Opener, blob_len},
    payload::FileEntry,
};
use tempfile::NamedTempFile;
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
};
use zeroize::Zeroizing;

use super::{
    FetchStep, Line, Node, NodeError,
    dest::Target,
    fetch::{bad_content, check_len},
    pull::Arrival,
};

/// The tags of blobs that are being fetched: what came is kept until the file is delivered, across restarts too.
pub(super) const WANTED: &str = "fetch/";
/// How many verified leaves of 16 KiB are handed on together, at most: waking who opens them costs as much as opening one.
const LEAVES_AT_ONCE: usize = 16;
/// How many times that may wait to be opened.
const BATCHES_AHEAD: usize = 2;

/// Leaves of a blob that follow each other.
type Batch = Vec<Bytes>;

/// What keeps a blob that a download wants: which download, and which of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tag {
    pub(crate) download: i64,
    /// The file's place: of the entry in the download, and in the entry's folder list.
    pub(crate) file: (u32, u32),
}

impl Tag {
    fn name(self) -> String {
        let (entry, file) = self.file;
        format!("{}{entry}/{file}", prefix(self.download))
    }
}

fn prefix(download: i64) -> String {
    format!("{WANTED}{download}/")
}

impl Node {
    /// Fetches a file that a peer shares, into a partial file beside its place.
    ///
    /// What is here of it already is not asked for again, and the peer is not needed at all if that is everything.
    /// `progress` hears how far it is. Dropping the future cancels; a later call goes on from where it was. No file comes of
    /// it unless it is the announced one.
    ///
    /// # Errors
    /// Most of [`NodeError`]: its variants say whose fault it was and what to do.
    pub(crate) async fn fetch_part(
        &self,
        line: &Line,
        entry: &FileEntry,
        target: &Target,
        tag: Tag,
        mut progress: impl FnMut(FetchStep) + Send,
    ) -> Result<NamedTempFile, NodeError> {
        let part = async {
            self.want(tag, entry).await?;
            let arrival = Arrival::default();
            let writing = self.write(entry, target, arrival.whole_to());
            both(self.bring(line, entry, &arrival, &mut progress), writing).await
        };
        let part = self.keep_what_helps(tag, part.await).await?;
        progress(FetchStep::Came(entry.plain_len));
        Ok(part)
    }

    /// Fetches a file that a peer shares into memory: one that must not lie on the disk opened.
    ///
    /// # Errors
    /// As [`Node::fetch_part`].
    pub(crate) async fn fetch_bytes(
        &self,
        line: &Line,
        entry: &FileEntry,
        tag: Tag,
        mut progress: impl FnMut(FetchStep) + Send,
    ) -> Result<Zeroizing<Vec<u8>>, NodeError> {
        let bytes = async {
            self.want(tag, entry).await?;
            self.bring(line, entry, &Arrival::default(), &mut progress).await?;
            self.open_bytes(entry).await
        };
        let bytes = self.keep_what_helps(tag, bytes.await).await?;
        progress(FetchStep::Came(entry.plain_len));
        Ok(bytes)
    }

    /// Opens a file that is here into memory.
    ///
    /// # Errors
    /// [`NodeError::Store`], [`NodeError::Damaged`] or [`NodeError::BadContent`].
    pub(crate) async fn open_bytes(&self, entry: &FileEntry) -> Result<Zeroizing<Vec<u8>>, NodeError> {
        let hash = Hash::from_bytes(entry.blob_hash);
        let BlobStatus::Complete { size } = self.store.blobs().status(hash).await.map_err(NodeError::store)? else {
            return Err(NodeError::store(io::Error::other("the blob is gone again")));
        };
        check_len(entry, size)?;
        let described = entry.clone();
        let all = watch::Sender::new(size).subscribe();
        self.open(entry, all, move |opener, pieces| read_bytes(&described, opener, pieces)).await
    }

    /// Stops to keep what came of a file; it is removed some minutes later.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub(crate) async fn let_go(&self, tag: Tag) -> Result<(), NodeError> {
        self.store.tags().delete(tag.name()).await.map(drop).map_err(NodeError::store)
    }

    /// Stops to keep what came of a download.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub(crate) async fn let_go_all(&self, download: i64) -> Result<(), NodeError> {
        self.store.tags().delete_prefix(prefix(download)).await.map(drop).map_err(NodeError::store)
    }

    /// Stops to keep what came of downloads that nobody wants any more.
    ///
    /// # Errors
    /// [`NodeError::Store`].
    pub(crate) async fn let_go_of_others(&self, wanted: &[i64]) -> Result<(), NodeError> {
        let mut tags = self.store.tags().list_prefix(WANTED).await.map_err(NodeError::store)?;
        let mut unwanted = Vec::new();
        while let Some(tag) = tags.next().await {
            let name = tag.map_err(NodeError::store)?.name;
            let rest = std::str::from_utf8(name.as_ref()).ok().and_then(|name| name.strip_prefix(WANTED));
            let download = rest.and_then(|rest| rest.split('/').next()?.parse().ok());
            if download.is_none_or(|download| !wanted.contains(&download)) {
                unwanted.push(name);
            }
        }
        for name in unwanted {
            self.store.tags().delete(name).await.map_err(NodeError::store)?;
        }
        Ok(())
    }

    pub(super) async fn want(&self, tag: Tag, entry: &FileEntry) -> Result<(), NodeError> {
        let blob = HashAndFormat::raw(Hash::from_bytes(entry.blob_hash));
        self.store.tags().set(tag.name(), blob).await.map_err(NodeError::store)
    }

    async fn keep_what_helps<T>(&self, tag: Tag, outcome: Result<T, NodeError>) -> Result<T, NodeError> {
        if outcome.as_ref().is_err_and(|error| !error.can_be_resumed())
            && let Err(error) = self.let_go(tag).await
        {
            tracing::warn!(%error, "a fetched blob stays in the store");
        }
        outcome
    }

    /// Opens a blob into a partial file, which there is as soon as something can be written to it.
    async fn write(
        &self,
        entry: &FileEntry,
        target: &Target,
        mut whole_to: watch::Receiver<u64>,
    ) -> Result<NamedTempFile, NodeError> {
        next(&mut whole_to, 0).await?;
        let into = target.clone();
        let made = spawn_blocking(move || {
            let part = into.create()?;
            let file = part.as_file().try_clone().map_err(|source| NodeError::write(part.path(), source))?;
            Ok::<_, NodeError>((part, file))
        });
        // The name goes with this future, whatever the thread still writes then.
        let (part, file) = made.await.map_err(NodeError::store)??;
        let (described, path) = (entry.clone(), part.path().to_owned());
        let write = move |opener, pieces| write_part(&described, opener, file, &path, pieces);
        self.open(entry, whole_to, write).await?;
        Ok(part)
    }

    /// Hands a blob to `take`, on a thread of its own, as far as nothing is missing of it, until that is all. The store
    /// verifies it once more on the way: what is on its disk may have changed since.
    async fn open<T: Send + 'static>(
        &self,
        entry: &FileEntry,
        mut whole_to: watch::Receiver<u64>,
        take: impl FnOnce(Opener, mpsc::Receiver<Batch>) -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let bad_content = |error| bad_content(entry, error);
        let blob_bytes = blob_len(entry.plain_len).map_err(bad_content)?;
        let opener = Opener::new(&entry.key, entry.plain_len, blob_bytes).map_err(bad_content)?;
        let (pieces, waiting) = mpsc::channel(BATCHES_AHEAD);
        let taker = spawn_blocking(move || take(opener, waiting));
        let mut handed = 0;
        let mut damage = None;
        'handing: while handed < blob_bytes {
            let to = next(&mut whole_to, handed).await?;
            let ranges = ChunkRanges::bytes(handed..to);
            let items = self.store.export_bao(Hash::from_bytes(entry.blob_hash), ranges).stream();
            let mut items = pin!(items.ready_chunks(LEAVES_AT_ONCE));
            while let Some(items) = items.next().await {
                let mut batch = Vec::with_capacity(items.len());
                for item in items {
                    match item {
                        EncodedItem::Error(error) => damage = Some(error),
                        EncodedItem::Leaf(leaf) => batch.push(leaf.data),
                        _ => {}
                    }
                }
                // It fails when the taker did, who says why.
                if damage.is_some() || pieces.send(batch).await.is_err() {
                    break 'handing;
                }
            }
            handed = to;
        }
        drop(pieces);
        let taken = taker.await.map_err(NodeError::store)?;
        match damage {
            Some(error) => Err(NodeError::Damaged { path: entry.path.to_string(), source: error.into() }),
            None => taken,
        }
    }
}

/// Brings and opens at the same time.
async fn both<T>(
    bringing: impl Future<Output = Result<(), NodeError>>,
    opening: impl Future<Output = Result<T, NodeError>>,
) -> Result<T, NodeError> {
    let (mut bringing, mut opening) = (pin!(bringing), pin!(opening));
    tokio::select! {
        biased;
        brought = &mut bringing => {
            brought?;
            opening.await
        }
        opened = &mut opening => match opened {
            // A file that can't be written, or is another one, needs no more of it.
            Err(error) if !error.is_of_the_store() => Err(error),
            // Why a store fails is known where it is written to.
            opened => {
                bringing.await?;
                opened
            }
        }
    }
}

/// Waits until more is here than `handed` bytes from the beginning on, and returns how much.
async fn next(whole_to: &mut watch::Receiver<u64>, handed: u64) -> Result<u64, NodeError> {
    whole_to.wait_for(|to| *to > handed).await.map(|to| *to).map_err(NodeError::store)
}

/// Writes a file, to the disk.
fn write_part(
    entry: &FileEntry,
    mut opener: Opener,
    mut file: File,
    path: &Path,
    mut sealed: mpsc::Receiver<Batch>,
) -> Result<(), NodeError> {
    let failed = |source| NodeError::write(path, source);
    let mut plain = Vec::new();
    while let Some(batch) = sealed.blocking_recv() {
        for leaf in batch {
            opener.update(&leaf, &mut plain).map_err(|error| bad_content(entry, error))?;
        }
        file.write_all(&plain).map_err(failed)?;
        plain.clear();
    }
    opener.finish(&entry.plain_hash).map_err(|error| bad_content(entry, error))?;
    file.sync_all().map_err(failed)
}

fn read_bytes(
    entry: &FileEntry,
    mut opener: Opener,
    mut sealed: mpsc::Receiver<Batch>,
) -> Result<Zeroizing<Vec<u8>>, NodeError> {
    // Room for all from the start: growing would leave copies behind. Whoever asks has looked at the length.
    let room = usize::try_from(entry.plain_len).unwrap_or(usize::MAX);
    let mut plain = Zeroizing::new(Vec::with_capacity(room));
    for leaf in iter::from_fn(|| sealed.blocking_recv()).flatten() {
        opener.update(&leaf, &mut plain).map_err(|error| bad_content(entry, error))?;
    }
    opener.finish(&entry.plain_hash).map_err(|error| bad_content(entry, error))?;
    Ok(plain)
}
