//! Opening: a complete blob becomes the file that it stands for, beside the place where that belongs, or is read.

use std::io::{self, Write};

use bytes::Bytes;
use futures::StreamExt;
use iroh_blobs::{
    Hash, HashAndFormat,
    api::blobs::{BlobStatus, EncodedItem},
    protocol::ChunkRanges,
};
use kez_core::{filecrypt::Opener, payload::FileEntry};
use tempfile::NamedTempFile;
use tokio::{sync::mpsc, task::spawn_blocking};
use zeroize::Zeroizing;

use super::{FetchStep, Line, Node, NodeError, dest::Target, fetch::bad_content};

/// The tags of blobs that are being fetched: what came is kept until the file is delivered, across restarts too.
pub(super) const WANTED: &str = "fetch/";
/// How many verified pieces of 16 KiB may wait to be opened.
const PIECES_AHEAD: usize = 32;

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
            self.bring(line, entry, &mut progress).await?;
            let (into, described) = (target.clone(), entry.clone());
            let part = self.open(entry, move |opener, pieces| write_part(&described, opener, &into, pieces));
            part.await
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
            self.bring(line, entry, &mut progress).await?;
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
        let described = entry.clone();
        self.open(entry, move |opener, pieces| read_bytes(&described, opener, pieces)).await
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

    /// Hands a complete blob to `take`, on a thread of its own. The store verifies the blob once more on the way: what is
    /// on its disk may have changed since.
    async fn open<T: Send + 'static>(
        &self,
        entry: &FileEntry,
        take: impl FnOnce(Opener, mpsc::Receiver<Bytes>) -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let hash = Hash::from_bytes(entry.blob_hash);
        let BlobStatus::Complete { size } = self.store.blobs().status(hash).await.map_err(NodeError::store)? else {
            return Err(NodeError::store(io::Error::other("the blob is gone again")));
        };
        let opener = Opener::new(&entry.key, entry.plain_len, size).map_err(|error| bad_content(entry, error))?;
        let (pieces, waiting) = mpsc::channel(PIECES_AHEAD);
        let taker = spawn_blocking(move || take(opener, waiting));
        let mut items = Box::pin(self.store.export_bao(hash, ChunkRanges::all()).stream());
        let mut damage = None;
        while let Some(item) = items.next().await {
            match item {
                EncodedItem::Error(error) => damage = Some(error),
                EncodedItem::Leaf(leaf) => {
                    let taken = pieces.send(leaf.data).await;
                    if taken.is_err() {
                        // The taker failed, and says why.
                        break;
                    }
                }
                _ => {}
            }
        }
        drop(pieces);
        let taken = taker.await.map_err(NodeError::store)?;
        match damage {
            Some(error) => Err(NodeError::Damaged { path: entry.path.to_string(), source: error.into() }),
            None => taken,
        }
    }
}

fn write_part(
    entry: &FileEntry,
    mut opener: Opener,
    target: &Target,
    mut sealed: mpsc::Receiver<Bytes>,
) -> Result<NamedTempFile, NodeError> {
    let mut part = target.create()?;
    let failed = |part: &NamedTempFile| {
        let path = part.path().to_owned();
        move |source| NodeError::write(path, source)
    };
    let mut plain = Vec::new();
    while let Some(piece) = sealed.blocking_recv() {
        opener.update(&piece, &mut plain).map_err(|error| bad_content(entry, error))?;
        part.write_all(&plain).map_err(failed(&part))?;
        plain.clear();
    }
    opener.finish(&entry.plain_hash).map_err(|error| bad_content(entry, error))?;
    part.as_file().sync_all().map_err(failed(&part))?;
    Ok(part)
}

fn read_bytes(
    entry: &FileEntry,
    mut opener: Opener,
    mut sealed: mpsc::Receiver<Bytes>,
) -> Result<Zeroizing<Vec<u8>>, NodeError> {
    // Room for all from the start: growing would leave copies behind. Whoever asks has looked at the length.
    let room = usize::try_from(entry.plain_len).unwrap_or(usize::MAX);
    let mut plain = Zeroizing::new(Vec::with_capacity(room));
    while let Some(piece) = sealed.blocking_recv() {
        opener.update(&piece, &mut plain).map_err(|error| bad_content(entry, error))?;
    }
    opener.finish(&entry.plain_hash).map_err(|error| bad_content(entry, error))?;
    Ok(plain)
}
