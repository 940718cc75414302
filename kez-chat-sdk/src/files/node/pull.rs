//! Pulling: what is missing of a blob is asked of a peer in pieces, several at a time, and verified as it comes.

use std::{collections::BTreeSet, io, num::NonZeroU64, pin::pin, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
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
use kez_core::payload::FileEntry;
use tokio::{sync::watch, time::timeout};

use super::{
    FetchStep, Node, NodeError,
    fetch::check_len,
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

/// Tells how much of a blob is here, and verified.
#[derive(Debug, Default)]
pub(super) struct Arrival {
    /// How many bytes of it.
    here: watch::Sender<u64>,
    /// Up to where nothing is missing.
    whole_to: watch::Sender<u64>,
}

impl Arrival {
    /// Hears up to where nothing is missing.
    pub(super) fn whole_to(&self) -> watch::Receiver<u64> {
        self.whole_to.subscribe()
    }

    /// Says that all of it is here.
    pub(super) fn complete(&self, blob_bytes: u64) {
        self.whole_to.send_replace(blob_bytes);
    }
}

impl Node {
    /// Brings what is missing of a blob into the store and returns how many bytes that was.
    pub(super) async fn pull(
        &self,
        upstream: &Upstream,
        entry: &FileEntry,
        arrival: &Arrival,
        progress: &mut (impl FnMut(FetchStep) + Send),
    ) -> Result<u64, NodeError> {
        let mut coming = arrival.here.subscribe();
        let mut paths = upstream.connection.paths_stream();
        let mut silence = pin!(upstream.silence(self.settings.stall_timeout));
        let mut pulling = pin!(self.pull_pieces(upstream, entry, arrival));
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

    async fn pull_pieces(&self, upstream: &Upstream, entry: &FileEntry, arrival: &Arrival) -> Result<u64, NodeError> {
        let hash = Hash::from_bytes(entry.blob_hash);
        let found = upstream.size_of(hash).await?;
        check_len(entry, found)?;
        self.pull_missing(upstream, hash, found, arrival).await
    }

    /// Brings what is missing of a blob of a known length.
    pub(super) async fn pull_missing(
        &self,
        upstream: &Upstream,
        hash: Hash,
        blob_bytes: u64,
        arrival: &Arrival,
    ) -> Result<u64, NodeError> {
        let local = self.store.remote().local(HashAndFormat::raw(hash)).await.map_err(NodeError::store)?;
        arrival.here.send_replace(local.local_bytes());
        let mut missing = missing_pieces(&local, blob_bytes);
        let (mut under_way, mut starts) = (FuturesUnordered::new(), BTreeSet::new());
        let mut pulled = 0;
        loop {
            for (start, ranges) in missing.by_ref().take(REQUESTS_AT_ONCE - starts.len()) {
                starts.insert(start);
                let request = GetRequest::blob_ranges(hash, ranges);
                let pulling = self.pull_piece(upstream, request, blob_bytes, &arrival.here);
                under_way.push(async move { (start, pulling.await) });
            }
            // They are asked for in their order.
            arrival.whole_to.send_replace(starts.first().copied().unwrap_or(blob_bytes));
            match under_way.next().await {
                Some((start, Ok(bytes))) => {
                    starts.remove(&start);
                    pulled += bytes;
                }
                // The store fails all of a blob's pieces when one of them fails, and only that one knows why.
                Some((_, Err(error @ NodeError::Store { .. }))) => {
                    let why = timeout(OTHERS_WORD, async {
                        while let Some((_, piece)) = under_way.next().await {
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
                Some((_, Err(error))) => return Err(error),
                None => return Ok(pulled),
            }
        }
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

/// Cuts what is missing of a blob into what is asked for at a time, and says where that begins.
fn missing_pieces(local: &LocalInfo, blob_bytes: u64) -> impl Iterator<Item = (u64, ChunkRanges)> + use<> {
    let missing = local.missing().ranges.iter().next().cloned().unwrap_or_else(ChunkRanges::empty);
    (0..blob_bytes).step_by(PIECE_BYTES as usize).filter_map(move |start| {
        let mut piece = ChunkRanges::bytes(start..blob_bytes.min(start + PIECE_BYTES));
        piece.intersection_with(&missing);
        (!piece.is_empty()).then_some((start, piece))
    })
}
