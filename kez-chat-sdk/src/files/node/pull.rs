//! Pulling: what is missing of a blob is asked of a peer in pieces, several at a time, and verified as it comes.

use std::{
    io,
    num::NonZeroU64,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::{StreamExt, stream};
use iroh_blobs::{
    Hash, HashAndFormat,
    api::remote::LocalInfo,
    get::{
        GetError,
        fsm::{self, BlobContentNext, ConnectedNext, EndBlobNext, RequestCounters},
        request::get_verified_size,
    },
    protocol::{ChunkRanges, ChunkRangesExt, GetRequest},
};
use kez_core::{
    filecrypt::{FileError, blob_len},
    payload::FileEntry,
};
use tokio::{sync::watch, time::timeout};

use super::{
    FetchStep, Node, NodeError,
    fetch::bad_content,
    plain_bytes,
    upstream::{REQUESTS_AT_ONCE, Upstream, path_of},
};

/// How much is asked for at a time. A stream is bound by its window, so that one alone does not fill a long pipe; what a
/// request costs beside its content is not felt at this size.
const PIECE_BYTES: u64 = 4 << 20;
/// How many verified leaves of 16 KiB, and hashes, a request's content may be ahead of the store.
const ITEMS_AHEAD: usize = 64;
/// How long other pieces may take to say why the store fails them all.
const OTHERS_WORD: Duration = Duration::from_secs(1);

impl Node {
    /// Brings what is missing of a blob into the store and returns how many bytes that was.
    pub(super) async fn pull(
        &self,
        upstream: &Upstream,
        entry: &FileEntry,
        progress: &mut (impl FnMut(FetchStep) + Send),
    ) -> Result<u64, NodeError> {
        let (here, mut coming) = watch::channel(0);
        let mut paths = upstream.connection.paths_stream();
        let mut silence = pin!(upstream.silence(self.settings.stall_timeout));
        let mut pulling = pin!(self.pull_pieces(upstream, entry, &here));
        loop {
            tokio::select! {
                biased;
                Some(paths) = paths.next() => {
                    if let Some(over) = path_of(&paths) {
                        progress(FetchStep::Over(over));
                    }
                }
                Ok(()) = coming.changed() => progress(FetchStep::Came(plain_bytes(*coming.borrow_and_update()))),
                pulled = &mut pulling => return pulled,
                stalled = &mut silence => {
                    upstream.give_up();
                    return Err(stalled);
                }
            }
        }
    }

    /// `here` holds how much of the blob is here.
    async fn pull_pieces(
        &self,
        upstream: &Upstream,
        entry: &FileEntry,
        here: &watch::Sender<u64>,
    ) -> Result<u64, NodeError> {
        let hash = Hash::from_bytes(entry.blob_hash);
        let expected = blob_len(entry.plain_len).map_err(|error| bad_content(entry, error))?;
        let found = upstream.size_of(hash).await?;
        if found != expected {
            return Err(bad_content(entry, FileError::BadLength { expected, found }));
        }
        self.pull_missing(upstream, hash, found, here).await
    }

    /// Brings what is missing of a blob of a known length.
    pub(super) async fn pull_missing(
        &self,
        upstream: &Upstream,
        hash: Hash,
        blob_bytes: u64,
        here: &watch::Sender<u64>,
    ) -> Result<u64, NodeError> {
        let local = self.store.remote().local(HashAndFormat::raw(hash)).await.map_err(NodeError::store)?;
        here.send_replace(local.local_bytes());
        let is_failing = AtomicBool::new(false);
        let mut pieces =
            stream::iter(missing_pieces(&local, blob_bytes).take_while(|_| !is_failing.load(Ordering::Relaxed)))
                .map(|ranges| self.pull_piece(upstream, GetRequest::blob_ranges(hash, ranges), blob_bytes, here))
                .buffer_unordered(REQUESTS_AT_ONCE);
        let mut pulled = 0;
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(bytes) => pulled += bytes,
                // The store fails all of a blob's pieces when one of them fails, and only that one knows why.
                Err(error @ NodeError::Store { .. }) => {
                    is_failing.store(true, Ordering::Relaxed);
                    let why = timeout(OTHERS_WORD, async {
                        while let Some(piece) = pieces.next().await {
                            if let Err(why) = piece
                                && why.is_of_the_disk()
                            {
                                return Some(why);
                            }
                        }
                        None
                    });
                    return Err(why.await.ok().flatten().unwrap_or(error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(pulled)
    }

    async fn pull_piece(
        &self,
        upstream: &Upstream,
        request: GetRequest,
        blob_bytes: u64,
        here: &watch::Sender<u64>,
    ) -> Result<u64, NodeError> {
        let _turn = upstream.turn().await;
        let (hash, failure) = (request.hash, |error: GetError| upstream.failure(error));
        let opened = fsm::start(upstream.connection.clone(), request, RequestCounters::default()).next().await;
        let asked =
            opened.map_err(|error| failure(error.into()))?.next().await.map_err(|error| failure(error.into()))?;
        let ConnectedNext::StartRoot(start) = asked else {
            return Err(NodeError::store(io::Error::other("an empty piece was asked for")));
        };
        let (mut content, found) = start.next().next().await.map_err(|error| failure(error.into()))?;
        let size =
            NonZeroU64::new(found).filter(|_| found == blob_bytes).ok_or_else(|| upstream.at_fault("another size"))?;
        let store = self.store.import_bao(hash, size, ITEMS_AHEAD).await.map_err(NodeError::store)?;
        let mut pulled = 0;
        let end = loop {
            match content.next().await {
                BlobContentNext::More((next, item)) => {
                    let item = item.map_err(|error| failure(error.into()))?;
                    if store.tx.send(item).await.is_err() {
                        // It has ended this, and says why.
                        let why = store.rx.await.map_err(NodeError::store)?;
                        why.map_err(NodeError::store)?;
                        return Err(NodeError::store(io::Error::other("the store stopped taking")));
                    }
                    let so_far = next.stats().payload_bytes_read;
                    here.send_modify(|here| *here += so_far - pulled);
                    pulled = so_far;
                    upstream.hear();
                    content = next;
                }
                BlobContentNext::Done(end) => break end,
            }
        };
        drop(store.tx);
        store.rx.await.map_err(NodeError::store)?.map_err(NodeError::store)?;
        let EndBlobNext::Closing(closing) = end.next() else {
            return Err(NodeError::store(io::Error::other("a piece of one blob went on in another")));
        };
        closing.next().await.map_err(|error| failure(error.into()))?;
        Ok(pulled)
    }
}

impl Upstream {
    /// Asks how long a blob is. The answer is verified against the hash.
    pub(super) async fn size_of(&self, hash: Hash) -> Result<u64, NodeError> {
        let _turn = self.turn().await;
        let (size, _) = get_verified_size(&self.connection, &hash).await.map_err(|error| self.failure(error))?;
        self.hear();
        Ok(size)
    }
}

/// Cuts what is missing of a blob into what is asked for at a time.
fn missing_pieces(local: &LocalInfo, blob_bytes: u64) -> impl Iterator<Item = ChunkRanges> + use<> {
    let missing = local.missing().ranges.iter().next().cloned().unwrap_or_else(ChunkRanges::empty);
    (0..blob_bytes).step_by(PIECE_BYTES as usize).filter_map(move |start| {
        let mut piece = ChunkRanges::bytes(start..blob_bytes.min(start + PIECE_BYTES));
        piece.intersection_with(&missing);
        (!piece.is_empty()).then_some(piece)
    })
}
