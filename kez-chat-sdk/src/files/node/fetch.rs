//! Fetching: a blob is pulled from a peer, verified as it comes, and opened into the file it stands for.

use std::{
    error::Error,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt;
use iroh::{
    EndpointId,
    endpoint::{Connection, ConnectionError},
};
use iroh_blobs::{
    ALPN, Hash, HashAndFormat,
    api::{
        blobs::{BlobStatus, EncodedItem},
        remote::GetProgressItem,
    },
    get::{GetError, request::get_verified_size},
    protocol::{ChunkRanges, ERR_INTERNAL, ERR_PERMISSION},
};
use kez_core::{
    filecrypt::{FileError, Opener, blob_len},
    identity::PrimaryKey,
    payload::{Addresses, FileEntry},
};
use tempfile::NamedTempFile;
use tokio::{sync::mpsc, task::spawn_blocking, time::timeout};

use super::{Node, NodeError, addresses, dest::Target, plain_bytes, provider::ERR_GONE};

/// The tag of blobs that are being fetched: what came is kept until the file is delivered, across restarts too.
const WANTED: &str = "fetch";
/// How long a connected peer may send nothing.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How many verified pieces of 16 KiB may wait to be opened.
const PIECES_AHEAD: usize = 32;

impl Node {
    /// Fetches a file that a peer shares, into `to_dir`, and returns where it is.
    ///
    /// What is here of it already is not asked for again, and the peer is not needed at all if that is everything.
    /// `progress` hears how many bytes of the file came. Dropping the future cancels; a later call goes on from
    /// where it was. No file appears unless it is the announced one, and none is replaced.
    ///
    /// # Errors
    /// Most of [`NodeError`]: its variants say whose fault it was and what to do.
    pub(crate) async fn fetch(
        &self,
        peer: PrimaryKey,
        addresses: &Addresses,
        entry: &FileEntry,
        to_dir: &Path,
        progress: impl FnMut(u64) + Send,
    ) -> Result<PathBuf, NodeError> {
        let target = Target::new(to_dir, &entry.path);
        target.check()?;
        let hash = Hash::from_bytes(entry.blob_hash);
        // The lasting tag is one for all fetches of this blob; the other keeps it if one of those ends first.
        let _held = self.store.tags().temp_tag(HashAndFormat::raw(hash)).await.map_err(NodeError::store)?;
        self.tag(WANTED, hash).await?;
        let outcome = self.fetch_held(peer, addresses, entry, &target, progress).await;
        if outcome.as_ref().err().is_none_or(|error| !error.can_be_resumed())
            && let Err(error) = self.untag(WANTED, hash).await
        {
            tracing::warn!(%error, "a fetched blob stays in the store");
        }
        outcome
    }

    async fn fetch_held(
        &self,
        peer: PrimaryKey,
        addresses: &Addresses,
        entry: &FileEntry,
        target: &Target,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<PathBuf, NodeError> {
        let hash = Hash::from_bytes(entry.blob_hash);
        if !self.has(entry.blob_hash).await? {
            let connection = self.connect(peer, addresses).await?;
            let pulled = self.pull(peer, &connection, entry, &mut progress).await?;
            connection.close(0u32.into(), b"done");
            tracing::debug!(pulled, "a blob is complete");
        }
        let BlobStatus::Complete { size } = self.store.blobs().status(hash).await.map_err(NodeError::store)? else {
            return Err(NodeError::store(io::Error::other("the blob is gone again")));
        };
        let opener = Opener::new(&entry.key, entry.plain_len, size).map_err(|error| bad_content(entry, error))?;
        let part = self.open(entry, opener, target).await?;
        let path = target.deliver(part)?;
        progress(entry.plain_len);
        Ok(path)
    }

    pub(super) async fn connect(&self, peer: PrimaryKey, addresses: &Addresses) -> Result<Connection, NodeError> {
        let unreachable =
            |source: Box<dyn Error + Send + Sync>| NodeError::Unreachable { peer: Box::new(peer), source };
        let id = EndpointId::from_bytes(peer.as_bytes()).map_err(|error| unreachable(error.into()))?;
        let relays_used = !self.settings.relays.is_empty();
        let dialled = addresses::of_peer(id, addresses, relays_used, self.settings.loopback_allowed);
        if dialled.is_empty() {
            return Err(unreachable("no address of theirs is known that may be dialled".into()));
        }
        match timeout(self.settings.connect_timeout, self.endpoint().connect(dialled, ALPN)).await {
            Ok(connected) => connected.map_err(|error| unreachable(error.into())),
            Err(_) => Err(unreachable("nobody answers at their addresses".into())),
        }
    }

    /// Brings what is missing of a blob into the store and returns how many bytes that was.
    pub(super) async fn pull(
        &self,
        peer: PrimaryKey,
        connection: &Connection,
        entry: &FileEntry,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<u64, NodeError> {
        let stalled = || NodeError::Interrupted { peer: Box::new(peer), source: "they stopped sending".into() };
        let hash = Hash::from_bytes(entry.blob_hash);
        let expected = blob_len(entry.plain_len).map_err(|error| bad_content(entry, error))?;
        let size = timeout(STALL_TIMEOUT, get_verified_size(connection, &hash)).await.map_err(|_| stalled())?;
        let (found, _) = size.map_err(|error| peer_error(peer, connection, error))?;
        if found != expected {
            return Err(bad_content(entry, FileError::BadLength { expected, found }));
        }
        let local = self.store.remote().local(HashAndFormat::raw(hash)).await.map_err(NodeError::store)?;
        let here = local.local_bytes();
        progress(plain_bytes(here));
        let mut steps = Box::pin(self.store.remote().execute_get(connection.clone(), local.missing()).stream());
        loop {
            match timeout(STALL_TIMEOUT, steps.next()).await.map_err(|_| stalled())? {
                Some(GetProgressItem::Progress(pulled)) => progress(plain_bytes(here + pulled)),
                Some(GetProgressItem::Done(stats)) => return Ok(stats.payload_bytes_read),
                Some(GetProgressItem::Error(error)) => return Err(peer_error(peer, connection, error)),
                None => return Err(NodeError::store(io::Error::other("the transfer ended without a result"))),
            }
        }
    }

    /// Opens a complete blob into a partial file. The store verifies the blob once more on the way: what is on its
    /// disk may have changed since.
    async fn open(&self, entry: &FileEntry, opener: Opener, target: &Target) -> Result<NamedTempFile, NodeError> {
        let (pieces, waiting) = mpsc::channel(PIECES_AHEAD);
        let writer = spawn_blocking({
            let (entry, target) = (entry.clone(), target.clone());
            move || write_part(&entry, opener, &target, waiting)
        });
        let mut items = Box::pin(self.store.export_bao(entry.blob_hash, ChunkRanges::all()).stream());
        let mut damage = None;
        while let Some(item) = items.next().await {
            match item {
                EncodedItem::Error(error) => damage = Some(error),
                EncodedItem::Leaf(leaf) => {
                    let taken = pieces.send(leaf.data).await;
                    if taken.is_err() {
                        // The writer failed, and says why.
                        break;
                    }
                }
                _ => {}
            }
        }
        drop(pieces);
        let written = writer.await.map_err(NodeError::store)?;
        match damage {
            Some(error) => Err(NodeError::Damaged { path: entry.path.to_string(), source: error.into() }),
            None => written,
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
    let mut plain = Vec::new();
    while let Some(piece) = sealed.blocking_recv() {
        opener.update(&piece, &mut plain).map_err(|error| bad_content(entry, error))?;
        part.write_all(&plain).map_err(|source| NodeError::Write { path: part.path().to_owned(), source })?;
        plain.clear();
    }
    opener.finish(&entry.plain_hash).map_err(|error| bad_content(entry, error))?;
    part.as_file().sync_all().map_err(|source| NodeError::Write { path: part.path().to_owned(), source })?;
    Ok(part)
}

fn bad_content(entry: &FileEntry, source: FileError) -> NodeError {
    NodeError::BadContent { path: entry.path.to_string(), source }
}

/// Tells from the code with which the peer ended the stream or the connection whose fault a failed transfer was.
pub(super) fn peer_error(peer: PrimaryKey, connection: &Connection, error: GetError) -> NodeError {
    let close_code = || match connection.close_reason() {
        Some(ConnectionError::ApplicationClosed(close)) => Some(close.error_code),
        _ => None,
    };
    let code = error.iroh_error_code().or_else(close_code);
    let peer = Box::new(peer);
    match code {
        Some(ERR_PERMISSION) => NodeError::NotPermitted { peer },
        Some(ERR_GONE) => NodeError::Gone { peer },
        Some(ERR_INTERNAL) => NodeError::PeerFault { peer, source: error.into() },
        _ if is_ours(&error) => NodeError::store(error),
        _ if connection.close_reason().is_some() => NodeError::Interrupted { peer, source: error.into() },
        // The connection is well, but what came over it is not the blob.
        _ => NodeError::PeerFault { peer, source: error.into() },
    }
}

fn is_ours(error: &GetError) -> bool {
    matches!(error, GetError::LocalFailure { .. } | GetError::IrpcSend { .. }) || error.local_write().is_some()
}
